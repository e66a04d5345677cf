"""Brush, eraser and lock: what is on the screen is what is on disk, and locked pixels stay as they are."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from app.domain.states import DecisionKind, RegionState
from datasets.labels import Provenance
from tests.browser.conftest import LiveApp, ReviewerPage, Watched
from tests.browser.stored import decisions, locked_mask, region_row, sha1, stored_state

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
Point = tuple[float, float]


def inside(reviewer: ReviewerPage) -> list[Point]:
    """Four points around the middle of the current region's box."""
    x0, y0, x1, y1 = reviewer.page.evaluate("document.querySelector('#reviewer .ps').pixelsieve.current.row.bbox")
    width, height = x1 - x0, y1 - y0
    return [
        (x0 + width * share_x, y0 + height * share_y)
        for share_x, share_y in ((0.2, 0.5), (0.5, 0.3), (0.8, 0.5), (0.5, 0.8))
    ]


def commit(reviewer: ReviewerPage) -> None:
    """Press Enter, then wait until the drawing is saved and the next region is shown."""
    reviewer.decide("Enter")


def test_drawing_is_on_disk_exactly_as_on_the_screen_after_a_reload(
    module_app: LiveApp, reviewer: ReviewerPage, watched: Watched
) -> None:
    region, image = reviewer.region, reviewer.image
    before = reviewer.hash_of("label")
    reviewer.press("b")
    reviewer.press("3")
    reviewer.stroke(inside(reviewer))
    reviewer.press("]")
    reviewer.press("7")
    reviewer.stroke(inside(reviewer)[::-1][:2])
    drawn = reviewer.hash_of("label")
    assert drawn != before
    commit(reviewer)
    state = stored_state(module_app.workspace, image)
    assert sha1(state.label) == drawn
    reviewer.page.goto(f"{module_app.url}/review?region={region}")
    reviewer.ready()
    assert reviewer.image == image
    assert (reviewer.hash_of("label"), reviewer.hash_of("provenance")) == (drawn, sha1(state.provenance))
    row = region_row(module_app.workspace, region)
    box = state.provenance[row.y0 : row.y1, row.x0 : row.x1]
    assert row.state is RegionState.DECIDED and int(np.count_nonzero(box == Provenance.HUMAN)) >= row.area
    assert watched.errors == []


def test_random_strokes_change_no_locked_pixel(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    chance = random.Random(3)
    image = reviewer.image
    locked = locked_mask(module_app.workspace, image)
    before = stored_state(module_app.workspace, image)
    reviewer.press("0")
    reviewer.press("b")
    for _ in range(5):
        reviewer.press("]")
    for number in range(12):
        reviewer.press(chance.choice("123456789acx"))
        points = [(chance.uniform(-20, 500), chance.uniform(-20, 380)) for _ in range(4)]
        reviewer.stroke([(min(479.0, max(0.0, x)), min(359.0, max(0.0, y))) for x, y in points])
        if number % 4 == 3:
            reviewer.press("e")
    commit(reviewer)
    after = stored_state(module_app.workspace, image)
    changed = before.label != after.label
    assert changed.sum() > 500
    assert not (changed & locked).any()
    assert not ((after.provenance == Provenance.HUMAN) & ~(before.provenance == Provenance.HUMAN) & locked).any()


def test_as_many_undos_as_strokes_restore_the_initial_bytes(reviewer: ReviewerPage) -> None:
    initial = reviewer.hash_of("label"), reviewer.hash_of("touched")
    reviewer.press("b")
    for key in "123":
        reviewer.press(key)
        reviewer.stroke(inside(reviewer))
    reviewer.press("e")
    reviewer.stroke(inside(reviewer)[:2])
    edited = reviewer.hash_of("label"), reviewer.hash_of("touched")
    for _ in range(4):
        reviewer.press("Control+z")
    assert (reviewer.hash_of("label"), reviewer.hash_of("touched")) == initial
    for _ in range(4):
        reviewer.press("Control+Shift+z")
    assert (reviewer.hash_of("label"), reviewer.hash_of("touched")) == edited
    reviewer.press("Escape")
    assert (reviewer.hash_of("label"), reviewer.hash_of("touched")) == initial


def test_eraser_brings_back_the_label_of_the_model(reviewer: ReviewerPage) -> None:
    points = inside(reviewer)
    model = reviewer.hash_of("proposal")
    reviewer.press("b")
    reviewer.press("x")
    reviewer.stroke(points)
    assert reviewer.get("app.image.label.includes(255)")
    reviewer.press("e")
    for _ in range(8):
        reviewer.press("]")
    reviewer.stroke(points)
    reviewer.press("]")
    assert not reviewer.get("app.image.label.some((id, p) => app.image.touched[p] && id !== app.image.proposal[p])")
    assert reviewer.hash_of("proposal") == model


def test_drawing_works_with_the_keyboard_alone(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    known = len(decisions(module_app.workspace))
    image = reviewer.image
    for key in ("b", "4", "ArrowLeft", "ArrowUp", "Space", "Shift+ArrowRight", "Space"):
        reviewer.press(key)
    assert reviewer.get("root.dataset.strokes") == "2"
    drawn = reviewer.hash_of("label")
    commit(reviewer)
    assert sha1(stored_state(module_app.workspace, image).label) == drawn
    log = decisions(module_app.workspace)[known:]
    assert [(entry.kind, entry.closes_region) for entry in log] == [
        (DecisionKind.DRAW, False),
        (DecisionKind.DRAW, False),
        (DecisionKind.DRAW, True),
    ]


def test_unlocking_lets_strokes_through_and_is_logged(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    known = len(decisions(module_app.workspace))
    image = reviewer.image
    locked = locked_mask(module_app.workspace, image)
    before = stored_state(module_app.workspace, image).label
    reviewer.press("b")
    reviewer.press("x")
    reviewer.press("l")
    assert reviewer.get("root.dataset.locked") == "false"
    assert reviewer.page.get_by_role("button", name="Unlocked").is_visible()
    for _ in range(6):
        reviewer.press("]")
    reviewer.stroke(inside(reviewer))
    commit(reviewer)
    assert reviewer.get("root.dataset.locked") == "true"
    changed = stored_state(module_app.workspace, image).label != before
    assert (changed & locked).any()
    assert [entry.lock_override for entry in decisions(module_app.workspace)[known:]] == [True, False]


def test_every_stroke_is_saved_at_once_and_the_region_stays_open(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    known = len(decisions(module_app.workspace))
    region, image = reviewer.region, reviewer.image
    reviewer.press("b")
    for key in "37":
        reviewer.press(key)
        reviewer.stroke(inside(reviewer))
        reviewer.all_saved()
        state = stored_state(module_app.workspace, image)
        assert (sha1(state.label), sha1(state.provenance)) == (
            reviewer.hash_of("label"),
            reviewer.hash_of("provenance"),
        )
    log = decisions(module_app.workspace)[known:]
    assert [(entry.kind, entry.closes_region, entry.region_id) for entry in log] == [
        (DecisionKind.DRAW, False, region)
    ] * 2
    assert [entry.stats["strokes"] for entry in log] == [1, 1]
    assert region_row(module_app.workspace, region).state is RegionState.OPEN


def test_a_region_with_strokes_may_be_left_and_shows_them_when_it_is_opened_again(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    region = reviewer.region
    reviewer.press("b")
    reviewer.press("4")
    reviewer.stroke(inside(reviewer))
    drawn = reviewer.hash_of("label"), reviewer.hash_of("touched")
    reviewer.press("b")
    reviewer.press("ArrowRight")
    reviewer.wait("root.dataset.region !== argument && !app.isBusy", str(region))
    reviewer.press("ArrowLeft")
    reviewer.wait("root.dataset.region === argument && !app.isBusy", str(region))
    assert (reviewer.hash_of("label"), reviewer.hash_of("touched")) == drawn
    reviewer.all_saved()
    reviewer.page.reload()
    reviewer.ready()
    assert (reviewer.hash_of("label"), reviewer.hash_of("touched")) == drawn
    reviewer.decide("Enter")
    assert region_row(module_app.workspace, region).state is RegionState.DECIDED


def test_leaving_the_page_warns_only_about_what_is_begun(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    reviewer = open_reviewer(own_app)
    asked: list[str] = []
    reviewer.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    reviewer.decide("Space")
    reviewer.press("b")
    reviewer.stroke(inside(reviewer))
    reviewer.all_saved()
    reviewer.page.reload()
    reviewer.ready()
    assert asked == []
    reviewer.press("p")
    reviewer.stroke(inside(reviewer)[:1])
    reviewer.page.reload()
    reviewer.ready()
    assert asked == ["beforeunload"]


def test_a_tool_is_put_away_by_its_own_key_and_keeps_what_it_drew(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    known = len(decisions(module_app.workspace))
    reviewer.press("b")
    reviewer.stroke(inside(reviewer))
    reviewer.press("b")
    assert (reviewer.get("root.dataset.tool"), reviewer.get("root.dataset.strokes")) == ("none", "1")
    reviewer.all_saved()
    reviewer.page.reload()
    reviewer.ready()
    expect(reviewer.page.get_by_text("1 stroke is drawn here: Enter finishes the region")).to_be_visible()
    expect(reviewer.page.get_by_role("button", name="Finish region")).to_be_visible()
    reviewer.decide("2")
    assert [entry.kind for entry in decisions(module_app.workspace)[known:]] == [
        DecisionKind.DRAW,
        DecisionKind.RELABEL,
    ]


def test_nothing_changes_in_a_page_that_is_for_reading_only(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    reviewer = open_reviewer(own_app)
    reviewer.wait("app.lease.held?.is_mine")
    latest = open_reviewer(own_app, f"?region={reviewer.region}")
    latest.wait("app.lease.held?.is_mine")
    reviewer.page.bring_to_front()
    reviewer.get("app.lease.beat()")
    reviewer.wait("root.dataset.readonly === 'true'")
    before = reviewer.hash_of("label")
    for key in ("b", "3", "Space", "x", "Enter", "Control+z", "l", "g", "m"):
        reviewer.press(key)
    reviewer.stroke(inside(reviewer))
    assert reviewer.hash_of("label") == before
    assert "another tab" in reviewer.page.locator(".ps-status").inner_text()
    assert decisions(own_app.workspace) == []
    reviewer.take_over()
    reviewer.decide("Space")
    assert len(decisions(own_app.workspace)) == 1
