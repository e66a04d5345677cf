"""The HTTP API of rounds and gold images: what it answers, draws and refuses."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.model_changes import list_changes
from app.services.rounds import list_models
from app.storage.models import Image, Proposal
from app.web.api import create_api
from app.web.context import WebContext
from tests.browser.rounds_workspace import GOLD, Quality, build_rounds_workspace
from tests.browser.workspace import SIZE_HW

QUALITIES = Quality(14, seed=1), Quality(9, 9, seed=2), Quality(6, seed=3), Quality(5, 6, seed=4)
"""Round 3 is current; round 4 does not know signs."""
SIGN = 6


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_rounds_workspace(tmp_path_factory.mktemp("rounds"), QUALITIES).root


@pytest.fixture
def client(template: Path, tmp_path: Path) -> Iterator[TestClient]:
    app = create_api(Workspace(Path(shutil.copytree(template, tmp_path / "workspace"))))
    with TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def context(client: TestClient) -> WebContext:
    found: WebContext = client.app.state.context  # type: ignore[attr-defined]
    return found


def compared(client: TestClient, old: int, new: int) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/api/models/compare", params={"old": old, "new": new}).json()
    return answer


def picture(client: TestClient, path: str) -> np.ndarray:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    decoded = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def statuses(context: WebContext) -> dict[int, ModelStatus]:
    return {model.round: model.status for model in list_models(context.store)}


def test_models_come_with_intervals_and_with_what_can_be_done(client: TestClient) -> None:
    models = client.get("/api/models").json()["models"]
    assert {model["round"]: model["can_roll_back"] for model in models} == {4: False, 3: False, 2: True, 1: True}
    assert all(low < model["gold_miou"] < high for model in models for low, high in [model["gold_interval"]])


def test_any_two_models_are_compared_class_by_class_with_the_worst_images_first(client: TestClient) -> None:
    result = compared(client, 3, 4)
    assert result["verdict"] == "refuse" and result["has_pictures"] and result["num_images"] == GOLD
    sign = result["classes"][SIGN]
    assert (sign["name"], sign["new"]) == ("sign", 0.0)
    assert sign["interval"]["high"] < 0
    differences = [image["new"] - image["old"] for image in result["images"]]
    assert differences == sorted(differences)
    assert result["images"][0]["worst_classes"]


def test_gold_images_are_called_by_the_names_that_people_know(client: TestClient, context: WebContext) -> None:
    worst = compared(client, 3, 4)["images"][0]
    with context.store.session() as session:
        session.get_one(Image, worst["image_id"]).name = "Foto 0 ü"
    assert compared(client, 3, 4)["images"][0] == {**worst, "name": "Foto 0 ü"}


def test_the_other_way_round_every_change_has_the_other_sign(client: TestClient) -> None:
    one, other = compared(client, 1, 3), compared(client, 3, 1)
    assert one["miou"]["interval"]["low"] == pytest.approx(-other["miou"]["interval"]["high"])
    assert [each["old"] for each in one["classes"]] == [each["new"] for each in other["classes"]]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/models/compare?old=3&new=3", 422),
        ("/api/models/compare?old=3&new=9", 404),
        ("/api/models/compare?old=3", 422),
        ("/api/models/3/comparison", 422),
        ("/api/gold/1/label", 404),
        ("/api/gold/99/picture", 404),
        ("/api/gold/2/prediction?model=9", 404),
        ("/api/gold/2/prediction", 422),
        ("/api/gold/2/label?width=9999", 422),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_a_sentence(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_worse_round_is_promoted_with_a_reason_only(client: TestClient, context: WebContext) -> None:
    refused = client.post("/api/models/4/promote", json={"seen_current": 3})
    assert refused.status_code == 409 and "sign falls by" in refused.json()["error"]
    assert statuses(context)[3] is ModelStatus.CURRENT
    body = {"reason": "signs are not needed", "seen_current": 3}
    answer = client.post("/api/models/4/promote", json=body)
    assert answer.status_code == 200
    assert statuses(context)[4] is ModelStatus.CURRENT
    assert context.jobs.get(answer.json()["job_id"]).kind == "predict"


def test_going_back_brings_the_old_proposals_back_and_is_recorded(client: TestClient, context: WebContext) -> None:
    answer = client.post("/api/models/1/rollback", json={"reason": "its outlines were better", "seen_current": 3})
    assert answer.json()["restored"] == 2
    assert statuses(context) | {4: None} == {
        1: ModelStatus.CURRENT, 2: ModelStatus.RETIRED, 3: ModelStatus.RETIRED, 4: None
    }  # fmt: skip
    with context.store.reader() as session:
        assert {proposal.model_id for proposal in session.query(Proposal).where(Proposal.active)} == {1}
    (change,) = client.get("/api/models/changes").json()["changes"]
    assert (change["action"], change["round"], change["previous_round"]) == ("rolled_back", 1, 3)
    assert change["reason"] == "its outlines were better"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("4/rollback", {"reason": "it is the newest one"}, 422),
        ("1/rollback", {"reason": "worse"}, 422),
        ("1/rollback", {}, 422),
        ("1/rollback", {"reason": "it was better then", "seen_current": 2}, 409),
        ("3/promote", {}, 422),
        ("2/reject", {}, 422),
        ("9/reject", {}, 404),
    ],
)
def test_a_refused_change_of_models_changes_nothing(
    client: TestClient, context: WebContext, path: str, body: dict[str, Any], status: int
) -> None:
    before = statuses(context)
    assert client.post(f"/api/models/{path}", json=body).status_code == status
    assert statuses(context) == before
    assert list_changes(context.store) == []


def test_limits_are_set_and_applied(client: TestClient) -> None:
    assert client.get("/api/models/limits").json() == {"miou_fall": 0.005, "class_fall": 0.05}
    client.post("/api/models/limits", json={"miou_fall": 1, "class_fall": 1})
    assert compared(client, 3, 4)["verdict"] == "promote"
    assert client.post("/api/models/limits", json={"miou_fall": -1, "class_fall": 1}).status_code == 422


def gold_id(context: WebContext) -> int:
    with context.store.reader() as session:
        return session.query(Image.id).where(Image.sample_id == "gold_0").scalar()


def test_a_gold_label_is_drawn_in_class_colors(client: TestClient, context: WebContext) -> None:
    image_id = gold_id(context)
    drawn = picture(client, f"/api/gold/{image_id}/label?width=480")
    assert drawn.shape == (*SIZE_HW, 3)
    gray = cv2.cvtColor(picture(client, f"/api/gold/{image_id}/picture?width=480"), cv2.COLOR_RGB2GRAY)
    color = (drawn[5, 5] - 0.35 * gray[5, 5]) / 0.65
    assert color == pytest.approx(context.review.class_set().colors[0], abs=2)


def test_a_picture_is_made_smaller_but_never_larger(client: TestClient, context: WebContext) -> None:
    image_id = gold_id(context)
    assert picture(client, f"/api/gold/{image_id}/picture?width=120").shape == (90, 120, 3)
    assert picture(client, f"/api/gold/{image_id}/picture?width=4000").shape == (*SIZE_HW, 3)


def test_the_difference_of_a_model_to_itself_shows_no_change(client: TestClient, context: WebContext) -> None:
    image_id = gold_id(context)
    same = picture(client, f"/api/gold/{image_id}/difference?old=3&new=3&width=480").astype(int)
    changed = picture(client, f"/api/gold/{image_id}/difference?old=3&new=4&width=480").astype(int)
    is_colored = np.ptp(same, axis=2) > 60
    wrong_in_both = np.all(same == (250, 204, 60), axis=2)
    assert np.array_equal(is_colored, wrong_in_both)
    assert np.any(np.all(changed == (196, 18, 84), axis=2))


def test_a_browser_that_has_the_picture_is_not_sent_it_again(client: TestClient, context: WebContext) -> None:
    path = f"/api/gold/{gold_id(context)}/prediction?model=3"
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"{path}&width=100").headers["etag"] != first.headers["etag"]
