"""Going back to an earlier model: its proposals come back where nothing was decided since; decisions always stay."""

import shutil

import pytest
from sqlalchemy import select

from app.domain.states import DecisionKind, ImageState, ModelStatus, RegionState
from app.services.labels import active_proposal
from app.services.proposals import store_proposal
from app.services.restoring import restore_proposals
from app.services.review_types import QueueFilter
from app.storage.models import Proposal, Region
from tests.unit.made_workspace import Reviewer, add_model, copy_store, make_prediction, make_template, pool_ids

POOL = ("pool_0", "pool_1")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), POOL)


@pytest.fixture
def ann(reviewable, tmp_path):
    """Ann, in front of the first model's proposals for two images."""
    return Reviewer(copy_store(reviewable, tmp_path))


def propose(ann, model_id, seed=50):
    """A model's proposals for both images."""
    for image_id in pool_ids(ann.store):
        store_proposal(ann.store, image_id, model_id, make_prediction(seed + image_id))


@pytest.fixture
def second(ann):
    """A second model, not used yet."""
    return add_model(ann.store, ModelStatus.CANDIDATE)


def states_of(ann):
    """Everything a reviewer sees about both images."""
    return [ann.state(image_id) for image_id in pool_ids(ann.store)]


def proposing_models(ann):
    with ann.store.reader() as session:
        return [active_proposal(session, image_id).model_id for image_id in pool_ids(ann.store)]


def test_proposals_come_back_with_their_regions_and_states(ann, second):
    ann.decide(DecisionKind.ACCEPT, ann.region())
    ann.decide(DecisionKind.SKIP, ann.region())
    ann.decide(DecisionKind.DONT_KNOW, ann.region())
    before = states_of(ann)
    propose(ann, second)
    assert states_of(ann) != before
    assert restore_proposals(ann.store, 1) == 2
    assert states_of(ann) == before
    assert proposing_models(ann) == [1, 1]


def test_both_directions_restore_what_each_model_proposed(ann, second):
    first_states = states_of(ann)
    propose(ann, second)
    second_states = states_of(ann)
    restore_proposals(ann.store, 1)
    assert restore_proposals(ann.store, second) == 2
    assert states_of(ann) == second_states
    restore_proposals(ann.store, 1)
    assert states_of(ann) == first_states


def test_an_image_with_a_later_decision_keeps_its_proposal_until_it_is_predicted(ann, second):
    propose(ann, second)
    view = ann.region()
    ann.decide(DecisionKind.RELABEL, view, class_id=2)
    decided = ann.state(view.row.image_id)
    assert restore_proposals(ann.store, 1) == 1
    assert sorted(proposing_models(ann)) == [1, second]
    assert ann.state(view.row.image_id) == decided


def test_decisions_stay_and_are_not_asked_again(ann, second):
    propose(ann, second)
    view = ann.region()
    ann.decide(DecisionKind.RELABEL, view, class_id=2)
    restore_proposals(ann.store, 1)
    store_proposal(ann.store, view.row.image_id, 1, make_prediction(0))
    planes = ann.service.image_planes(view.row.image_id)
    box = slice(view.row.bbox[1], view.row.bbox[3]), slice(view.row.bbox[0], view.row.bbox[2])
    human_mask = planes.provenance[box] == 1
    assert human_mask.sum() == view.row.area
    assert set(planes.label[box][human_mask]) == {2}
    with ann.store.reader() as session:
        numbers = session.scalars(
            select(Region.number).where(Region.proposal_id == planes.proposal_id, Region.state == RegionState.OPEN)
        ).all()
    assert not set(planes.region_map[box][human_mask]) & set(numbers)


def test_an_undo_since_then_is_a_decision_too(ann, second):
    ann.decide(DecisionKind.ACCEPT, ann.region())
    propose(ann, second)
    ann.undo()
    assert restore_proposals(ann.store, 1) == 1


def test_a_rest_that_was_accepted_is_accepted_again(ann, second):
    image_id = pool_ids(ann.store)[0]
    version = ann.service.image(image_id).image_version
    ann.service.accept_rest(image_id, version, "ann", "tab-1", ann.new_id())
    propose(ann, second)
    assert ann.service.image(image_id).state is ImageState.OPEN
    restore_proposals(ann.store, 1)
    assert ann.service.image(image_id).state is ImageState.DONE


def test_a_proposal_whose_planes_are_gone_does_not_come_back(ann, second):
    propose(ann, second)
    with ann.store.reader() as session:
        folder = session.scalar(select(Proposal.folder).where(Proposal.model_id == 1))
    shutil.rmtree(ann.store.workspace.absolute(folder))
    assert restore_proposals(ann.store, 1) == 1


def test_a_proposal_that_an_earlier_version_replaced_does_not_come_back(ann, second):
    propose(ann, second)
    with ann.store.session() as session:
        for proposal in session.scalars(select(Proposal).where(Proposal.model_id == 1)):
            proposal.replaced_after = None
    assert restore_proposals(ann.store, 1) == 0
    assert proposing_models(ann) == [second, second]


def test_restoring_twice_changes_nothing_more(ann, second):
    propose(ann, second)
    restore_proposals(ann.store, 1)
    before = states_of(ann)
    assert restore_proposals(ann.store, 1) == 0
    assert states_of(ann) == before


def test_the_queue_holds_no_region_of_the_model_that_was_left(ann, second):
    propose(ann, second)
    restore_proposals(ann.store, 1)
    with ann.store.reader() as session:
        left = set(
            session.scalars(
                select(Region.id).join(Proposal, Proposal.id == Region.proposal_id).where(Proposal.model_id == second)
            )
        )
    assert not left & {row.region_id for row in ann.service.queue(QueueFilter(), limit=500)}
