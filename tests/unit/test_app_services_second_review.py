"""What somebody did not know outlives the model that asked: it waits for a second reviewer in every later proposal."""

from dataclasses import replace

import numpy as np
import pytest

from app.domain.states import DecisionKind, ImageState, RegionState
from app.services.proposals import store_proposal
from app.services.review_types import QueueFilter
from datasets.labels import Provenance
from tests.unit.made_workspace import SIZE_HW, Reviewer, copy_store, make_prediction, make_template, mask_of

pytestmark = pytest.mark.usefixtures("each_database")

WAITING = QueueFilter(state=RegionState.SECOND_REVIEW)


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0",))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


@pytest.fixture
def doubted(ann):
    """A region that Ann did not know."""
    view = ann.region()
    ann.decide(DecisionKind.DONT_KNOW, view)
    return view


def sure_prediction(seed=77):
    """The model is sure everywhere, so that no region of its own is left."""
    return replace(make_prediction(seed), reliable=np.ones(SIZE_HW, bool))


def waiting_view(ann):
    (row,) = ann.service.queue(WAITING)
    return ann.service.region(row.region_id)


def test_what_somebody_did_not_know_waits_with_the_same_pixels_though_a_newer_model_is_sure(ann, doubted):
    image_id = doubted.row.image_id
    before = mask_of(ann.service.image_planes(image_id), doubted)
    store_proposal(ann.store, image_id, 1, sure_prediction())
    assert np.array_equal(mask_of(ann.service.image_planes(image_id), waiting_view(ann)), before)


def test_it_still_waits_after_two_more_proposals(ann, doubted):
    for seed in (77, 78):
        store_proposal(ann.store, doubted.row.image_id, 1, make_prediction(seed))
    assert waiting_view(ann).row.area == doubted.row.area


def test_the_count_of_second_review_stays_the_same(ann, doubted):
    store_proposal(ann.store, doubted.row.image_id, 1, make_prediction(77))
    assert ann.service.counts().second_review == 1


def test_its_pixels_are_neither_locked_nor_pseudo_labels(ann, doubted):
    store_proposal(ann.store, doubted.row.image_id, 1, sure_prediction())
    planes = ann.service.image_planes(doubted.row.image_id)
    doubted_mask = mask_of(planes, waiting_view(ann))
    assert np.array_equal(planes.reliable, ~doubted_mask)
    assert np.array_equal(planes.provenance == Provenance.UNREVIEWED, doubted_mask)


def test_a_second_reviewer_decides_it_on_the_newer_proposal(ann, doubted):
    store_proposal(ann.store, doubted.row.image_id, 1, sure_prediction())
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    result = bob.decide(DecisionKind.RELABEL, waiting_view(ann), class_id=2)
    planes = ann.service.image_planes(doubted.row.image_id)
    assert np.count_nonzero(planes.provenance == Provenance.HUMAN) == doubted.row.area
    assert (result.image_state, ann.service.counts().second_review) == (ImageState.DONE, 0)


def test_taking_the_doubt_back_opens_the_region_of_the_newer_proposal(ann, doubted):
    store_proposal(ann.store, doubted.row.image_id, 1, sure_prediction())
    ann.undo()
    assert [row.state for row in ann.service.queue(QueueFilter())] == [RegionState.OPEN]
    assert ann.service.counts().second_review == 0


def test_a_skipped_region_is_replaced_because_nobody_said_anything_about_it(ann):
    view = ann.region()
    ann.decide(DecisionKind.SKIP, view)
    store_proposal(ann.store, view.row.image_id, 1, sure_prediction())
    assert ann.service.queue(QueueFilter(include_enough=True)) == []


def test_a_region_that_was_decided_is_not_asked_again(ann, doubted):
    ann.decide(DecisionKind.RELABEL, doubted, class_id=0)
    store_proposal(ann.store, doubted.row.image_id, 1, sure_prediction())
    assert ann.service.queue(WAITING) == []
