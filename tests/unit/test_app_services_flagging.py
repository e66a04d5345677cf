"""A reliable area that somebody calls wrong: a region with pixels of its own, that one undo takes back."""

import numpy as np
import pytest
from sqlalchemy import func, select

from app.domain.decisions import UNTOUCHED, Delta
from app.domain.states import DecisionKind, ImageState, ModelStatus, RegionKind, RegionState
from app.services.flagging import FlagRequest, flag, list_flags
from app.services.labels import training_entries
from app.services.proposals import store_proposal
from app.services.restoring import restore_proposals
from app.services.review_types import LockedPixelsError, NotFoundError, QueueFilter, ReviewError
from app.storage.models import Decision, Region
from app.storage.settings import ReviewSettings, write_review_settings
from datasets.images import read_plane
from datasets.labels import IGNORE_INDEX, Provenance
from tests.unit.made_workspace import (
    SIZE_HW,
    Reviewer,
    add_model,
    copy_store,
    make_prediction,
    make_template,
    mask_of,
    pool_ids,
)

CORNER = 2, 3
"""A reliable pixel of class 0 in every made-up prediction, far from its blobs."""


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


@pytest.fixture
def image_id(ann):
    return pool_ids(ann.store)[0]


def set_flag(ann, image_id, point=CORNER, op_id=None):
    return flag(ann.store, FlagRequest(op_id or ann.new_id(), image_id, *point, **ann.name))


def flagged_view(ann, result):
    return ann.service.region(result.region_id)


def test_a_flag_makes_a_region_of_its_kind_that_heads_the_queue(ann, image_id):
    result = set_flag(ann, image_id)
    view = flagged_view(ann, result)
    assert (view.row.kind, view.row.state) == (RegionKind.FLAGGED, RegionState.OPEN)
    assert (result.next_region_id, result.bbox) == (view.row.region_id, view.row.bbox)
    assert ann.region().row.region_id == view.row.region_id
    assert view.row.mean_confidence == pytest.approx(0.95, abs=0.01)
    assert [top.class_id for top in view.top_classes] == [0]


def test_flagged_pixels_are_a_connected_reliable_area_and_no_pseudo_label_any_more(ann, image_id):
    before = ann.service.image_planes(image_id)
    view = flagged_view(ann, set_flag(ann, image_id))
    after = ann.service.image_planes(image_id)
    mask = mask_of(after, view)
    assert mask[CORNER[1], CORNER[0]] and mask.sum() == view.row.area
    assert before.reliable[mask].all() and not after.reliable[mask].any()
    assert set(after.provenance[mask].tolist()) == {Provenance.UNREVIEWED}
    assert np.array_equal(after.label, before.label)
    for name in ("reliable", "region_map", "provenance"):
        assert np.array_equal(getattr(after, name)[~mask], getattr(before, name)[~mask]), name


def test_flagged_pixels_do_not_train_until_they_are_decided(ann, image_id, tmp_path):
    view = flagged_view(ann, set_flag(ann, image_id))
    mask = mask_of(ann.service.image_planes(image_id), view)
    labels = []
    for name in ("undecided", "decided"):
        entries = {entry.sample_id: entry for entry in training_entries(ann.store, tmp_path / name, pseudo=True)}
        labels.append(set(read_plane(entries["pool_0"].label)[mask].tolist()))
        ann.decide(DecisionKind.RELABEL, view, class_id=2)
    assert labels == [{IGNORE_INDEX}, {2}]


def test_a_relabeled_flag_is_human_and_locked_pixels_around_it_stay(ann, image_id):
    before = ann.service.image_planes(image_id)
    view = flagged_view(ann, set_flag(ann, image_id))
    ann.decide(DecisionKind.RELABEL, view, class_id=2)
    after = ann.service.image_planes(image_id)
    mask = mask_of(after, view)
    assert np.array_equal(after.label, np.where(mask, 2, before.label))
    assert np.array_equal(after.provenance == Provenance.HUMAN, mask)
    assert after.reliable[before.reliable & ~mask].all()


def test_strokes_reach_flagged_pixels_but_no_locked_one_beside_them(ann, image_id):
    view = flagged_view(ann, set_flag(ann, image_id))
    planes = ann.service.image_planes(image_id)
    values = np.where(mask_of(planes, view), np.uint8(1), np.uint8(UNTOUCHED))
    ann.draw(image_id, Delta(0, 0, values), region_id=view.row.region_id)
    row, column = np.argwhere(planes.reliable)[0]
    values[row, column] = 1
    with pytest.raises(LockedPixelsError, match="touches 1 locked"):
        ann.draw(image_id, Delta(0, 0, values), region_id=view.row.region_id)


def test_undo_takes_relabel_and_flag_back_to_the_initial_bytes_and_redo_brings_both(ann, image_id):
    initial = ann.state(image_id)
    flagged = set_flag(ann, image_id)
    waiting = ann.state(image_id)
    ann.decide(DecisionKind.RELABEL, flagged_view(ann, flagged), class_id=2)
    decided = ann.state(image_id)
    assert ann.undo().region_state is RegionState.OPEN
    assert ann.state(image_id) == waiting
    assert ann.undo().region_state is RegionState.SUPERSEDED
    assert ann.state(image_id) == initial
    assert ann.redo().region_state is RegionState.OPEN
    assert ann.state(image_id) == waiting
    ann.redo()
    assert ann.state(image_id) == decided


def test_two_flags_share_no_pixel_and_each_is_taken_back_alone(ann, image_id):
    with ann.store.session() as session:
        settings = ReviewSettings()
        rules = settings.region_rules.__class__(max_flag_share=0.05)
        write_review_settings(session, settings.model_copy(update={"region_rules": rules}))
    first = flagged_view(ann, set_flag(ann, image_id))
    between = ann.state(image_id)
    planes = ann.service.image_planes(image_id)
    row, column = np.argwhere(planes.reliable & (planes.label == 0))[-1]
    second = flagged_view(ann, set_flag(ann, image_id, (int(column), int(row))))
    assert second.row.number == first.row.number + 1
    planes = ann.service.image_planes(image_id)
    assert (int(mask_of(planes, first).sum()), int(mask_of(planes, second).sum())) == (first.row.area, second.row.area)
    ann.undo()
    assert ann.state(image_id) == between


def test_a_flag_sent_again_flags_once(ann, image_id):
    results = [set_flag(ann, image_id, op_id="once") for _ in range(2)]
    assert [result.replayed for result in results] == [False, True]
    assert results[0].region_id == results[1].region_id
    with ann.store.reader() as session:
        assert session.scalar(select(func.count()).select_from(Region).where(Region.kind == RegionKind.FLAGGED)) == 1


def test_a_flag_logs_who_pointed_where(ann, image_id):
    result = set_flag(ann, image_id)
    with ann.store.reader() as session:
        entry = session.scalars(select(Decision)).one()
    assert (entry.kind, entry.user, entry.region_id) == (DecisionKind.FLAG, "ann", result.region_id)
    assert (entry.stats["x"], entry.stats["y"], entry.stats["predicted_class"]) == (*CORNER, 0)


@pytest.mark.parametrize(
    ("point", "message"), [((80, 0), "lies outside"), ((-1, 0), "lies outside")], ids=["right", "left"]
)
def test_a_flag_outside_of_the_image_is_refused(ann, image_id, point, message):
    with pytest.raises(ReviewError, match=message):
        set_flag(ann, image_id, point)


def test_a_pixel_that_is_not_reliable_or_decided_needs_no_flag(ann, image_id):
    view = ann.service.region(ann.service.queue(QueueFilter(image_id=image_id))[0].region_id)
    row, column = np.argwhere(mask_of(ann.service.image_planes(image_id), view))[0]
    with pytest.raises(ReviewError, match="not reliable"):
        set_flag(ann, image_id, (int(column), int(row)))
    ann.decide(DecisionKind.ACCEPT, view)
    with pytest.raises(ReviewError, match="decided by a person"):
        set_flag(ann, image_id, (int(column), int(row)))


def test_an_image_without_a_proposal_or_no_image_cannot_be_flagged(ann):
    for image_id in (1, 999):
        with pytest.raises(NotFoundError):
            set_flag(ann, image_id)


def test_a_flag_waits_in_the_queue_though_its_image_was_accepted_as_a_whole(ann, image_id):
    ann.service.accept_rest(image_id, 0, **ann.name, op_id="rest")
    left = ann.service.counts().open
    result = set_flag(ann, image_id)
    assert [row.region_id for row in ann.service.queue(QueueFilter(image_id=image_id))] == [result.region_id]
    assert result.counts.open == left + 1
    assert ann.service.image(image_id).state is ImageState.DONE
    decided = ann.decide(DecisionKind.RELABEL, flagged_view(ann, result), class_id=1)
    assert decided.counts.open == left


def test_a_flag_that_waits_is_taken_over_by_the_next_proposal_with_the_same_pixels(ann, image_id):
    view = flagged_view(ann, set_flag(ann, image_id))
    mask = mask_of(ann.service.image_planes(image_id), view)
    store_proposal(ann.store, image_id, 1, make_prediction(0))
    (row,) = [row for row in ann.service.queue(QueueFilter(image_id=image_id)) if row.kind is RegionKind.FLAGGED]
    planes = ann.service.image_planes(image_id)
    assert row.region_id != view.row.region_id and row.state is RegionState.OPEN
    assert np.array_equal(planes.region_map == row.number, mask)
    assert not planes.reliable[mask].any()
    ann.decide(DecisionKind.RELABEL, ann.service.region(row.region_id), class_id=2)
    (listed,) = list_flags(ann.store)
    assert (listed.row.region_id, listed.row.state) == (row.region_id, RegionState.DECIDED)


def test_a_flag_waits_again_where_it_was_when_an_earlier_model_is_gone_back_to(ann, image_id):
    first = set_flag(ann, image_id).region_id
    for expected, model_id in ((None, add_model(ann.store, ModelStatus.RETIRED)), (first, 1), (None, 2)):
        if expected is None:
            store_proposal(ann.store, image_id, model_id, make_prediction(0))
        else:
            assert restore_proposals(ann.store, model_id) == 1
        (listed,) = list_flags(ann.store)
        assert listed.row.state is RegionState.OPEN
        queued = [row.region_id for row in ann.service.queue(QueueFilter(image_id=image_id))]
        assert listed.row.region_id in queued and (listed.row.region_id == first) is (expected == first)


def test_the_list_holds_the_flags_that_stand_newest_first(ann):
    first_image, second_image = pool_ids(ann.store)
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    first, second = set_flag(ann, first_image), set_flag(bob, second_image)
    set_flag(ann, first_image, (SIZE_HW[1] - 2, 3))
    ann.undo()
    assert [(flag.row.region_id, flag.user, flag.model_id) for flag in list_flags(ann.store)] == [
        (second.region_id, "bob", 1),
        (first.region_id, "ann", 1),
    ]
