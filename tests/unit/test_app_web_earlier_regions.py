"""Regions of an earlier proposal, as the pages see them: listed with what was decided, shown small, not opened."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.domain.states import RegionState
from app.services.local_actor import local_actor
from app.services.review_types import QueueFilter
from app.web.api import create_api
from app.web.overview import queue_rows
from tests.browser.workspace import build_workspace, propose_again


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """One region was relabeled, then a newer model proposed other regions."""
    workspace = build_workspace(tmp_path, pool=1)
    with TestClient(create_api(workspace), base_url="http://127.0.0.1:7860") as client:
        region_id = client.get("/api/regions/next").json()["region_id"]
        row = client.get(f"/api/regions/{region_id}").json()["row"]
        ids = {"image_id": row["image_id"], "region_id": region_id, "image_version": 0}
        body = {"op_id": "decided-1", "kind": "relabel", "class_id": 8, "session": "tab-1", **ids}
        assert client.post("/api/decisions", json=body).status_code == 200
        propose_again(workspace)
        yield client


def test_thumbnail_of_a_decided_region_outlives_its_proposal(client: TestClient) -> None:
    (row,) = client.get("/api/queue?state=decided").json()["rows"]
    answer = client.get(f"/api/regions/{row['region_id']}/thumbnail")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")


def test_thumbnail_of_no_region_is_still_refused(client: TestClient) -> None:
    assert client.get("/api/regions/999999/thumbnail").status_code == 404


def test_decided_list_says_which_class_by_whom_and_that_it_cannot_be_opened(client: TestClient) -> None:
    context = client.app.state.context  # type: ignore[attr-defined]
    (row,) = queue_rows(context, QueueFilter(RegionState.DECIDED), 0)["rows"]
    said = row["verdict"]
    assert (said["kind"], said["class_name"], said["user"]) == ("relabel", "car", local_actor().name)
    assert row["is_current"] is False
