"""What a person does to the queue: every action, its order, its pixels and its log."""

import numpy as np
import pytest
from sqlalchemy import func, select, update

from app.domain.decisions import UNTOUCHED, Delta
from app.domain.states import DecisionKind, ImageState, RegionState
from app.services.proposals import store_proposal
from app.services.review_types import (
    ActionStats,
    NotFoundError,
    QueueFilter,
    ReviewError,
)
from app.storage.models import Decision, Region
from app.storage.settings import ReviewSettings, write_review_settings
from datasets.labels import IGNORE_INDEX, Provenance
from tests.unit.made_workspace import SIZE_HW, Reviewer, copy_store, make_prediction, make_template, mask_of

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1", "pool_2"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def test_queue_order_is_score_order_over_all_images(ann):
    rows = ann.service.queue(QueueFilter(), limit=500)
    assert len({row.image_id for row in rows}) == 3
    assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)


def test_pages_of_the_queue_join_without_gap_or_repetition(ann):
    for _ in range(3):
        ann.decide(DecisionKind.SKIP, ann.region())
    whole = [row.region_id for row in ann.service.queue(QueueFilter(), limit=500)]
    pages = [ann.service.queue(QueueFilter(), limit=4, offset=offset) for offset in range(0, len(whole), 4)]
    assert [row.region_id for page in pages for row in page] == whole


def test_walking_with_next_region_visits_the_queue_in_order_and_starts_again(ann):
    whole = [row.region_id for row in ann.service.queue(QueueFilter(), limit=500)]
    visited, at = [], None
    for _ in range(len(whole) + 1):
        at = ann.service.next_region(at)
        visited.append(at)
    assert visited == [*whole, whole[0]]


def test_walking_visits_every_region_even_when_all_scores_are_equal(ann):
    with ann.store.session() as session:
        session.execute(update(Region).values(score=1.0))
    count = len(ann.service.queue(QueueFilter(), limit=500))
    visited = [ann.service.next_region()]
    while len(visited) < count:
        visited.append(ann.service.next_region(visited[-1]))
    assert len(set(visited)) == count


def test_filters_narrow_the_queue_to_a_class_and_an_image(ann):
    image_id = ann.region().row.image_id
    rows = ann.service.queue(QueueFilter(class_id=1, image_id=image_id), limit=500)
    assert rows and {(row.class_id, row.image_id) for row in rows} == {(1, image_id)}


def test_accept_keeps_the_label_makes_the_region_human_and_moves_on(ann):
    view, second = ann.region(0), ann.region(1)
    before = ann.service.image_planes(view.row.image_id)
    result = ann.decide(DecisionKind.ACCEPT, view)
    after = ann.service.image_planes(view.row.image_id)
    assert (result.region_state, result.next_region_id) == (RegionState.DECIDED, second.row.region_id)
    assert np.array_equal(after.label, before.label)
    assert np.array_equal(after.provenance == Provenance.HUMAN, mask_of(before, view))


@pytest.mark.parametrize(
    ("kind", "fields", "value"),
    [(DecisionKind.RELABEL, {"class_id": 2}, 2), (DecisionKind.VOID, {}, IGNORE_INDEX)],
    ids=["relabel", "void"],
)
def test_relabel_and_void_set_exactly_the_pixels_of_the_region(ann, kind, fields, value):
    view = ann.region()
    before = ann.service.image_planes(view.row.image_id)
    ann.decide(kind, view, **fields)
    after = ann.service.image_planes(view.row.image_id)
    assert np.array_equal(after.label, np.where(mask_of(before, view), value, before.label))


def test_a_skipped_region_returns_at_the_end_behind_those_skipped_earlier(ann):
    first, second = ann.region(0), ann.region(1)
    ann.decide(DecisionKind.SKIP, second)
    result = ann.decide(DecisionKind.SKIP, first)
    rows = ann.service.queue(QueueFilter(), limit=500)
    assert [row.region_id for row in rows[-2:]] == [second.row.region_id, first.row.region_id]
    assert result.next_region_id == rows[0].region_id


def test_skipping_in_the_middle_goes_on_behind_it_and_not_at_the_front(ann):
    middle, behind = ann.region(4), ann.region(5)
    assert ann.decide(DecisionKind.SKIP, middle).next_region_id == behind.row.region_id


def test_the_only_region_left_comes_back_when_it_is_skipped(ann):
    while ann.service.counts().open > 1:
        ann.decide(DecisionKind.ACCEPT, ann.region())
    last = ann.region()
    assert ann.decide(DecisionKind.SKIP, last).next_region_id == last.row.region_id
    assert ann.decide(DecisionKind.ACCEPT, last).next_region_id is None


def test_dont_know_goes_to_second_review_and_claims_no_pixel(ann):
    view = ann.region()
    ann.decide(DecisionKind.DONT_KNOW, view)
    waiting = ann.service.queue(QueueFilter(state=RegionState.SECOND_REVIEW))
    assert [row.region_id for row in waiting] == [view.row.region_id]
    assert view.row.region_id not in [row.region_id for row in ann.service.queue(QueueFilter(), limit=500)]
    assert not np.any(ann.service.image_planes(view.row.image_id).provenance == Provenance.HUMAN)


def test_a_second_reviewer_decides_a_region_somebody_did_not_know(ann):
    view = ann.region()
    ann.decide(DecisionKind.DONT_KNOW, view)
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    assert bob.decide(DecisionKind.RELABEL, view, class_id=0).region_state is RegionState.DECIDED
    assert ann.service.counts().second_review == 0


def test_a_stroke_sets_its_pixels_and_leaves_the_region_open(ann):
    view = ann.region()
    before = ann.service.image_planes(view.row.image_id)
    touched_mask = mask_of(before, view)
    touched_mask[:, : view.row.bbox[0] + 2] = False
    values = np.where(touched_mask, np.uint8(2), np.uint8(UNTOUCHED))
    result = ann.draw(view.row.image_id, Delta(0, 0, values), region_id=view.row.region_id)
    after = ann.service.image_planes(view.row.image_id)
    assert np.array_equal(after.label, np.where(touched_mask, 2, before.label))
    assert np.array_equal(after.provenance == Provenance.HUMAN, touched_mask)
    assert (result.region_state, result.next_region_id) == (RegionState.OPEN, view.row.region_id)


def test_a_drawing_that_closes_its_region_makes_the_rest_of_it_human_as_shown(ann):
    view = ann.region()
    before = ann.service.image_planes(view.row.image_id)
    region_mask = mask_of(before, view)
    row, column = np.argwhere(region_mask)[0]
    delta = Delta(int(column), int(row), np.array([[IGNORE_INDEX]], np.uint8))
    result = ann.draw(view.row.image_id, delta, region_id=view.row.region_id, closes_region=True)
    after = ann.service.image_planes(view.row.image_id)
    expected = before.label.copy()
    expected[row, column] = IGNORE_INDEX
    assert result.region_state is RegionState.DECIDED
    assert np.array_equal(after.label, expected)
    assert np.array_equal(after.provenance == Provenance.HUMAN, region_mask)


def test_accepting_after_a_stroke_keeps_the_stroke(ann):
    view = ann.region()
    row, column = np.argwhere(mask_of(ann.service.image_planes(view.row.image_id), view))[0]
    ann.draw(view.row.image_id, Delta(int(column), int(row), np.array([[IGNORE_INDEX]], np.uint8)))
    ann.decide(DecisionKind.ACCEPT, view)
    assert ann.service.image_planes(view.row.image_id).label[row, column] == IGNORE_INDEX


def test_accepting_the_rest_empties_the_image_without_claiming_a_pixel(ann):
    image_id = ann.region().row.image_id
    before = ann.service.image_planes(image_id)
    result = ann.service.accept_rest(image_id, 0, **ann.name, op_id="rest")
    assert result.image_state is ImageState.DONE
    assert not ann.service.queue(QueueFilter(image_id=image_id))
    assert np.array_equal(ann.service.image_planes(image_id).provenance, before.provenance)
    assert ann.service.counts().decided == 0


def test_an_image_whose_rest_was_accepted_opens_again_with_a_new_proposal(ann):
    image_id = ann.region().row.image_id
    ann.service.accept_rest(image_id, 0, **ann.name, op_id="rest")
    store_proposal(ann.store, image_id, 1, make_prediction(77))
    assert ann.service.image(image_id).state is ImageState.OPEN


def test_an_image_with_every_region_decided_is_done(ann):
    image_id = ann.region().row.image_id
    for row in ann.service.queue(QueueFilter(image_id=image_id), limit=500):
        ann.decide(DecisionKind.ACCEPT, ann.service.region(row.region_id))
    assert ann.service.image(image_id).state is ImageState.DONE


def test_an_image_is_enough_when_little_is_left_and_its_regions_leave_the_queue(ann):
    with ann.store.session() as session:
        write_review_settings(session, ReviewSettings(enough_share=0.02))
    image_id = ann.region().row.image_id
    while ann.service.image(image_id).state is ImageState.OPEN:
        ann.decide(
            DecisionKind.ACCEPT, ann.service.region(ann.service.next_region(None, QueueFilter(image_id=image_id)))
        )
    left = ann.service.queue(QueueFilter(image_id=image_id, include_enough=True), limit=500)
    assert ann.service.image(image_id).state is ImageState.ENOUGH
    assert sum(row.area * (1 - row.mean_confidence) for row in left) < 0.02 * SIZE_HW[0] * SIZE_HW[1]
    assert left and not ann.service.queue(QueueFilter(image_id=image_id))


def test_counts_add_up_to_the_regions_of_the_queue(ann):
    total = len(ann.service.queue(QueueFilter(), limit=500))
    ann.decide(DecisionKind.ACCEPT, ann.region())
    ann.decide(DecisionKind.SKIP, ann.region())
    ann.decide(DecisionKind.DONT_KNOW, ann.region())
    counts = ann.service.counts()
    assert (counts.decided, counts.skipped, counts.second_review, counts.open) == (1, 1, 1, total - 3)


def test_every_action_logs_what_reports_are_made_from(ann):
    view = ann.region()
    ann.decide(DecisionKind.VOID, view, stats=ActionStats(clicks=2, keys=1, strokes=3, undos=1, active_ms=900))
    with ann.store.reader() as session:
        decision = session.scalars(select(Decision)).one()
    expected = {
        "clicks": 2, "keys": 1, "strokes": 3, "undos": 1, "active_ms": 900, "propagated_pixels": 0,
        "image_sha256": ann.service.image(view.row.image_id).sha256, "proposal_id": view.proposal_id,
        "method": "csl", "threshold": None, "region_kind": "queue", "area": view.row.area,
        "pixels_set": view.row.area, "pixels_changed": view.row.area, "predicted_class": view.row.class_id,
        "mean_confidence": view.row.mean_confidence,
        "top_classes": [[top.class_id, top.probability] for top in view.top_classes],
    }  # fmt: skip
    assert decision.stats == expected
    assert (decision.user, decision.session, decision.model_id) == ("ann", "tab-1", 1)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (DecisionKind.ACCEPT, {"region_id": None}, "needs a region_id"),
        (DecisionKind.RELABEL, {}, "class_id belongs to 'relabel'"),
        (DecisionKind.VOID, {"class_id": 1}, "class_id belongs to 'relabel'"),
        (DecisionKind.RELABEL, {"class_id": 3}, "class_id must be 0-2, got 3"),
        (DecisionKind.RELABEL, {"class_id": -1}, "class_id must be 0-2, got -1"),
        (DecisionKind.DRAW, {}, "drawn pixels belong to 'draw'"),
        (DecisionKind.DRAW, {"delta": Delta(79, 0, np.zeros((1, 2), np.uint8))}, "leaves the image"),
        (DecisionKind.DRAW, {"delta": Delta(0, 0, np.full((1, 1), 9, np.uint8))}, "class ids"),
        (DecisionKind.DRAW, {"delta": Delta(0, 0, np.full((2, 2), UNTOUCHED, np.uint8))}, "sets no pixel"),
        (DecisionKind.ACCEPT, {"closes_region": True}, "closes_region belongs to 'draw'"),
        (DecisionKind.UNDO, {}, "use their own calls"),
        (DecisionKind.ACCEPT, {"region_id": 99999}, "no region 99999"),
        (DecisionKind.ACCEPT, {"version": 50}, "image_version must be 0-0"),
        (DecisionKind.ACCEPT, {"version": -1}, "image_version must be 0-0"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_stores_nothing(ann, kind, fields, message):
    with pytest.raises(ReviewError, match=message):
        ann.decide(kind, ann.region(), **fields)
    with ann.store.reader() as session:
        assert session.scalar(select(func.count()).select_from(Decision)) == 0


def test_an_image_without_a_proposal_cannot_be_reviewed(ann):
    with pytest.raises(NotFoundError, match="pixelsieve predict"):
        ann.service.image_planes(1)
    with pytest.raises(NotFoundError, match="no proposal to review"):
        ann.draw(1, Delta(0, 0, np.zeros((1, 1), np.uint8)))


def test_the_etag_changes_with_every_decision_and_every_proposal(ann):
    image_id = ann.region().row.image_id
    tags = [ann.service.image_planes(image_id).etag]
    ann.decide(DecisionKind.SKIP, ann.service.region(ann.service.next_region(None, QueueFilter(image_id=image_id))))
    tags.append(ann.service.image_planes(image_id).etag)
    store_proposal(ann.store, image_id, 1, make_prediction(77))
    tags.append(ann.service.image_planes(image_id).etag)
    assert len(set(tags)) == 3
