"""Tags that people set in FiftyOne: each takes effect once, in somebody's name, and no decision is ever lost."""

import pytest
from sqlalchemy import select

from app.domain.audit import AuditAction
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageState
from app.services.assigning import list_image_work
from app.services.audit import AuditFilter, list_entries
from app.services.comments import add_comment, open_questions
from app.services.explorer_tags import FRONT_WEIGHT, apply_tags, pending_tags, tags_in_force
from app.services.proposals import store_proposal
from app.services.review_types import QueueFilter
from app.storage.models import Image
from app.storage.people import Account
from app.storage.settings import read_review_settings, write_review_settings
from tests.unit.made_workspace import Reviewer, copy_store, everything_stored, make_prediction, make_template

pytestmark = pytest.mark.usefixtures("each_database")

LEE = Actor("lee", Role.LEAD)
POOL = ("pool_0", "pool_1")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), POOL)


@pytest.fixture
def store(reviewable, tmp_path):
    return copy_store(reviewable, tmp_path)


def image_named(store, name) -> Image:
    with store.reader() as session:
        return session.scalars(select(Image).where(Image.sample_id == name)).one()


def tag(store, name, *tags):
    return apply_tags(store, {image_named(store, name).sha256: tags}, LEE)


def queued(store):
    return [row.sample_id for row in Reviewer(store).service.queue(QueueFilter(), limit=500)]


def last_in_queue(store):
    """The image whose best region comes last."""
    return list(dict.fromkeys(queued(store)))[-1]


def test_review_puts_an_image_at_the_front_and_taking_the_tag_off_puts_it_back(store):
    before, name = queued(store), last_in_queue(store)
    assert tag(store, name, "review").applied == ((name, "review"),)
    assert queued(store)[0] == name
    assert sorted(queued(store)) == sorted(before)
    assert tag(store, name).withdrawn == ((name, "review"),)
    assert queued(store) == before


def test_the_same_tags_again_change_nothing_at_all(store):
    tags = {image_named(store, "pool_0").sha256: ["review", "flag", "assign:ann", "night"]}
    assert pending_tags(store, tags) == (3, 0)
    apply_tags(store, tags, LEE)
    stored = everything_stored(store)
    assert apply_tags(store, tags, LEE).applied == ()
    assert pending_tags(store, tags) == (0, 0)
    assert everything_stored(store) == stored
    assert tags_in_force(store) == {key: ["assign:ann", "flag", "review"] for key in tags}


def test_review_brings_back_an_image_that_was_enough_also_under_a_later_model(store):
    with store.session() as session:
        settings = read_review_settings(session)
        write_review_settings(session, settings.model_copy(update={"enough_share": 0.9}))
    image_id = image_named(store, "pool_0").id
    store_proposal(store, image_id, 1, make_prediction(5))
    assert image_named(store, "pool_0").state is ImageState.ENOUGH
    assert "pool_0" not in queued(store)
    plain = Reviewer(store).service.queue(QueueFilter(image_id=image_id, include_enough=True))[0].score
    tag(store, "pool_0", "review")
    assert queued(store)[0] == "pool_0"
    store_proposal(store, image_id, 1, make_prediction(5))
    assert queued(store)[0] == "pool_0"
    first = Reviewer(store).service.queue(QueueFilter(image_id=image_id))[0]
    assert first.score == pytest.approx(FRONT_WEIGHT * plain)


def test_review_of_a_finished_image_keeps_its_decisions_and_asks_on_second_review(store):
    ann = Reviewer(store)
    image_id = image_named(store, "pool_0").id
    for row in ann.service.queue(QueueFilter(image_id=image_id)):
        ann.decide(DecisionKind.RELABEL, ann.service.region(row.region_id), class_id=2)
    label = ann.service.image_planes(image_id).label
    tag(store, "pool_0", "review")
    assert image_named(store, "pool_0").state is ImageState.DONE
    assert (ann.service.image_planes(image_id).label == label).all()
    assert [(question.sample_id, question.author) for question in open_questions(store)] == [("pool_0", "lee")]


def test_flag_asks_once_and_the_question_outlives_its_tag_until_somebody_answers(store):
    tag(store, "gold_0", "flag")
    (question,) = open_questions(store)
    tag(store, "gold_0")
    assert [each.id for each in open_questions(store)] == [question.id]
    add_comment(store, "ann", "It is fine.", question.image_id, closes_id=question.id)
    tag(store, "gold_0", "flag")
    assert [each.id for each in open_questions(store)] != [question.id]


def test_assign_gives_the_image_away_and_back_unless_it_went_elsewhere_meanwhile(store):
    tag(store, "pool_0", "assign:ann")
    tag(store, "pool_1", "assign:ann")
    assert {work.assignee for work in list_image_work(store)} == {"ann"}
    with store.session() as session:
        session.get_one(Image, image_named(store, "pool_1").id).assignee = "bob"
    tag(store, "pool_0")
    tag(store, "pool_1")
    assert {work.sample_id: work.assignee for work in list_image_work(store)} == {"pool_0": None, "pool_1": "bob"}


def test_with_accounts_images_are_given_to_nobody_who_has_none(store):
    with store.session() as session:
        session.add(Account(name="ann", role=Role.ANNOTATOR))
    ((_, _, reason),) = tag(store, "pool_0", "assign:anne").refused
    assert "'anne' has no account" in reason
    assert tag(store, "pool_0", "assign:ann").applied == (("pool_0", "assign:ann"),)


def test_who_may_not_assign_does_not_by_a_tag_either(store):
    tags = {image_named(store, "pool_0").sha256: ["assign:ann", "review"]}
    report = apply_tags(store, tags, Actor("eve", Role.ENGINEER))
    assert report.applied == (("pool_0", "review"),)
    assert "eve is engineer here" in report.refused[0][2]
    assert image_named(store, "pool_0").assignee is None


def test_images_that_nobody_reviews_refuse_a_tag_for_review_and_say_why(store):
    report = tag(store, "gold_0", "review", "flag")
    assert report.applied == (("gold_0", "flag"),)
    assert report.refused[0][:2] == ("gold_0", "review") and "nobody reviews" in report.refused[0][2]


def test_the_audit_log_says_who_brought_which_tag_and_who_took_it_off(store):
    tag(store, "pool_0", "review", "assign:ann")
    tag(store, "pool_0")
    entries = list_entries(store, AuditFilter(action=AuditAction.EXPLORE), 10)
    assert [(entry.actor, entry.target, entry.details["tag"], entry.details["what"]) for entry in entries] == [
        ("lee", "image pool_0", "review", "withdrawn"),
        ("lee", "image pool_0", "assign:ann", "withdrawn"),
        ("lee", "image pool_0", "review", "applied"),
        ("lee", "image pool_0", "assign:ann", "applied"),
    ]
    assigned = list_entries(store, AuditFilter(action=AuditAction.ASSIGNED), 10)
    assert [(entry.actor, entry.target) for entry in assigned] == [("lee", "everybody"), ("lee", "ann")]
