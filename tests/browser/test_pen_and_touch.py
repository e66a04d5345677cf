"""Pen, fingers and the hand that rests beside them: who draws, who moves the view, and what is not meant."""

import json
from collections.abc import Callable
from enum import StrEnum

import pytest
from playwright.sync_api import BrowserContext, CDPSession

from tests.browser.conftest import LiveApp, ReviewerPage
from tests.browser.stored import sha1, stored_state
from tests.browser.test_drawing import commit, inside

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]


def test_pen_and_finger_draw_like_the_mouse(
    own_app: LiveApp, open_reviewer: OpenReviewer, context: BrowserContext
) -> None:
    reviewer = open_reviewer(own_app)
    devtools = context.new_cdp_session(reviewer.page)
    for send in (send_touch, send_pen):  # Where a pen is in use, fingers do not draw: so they come first.
        image = reviewer.image
        reviewer.press("b")
        reviewer.press("1")
        before = reviewer.hash_of("label")
        points = [reviewer.on_screen(*point) for point in inside(reviewer)]
        for number, point in enumerate([*points, points[-1]]):
            send(devtools, point, Phase.START if number == 0 else Phase.END if number == len(points) else Phase.MOVE)
        reviewer.wait("root.dataset.strokes === '1'")
        drawn = reviewer.hash_of("label")
        assert drawn != before, send.__name__
        commit(reviewer)
        assert sha1(stored_state(own_app.workspace, image).label) == drawn, send.__name__


class Phase(StrEnum):
    """What happens at a point of a stroke."""

    START = "start"
    MOVE = "move"
    END = "end"


def send_pen(devtools: CDPSession, point: tuple[float, float], phase: Phase) -> None:
    x, y = point
    name = {Phase.START: "mousePressed", Phase.MOVE: "mouseMoved", Phase.END: "mouseReleased"}[phase]
    event = {"type": name, "x": x, "y": y, "button": "left", "buttons": 1, "pointerType": "pen", "clickCount": 1}
    devtools.send("Input.dispatchMouseEvent", event)


def send_touch(devtools: CDPSession, point: tuple[float, float], phase: Phase) -> None:
    x, y = point
    name = {Phase.START: "touchStart", Phase.MOVE: "touchMove", Phase.END: "touchEnd"}[phase]
    touched = [] if phase is Phase.END else [{"x": x, "y": y}]
    devtools.send("Input.dispatchTouchEvent", {"type": name, "touchPoints": touched})


def test_two_fingers_zoom_and_draw_nothing(reviewer: ReviewerPage) -> None:
    initial, scale = reviewer.hash_of("label"), float(str(reviewer.get("app.viewport.scale")))
    reviewer.press("b")
    reviewer.press("1")
    x, y = reviewer.on_screen(*inside(reviewer)[0])
    devtools = reviewer.page.context.new_cdp_session(reviewer.page)

    def touch(name: str, *spread: float) -> None:
        points = [{"x": x + offset, "y": y, "id": number} for number, offset in enumerate(spread)]
        devtools.send("Input.dispatchTouchEvent", {"type": name, "touchPoints": points})

    touch("touchStart", 0)
    touch("touchStart", 0, 60)
    touch("touchMove", 0, 120)
    touch("touchEnd")
    reviewer.wait("app.viewport.scale > argument", scale * 1.5)
    assert reviewer.hash_of("label") == initial
    assert reviewer.get("root.dataset.strokes") == "0"


def pointer(reviewer: ReviewerPage, name: str, point: tuple[float, float], **fields: object) -> None:
    """Dispatch one pointer event at a point of the image."""
    x, y = reviewer.on_screen(*point)
    made = {"bubbles": True, "cancelable": True, "clientX": x, "clientY": y, "pointerId": 1, "pointerType": "pen"}
    reviewer.page.evaluate(
        """([name, made]) => document.querySelector('.ps-stage').dispatchEvent(new PointerEvent(name, made))""",
        [name, {**made, **fields}],
    )


def pen_stroke(reviewer: ReviewerPage, points: list[tuple[float, float]], **fields: object) -> None:
    pointer(reviewer, "pointerdown", points[0], button=0, buttons=1, **fields)
    for point in points[1:]:
        pointer(reviewer, "pointermove", point, button=-1, buttons=1, **fields)
    pointer(reviewer, "pointerup", points[-1], button=0, buttons=0, **fields)


def test_the_other_end_of_the_pen_erases(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    image, points = reviewer.image, inside(reviewer)
    model = reviewer.hash_of("proposal")
    reviewer.press("b")
    reviewer.press("x")
    pen_stroke(reviewer, points)
    assert reviewer.hash_of("label") != model
    pointer(reviewer, "pointerdown", points[0], button=5, buttons=32)
    for point in points[1:]:
        pointer(reviewer, "pointermove", point, button=-1, buttons=32)
    pointer(reviewer, "pointerup", points[-1], button=5, buttons=0)
    reviewer.all_saved()
    assert reviewer.hash_of("label") == model == sha1(stored_state(module_app.workspace, image).label)
    assert reviewer.get("root.dataset.strokes") == "2"


def test_a_stroke_that_the_system_takes_away_leaves_nothing(reviewer: ReviewerPage) -> None:
    points = inside(reviewer)
    initial = reviewer.hash_of("label"), reviewer.hash_of("touched"), reviewer.hash_of("provenance")
    reviewer.press("b")
    reviewer.press("x")
    pointer(reviewer, "pointerdown", points[0], button=0, buttons=1)
    pointer(reviewer, "pointermove", points[1], button=-1, buttons=1)
    assert reviewer.hash_of("label") != initial[0]
    pointer(reviewer, "pointercancel", points[1], button=-1, buttons=0)
    assert (reviewer.hash_of("label"), reviewer.hash_of("touched"), reviewer.hash_of("provenance")) == initial
    assert reviewer.get("root.dataset.strokes") == "0"
    pen_stroke(reviewer, points)
    assert reviewer.get("root.dataset.strokes") == "1"


def test_a_hand_that_rests_while_the_pen_draws_changes_nothing(reviewer: ReviewerPage) -> None:
    points = inside(reviewer)
    reviewer.press("b")
    reviewer.press("2")
    pen_stroke(reviewer, points)
    expected = reviewer.hash_of("label")
    reviewer.press("Control+z")
    view = reviewer.get("[app.viewport.x, app.viewport.y, app.viewport.scale]")
    hand = {"pointerType": "touch", "pointerId": 9}
    pointer(reviewer, "pointerdown", points[0], button=0, buttons=1)
    pointer(reviewer, "pointerdown", (points[0][0] + 30, points[0][1] + 30), button=0, buttons=1, **hand)
    for point in points[1:]:
        pointer(reviewer, "pointermove", point, button=-1, buttons=1)
        pointer(reviewer, "pointermove", (point[0] + 33, point[1] + 20), button=-1, buttons=1, **hand)
    pointer(reviewer, "pointerup", points[-1], button=0, buttons=0)
    pointer(reviewer, "pointerup", points[-1], button=0, buttons=0, **hand)
    assert reviewer.hash_of("label") == expected
    assert reviewer.get("root.dataset.strokes") == "1"
    assert reviewer.get("[app.viewport.x, app.viewport.y, app.viewport.scale]") == view


def test_where_a_pen_is_in_use_fingers_move_the_view_and_never_draw(reviewer: ReviewerPage) -> None:
    points = inside(reviewer)
    reviewer.press("b")
    pen_stroke(reviewer, points)
    drawn, x = reviewer.hash_of("label"), float(str(reviewer.get("app.viewport.x")))
    reviewer.get("app.drawing.input.penSeen -= 10000")  # The pen was put away a while ago.
    finger = {"pointerType": "touch", "pointerId": 9}
    pen_stroke(reviewer, points, **finger)
    assert reviewer.hash_of("label") == drawn
    assert float(str(reviewer.get("app.viewport.x"))) != x


def test_all_points_of_a_fast_pen_are_drawn(reviewer: ReviewerPage) -> None:
    points = inside(reviewer)
    reviewer.press("b")
    reviewer.press("x")
    pen_stroke(reviewer, points)
    expected = reviewer.hash_of("label")
    reviewer.press("Control+z")
    assert reviewer.hash_of("label") != expected
    between = json.dumps([reviewer.on_screen(*point) for point in points])
    pointer(reviewer, "pointerdown", points[0], button=0, buttons=1)
    reviewer.page.evaluate(
        f"""() => {{
        const event = (x, y) => new PointerEvent('pointermove', {{
          bubbles: true, clientX: x, clientY: y, pointerId: 1, pointerType: 'pen', button: -1, buttons: 1 }});
        const all = {between}.map(([x, y]) => event(x, y));
        const last = all.at(-1);
        Object.defineProperty(last, 'getCoalescedEvents', {{ value: () => all }});
        document.querySelector('.ps-stage').dispatchEvent(last);
        }}"""
    )
    pointer(reviewer, "pointerup", points[-1], button=0, buttons=0)
    assert reviewer.hash_of("label") == expected
