"""The endpoints behind drawing: undo by name, patches, superpixels, look-alikes, propagation and flags."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.client.planes import unpacked_planes
from app.domain.roles import Actor, Role
from app.web.api import create_api
from app.web.context import WebContext, get_actor
from app.web.overview import second_review
from app.web.wire import unpack_frame
from tests.browser.workspace import build_workspace


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create_api(build_workspace(tmp_path_factory.mktemp("editing"), pool=1))
    with TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def context(client: TestClient) -> WebContext:
    found: WebContext = client.app.state.context  # type: ignore[attr-defined]
    return found


@pytest.fixture
def region(client: TestClient) -> dict[str, Any]:
    """The first open region, as the reviewer opens it."""
    region_id = client.get("/api/regions/next").json()["region_id"]
    answer: dict[str, Any] = client.get(f"/api/regions/{region_id}").json()
    return answer


def decision(region: dict[str, Any], op_id: str, **changes: Any) -> dict[str, Any]:
    ids = {key: region["row"][key] for key in ("image_id", "region_id")}
    return {
        "op_id": op_id,
        "kind": "accept",
        "session": "tab-1",
        "image_version": region["image_version"],
        **ids,
        **changes,
    }


def planes_of(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Header and planes of a frame."""
    header, rest = unpack_frame(body)
    return header, dict(unpacked_planes(header, rest))


def reliable_point(context: WebContext, image_id: int) -> tuple[int, int]:
    row, column = np.argwhere(context.review.image_planes(image_id).reliable)[0]
    return int(column), int(row)


def test_history_names_the_steps_back_and_forth(client: TestClient, region: dict[str, Any]) -> None:
    for op_id, kind in (("one", "accept"), ("two", "skip")):
        assert client.post("/api/decisions", json=decision(region, op_id, kind=kind)).status_code == 200
    assert client.post("/api/undo", json={"op_id": "back", "session": "tab-1", "target": "one"}).status_code == 200
    steps = client.get("/api/history").json()
    assert [step["op_id"] for step in steps["undo"]] == ["two"]
    assert steps["redo"][0]["op_id"] == "one" and steps["redo"][0]["bbox"] == region["row"]["bbox"]
    answer = client.post("/api/redo", json={"op_id": "forth", "session": "tab-1", "target": "one"}).json()
    assert answer["undone_op_id"] == "one"


@pytest.mark.parametrize(("target", "status"), [("nobody's", 422), ("unknown", 404), (7, 422)])
def test_undo_of_what_is_not_there_is_refused(client: TestClient, target: Any, status: int) -> None:
    assert client.post("/api/undo", json={"op_id": "x", "session": "t", "target": target}).status_code == status


def test_patch_holds_its_box_of_every_plane_that_changes(
    client: TestClient, context: WebContext, region: dict[str, Any]
) -> None:
    image_id = region["row"]["image_id"]
    client.post("/api/decisions", json=decision(region, "void", kind="void"))
    x0, y0, x1, y1 = region["row"]["bbox"]
    header, planes = planes_of(client.get(f"/api/images/{image_id}/patch?x0={x0}&y0={y0}&x1={x1}&y1={y1}").content)
    whole = context.review.image_planes(image_id)
    assert set(planes) == {"label", "reliable", "regions", "provenance"}
    assert np.array_equal(planes["label"], whole.label[y0:y1, x0:x1])
    assert np.array_equal(planes["regions"], whole.region_map[y0:y1, x0:x1])
    assert region["row"]["region_id"] not in [each["region_id"] for each in header["regions"]]
    assert (header["x0"], header["y0"], header["proposal_id"]) == (x0, y0, region["proposal_id"])


def test_superpixels_come_as_a_tile_that_browsers_keep(client: TestClient, region: dict[str, Any]) -> None:
    session = client.get("/api/session").json()
    assert session["superpixels"] == {"tile_px": 512, "levels": 4}
    answer = client.get(f"/api/images/{region['row']['image_id']}/superpixels?level=1&column=0&row=0")
    header, planes = planes_of(answer.content)
    assert (header["x0"], header["width"], header["height"], header["side_px"]) == (0, 480, 360, 16)
    assert 300 < int(planes["numbers"].max()) < 1200
    assert "max-age" in answer.headers["cache-control"]
    assert len(answer.content) < 40_000


def test_propagation_decides_what_was_previewed(client: TestClient, region: dict[str, Any]) -> None:
    image_id = region["row"]["image_id"]
    rows = client.get(f"/api/queue?image_id={image_id}&limit=3").json()["rows"]
    targets = [row["region_id"] for row in rows if row["region_id"] != region["row"]["region_id"]]
    body = decision(region, "spread", kind="propagate", class_id=2, propagate_to=targets)
    answer = client.post("/api/decisions", json=body).json()
    assert answer["counts"]["propagated"] == len(targets)
    assert {each["region_id"] for each in answer["regions"] if each["state"] == "decided"} == set(targets)


def test_lookalikes_are_rows_of_the_queue(client: TestClient, region: dict[str, Any]) -> None:
    for row in client.get("/api/queue?limit=30").json()["rows"]:
        alike = client.get(f"/api/regions/{row['region_id']}/lookalikes").json()["rows"]
        assert all((each["class_id"], each["image_id"]) == (row["class_id"], row["image_id"]) for each in alike)
        assert row["region_id"] not in [each["region_id"] for each in alike]


def test_flag_becomes_a_region_that_is_listed_with_who_set_it_and_what_became_of_it(
    client: TestClient, context: WebContext, region: dict[str, Any]
) -> None:
    image_id = region["row"]["image_id"]
    x, y = reliable_point(context, image_id)
    body = {"op_id": "flag", "session": "tab-1", "image_id": image_id, "x": x, "y": y}
    answer = client.post("/api/flags", json=body).json()
    assert client.get(f"/api/regions/{answer['region_id']}").json()["row"]["kind"] == "flagged"
    (listed,) = client.get("/api/flags").json()["rows"]
    assert listed["row"]["region_id"] == answer["region_id"] and "score" not in listed["row"]
    (flag,) = second_review(context, may_assign=False)["flags"]
    assert (flag["row"]["region_id"], flag["user"], flag["verdict"]) == (answer["region_id"], listed["user"], None)


@pytest.mark.parametrize(("role", "status"), [(Role.ANNOTATOR, 403), (Role.REVIEWER, 200), (Role.LEAD, 200)])
def test_flags_are_listed_for_those_who_review_a_second_time(client: TestClient, role: Role, status: int) -> None:
    client.app.dependency_overrides[get_actor] = lambda: Actor("ann", role)  # type: ignore[attr-defined]
    assert client.get("/api/flags").status_code == status


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"x": 4800}, 422), ({"image_id": 999}, 404), ({"x": "5"}, 422), ({"y": None}, 422), ({"more": 1}, 422)],
    ids=["outside", "no-image", "text", "missing", "unknown-field"],
)
def test_flag_that_makes_no_sense_is_refused(
    client: TestClient, region: dict[str, Any], changes: dict[str, Any], status: int
) -> None:
    body = {"op_id": "f", "session": "t", "image_id": region["row"]["image_id"], "x": 1, "y": 1, **changes}
    assert client.post("/api/flags", json=body).status_code == status
