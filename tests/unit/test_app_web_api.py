"""The HTTP API over a real store: what it answers, and what it refuses without changing anything."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.review_types import ImagePlanes
from app.storage.errors import DiskFullError, NoWorkspaceError
from app.storage.models import Decision
from app.storage.runs import deflate_runs, inflate_runs
from app.web.api import create_api
from app.web.context import WebContext
from app.web.wire import pack_frame, unpack_frame
from tests.browser.workspace import add_model, build_workspace

BINARY = {"content-type": "application/octet-stream"}
UNTOUCHED = 254


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An API over one workspace; the tests take regions of their own from its queue."""
    app = create_api(build_workspace(tmp_path_factory.mktemp("api"), pool=6))
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
    row = region["row"]
    ids = {"image_id": row["image_id"], "region_id": row["region_id"], "image_version": region["image_version"]}
    return {"op_id": op_id, "kind": "accept", "session": "tab-1", **ids, **changes}


def log_length(context: WebContext) -> int:
    with context.store.reader() as session:
        return session.query(Decision).count()


def drawing(planes: ImagePlanes, bbox: tuple[int, int, int, int], class_id: int, locked_too: bool = False) -> bytes:
    """A deflated drawing of one class over all unlocked pixels of a box."""
    x0, y0, x1, y1 = bbox
    free = ~planes.reliable[y0:y1, x0:x1].astype(bool) | locked_too
    return deflate_runs(np.where(free, class_id, UNTOUCHED).astype(np.uint8))


def test_session_names_classes_with_colors_and_keys(client: TestClient) -> None:
    session = client.get("/api/session").json()
    assert [each["key"] for each in session["classes"]] == [*"123456789", "A", "C"]
    assert session["classes"][3] == {"id": 3, "name": "road", "color": [204, 121, 167], "key": "4"}
    assert session["user"] and session["workspace_id"] and session["counts"]["open"] > 0


def test_workspace_id_stays_the_same_when_it_is_opened_again(client: TestClient, context: WebContext) -> None:
    with TestClient(create_api(context.workspace), base_url="http://127.0.0.1") as again:
        assert again.get("/api/session").json()["workspace_id"] == context.workspace_id


def test_queue_lists_regions_by_falling_score_which_it_does_not_tell(client: TestClient, context: WebContext) -> None:
    rows = client.get("/api/queue?limit=20").json()["rows"]
    scores = [context.review.region_row(row["region_id"]).score for row in rows]
    assert scores == sorted(scores, reverse=True) and not any("score" in row for row in rows)
    assert [row["region_id"] for row in rows[5:10]] == [
        row["region_id"] for row in client.get("/api/queue?limit=5&offset=5").json()["rows"]
    ]


def test_queue_filters_by_class_and_image(client: TestClient) -> None:
    first = client.get("/api/queue?limit=1").json()["rows"][0]
    query = f"/api/queue?class_id={first['class_id']}&image_id={first['image_id']}"
    rows = client.get(query).json()["rows"]
    assert {(row["class_id"], row["image_id"]) for row in rows} == {(first["class_id"], first["image_id"])}


def test_planes_hold_what_the_service_holds(client: TestClient, context: WebContext, region: dict[str, Any]) -> None:
    image_id = region["row"]["image_id"]
    client.post("/api/decisions", json=decision(region, "planes-1"))
    header, rest = unpack_frame(client.get(f"/api/images/{image_id}/planes").content)
    planes = context.review.image_planes(image_id)
    assert planes.decided is not None
    expected = {
        "proposal": planes.proposal, "reliable": planes.reliable, "regions": planes.region_map,
        "decided": planes.decided.values,
    }  # fmt: skip
    for described in header["planes"]:
        part, rest = rest[: described["length"]], rest[described["length"] :]
        plane = expected.pop(described["name"])
        dtype = {"u8": np.uint8, "u16": np.uint16}[described["dtype"]]
        np.testing.assert_array_equal(inflate_runs(part, plane.shape, dtype), plane)
    assert not expected and not rest
    assert header["planes"][-1]["bbox"] == list(planes.decided.bbox)
    open_ids = {row["region_id"] for row in client.get(f"/api/queue?image_id={image_id}&limit=500").json()["rows"]}
    assert {each["region_id"] for each in header["regions"]} == open_ids


def test_unreliability_is_sent_byte_by_byte(client: TestClient, context: WebContext, region: dict[str, Any]) -> None:
    image_id = region["row"]["image_id"]
    header, rest = unpack_frame(client.get(f"/api/images/{image_id}/unreliability").content)
    planes = context.review.image_planes(image_id)
    assert (header["height"], header["width"]) == planes.unreliability.shape
    assert zlib.decompress(rest) == planes.unreliability.tobytes()


@pytest.mark.parametrize("part", ["planes", "unreliability", "picture"])
def test_bytes_a_browser_has_already_are_not_sent_again(client: TestClient, region: dict[str, Any], part: str) -> None:
    address = f"/api/images/{region['row']['image_id']}/{part}"
    first = client.get(address)
    again = client.get(address, headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_planes_get_another_etag_with_every_decision(client: TestClient, region: dict[str, Any]) -> None:
    address = f"/api/images/{region['row']['image_id']}/planes"
    before = client.get(address).headers["etag"]
    client.post("/api/decisions", json=decision(region, "etag-1"))
    changed = client.get(address, headers={"if-none-match": before})
    assert changed.status_code == 200 and changed.headers["etag"] != before


def test_decision_sent_twice_is_stored_once(client: TestClient, context: WebContext, region: dict[str, Any]) -> None:
    before = log_length(context)
    body = decision(region, "twice-1", stats={"keys": 1, "active_ms": 900})
    first, second = (client.post("/api/decisions", json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert (first.json()["replayed"], second.json()["replayed"]) == (False, True)
    assert first.json()["region_state"] == "decided" and log_length(context) == before + 1


def test_drawing_sets_exactly_its_pixels(client: TestClient, context: WebContext, region: dict[str, Any]) -> None:
    row = region["row"]
    planes = context.review.image_planes(row["image_id"])
    header = decision(region, "draw-1", kind="draw", bbox=row["bbox"], closes_region=True)
    answer = client.post(
        "/api/decisions", content=pack_frame(header, [drawing(planes, row["bbox"], 2)]), headers=BINARY
    )
    assert answer.status_code == 200
    after = context.review.image_planes(row["image_id"])
    x0, y0, x1, y1 = row["bbox"]
    expected = planes.label.copy()
    expected[y0:y1, x0:x1][~planes.reliable[y0:y1, x0:x1].astype(bool)] = 2
    np.testing.assert_array_equal(after.label, expected)


def test_drawing_over_locked_pixels_is_refused(client: TestClient, context: WebContext, region: dict[str, Any]) -> None:
    planes = context.review.image_planes(region["row"]["image_id"])
    before = log_length(context)
    header = decision(region, "locked-1", kind="draw", bbox=[0, 0, 40, 40])
    body = pack_frame(header, [drawing(planes, (0, 0, 40, 40), 2, locked_too=True)])
    answer = client.post("/api/decisions", content=body, headers=BINARY)
    assert answer.status_code == 423 and "locked pixels" in answer.json()["error"]
    assert log_length(context) == before


def test_decision_about_what_another_tab_changed_is_refused(client: TestClient, region: dict[str, Any]) -> None:
    client.post("/api/decisions", json=decision(region, "other-1", session="tab-2", kind="void"))
    answer = client.post("/api/decisions", json=decision(region, "mine-1"))
    assert answer.status_code == 409
    assert "nothing was overwritten" in answer.json()["error"] and answer.json()["decided_at"]


def test_undo_and_redo_name_the_region_they_changed(client: TestClient, region: dict[str, Any]) -> None:
    client.post("/api/decisions", json=decision(region, "undo-1"))
    undone = client.post("/api/undo", json={"op_id": "undo-2", "session": "tab-1"}).json()
    redone = client.post("/api/redo", json={"op_id": "undo-3", "session": "tab-1"}).json()
    assert undone["undone_op_id"] == redone["undone_op_id"] == "undo-1"
    assert (undone["region_state"], redone["region_state"]) == ("open", "decided")
    assert undone["region_id"] == region["row"]["region_id"]


def test_accepting_the_rest_empties_the_queue_of_its_image(client: TestClient, region: dict[str, Any]) -> None:
    image_id = region["row"]["image_id"]
    answer = client.post(f"/api/images/{image_id}/accept-rest", json=decision(region, "rest-1", kind="accept_rest"))
    assert answer.status_code == 200 and answer.json()["image_state"] == "done"
    assert client.get(f"/api/queue?image_id={image_id}").json()["rows"] == []
    assert client.post("/api/undo", json={"op_id": "rest-2", "session": "tab-1"}).status_code == 200


GOOD_RUNS = zlib.compress(bytes([1, 16]))


@pytest.mark.parametrize(
    ("changes", "drawn", "status"),
    [
        pytest.param({"bbox": [0, 0, 4, 4]}, GOOD_RUNS[:-4], 400, id="truncated"),
        pytest.param({"bbox": [0, 0, 4, 4]}, b"garbage", 400, id="not deflated"),
        pytest.param({"bbox": [0, 0, 4, 4]}, zlib.compress(bytes(50_000_000)), 400, id="bomb"),
        pytest.param({"bbox": [0, 0, 5, 4]}, GOOD_RUNS, 400, id="another size than its box"),
        pytest.param({"bbox": [476, 0, 484, 4]}, GOOD_RUNS, 400, id="beyond the right edge"),
        pytest.param({"bbox": [-1, 0, 3, 4]}, GOOD_RUNS, 400, id="negative"),
        pytest.param({"bbox": [4, 4, 4, 4]}, GOOD_RUNS, 400, id="empty box"),
        pytest.param({"bbox": [0, 0, 10**12, 10**12]}, GOOD_RUNS, 400, id="astronomic box"),
        pytest.param({"bbox": [0, 0, 4]}, GOOD_RUNS, 422, id="three numbers"),
        pytest.param({}, GOOD_RUNS, 400, id="drawing without box"),
        pytest.param({"bbox": [0, 0, 4, 4]}, zlib.compress(bytes([99, 16])), 422, id="a class that does not exist"),
        pytest.param({"bbox": [0, 0, 4, 4], "image_id": 99_999}, GOOD_RUNS, 404, id="no such image"),
    ],
)
def test_hostile_drawing_is_refused(
    client: TestClient, context: WebContext, region: dict[str, Any], changes: dict[str, Any], drawn: bytes, status: int
) -> None:
    before = log_length(context)
    header = decision(region, "hostile", kind="draw", lock_override=True, **changes)
    answer = client.post("/api/decisions", content=pack_frame(header, [drawn]), headers=BINARY)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"} and len(answer.json()["error"]) > 10
    assert log_length(context) == before


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="broken"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"op_id": "x"}', id="fields missing"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b"[" * 200_000, id="deeply nested"),
    ],
)
def test_hostile_json_is_refused(client: TestClient, context: WebContext, body: bytes) -> None:
    before = log_length(context)
    answer = client.post("/api/decisions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and answer.json()["error"]
    assert log_length(context) == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"kind": "delete_everything"}, "kind", id="unknown kind"),
        pytest.param({"user": "somebody else"}, "user", id="unknown key"),
        pytest.param({"op_id": "../../etc"}, "op_id", id="odd id"),
        pytest.param({"op_id": "x" * 65}, "op_id", id="long id"),
        pytest.param({"image_id": "7"}, "image_id", id="text for a number"),
        pytest.param({"stats": {"keys": -1}}, "stats.keys", id="negative count"),
        pytest.param({"kind": "relabel", "class_id": 300}, "class_id", id="class beyond a byte"),
        pytest.param({"kind": "relabel", "class_id": 77}, "class_id", id="class that does not exist"),
        pytest.param({"kind": "relabel"}, "class_id", id="relabel without class"),
    ],
)
def test_wrong_field_is_named(client: TestClient, region: dict[str, Any], changes: dict[str, Any], named: str) -> None:
    answer = client.post("/api/decisions", json={**decision(region, "wrong"), **changes})
    assert answer.status_code == 422
    assert named in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/regions/99999", 404),
        ("GET", "/api/regions/99999/thumbnail", 404),
        ("GET", "/api/images/99999/planes", 404),
        ("GET", "/api/images/1/planes", 404),
        ("GET", "/api/images/99999/picture", 404),
        ("GET", "/api/jobs/99999", 404),
        ("GET", "/api/jobs/99999/log", 404),
        ("POST", "/api/jobs/99999/cancel", 404),
        ("GET", "/api/models/99999/comparison", 404),
        ("GET", "/api/exports/none/download", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/api/queue?limit=0", 422),
        ("GET", "/api/queue?state=no", 422),
        ("DELETE", "/api/decisions", 405),
        ("PUT", "/api/session", 405),
    ],
)
def test_failure_is_a_sentence_with_its_status(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"} and answer.json()["error"]


@pytest.mark.parametrize("name", ["..", "../workspace", "/etc/passwd", "%2e%2e", ".hidden", "a b", "x" * 80])
def test_export_names_cannot_leave_their_folder(client: TestClient, name: str) -> None:
    answer = client.get(f"/api/exports/{quote(name, safe='')}/download")
    assert answer.status_code == 404


def test_unfinished_export_is_not_offered(client: TestClient, context: WebContext) -> None:
    folder = context.workspace.exports / "half"
    folder.mkdir(parents=True)
    (folder / "annotations.json").write_text("{}")
    assert "half" not in client.get("/api/exports").json()["exports"]
    assert client.get("/api/exports/half/download").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"origin": "https://evil.example"}, 403, id="foreign origin"),
        pytest.param({"host": "evil.example"}, 421, id="foreign host"),
    ],
)
def test_other_sites_cannot_decide(
    client: TestClient, context: WebContext, region: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    before = log_length(context)
    answer = client.post("/api/decisions", json=decision(region, "foreign-1"), headers=headers)
    assert answer.status_code == status and answer.json()["error"]
    assert log_length(context) == before


def test_answers_carry_strict_headers_and_allow_no_other_site(client: TestClient) -> None:
    headers = client.get("/api/session", headers={"origin": "https://evil.example"}).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_job_is_queued_and_cancelled(client: TestClient) -> None:
    job_id = client.post("/api/jobs", json={"kind": "predict"}).json()["job_id"]
    assert client.get(f"/api/jobs/{job_id}").json()["state"] == "queued"
    assert client.post(f"/api/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    assert client.get("/api/jobs").json()["jobs"][0]["id"] == job_id
    assert client.get(f"/api/jobs/{job_id}/log").json() == {"log": ""}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        pytest.param("/api/jobs", {"kind": "format_disk"}, "format_disk", id="unknown kind"),
        pytest.param("/api/jobs", {"kind": "round", "arguments": {"shell": "rm"}}, "shell", id="unknown argument"),
        pytest.param("/api/exports", {"name": "../x", "which": "all"}, "name", id="name with a path"),
        pytest.param("/api/exports", {"name": "x", "which": "some"}, "which", id="unknown selection"),
    ],
)
def test_job_with_wrong_arguments_is_not_queued(
    client: TestClient, context: WebContext, path: str, body: dict[str, Any], named: str
) -> None:
    before = len(context.jobs.list())
    answer = client.post(path, json=body)
    assert answer.status_code == 422 and named in answer.json()["error"]
    assert len(context.jobs.list()) == before


def test_worse_model_is_promoted_only_with_a_reason(client: TestClient, context: WebContext) -> None:
    model_id = add_model(context.store, 2, ModelStatus.CANDIDATE, miou=0.4)
    compared = client.get(f"/api/models/{model_id}/comparison").json()
    assert (compared["verdict"], compared["miou"]["old"], compared["miou"]["new"]) == ("refuse", 0.61, 0.4)
    refused = client.post(f"/api/models/{model_id}/promote", json={"reason": None})
    assert refused.status_code == 409 and "give a reason" in refused.json()["error"]
    promoted = client.post(f"/api/models/{model_id}/promote", json={"reason": "gold was wrong"})
    assert [model["status"] for model in promoted.json()["models"]] == ["current", "retired"]
    assert client.post(f"/api/models/{model_id}/reject").status_code == 422


def test_store_that_is_full_keeps_the_browser_trying(
    client: TestClient, context: WebContext, region: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_request: object) -> None:
        raise DiskFullError("no room left on the disk. Nothing was saved.")

    monkeypatch.setattr(context.review, "decide", full)
    answer = client.post("/api/decisions", json=decision(region, "full-1"))
    assert (answer.status_code, answer.json()["error"]) == (507, "no room left on the disk. Nothing was saved.")


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyError])
def test_unexpected_failure_tells_the_browser_no_internals(
    client: TestClient, context: WebContext, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def broken() -> None:
        raise kind("secret path /srv/data")

    monkeypatch.setattr(context.review, "counts", broken)
    answer = client.get("/api/queue")
    assert answer.status_code == 500
    assert kind.__name__ in answer.json()["error"] and "secret" not in answer.json()["error"]


def test_image_whose_file_is_gone_is_named(client: TestClient, context: WebContext) -> None:
    path = context.review.image(2).path
    path.rename(path.with_suffix(".away"))
    answer = client.get("/api/images/2/picture")
    path.with_suffix(".away").rename(path)
    assert answer.status_code == 404 and path.name in answer.json()["error"]


def test_health_check_answers(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"


def test_missing_workspace_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NoWorkspaceError, match="pixelsieve import"):
        create_api(Workspace(tmp_path / "nowhere"))
