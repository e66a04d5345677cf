"""What an annotator is sent about audits and planted errors is what they are sent about any region of the queue."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy.stats import mannwhitneyu
from sqlalchemy import select

from app.domain.roles import Actor, Role
from app.domain.states import RegionKind
from app.storage.models import Region
from app.web.api import create_api
from app.web.context import get_actor
from tests.unit.blind_session import DISGUISED, Everything, Person, Session, act, call_enough, shape
from tests.unit.trust_cases import TRUST, Scene, copy_scene, kind_of, make_scene

MANY = TRUST.model_copy(update={"audit_share": 0.2, "planted_share": 0.2, "control_share": 0.0})
"""Many probes in a small workspace, so that comparing them with the queue says something."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("blind"), pool=12, trust=MANY)


@pytest.fixture(scope="module")
def session(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """An annotator asks for everything, then works through the queue over HTTP; every answer is kept."""
    store = copy_scene(scene, tmp_path_factory.mktemp("session"))
    call_enough(store, 0.3)
    app = create_api(store.workspace)
    app.dependency_overrides[get_actor] = lambda: Actor("ann", Role.ANNOTATOR)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Session(client, store)
    store.close()


READ = {
    "/api/session", "/api/queue", "/api/images", "/api/questions", "/api/history", "/api/quality/mine",
    "/api/regions/next", "/api/regions/{region_id}", "/api/regions/{region_id}/lookalikes",
    "/api/regions/{region_id}/thumbnail", "/api/images/{image_id}/planes", "/api/images/{image_id}/unreliability",
    "/api/images/{image_id}/picture", "/api/images/{image_id}/patch", "/api/images/{image_id}/superpixels",
    "/api/images/{image_id}/comments", "/api/gold/{image_id}/picture", "/api/gold/{image_id}/label",
    "/api/gold/{image_id}/difference", "/api/gold/{image_id}/prediction",
}  # fmt: skip
"""Addresses that tell an annotator something about images and regions; this module asks all of them."""
OF_OTHER_THINGS = ("/api/models", "/api/jobs", "/api/me", "/healthz")


def test_the_session_holds_every_kind_in_its_share(session: Session) -> None:
    found = Counter(each["kind"] for each in session.seen)
    assert found[RegionKind.AUDIT] >= 10 and found[RegionKind.PLANTED] >= 6 and found[RegionKind.QUEUE] >= 40


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


def test_nothing_ever_joins_the_list_or_changes_its_place(session: Session) -> None:
    """A region that came later than its neighbors, or went up or down, would be no region of doubt."""
    first = [row["region_id"] for row in session.start.rows]
    for rows in session.lists:
        ids = [row["region_id"] for row in rows]
        left = set(ids)
        assert ids == [region_id for region_id in first if region_id in left]


def test_the_queue_keeps_its_own_order(session: Session) -> None:
    with session.store.reader() as reading:
        scores = {region.id: region.score for region in reading.scalars(select(Region))}
    own = [scores[each["row"]["region_id"]] for each in session.seen if each["kind"] is RegionKind.QUEUE]
    assert own == sorted(own, reverse=True)


def test_pictures_lists_and_counts_tell_the_same_regions_and_images(session: Session) -> None:
    """Whoever lays all answers side by side finds no region and no image in one of them that another one lacks."""
    told = session.start
    assert set(told.pending) == set(told.images)
    for image_id, row in told.images.items():
        listed = [each["region_id"] for each in told.all_rows[image_id]]
        assert told.pending[image_id] == set(listed) and row["num_open"] == len(listed), row
        if row["state"] == "open":
            assert told.queued[image_id] == told.all_rows[image_id]
        assert all(each in told.all_rows[image_id] for each in told.queued[image_id])
        assert row["expected_errors"] == pytest.approx(
            sum(each["area"] * (1 - each["mean_confidence"]) for each in told.all_rows[image_id])
        )
        assert (row["num_decided"], row["assignee"]) == (0, None)
    assert {row["region_id"] for rows in told.queued.values() for row in rows} == {
        row["region_id"] for row in told.rows
    }
    assert told.counts["open"] == len(told.rows)
    states = Counter(row["state"] for row in told.images.values())
    assert {name: told.counts[f"images_{name}"] for name in ("waiting", "open", "enough", "done")} == {
        name: states[name] for name in ("waiting", "open", "enough", "done")
    }
    assert {(header["image_version"], *planes) for header, planes in told.pictures.values()} == {
        (0, "proposal", "reliable", "regions", "unreliability", "label", "human")
    }
    assert len({etag.split("-")[-1] for etag in told.etags.values()}) == len(told.etags)


def test_what_is_asked_in_an_image_that_is_good_enough_is_no_audit_for_that(session: Session) -> None:
    """Here a fifth of all regions are audits, and only a fifth of the others are asked there: half of what is asked."""
    told = session.start
    enough = [image_id for image_id, row in told.images.items() if row["state"] == "enough"]
    asked = [row for image_id in enough for row in told.queued[image_id]]
    kinds = Counter(kind_of(session.store, row["region_id"]) for row in asked)
    assert len(asked) < sum(len(told.all_rows[image_id]) for image_id in enough) / 2
    assert kinds[RegionKind.AUDIT] >= 3 and len(asked) - kinds[RegionKind.AUDIT] >= kinds[RegionKind.AUDIT] / 3


def test_every_filter_keeps_pool_and_labeled_images_together(session: Session) -> None:
    names = {row["sample_id"] for row in session.start.images.values()}
    assert {name[0] for name in names} == {"a", "p"}, "images that came with a label, and those of the pool"
    for query in ("assignee=", "text=o", "text=a_"):
        found = session.client.get(f"/api/images?limit=1000&{query}").json()["images"]
        rows = session.client.get(f"/api/queue?limit=1000&{query}").json()["rows"]
        assert {row["sample_id"] for row in rows} <= {row["sample_id"] for row in found} != set(), query
    for state in ("open", "enough", "done"):
        found = session.client.get(f"/api/images?limit=1000&state={state}").json()["images"]
        assert {row["state"] for row in found} <= {state}


def test_what_is_not_shown_cannot_be_told_from_what_is_not_there(session: Session) -> None:
    assert session.start.refusals == {(404, 404, 404, 404)}
    assert session.client.get("/api/queue?state=held").status_code == 422


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


def test_counts_follow_the_list(session: Session) -> None:
    """Each decision leaves one region less, and where an image becomes good enough by it, its others with it."""
    for each, before, after in zip(session.seen, session.lists, session.lists[1:], strict=False):
        counts = each["answer"]["counts"]
        assert (each["left"]["open"], counts["open"]) == (len(before), len(after))
        gone = {row["region_id"]: row["image_id"] for row in before if row not in after}
        assert set(gone.values()) == {each["row"]["image_id"]}
        assert len(gone) == 1 or each["answer"]["image_state"] == "enough"
        assert counts["decided"] == each["left"]["decided"] + 1


def numbers_of(told: Everything, row: dict[str, Any]) -> dict[str, float]:
    """Every number that an annotator can be told about a region or work out about it, by name.

    Left out is where things lie, which docs/team.md names: ids of images, which follow the order of the import (here
    all labeled ones come first), the edge of the picture (here the model never doubts there), and how much of what is
    around is locked: chance draws audits where the model is sure.
    """
    view, image, (header, planes) = (
        told.views[row["region_id"]],
        told.images[row["image_id"]],
        told.pictures[row["image_id"]],
    )
    mask = planes["regions"] == row["number"]
    x0, y0, x1, y1 = row["bbox"]
    around = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_) & ~mask
    inside = planes["unreliability"][mask].astype(float)
    chances = [top["probability"] for top in view["top_classes"]]
    numbers = planes["regions"][(planes["regions"] > 0) & (planes["regions"] < 65000)]
    locked_around = planes["unreliability"][around & (planes["reliable"] > 0)]
    return {
        "region_id": row["region_id"], "number": row["number"], "class_id": row["class_id"], "area": row["area"],
        "mean_confidence": row["mean_confidence"], "box_fill": row["area"] / ((x1 - x0) * (y1 - y0)),
        "proposal_id": view["proposal_id"], "model_id": view["model_id"], "image_version": view["image_version"],
        "first_chance": chances[0], "second_chance": chances[1], "last_chance": chances[-1],
        "rest_of_chances": 1 - sum(chances), "place": told.rows.index(row),
        "doubt": inside.mean(), "spread": inside.std(), "least": inside.min(), "greatest": inside.max(),
        "gap": abs(inside.mean() / 255 - 1 + row["mean_confidence"]),
        "doubt_around": locked_around.mean() if locked_around.size else np.nan,
        "regions_of_image": image["num_open"], "errors_of_image": image["expected_errors"],
        "share_of_numbers_waiting": len(header["regions"]) / numbers.max(),
        "lookalikes": told.lookalikes[row["region_id"]], "etag": len(told.etags[row["image_id"]]),
    }  # fmt: skip


@pytest.mark.parametrize("kind", DISGUISED)
def test_no_number_separates_a_kind_of_probe_from_the_queue(session: Session, kind: RegionKind) -> None:
    """By no threshold on a number that is told or can be worked out."""
    told = session.start
    by_kind: dict[RegionKind, list[dict[str, float]]] = {}
    for row in told.rows:
        by_kind.setdefault(kind_of(session.store, row["region_id"]), []).append(numbers_of(told, row))
    assert len(by_kind[kind]) >= 15 and len(by_kind[RegionKind.QUEUE]) >= 80
    for name in by_kind[kind][0]:
        known, theirs = (np.array([each[name] for each in by_kind[which]]) for which in (RegionKind.QUEUE, kind))
        known, theirs = known[np.isfinite(known)], theirs[np.isfinite(theirs)]
        outside = np.mean((theirs < known.min()) | (theirs > known.max()))
        # The share of pairs in which the probe has the larger number, a tie for a half: 0 and 1 would be a giveaway.
        larger = np.mean((theirs[:, None] > known) + 0.5 * (theirs[:, None] == known))
        assert outside < 0.15 and 0.2 < larger < 0.8, f"{name}: {outside:.2f} outside, {larger:.2f} larger"


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


def test_ids_of_an_images_regions_follow_their_numbers(session: Session) -> None:
    for rows in session.start.all_rows.values():
        pairs = sorted((row["number"], row["region_id"]) for row in rows)
        numbers, ids = np.array(pairs).T
        assert (np.diff(numbers) == np.diff(ids)).all()


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


def test_no_address_that_an_annotator_may_read_is_left_out_here(session: Session) -> None:
    paths = session.client.get("/api/openapi.json").json()["paths"]
    may_read = {
        path
        for path, methods in paths.items()
        if "get" in methods and session.client.get(re.sub(r"{\w+}", "987654", path)).status_code != 403
    }
    assert {path for path in may_read if not path.startswith(OF_OTHER_THINGS)} == READ


def test_of_images_with_a_label_no_more_is_told_than_of_the_pool(session: Session) -> None:
    answers: dict[str, set[tuple[Any, ...]]] = {}
    for image_id, row in session.start.images.items():
        asked = [session.client.get(f"/api/gold/{image_id}/{what}") for what in ("picture", "label")]
        asked += [
            session.client.get(f"/api/gold/{image_id}/{what}?model_id=1") for what in ("difference", "prediction")
        ]
        asked.append(session.client.get(f"/api/images/{image_id}/picture"))
        asked.append(session.client.get(f"/api/images/{image_id}/superpixels?level=0&column=0&row=0"))
        told = tuple((each.status_code, tuple(sorted(each.headers))) for each in asked)
        answers.setdefault(row["sample_id"][0], set()).add(told)
    assert answers["a"] == answers["p"] and len(answers["a"]) == 1


@pytest.fixture
def ann(scene: Scene, tmp_path: Path) -> Iterator[Person]:
    store = copy_scene(scene, tmp_path)
    app = create_api(store.workspace)
    app.dependency_overrides[get_actor] = lambda: Actor("ann", Role.ANNOTATOR)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Person(client, store)
    store.close()


@pytest.mark.parametrize("first", ["accept", "relabel", "void", "dont_know", "skip", "draw", "comment", "rest", "flag"])
def test_whatever_is_done_to_a_region_it_is_told_as_for_every_other(ann: Person, first: str) -> None:
    """Done, taken back and done again: lists, picture, history, comments and one's own numbers say the same."""
    told = []
    for row in (ann.rows[kind] for kind in (RegionKind.QUEUE, *DISGUISED)):
        before = ann.listed(row)
        answer = act(ann, row, first)
        during, step = ann.listed(row), shape(ann.get("/api/history")["undo"][:1])
        undo = {"op_id": f"undo-{row['region_id']}", "session": "tab-1"}
        taken_back = None if first == "comment" else shape(ann.post("/api/undo", **undo))
        told.append(
            {
                "before": before,
                "answer": shape(answer),
                "then": during,
                "undo": taken_back,
                "after": ann.listed(row),
                "step": step,
            }
        )
    for what, of_queue in told[0].items():
        assert told[1][what] == of_queue, what
        assert told[2][what] == of_queue, what
