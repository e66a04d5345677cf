"""Undo and redo: per person, across images, after a restart, byte for byte."""

import random

import numpy as np
import pytest

from app.config import Workspace
from app.domain.decisions import UNTOUCHED, Delta
from app.domain.states import DecisionKind, ImageState, RegionKind
from app.services.flagging import FlagRequest, flag
from app.services.proposals import store_proposal
from app.services.review_types import (
    QueueFilter,
    ReviewError,
)
from app.storage.database import open_store
from datasets.labels import Provenance
from tests.unit.made_workspace import (
    SIZE_HW,
    Reviewer,
    copy_store,
    make_prediction,
    make_template,
    mask_of,
    pool_ids,
)

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0", "pool_1", "pool_2"))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def do_something(ann, rng):
    """One random action of any kind on any open region."""
    rows = ann.service.queue(QueueFilter(), limit=500)
    view = ann.service.region(rng.choice(rows).region_id)
    kinds = ["accept", "relabel", "void", "dont_know", "skip", "draw", "close", "finish", "rest", "flag", "propagate"]
    kind = rng.choice(kinds)
    image = ann.service.image(view.row.image_id)
    if kind == "rest" and image.state is not ImageState.DONE:  # What is flagged later waits for its own decision.
        return ann.service.accept_rest(image.image_id, image.image_version, **ann.name, op_id=ann.new_id())
    if kind == "flag":
        planes = ann.service.image_planes(view.row.image_id)
        row, column = rng.choice(np.argwhere(planes.reliable & (planes.provenance != Provenance.HUMAN)).tolist())
        return flag(ann.store, FlagRequest(ann.new_id(), view.row.image_id, column, row, **ann.name))
    if kind == "propagate":
        others = [row for row in rows if row.image_id == view.row.image_id and row.kind is RegionKind.QUEUE]
        targets = tuple(row.region_id for row in others if row.region_id != view.row.region_id)
        if not targets:
            return ann.decide(DecisionKind.ACCEPT, view)
        return ann.decide(DecisionKind.PROPAGATE, view, class_id=rng.choice([0, 1, 2, None]), propagate_to=targets)
    if kind == "finish":
        return ann.decide(DecisionKind.DRAW, view, closes_region=True)
    if kind in ("draw", "close"):
        planes = ann.service.image_planes(view.row.image_id)
        touched_mask = mask_of(planes, view) & (np.random.default_rng(rng.randrange(999)).random(SIZE_HW) < 0.5)
        touched_mask |= mask_of(planes, view) & (np.cumsum(mask_of(planes, view)).reshape(SIZE_HW) == 1)
        delta = Delta(0, 0, np.where(touched_mask, np.uint8(rng.choice([0, 1, 255])), np.uint8(UNTOUCHED)))
        return ann.draw(view.row.image_id, delta, region_id=view.row.region_id, closes_region=kind == "close")
    fields = {"class_id": rng.choice([0, 1, 2])} if kind == "relabel" else {}
    return ann.decide(DecisionKind("accept" if kind == "rest" else kind), view, **fields)


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 8))])
def test_n_actions_and_n_undos_restore_the_initial_bytes_and_n_redos_the_later_ones(ann, seed):
    rng = random.Random(seed)
    images = pool_ids(ann.store)
    snapshots = [[ann.state(image_id) for image_id in images]]
    for _ in range(12):
        if not ann.service.queue(QueueFilter()):
            break
        do_something(ann, rng)
        snapshots.append([ann.state(image_id) for image_id in images])
    for snapshot in reversed(snapshots[:-1]):
        ann.undo()
        assert [ann.state(image_id) for image_id in images] == snapshot
    for snapshot in snapshots[1:]:
        ann.redo()
        assert [ann.state(image_id) for image_id in images] == snapshot


def test_undo_works_after_the_store_was_closed_and_opened_again(ann):
    view = ann.region()
    before = ann.state(view.row.image_id)
    ann.decide(DecisionKind.RELABEL, view, class_id=0)
    workspace = ann.store.workspace
    ann.store.close()
    later = Reviewer(open_store(Workspace(workspace.root)), session="tab-2")
    result = later.undo()
    assert later.state(view.row.image_id) == before
    assert (result.region_id, result.next_region_id) == (view.row.region_id, view.row.region_id)


def test_undo_takes_back_only_what_the_same_person_did(ann):
    view, other = ann.region(0), ann.region(1)
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    ann.decide(DecisionKind.ACCEPT, view)
    bob.decide(DecisionKind.ACCEPT, other)
    assert ann.undo().region_id == view.row.region_id
    with pytest.raises(ReviewError, match="nothing to undo"):
        ann.undo()


def test_redo_is_gone_after_something_new(ann):
    ann.decide(DecisionKind.ACCEPT, ann.region())
    ann.undo()
    ann.decide(DecisionKind.VOID, ann.region())
    with pytest.raises(ReviewError, match="nothing to redo"):
        ann.redo()


def test_an_undo_sent_again_takes_back_one_action_only(ann):
    ann.decide(DecisionKind.ACCEPT, ann.region())
    ann.decide(DecisionKind.ACCEPT, ann.region())
    results = [ann.service.undo("ann", "tab-1", "same-undo") for _ in range(2)]
    assert [result.replayed for result in results] == [False, True]
    assert ann.service.counts().decided == 1


def test_an_undo_of_a_decision_on_an_older_proposal_shows_the_new_one_there(ann):
    view = ann.region()
    image_id = view.row.image_id
    ann.decide(DecisionKind.VOID, view)
    store_proposal(ann.store, image_id, 1, make_prediction(77))
    ann.undo()
    planes = ann.service.image_planes(image_id)
    assert np.array_equal(planes.label, planes.proposal)
