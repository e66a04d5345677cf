"""What the load measurement says about the store; the load itself needs a server and minutes."""

from contextlib import closing
from pathlib import Path

import pytest

from app.domain.states import DecisionKind
from app.services.reviewing import ReviewService
from app.storage.database import open_store
from benchmarks.review_load import Annotator, verify
from tests.unit.made_workspace import make_reviewable, request


@pytest.fixture
def workspace(tmp_path: Path):
    """One decision of Ann's is stored."""
    with closing(make_reviewable(tmp_path)) as store:
        service = ReviewService(store)
        row = service.region(service.next_region()).row
        service.decide(request(DecisionKind.ACCEPT, "one", row.image_id, 0, region_id=row.region_id, user="ann"))
        return store.workspace


def person(*acknowledged: str) -> Annotator:
    return Annotator("ann", "token", acknowledged=set(acknowledged))


def test_a_decision_that_was_acknowledged_but_is_not_stored_is_lost(workspace):
    assert verify(workspace, [person("one")])["decisions"]["lost"] == 0
    assert verify(workspace, [person("one", "two")])["decisions"]["lost"] == 1


def test_a_stored_decision_that_nobody_was_told_about_is_counted(workspace):
    assert verify(workspace, [person()])["decisions"]["not_acknowledged"] == 1


def test_what_stopped_somebody_is_said(workspace):
    stopped = person("one")
    stopped.failure = "ApiError: gone"
    assert verify(workspace, [stopped])["failures"] == ["ApiError: gone"]


def test_refusals_of_all_people_are_added_up(workspace):
    found = verify(workspace, [Annotator("ann", "t", refused={"busy": 2}), Annotator("bob", "t", refused={"busy": 1})])
    assert found["refused"] == {"busy": 3}


def test_the_store_is_left_as_it_was(workspace):
    verify(workspace, [person("one")])
    with closing(open_store(workspace)) as store:
        assert ReviewService(store).counts().decided == 1
