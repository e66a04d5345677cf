"""The client for programs, against the real API."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image as Picture

from app.client import connection as connection_module
from app.client.client import Client
from app.client.connection import ApiError
from app.web.api import create_api
from tests.browser.workspace import NAMES, SIZE_HW, build_workspace
from tests.unit.suspect_cases import look, nothing_known, says

CLIENT = Path(__file__).resolve().parents[2] / "app" / "client"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    app = create_api(build_workspace(tmp_path, pool=2))
    with TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False) as http:
        yield Client(http=http)


@pytest.fixture
def view(client: Client) -> dict[str, Any]:
    region_id = client.review.next_region()
    assert region_id is not None
    return client.review.region(region_id)


def test_every_endpoint_has_a_method_and_every_method_an_endpoint(tmp_path: Path) -> None:
    paths = create_api(build_workspace(tmp_path, pool=1)).openapi()["paths"]
    endpoints = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    source = "\n".join(path.read_text() for path in CLIENT.glob("*.py"))
    calls = re.findall(r'connection\.(get|read|post|save)\(\s*(?:[\w_]+, )?"([^"]+)"', source)
    methods = {("POST" if call == "post" else "GET", path) for call, path in calls}
    assert methods == endpoints


def test_regions_are_decided_and_the_queue_shrinks(client: Client, view: dict[str, Any]) -> None:
    before = client.review.queue()["counts"]["open"]
    answer = client.review.decide(view, "relabel", class_id=3)
    assert (answer["region_state"], answer["counts"]["open"]) == ("decided", before - 1)
    header, planes = client.review.planes(view["row"]["image_id"])
    mask = planes["regions"] == view["row"]["number"]
    assert set(planes["label"][mask]) == {3}
    assert header["image_version"] == answer["image_version"]


def test_an_image_that_was_not_synced_is_nowhere_in_fiftyone(client: Client, view: dict[str, Any]) -> None:
    assert client.review.explorer(view["row"]["image_id"]) is None


def test_planes_arrive_as_the_service_has_them(client: Client, view: dict[str, Any]) -> None:
    image_id = view["row"]["image_id"]
    _, planes = client.review.planes(image_id)
    app: Any = client._http  # noqa: SLF001 - the test client knows its application
    kept = app.app.state.context.review.image_planes(image_id)
    assert np.array_equal(planes["label"], kept.label)
    assert np.array_equal(planes["regions"], kept.region_map)
    assert np.array_equal(client.review.unreliability(image_id), kept.unreliability)
    assert np.array_equal(planes["provenance"], kept.provenance)
    assert np.array_equal(planes["reliable"].astype(bool), kept.reliable)


def test_drawn_pixels_are_stored_and_taken_back(client: Client, view: dict[str, Any]) -> None:
    row = view["row"]
    _, before = client.review.planes(row["image_id"])
    x0, y0, x1, y1 = row["bbox"]
    inside = before["regions"][y0:y1, x0:x1] == row["number"]
    client.review.draw(view, x0, y0, np.where(inside, 5, 254).astype(np.uint8), closes_region=True)
    _, after = client.review.planes(row["image_id"])
    assert set(after["label"][y0:y1, x0:x1][inside]) == {5}
    client.review.undo()
    _, undone = client.review.planes(row["image_id"])
    assert np.array_equal(undone["label"], before["label"])


def test_a_refusal_carries_the_sentence_and_the_status(client: Client) -> None:
    with pytest.raises(ApiError, match="there is no region 99999") as caught:
        client.review.region(99999)
    assert caught.value.status == 404
    assert not caught.value.is_temporary


def test_a_name_that_looks_like_a_path_stays_one_part_of_the_address(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError):
        client.jobs.download_export("../../jobs", tmp_path / "export.zip")
    assert list(tmp_path.glob("export*")) == []


def test_the_action_log_is_saved_as_a_file(client: Client, view: dict[str, Any], tmp_path: Path) -> None:
    client.review.decide(view, "accept")
    client.quality.actions(tmp_path / "actions.csv", "csv")
    header, *rows = (tmp_path / "actions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert "action" in header
    assert len(rows) == 1


def test_classes_come_with_the_session(client: Client) -> None:
    assert [each["name"] for each in client.review.session()["classes"]] == list(NAMES)


class Flaky(httpx.BaseTransport):
    """Fails as often as told, then answers with the operation's id."""

    def __init__(self, failures: int, status: int = 503) -> None:
        self.failures, self.status = failures, status
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        if len(self.bodies) <= self.failures:
            if self.status == 0:
                raise httpx.ConnectError("refused")
            return httpx.Response(self.status, json={"error": "busy"})
        return httpx.Response(200, json={"job_id": 1})


def flaky_client(transport: Flaky, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(connection_module.time, "sleep", lambda _seconds: None)
    return Client(http=httpx.Client(transport=transport, base_url="http://127.0.0.1"))


@pytest.mark.parametrize("status", [0, 503, 507])
def test_an_operation_is_sent_again_under_the_same_id(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    transport = Flaky(2, status)
    flaky_client(transport, monkeypatch).review.undo()
    assert len(transport.bodies) == 3
    assert len(set(transport.bodies)) == 1


def test_a_server_that_never_answers_is_named_after_the_last_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Flaky(99, 0)
    with pytest.raises(ApiError, match=r"127\.0\.0\.1 cannot be reached .* is pixelsieve review running\?"):
        flaky_client(transport, monkeypatch).review.undo()
    assert len(transport.bodies) == 4


def test_a_job_is_not_started_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Flaky(1, 503)
    with pytest.raises(ApiError, match="busy"):
        flaky_client(transport, monkeypatch).jobs.start_job("predict")
    assert len(transport.bodies) == 1


def test_what_the_tools_need_is_there_for_programs(client: Client, view: dict[str, Any]) -> None:
    row = view["row"]
    image_id = row["image_id"]
    _, planes = client.review.planes(image_id)
    y, x = (int(value) for value in np.argwhere(planes["reliable"])[0])
    flagged = client.editing.flag(image_id, x, y)
    header, patch = client.editing.patch(image_id, tuple(flagged["bbox"]))
    assert patch["regions"][y - header["y0"], x - header["x0"]] == flagged["regions"][0]["number"]
    assert [each["row"]["region_id"] for each in client.editing.flags()] == [flagged["region_id"]]
    assert client.editing.history()["undo"][0]["op_id"] == flagged["op_id"]
    assert client.review.undo(flagged["op_id"])["undone_op_id"] == flagged["op_id"]
    assert client.review.redo(flagged["op_id"])["undone_op_id"] == flagged["op_id"]
    tile, numbers = client.editing.superpixels(image_id, 1, 0, 0)
    assert numbers.shape == (tile["height"], tile["width"])
    assert isinstance(client.editing.lookalikes(row["region_id"]), list)


def test_a_drawing_is_finished_and_a_class_propagated(client: Client, view: dict[str, Any]) -> None:
    assert client.review.finish_drawing(view)["region_state"] == "decided"
    other = client.review.queue(image_id=view["row"]["image_id"])["rows"][0]
    spread = client.review.propagate(view, [other["region_id"]], class_id=2)
    assert spread["counts"]["propagated"] == 1


def test_wrong_labels_are_looked_for_listed_shown_and_answered(
    client: Client, view: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.quality.suspects() == {"search": None, "rows": []}
    job = client.jobs.job(client.quality.look_for_suspects(min_area=200))
    assert (job["kind"], job["arguments"]) == ("suspects", {"model_id": None, "min_area": 200})
    client.review.decide(view, "relabel", class_id=(view["row"]["class_id"] + 1) % len(NAMES))
    app: Any = client._http  # noqa: SLF001 - the test client knows its application
    says(monkeypatch, nothing_known(SIZE_HW, len(NAMES)))
    look(app.app.state.context.store, min_area=100)
    found = client.quality.suspects(limit=200)
    assert found["search"]["num_listed"] == len(found["rows"]) and found["search"]["round"] == 1
    assert client.quality.suspects(limit=1, offset=1)["rows"] == found["rows"][1:2]
    drawn = next(row for row in found["rows"] if not row["is_imported"])
    came = next(row for row in found["rows"] if row["is_imported"] and row["class_id"])

    def answer(row: dict[str, Any]) -> str:
        listed = client.quality.suspects(limit=200)["rows"]
        return str(next(each["answer"] for each in listed if each["id"] == row["id"]))

    outlined = client.quality.suspect_picture(came["id"])
    assert decoded(outlined).shape[1] <= 400 and decoded(outlined).shape[0] <= 280
    assert decoded(client.quality.suspect_picture(came["id"], width=900)).shape[1] > 400
    assert client.quality.suspect_is_right(came["id"]) == {"answer": "right"} == {"answer": answer(came)}
    assert client.quality.reopen_suspect(came["id"]) == {"answer": "open"} == {"answer": answer(came)}
    assert client.quality.change_suspect(came["id"], came["suggested"]) == {"answer": "changed"}
    assert answer(came) == "changed" and client.quality.suspect_picture(came["id"]) != outlined
    sent = client.quality.send_suspect(drawn["id"])
    assert client.review.region(sent["region_id"])["row"]["kind"] == "flagged" and answer(drawn) == "sent"
    for refused, status in ((lambda: client.quality.send_suspect(came["id"]), 404),
                            (lambda: client.quality.change_suspect(drawn["id"], 0), 422),
                            (lambda: client.quality.suspect_picture(999), 404)):  # fmt: skip
        with pytest.raises(ApiError) as error:
            refused()
        assert error.value.status == status


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Picture.open(BytesIO(content)))
