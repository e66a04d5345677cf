"""Zoom and place are never lost: not to the next region, a way back, another window, another mode or a reload."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ReviewerPage

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
_SAME_IMAGE = """(() => { const { current, image, feed } = app;
  return [...image.byNumber.values()].map(({ region_id: id }) => id).find((id) => id !== current.row.region_id); })()"""


def look(reviewer: ReviewerPage) -> tuple[float, float, float]:
    """Scale in CSS pixels per image pixel, and the image point in the middle of the view."""
    state = reviewer.page.evaluate("document.querySelector('#reviewer .ps').pixelsieve.viewport.state")
    return round(state["scale"], 4), round(state["center"][0], 1), round(state["center"][1], 1)


def open_region(reviewer: ReviewerPage, region_id: int) -> None:
    reviewer.page.evaluate("(id) => document.querySelector('#reviewer .ps').pixelsieve.open(id)", region_id)
    reviewer.wait("root.dataset.region === argument", str(region_id))


def test_zoom_is_kept_on_the_way_to_the_next_region_of_the_image_and_the_view_on_the_way_back(
    reviewer: ReviewerPage,
) -> None:
    first, other = reviewer.region, int(str(reviewer.get(_SAME_IMAGE)))
    reviewer.press("+")
    reviewer.press("+")
    reviewer.press("Control+ArrowRight")
    left = look(reviewer)
    open_region(reviewer, other)
    assert look(reviewer)[0] == left[0]
    assert look(reviewer)[1:] != left[1:]
    open_region(reviewer, first)
    assert look(reviewer) == left


def test_view_survives_another_window_size_other_modes_and_a_reload(reviewer: ReviewerPage) -> None:
    reviewer.press("-")
    reviewer.press("Control+ArrowDown")
    left = look(reviewer)
    for key in "rdhh":
        reviewer.press(key)
    reviewer.page.set_viewport_size({"width": 900, "height": 1200})
    reviewer.wait("app.viewport.width < 900 && app.viewport.height === app.view.base.height")
    assert look(reviewer) == left
    reviewer.page.set_viewport_size({"width": 1440, "height": 900})
    reviewer.wait("app.viewport.width > 900")
    reviewer.page.reload()
    reviewer.ready()
    assert look(reviewer) == left


def test_a_region_is_shown_whole_however_far_somebody_zoomed_into_another_one(reviewer: ReviewerPage) -> None:
    first, other = reviewer.region, int(str(reviewer.get(_SAME_IMAGE)))
    sign = reviewer.page.get_by_text("Not all of this region is in view")
    expect(sign).to_be_hidden()
    for _ in range(12):
        reviewer.press("+")
    expect(sign).to_be_visible()
    left = look(reviewer)
    open_region(reviewer, other)
    assert reviewer.get("app.viewport.holds(app.current.row.bbox)")
    expect(sign).to_be_hidden()
    open_region(reviewer, first)
    assert look(reviewer) == left
    reviewer.press("0")
    expect(sign).to_be_hidden()


def test_what_nobody_moved_is_framed_anew_in_another_window(reviewer: ReviewerPage) -> None:
    for keys, scale in (("", "openingScale(app.current.row.bbox)"), ("0", "fitScale")):
        for key in keys:
            reviewer.press(key)
        for width, height in ((1024, 640), (1440, 900)):
            reviewer.page.set_viewport_size({"width": width, "height": height})
            reviewer.wait(f"window.innerWidth === {width} && app.viewport.width === app.view.stage.clientWidth")
            share = f"app.viewport.state.scale * app.viewport.ratio / app.viewport.{scale}"
            reviewer.wait(f"Math.abs({share} - 1) < 1e-6 && app.viewport.holds(app.current.row.bbox)")


def test_keys_pan_and_zoom_around_the_middle(reviewer: ReviewerPage) -> None:
    scale, x, y = look(reviewer)
    reviewer.press("Control+ArrowRight")
    reviewer.press("Control+ArrowUp")
    moved = look(reviewer)
    assert moved[0] == scale and moved[1] > x and moved[2] < y
    reviewer.press("+")
    assert look(reviewer)[0] > scale and look(reviewer)[1:] == moved[1:]


def test_zooming_by_key_keeps_the_cross_of_the_keyboard_where_it_is(reviewer: ReviewerPage) -> None:
    for key in ("b", "Shift+ArrowRight", "Shift+ArrowDown"):
        reviewer.press(key)
    at = reviewer.get("app.viewport.toScreen(...app.drawing.at)")
    for _ in range(6):
        reviewer.press("+")
    assert reviewer.get("app.viewport.toScreen(...app.drawing.at)") == pytest.approx(at, abs=0.01)


def test_everything_but_the_region_is_darkened_only_when_asked_for(reviewer: ReviewerPage) -> None:
    reviewer.press("h")
    brightness = """(() => { const { renderer } = app.screen;
      return renderer.context.getImageData(4, 4, 40, 40).data.reduce((sum, value) => sum + value, 0); })()"""
    plain = float(str(reviewer.get(brightness)))
    reviewer.press("Shift+H")
    assert float(str(reviewer.get(brightness))) < 0.8 * plain
    reviewer.press("Shift+H")
    assert float(str(reviewer.get(brightness))) == plain
