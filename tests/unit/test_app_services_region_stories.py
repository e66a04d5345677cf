"""What lists say about regions: what was decided, by whom, and whether they can still be opened."""

import pytest

from app.domain.decisions import UNTOUCHED, Delta
from app.domain.states import DecisionKind, RegionState
from app.services.proposals import store_proposal
from app.services.region_stories import region_stories
from app.services.review_types import QueueFilter
from tests.unit.made_workspace import Reviewer, copy_store, make_prediction, make_template, mask_of

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(scope="module")
def reviewable(tmp_path_factory):
    return make_template(tmp_path_factory.mktemp("reviewable"), ("pool_0",))


@pytest.fixture
def ann(reviewable, tmp_path):
    return Reviewer(copy_store(reviewable, tmp_path))


def verdict(ann, region_id):
    return region_stories(ann.store, [region_id])[region_id].verdict


@pytest.mark.parametrize(
    ("kind", "class_id"),
    [
        pytest.param(DecisionKind.ACCEPT, None, id="right"),
        pytest.param(DecisionKind.RELABEL, 2, id="class"),
        pytest.param(DecisionKind.VOID, None, id="void"),
        pytest.param(DecisionKind.DONT_KNOW, None, id="second-review"),
    ],
)
def test_a_verdict_names_what_was_decided_and_by_whom(ann, kind, class_id):
    view = ann.region()
    ann.decide(kind, view, **({} if class_id is None else {"class_id": class_id}))
    found = verdict(ann, view.row.region_id)
    assert (found.kind, found.class_id, found.user) == (kind, class_id, "ann")


def test_nobody_decided_an_open_region(ann):
    assert verdict(ann, ann.region().row.region_id) is None


def test_a_decision_that_was_taken_back_is_no_verdict(ann):
    view = ann.region()
    ann.decide(DecisionKind.VOID, view)
    ann.undo()
    assert verdict(ann, view.row.region_id) is None


def test_the_last_decision_that_counts_is_the_verdict(ann):
    view = ann.region()
    ann.decide(DecisionKind.DONT_KNOW, view)
    bob = Reviewer(ann.store, user="bob", session="tab-b")
    bob.decide(DecisionKind.RELABEL, view, class_id=1)
    assert verdict(ann, view.row.region_id).user == "bob"


def test_a_stroke_that_leaves_its_region_open_is_no_verdict(ann):
    view = ann.region()
    planes = ann.service.image_planes(view.row.image_id)
    x0, y0, x1, y1 = view.row.bbox
    values = mask_of(planes, view)[y0:y1, x0:x1].astype("uint8")
    values[values == 0] = UNTOUCHED
    ann.draw(view.row.image_id, Delta(x0, y0, values), region_id=view.row.region_id)
    assert verdict(ann, view.row.region_id) is None


def test_a_decided_region_of_an_earlier_proposal_keeps_its_verdict_and_cannot_be_opened(ann):
    view = ann.region()
    ann.decide(DecisionKind.ACCEPT, view)
    store_proposal(ann.store, view.row.image_id, 1, make_prediction(77))
    story = region_stories(ann.store, [view.row.region_id])[view.row.region_id]
    assert (story.verdict.kind, story.is_current) == (DecisionKind.ACCEPT, False)


def test_a_region_that_somebody_did_not_know_says_so_on_every_later_proposal(ann):
    view = ann.region()
    ann.decide(DecisionKind.DONT_KNOW, view)
    for seed in (77, 78):
        store_proposal(ann.store, view.row.image_id, 1, make_prediction(seed))
    (row,) = ann.service.queue(QueueFilter(state=RegionState.SECOND_REVIEW))
    story = region_stories(ann.store, [row.region_id])[row.region_id]
    assert (story.verdict.kind, story.verdict.user, story.is_current) == (DecisionKind.DONT_KNOW, "ann", True)
