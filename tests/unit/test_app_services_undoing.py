"""Undo and redo by name, and the steps that a page reaches after a reload."""

import numpy as np
import pytest
from sqlalchemy import func, select

from app.domain.decisions import Delta
from app.domain.states import DecisionKind, RegionState
from app.services.review_types import NotFoundError, QueueFilter, ReviewError
from app.storage.models import Decision, Image, utc_now
from tests.unit.made_workspace import Reviewer, copy_store, make_template, mask_of, pool_ids


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def of_image(ann, index):
    """The waiting regions of one image."""
    return ann.service.queue(QueueFilter(image_id=pool_ids(ann.store)[index]))


def first_of(ann, index):
    """The first region of one image that waits."""
    return ann.service.region(of_image(ann, index)[0].region_id)


def stroke(ann, view, class_id, **fields):
    """One pixel of a region, as a stroke of its own."""
    row, column = np.argwhere(mask_of(ann.service.image_planes(view.row.image_id), view))[class_id]
    delta = Delta(int(column), int(row), np.array([[class_id]], np.uint8))
    return ann.draw(view.row.image_id, delta, region_id=view.row.region_id, **fields)


def undo(ann, target_id):
    return ann.service.undo(**ann.name, op_id=ann.new_id(), target_id=target_id)


def redo(ann, target_id):
    return ann.service.redo(**ann.name, op_id=ann.new_id(), target_id=target_id)


def test_steps_name_what_was_done_newest_first_with_image_region_and_box(ann):
    view, other = ann.region(0), ann.region(1)
    drawn, skipped = stroke(ann, view, 2), ann.decide(DecisionKind.SKIP, other)
    history = ann.service.undo_history("ann")
    assert [(step.op_id, step.kind, step.region_id) for step in history.undo] == [
        (skipped.op_id, DecisionKind.SKIP, other.row.region_id),
        (drawn.op_id, DecisionKind.DRAW, view.row.region_id),
    ]
    assert [step.bbox for step in history.undo] == [None, drawn.bbox]
    assert history.redo == ()


def test_steps_of_redo_are_those_taken_back_last_first(ann):
    done = [stroke(ann, ann.region(), class_id).op_id for class_id in (0, 1, 2)]
    ann.undo()
    ann.undo()
    history = ann.service.undo_history("ann")
    assert [step.op_id for step in history.undo] == done[:1]
    assert [step.op_id for step in history.redo] == done[1:]


def test_steps_are_each_persons_own_from_every_tab(ann):
    second_tab = Reviewer(ann.store, session="tab-2")
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    first = ann.decide(DecisionKind.ACCEPT, ann.region(0))
    second = second_tab.decide(DecisionKind.ACCEPT, ann.region(0))
    bob.decide(DecisionKind.ACCEPT, ann.region(0))
    assert [step.op_id for step in ann.service.undo_history("ann").undo] == [second.op_id, first.op_id]


def test_steps_stop_at_the_limit_and_leave_deleted_images_out(ann):
    views = [ann.service.region(row.region_id) for row in of_image(ann, 0)[:2]]
    elsewhere = first_of(ann, 1)
    ids = [ann.decide(DecisionKind.ACCEPT, view).op_id for view in (*views, elsewhere)]
    assert [step.op_id for step in ann.service.undo_history("ann", limit=2).undo] == [ids[2], ids[1]]
    with ann.store.session() as session:
        session.get_one(Image, elsewhere.row.image_id).deleted_at = utc_now()
    assert [step.op_id for step in ann.service.undo_history("ann").undo] == [ids[1], ids[0]]
    assert ann.undo().undone_op_id == ids[1]


def test_an_action_is_taken_back_by_name_whatever_was_done_since(ann):
    view = ann.region()
    before = ann.service.image_planes(view.row.image_id)
    first, second = stroke(ann, view, 0), stroke(ann, view, 2)
    result = undo(ann, first.op_id)
    after = ann.service.image_planes(view.row.image_id)
    changed = np.argwhere((after.label != before.label) | (after.provenance != before.provenance))
    assert (result.undone_op_id, result.bbox) == (first.op_id, first.bbox)
    assert changed.tolist() == [[second.bbox[1], second.bbox[0]]]
    assert redo(ann, first.op_id).undone_op_id == first.op_id
    assert int(np.count_nonzero(ann.service.image_planes(view.row.image_id).provenance != before.provenance)) == 2


def test_an_action_goes_back_and_forth_by_name_any_number_of_times(ann):
    view = ann.region()
    initial = ann.state(view.row.image_id)
    done = ann.decide(DecisionKind.VOID, view).op_id
    decided = ann.state(view.row.image_id)
    for _ in range(3):
        undo(ann, done)
        assert ann.state(view.row.image_id) == initial
        redo(ann, done)
        assert ann.state(view.row.image_id) == decided


def test_what_is_taken_back_already_is_not_taken_back_twice(ann):
    done = ann.decide(DecisionKind.VOID, ann.region()).op_id
    with pytest.raises(ReviewError, match="counts already"):
        redo(ann, done)
    undo(ann, done)
    with pytest.raises(ReviewError, match="taken back already"):
        undo(ann, done)
    with ann.store.reader() as session:
        assert session.scalar(select(func.count()).select_from(Decision)) == 2


def test_nobody_takes_back_what_somebody_else_did(ann):
    done = ann.decide(DecisionKind.VOID, ann.region()).op_id
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    for target in (done, "no-such-action"):
        with pytest.raises(NotFoundError, match="no action .* of yours to undo"):
            undo(bob, target)


def test_an_undo_is_not_undone_by_its_own_name(ann):
    done = ann.decide(DecisionKind.VOID, ann.region()).op_id
    taken_back = undo(ann, done).op_id
    with pytest.raises(NotFoundError, match="no action"):
        undo(ann, taken_back)


def test_a_finished_drawing_makes_the_region_human_as_shown_and_two_undos_leave_nothing(ann):
    view = ann.region()
    before = ann.service.image_planes(view.row.image_id)
    initial = ann.state(view.row.image_id)
    drawn = stroke(ann, view, 2)
    shown = ann.service.image_planes(view.row.image_id).label
    result = ann.decide(DecisionKind.DRAW, view, closes_region=True)
    after = ann.service.image_planes(view.row.image_id)
    assert result.region_state is RegionState.DECIDED
    assert np.array_equal(after.label, shown)
    assert np.array_equal(after.provenance == 1, mask_of(before, view))
    undo(ann, result.op_id)
    undo(ann, drawn.op_id)
    assert ann.state(view.row.image_id) == initial


def test_an_answer_tells_what_other_tabs_did_that_the_sender_has_not_seen(ann):
    first = ann.decide(DecisionKind.ACCEPT, first_of(ann, 0))
    assert first.image_version > first.foreign_version == 0
    theirs = Reviewer(ann.store, user="bob", session="tab-b").decide(DecisionKind.ACCEPT, first_of(ann, 0))
    mine = ann.decide(DecisionKind.SKIP, first_of(ann, 0), version=first.image_version)
    assert mine.foreign_version == theirs.image_version < mine.image_version


def test_a_patch_holds_the_planes_of_its_box_as_they_are_now(ann):
    view = ann.region()
    image_id = view.row.image_id
    stroke(ann, view, 2)
    planes = ann.service.image_planes(image_id)
    x0, y0, x1, y1 = 3, 5, 71, 48
    patch = ann.service.image_patch(image_id, (x0, y0, x1, y1))
    for name in ("label", "provenance", "reliable", "region_map"):
        assert np.array_equal(getattr(patch, name), getattr(planes, name)[y0:y1, x0:x1]), name
    assert (patch.image_version, patch.proposal_id) == (planes.image_version, planes.proposal_id)


@pytest.mark.parametrize("bbox", [(0, 0, 0, 5), (5, 0, 2, 5), (-1, 0, 5, 5), (0, 0, 81, 5), (0, 0, 5, 61)])
def test_a_patch_outside_of_its_image_is_refused(ann, bbox):
    with pytest.raises(ReviewError, match="is empty or leaves"):
        ann.service.image_patch(pool_ids(ann.store)[0], bbox)
