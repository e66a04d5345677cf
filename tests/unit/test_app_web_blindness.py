"""What an annotator is sent about audits and planted errors is what they are sent about any region of the queue."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy.stats import mannwhitneyu

from app.domain.roles import Actor, Role
from app.domain.states import RegionKind
from app.storage.database import Store
from app.web.api import create_api
from app.web.context import get_actor
from tests.browser.workspace import NAMES
from tests.unit.trust_cases import TRUST, Scene, copy_scene, kind_of, make_scene
from tests.unit.wire_cases import see_image

DISGUISED = (RegionKind.AUDIT, RegionKind.PLANTED)
MANY = TRUST.model_copy(update={"audit_share": 0.2, "planted_share": 0.2, "control_share": 0.0})
"""Many probes in a small workspace, so that comparing them with the queue says something."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("blind"), pool=12, trust=MANY)


@pytest.fixture(scope="module")
def session(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Session"]:
    """An annotator works through the whole queue over HTTP; every answer is kept."""
    store = copy_scene(scene, tmp_path_factory.mktemp("session"))
    app = create_api(store.workspace)
    app.dependency_overrides[get_actor] = lambda: Actor("ann", Role.ANNOTATOR)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Session(client, store)
    store.close()


class Session:
    """What one annotator saw, region by region."""

    def __init__(self, client: TestClient, store: Store) -> None:
        self.client, self.store = client, store
        self.seen: list[dict[str, Any]] = []
        self.lists: list[list[dict[str, Any]]] = []
        while (rows := client.get("/api/queue?limit=40").json()["rows"]) and len(self.seen) < 150:
            self.lists.append(rows)
            self.seen.append(self.review(rows[0]))

    def review(self, row: dict[str, Any]) -> dict[str, Any]:
        region_id, image_id = row["region_id"], row["image_id"]
        left = self.client.get("/api/session").json()["counts"]
        view = self.client.get(f"/api/regions/{region_id}").json()
        planes = see_image(self.client, image_id)
        relabel = len(self.seen) % 3 == 1
        sent = {
            "op_id": f"op-{len(self.seen)}", "kind": "relabel" if relabel else "accept", "image_id": image_id,
            "image_version": view["image_version"], "region_id": region_id,
            "class_id": (row["class_id"] + 1) % len(NAMES) if relabel else None, "session": "tab-1",
        }  # fmt: skip
        answer = self.client.post("/api/decisions", json=sent)
        assert answer.status_code == 200, answer.text
        after = see_image(self.client, image_id)
        kind = kind_of(self.store, region_id)
        return {"kind": kind, "row": row, "view": view, "planes": planes, "answer": answer.json(), "sent": sent,
                "after": after, "left": left}  # fmt: skip

    def of(self, *kinds: RegionKind) -> list[dict[str, Any]]:
        return [each for each in self.seen if each["kind"] in kinds]


def shape(value: Any) -> Any:
    """The keys and types of a JSON value."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


def test_the_session_holds_every_kind_in_its_share(session: Session) -> None:
    found = Counter(each["kind"] for each in session.seen)
    assert found[RegionKind.AUDIT] >= 15 and found[RegionKind.PLANTED] >= 15 and found[RegionKind.QUEUE] >= 80


def test_no_answer_names_a_kind_of_probe_or_anything_that_is_logged_about_it(session: Session) -> None:
    told = json.dumps([[each["row"], each["view"], each["answer"], each["planes"][0]] for each in session.seen])
    told += session.client.get("/api/session").text
    for word in ("audit", "planted", "control", "probe", "draw_order", "caught", "held", "seed", str(TRUST.seed)):
        assert re.search(rf"\b{word}\b", told) is None, word


def test_answers_have_the_same_keys_types_and_words(session: Session) -> None:
    shapes: dict[RegionKind, set[str]] = {}
    for each in session.seen:
        answer = dict(each["answer"])
        answer["next_region_id"] = 0  # None behind the last region.
        described = shape([each["row"], {**each["view"], "top_classes": []}, answer])
        shapes.setdefault(each["kind"], set()).add(json.dumps(described))
    assert shapes[RegionKind.AUDIT] == shapes[RegionKind.PLANTED] == shapes[RegionKind.QUEUE]
    for name in ("kind", "state"):
        assert {each["row"][name] for each in session.seen} == {each["row"][name] for each in session.of("queue")}
    said = ("region_state", "kind", "replayed", "undone_op_id")
    for kind in DISGUISED:
        assert {tuple(each["answer"][name] for name in said) for each in session.of(kind)} <= {
            tuple(each["answer"][name] for name in said) for each in session.of(RegionKind.QUEUE)
        }


def test_the_list_falls_by_score_and_the_queue_keeps_its_own_order(session: Session) -> None:
    for rows in session.lists:
        scores = [row["score"] for row in rows]
        assert scores == sorted(scores, reverse=True)
    own = [each["row"]["score"] for each in session.of(RegionKind.QUEUE)]
    assert own == sorted(own, reverse=True)


def test_a_region_keeps_its_numbers_from_list_to_list(session: Session) -> None:
    known: dict[int, dict[str, Any]] = {}
    for rows in session.lists:
        for row in rows:
            assert known.setdefault(row["region_id"], row) == row


def test_every_region_is_told_as_a_region_of_doubt(session: Session) -> None:
    """What holds for each region of the queue, whoever looks at it with a program, holds for the others, too."""
    for each in session.seen:
        row, view, (header, planes) = each["row"], each["view"], each["planes"]
        assert view["row"] == row
        likeliest = view["top_classes"][0]
        assert likeliest["class_id"] == row["class_id"]
        assert 0.8 < likeliest["probability"] / row["mean_confidence"] <= 1.001
        chances = [top["probability"] for top in view["top_classes"]]
        assert chances == sorted(chances, reverse=True) and sum(chances) <= 1.001 and len(chances) == 5
        mask = planes["regions"] == row["number"]
        x0, y0, x1, y1 = row["bbox"]
        assert mask.sum() == row["area"] and mask[y0:y1, x0:x1].sum() == row["area"]
        assert {region["number"] for region in header["regions"]} >= {row["number"]}
        assert not planes["reliable"][mask].any()
        assert not planes["human"][mask].any()
        assert (planes["label"][mask] == row["class_id"]).all()
        assert (planes["proposal"][mask] == row["class_id"]).all()
        doubt = planes["unreliability"][mask].mean() / 255
        assert doubt == pytest.approx(1 - row["mean_confidence"], abs=0.02)


def test_after_the_decision_the_picture_shows_what_was_decided(session: Session) -> None:
    for each in session.seen:
        _, before = each["planes"]
        _, after = each["after"]
        mask = before["regions"] == each["row"]["number"]
        decided = each["sent"]["class_id"] if each["sent"]["kind"] == "relabel" else each["row"]["class_id"]
        assert (after["label"][mask] == decided).all()
        assert after["human"][mask].all()
        assert (after["regions"] == before["regions"]).all()


def test_each_decision_leaves_exactly_one_region_less_unless_an_image_becomes_good_enough(session: Session) -> None:
    steps: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    for each in session.seen:
        left = each["left"]["open"] - each["answer"]["counts"]["open"]
        if each["answer"]["image_state"] == "open":
            steps[each["kind"] in DISGUISED][left] += 1
        assert each["answer"]["counts"]["decided"] == each["left"]["decided"] + 1
    assert set(steps[True]) == set(steps[False]) == {1}


def test_ids_and_numbers_lie_among_those_of_the_queue(session: Session) -> None:
    """Ranks of ids: neither at the end nor in a row of their own."""
    queue = [each["row"]["region_id"] for each in session.of(RegionKind.QUEUE)]
    for kind in DISGUISED:
        ids = [each["row"]["region_id"] for each in session.of(kind)]
        assert min(queue) < np.median(ids) < max(queue)
    audits = [each["row"]["region_id"] for each in session.of(RegionKind.AUDIT)]
    assert mannwhitneyu(queue, audits).pvalue > 0.001
    last = [each["row"]["number"] == each["planes"][1]["regions"][each["planes"][1]["regions"] < 65000].max()
            for each in session.of(RegionKind.AUDIT)]  # fmt: skip
    assert np.mean(last) < 0.5


@pytest.mark.parametrize("field", ["mean_confidence", "area"])
def test_numbers_are_spread_like_those_of_the_queue(session: Session, field: str) -> None:
    queue, audits = (
        np.percentile([each["row"][field] for each in session.of(kind)], [10, 50, 90])
        for kind in (RegionKind.QUEUE, RegionKind.AUDIT)
    )
    assert (audits[[0, 2]] >= queue[0] / 4).all() and (audits <= 2 * queue[2]).all()
    assert 0.4 < audits[1] / queue[1] < 2.5


def test_no_number_of_an_audit_is_a_copy_of_another_regions(session: Session) -> None:
    confidences = Counter(each["row"]["mean_confidence"] for each in session.seen)
    assert max(confidences.values()) == 1


def test_the_order_of_kinds_cannot_be_guessed_from_the_place(session: Session) -> None:
    places = [index for index, each in enumerate(session.seen) if each["kind"] in DISGUISED]
    assert len(set(np.diff(places))) >= 4
