"""What people say about images and regions."""

import pytest
from sqlalchemy.exc import IntegrityError

from app.services.comments import add_comment, image_comments, open_questions
from app.services.review_types import NotFoundError, QueueFilter, ReviewError
from tests.unit.made_workspace import Reviewer, changing_statement, copy_store, make_template, raw_connection

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


@pytest.fixture
def row(ann):
    return ann.region().row


def test_comments_come_back_in_order_with_who_said_them_about_what(ann, row):
    add_comment(ann.store, "ann", "  a tram?  ", row.image_id, row.region_id)
    add_comment(ann.store, "bob", "dark image", row.image_id)
    said = image_comments(ann.store, row.image_id)
    assert [(each.author, each.text, each.region_id, each.sample_id) for each in said] == [
        ("ann", "a tram?", row.region_id, row.sample_id), ("bob", "dark image", None, row.sample_id),
    ]  # fmt: skip


def test_a_question_is_open_until_a_comment_closes_it(ann, row):
    question = add_comment(ann.store, "ann", "tram or bus?", row.image_id, row.region_id, is_question=True)
    add_comment(ann.store, "bob", "looking", row.image_id, row.region_id)
    assert [each.id for each in open_questions(ann.store)] == [question.id]
    add_comment(ann.store, "bob", "bus", row.image_id, row.region_id, closes_id=question.id)
    assert open_questions(ann.store) == []
    assert [each.is_open for each in image_comments(ann.store, row.image_id)] == [False, False, False]


def test_a_question_is_closed_once(ann, row):
    question = add_comment(ann.store, "ann", "?", row.image_id, is_question=True)
    add_comment(ann.store, "bob", "bus", row.image_id, closes_id=question.id)
    with pytest.raises(ReviewError, match="bob closed this question before"):
        add_comment(ann.store, "cem", "tram", row.image_id, closes_id=question.id)
    assert len(image_comments(ann.store, row.image_id)) == 2


def test_the_queue_can_be_narrowed_to_regions_with_an_open_question(ann, row):
    question = add_comment(ann.store, "ann", "?", row.image_id, row.region_id, is_question=True)
    asked = QueueFilter(asked=True)
    assert [each.region_id for each in ann.service.queue(asked)] == [row.region_id]
    add_comment(ann.store, "bob", "!", row.image_id, row.region_id, closes_id=question.id)
    assert ann.service.queue(asked) == []


def test_a_question_about_an_image_asks_about_all_its_regions(ann, row):
    add_comment(ann.store, "ann", "is this night?", row.image_id, is_question=True)
    found = ann.service.queue(QueueFilter(asked=True), limit=500)
    assert {each.image_id for each in found} == {row.image_id}
    assert len(found) == len(ann.service.queue(QueueFilter(image_id=row.image_id), limit=500))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"text": "   "}, ReviewError, "1-2000 characters, got 0"),
        ({"text": "x" * 2001}, ReviewError, "1-2000 characters, got 2001"),
        ({"image_id": 9999}, NotFoundError, "no image 9999"),
        ({"region_id": 9999}, NotFoundError, "no region 9999 in image"),
        ({"closes_id": 9999}, NotFoundError, "no question 9999 about image"),
    ],
    ids=["empty", "long", "image", "region", "question"],
)
def test_a_comment_that_makes_no_sense_is_refused_and_not_stored(ann, row, changes, error, message):
    with pytest.raises(error, match=message):
        add_comment(ann.store, "ann", **{"text": "hello", "image_id": row.image_id, **changes})
    assert image_comments(ann.store, row.image_id) == []


@pytest.mark.parametrize("kind", ["update", "delete", "replace", "truncate"])
def test_no_program_can_change_or_remove_a_comment(ann, row, kind):
    add_comment(ann.store, "ann", "a tram?", row.image_id)
    with raw_connection(ann.store.workspace) as connection:
        with pytest.raises(IntegrityError, match="append-only"):
            connection.exec_driver_sql(changing_statement(kind, "comment", "text", connection.dialect.name))
