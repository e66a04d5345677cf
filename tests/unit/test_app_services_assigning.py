"""Whose images are whose, and what that does to the queue."""

import pytest
from sqlalchemy import select, update

from app.domain.queue import expected_errors
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageState, RegionState
from app.services.assigning import (
    ImageFilter,
    assign_images,
    list_image_work,
    possible_owners,
    present_owners,
    share_images,
)
from app.services.audit import AuditFilter, list_entries
from app.services.review_types import NotAllowedError, NotFoundError, QueueFilter, ReviewError
from app.storage.models import Image, Region
from tests.unit.made_workspace import Reviewer, copy_store, make_template
from tests.unit.people_cases import OPERATOR, Team

pytestmark = pytest.mark.usefixtures("each_database")

LEAD = Actor("lee", Role.LEAD)
POOL = ("pool_0", "pool_1", "pool_2")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), POOL)


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def ids_of(store, *names):
    with store.reader() as session:
        return [session.scalars(select(Image.id).where(Image.sample_id == name)).one() for name in names]


def images_in_queue(ann, **filters):
    return {row.sample_id for row in ann.service.queue(QueueFilter(**filters), limit=500)}


def test_a_person_is_given_own_images_and_those_of_nobody(ann):
    first, second = ids_of(ann.store, "pool_0", "pool_1")
    assign_images(ann.store, LEAD, [first], "ann")
    assign_images(ann.store, LEAD, [second], "bob")
    assert images_in_queue(ann, person="ann") == {"pool_0", "pool_2"}
    assert images_in_queue(ann, person="bob") == {"pool_1", "pool_2"}


def test_counts_say_how_much_of_what_is_left_is_whose(ann):
    first, second, _ = ids_of(ann.store, *POOL)
    assign_images(ann.store, LEAD, [first], "ann")
    assign_images(ann.store, LEAD, [second], "bob")
    view = ann.service.region(ann.service.queue(QueueFilter(image_id=second), limit=1)[0].region_id)
    ann.decide(DecisionKind.SKIP, view)
    left = {name: len(ann.service.queue(QueueFilter(assignee=name), limit=500)) for name in ("ann", "bob")}
    counts = ann.service.counts()
    assert (counts.open_of, counts.skipped_of) == ({"ann": left["ann"], "bob": left["bob"] - 1}, {"bob": 1})


def test_the_region_after_a_decision_is_never_somebody_elses(ann):
    view = ann.region()
    others = [image_id for image_id in ids_of(ann.store, *POOL) if image_id != view.row.image_id]
    assign_images(ann.store, LEAD, others, "bob")
    result = ann.decide(DecisionKind.ACCEPT, view)
    assert ann.service.region(result.next_region_id).row.image_id == view.row.image_id


@pytest.mark.parametrize(("assignee", "expected"), [("bob", {"pool_1"}), ("", {"pool_0", "pool_2"}), (None, set(POOL))])
def test_the_queue_can_be_narrowed_to_a_person_or_to_nobody(ann, assignee, expected):
    assign_images(ann.store, LEAD, ids_of(ann.store, "pool_1"), "bob")
    assert images_in_queue(ann, assignee=assignee) == expected


def test_the_queue_can_be_narrowed_to_names_and_a_percent_sign_is_no_wildcard(ann):
    assert images_in_queue(ann, text="POOL_1") == {"pool_1"}
    assert images_in_queue(ann, text="%") == set()


def test_narrowing_leaves_the_order_of_scores(ann):
    assign_images(ann.store, LEAD, ids_of(ann.store, "pool_1"), "bob")
    scores = [row.score for row in ann.service.queue(QueueFilter(person="ann"), limit=500)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) > 3


def test_images_come_with_what_is_left_in_them_the_most_errors_first(ann):
    view = ann.region()
    ann.decide(DecisionKind.ACCEPT, view)
    ann.decide(DecisionKind.DONT_KNOW, ann.region())
    rows = list_image_work(ann.store)
    assert [row.expected_errors for row in rows] == sorted((row.expected_errors for row in rows), reverse=True)
    for row in rows:
        with ann.store.reader() as session:
            regions = session.scalars(select(Region).where(Region.image_id == row.image_id)).all()
        waiting = [region for region in regions if region.state is RegionState.OPEN]
        errors = sum(expected_errors(region.area, region.mean_confidence) for region in waiting)
        assert row.expected_errors == pytest.approx(errors)
        assert row.num_open == len(waiting)
    assert sum(row.num_decided for row in rows) == 1
    assert sum(row.num_second_review for row in rows) == 1


def test_images_are_listed_by_state_person_and_name(ann):
    assign_images(ann.store, LEAD, ids_of(ann.store, "pool_1"), "bob")
    with ann.store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "pool_2").values(state=ImageState.DONE))

    def names(**filters):
        return {row.sample_id for row in list_image_work(ann.store, ImageFilter(**filters))}

    assert names(state=ImageState.DONE) == {"pool_2"}
    assert names(assignee="bob") == {"pool_1"}
    assert names(assignee="") == {"pool_0", "pool_2"}
    assert names(person="ann") == {"pool_0", "pool_2"}
    assert names(text="l_0") == {"pool_0"}


def test_images_are_shared_out_by_expected_errors_and_finished_ones_are_not(ann):
    with ann.store.session() as session:
        session.execute(update(Image).where(Image.sample_id == "pool_2").values(state=ImageState.DONE))
    assert share_images(ann.store, LEAD, ["ann", "bob"]) == {"ann": 1, "bob": 1}
    owners = {row.sample_id: row.assignee for row in list_image_work(ann.store)}
    assert {owners["pool_0"], owners["pool_1"]} == {"ann", "bob"}
    assert owners["pool_2"] is None


def test_sharing_leaves_images_that_belong_to_somebody_alone(ann):
    assign_images(ann.store, LEAD, ids_of(ann.store, "pool_0", "pool_1"), "ann")
    assert share_images(ann.store, LEAD, ["ann", "bob"]) == {"ann": 0, "bob": 1}


def test_chosen_images_are_shared_out_whoever_has_them(ann):
    image_ids = ids_of(ann.store, *POOL)
    assign_images(ann.store, LEAD, image_ids, "ann")
    assert share_images(ann.store, LEAD, ["bob"], image_ids) == {"bob": 3}


def test_giving_images_away_is_in_the_audit_log_and_giving_the_same_again_is_not(ann):
    image_ids = ids_of(ann.store, "pool_0")
    assert assign_images(ann.store, LEAD, image_ids, "ann") == 1
    assert assign_images(ann.store, LEAD, image_ids, "ann") == 0
    assert assign_images(ann.store, LEAD, image_ids, None) == 1
    entries = list_entries(ann.store, AuditFilter(), 10)
    assert [(entry.actor, entry.action, entry.target) for entry in entries] == [
        ("lee", "assigned", "everybody"), ("lee", "assigned", "ann"),
    ]  # fmt: skip
    assert [entry.details for entry in entries] == [{"image_ids": image_ids, "images": ["pool_0"]}] * 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda store: assign_images(store, LEAD, [], "ann"), ReviewError, "at least one image"),
        (lambda store: assign_images(store, LEAD, [1], ""), ReviewError, "1-255 characters, got 0"),
        (lambda store: assign_images(store, LEAD, [9999], "ann"), NotFoundError, "no image 9999 to review"),
        (lambda store: share_images(store, LEAD, []), ReviewError, "name each person once"),
        (lambda store: share_images(store, LEAD, ["ann", "ann"]), ReviewError, "name each person once"),
        (lambda store: share_images(store, LEAD, ["ann"], [9999]), NotFoundError, "no image 9999 to review"),
        (lambda store: list_image_work(store, limit=0), ReviewError, "limit must be at least 1"),
    ],
    ids=["no-image", "no-name", "unknown", "nobody", "twice", "unknown-shared", "limit"],
)
def test_what_makes_no_sense_is_refused(ann, call, error, message):
    with pytest.raises(error, match=message):
        call(ann.store)
    assert all(row.assignee is None for row in list_image_work(ann.store))


def test_with_accounts_images_go_to_these_people_only(ann):
    image_ids = ids_of(ann.store, "pool_0", "pool_1")
    assign_images(ann.store, LEAD, image_ids[:1], "ghost")
    people = Team(ann.store)
    for name in ("lea", "cyn"):
        people.add(name, Role.LEAD)
    people.accounts.disable(OPERATOR, "cyn")
    for call in (
        lambda: assign_images(ann.store, LEAD, image_ids, "phantom"),
        lambda: assign_images(ann.store, LEAD, image_ids, "cyn"),
        lambda: share_images(ann.store, LEAD, ["lea", "ghost"]),
    ):
        with pytest.raises(ReviewError, match=r"has no account .* There is lea\."):
            call()
    assert possible_owners(ann.store) == ["lea"]
    assert present_owners(ann.store) == ["ghost", "lea"]  # So that they are found and given on.
    assert assign_images(ann.store, LEAD, image_ids, "lea") == 2


def test_who_may_not_second_review_is_refused_and_the_region_still_waits(ann):
    view = ann.region()
    ann.decide(DecisionKind.DONT_KNOW, view)
    with pytest.raises(NotAllowedError, match="a reviewer decides it"):
        ann.decide(DecisionKind.ACCEPT, view, may_second_review=False)
    assert ann.service.region(view.row.region_id).row.state is RegionState.SECOND_REVIEW


def test_who_did_not_know_may_take_that_back(ann):
    view = ann.region()
    ann.decide(DecisionKind.DONT_KNOW, view)
    ann.undo()
    ann.decide(DecisionKind.ACCEPT, view, may_second_review=False)
    assert ann.service.region(view.row.region_id).row.state is RegionState.DECIDED
