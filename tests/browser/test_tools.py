"""Superpixels, polygon and fill: by mouse and by keyboard, clipped to unlocked pixels, and stored as they are shown."""

import base64
import random
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Route

from datasets.labels import Provenance
from tests.browser.conftest import LiveApp, ReviewerPage, Watched
from tests.browser.stored import decisions, locked_mask, sha1, stored_state

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
TILES = "**/superpixels?*"


def plane(reviewer: ReviewerPage, name: str) -> NDArray[np.uint8]:
    """(H, W), one of the browser's planes."""
    encoded, height, width = reviewer.page.evaluate(
        """(name) => { const { image } = document.querySelector('#reviewer .ps').pixelsieve; let text = '';
        for (let i = 0; i < image[name].length; i += 0x8000) {
          text += String.fromCharCode(...image[name].subarray(i, i + 0x8000)); }
        return [btoa(text), image.height, image.width]; }""",
        name,
    )
    return np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(height, width)


def region_mask(reviewer: ReviewerPage) -> NDArray[np.bool_]:
    """(H, W), the current region's pixels."""
    pixels = reviewer.get(
        "[...app.image.regions.keys()].filter((p) => app.image.regions[p] === app.current.row.number)"
    )
    mask = np.zeros(reviewer.get("app.image.width * app.image.height"), np.bool_)
    mask[pixels] = True
    return mask.reshape(int(str(reviewer.get("app.image.height"))), -1)


def middle(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """A point of a mask, far from its border."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    return float(column) + 0.5, float(row) + 0.5


def click(reviewer: ReviewerPage, point: tuple[float, float]) -> None:
    reviewer.page.mouse.click(*reviewer.on_screen(*point))


def same_on_disk(reviewer: ReviewerPage, app: LiveApp) -> None:
    """What is shown is what is stored."""
    reviewer.all_saved()
    state = stored_state(app.workspace, reviewer.image)
    shown = reviewer.hash_of("label"), reviewer.hash_of("provenance")
    assert shown == (sha1(state.label), sha1(state.provenance))


def superpixel_mask(reviewer: ReviewerPage, point: tuple[float, float]) -> NDArray[np.bool_]:
    """(H, W), the superpixel under a point, as the browser has it."""
    pixels = reviewer.get(
        f"""(() => {{ const {{ level, superpixels }} = app.drawing.tools.superpixels;
        const {{ tile, number }} = superpixels.at(level, {int(point[0])}, {int(point[1])}); const found = [];
        tile.forEach(number, (x, y) => found.push(y * app.image.width + x)); return found; }})()"""
    )
    mask = np.zeros(region_mask(reviewer).size, np.bool_)
    mask[pixels] = True
    return mask.reshape(region_mask(reviewer).shape)


def superpixels_on(reviewer: ReviewerPage) -> None:
    reviewer.press("w")
    reviewer.wait("root.dataset.tool === 'superpixels' && !app.drawing.superpixels.isLoading")


def test_a_click_paints_one_superpixel_up_to_the_locked_pixels(
    module_app: LiveApp, reviewer: ReviewerPage, watched: Watched
) -> None:
    before, locked = plane(reviewer, "label"), locked_mask(module_app.workspace, reviewer.image)
    superpixels_on(reviewer)
    reviewer.press("x")
    point = middle(region_mask(reviewer))
    expected = superpixel_mask(reviewer, point) & ~locked
    click(reviewer, point)
    assert np.array_equal(plane(reviewer, "label"), np.where(expected, 255, before))
    assert 20 < expected.sum() < 2000
    same_on_disk(reviewer, module_app)
    reviewer.screenshot("reviewer-superpixels")
    assert watched.errors == []


def test_a_drag_paints_every_superpixel_on_its_way_as_one_stroke(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    superpixels_on(reviewer)
    reviewer.press("x")
    x, y = middle(region_mask(reviewer))
    way = [(x - 12, y), (x + 12, y)]
    expected = np.zeros(region_mask(reviewer).shape, np.bool_)
    for step in np.linspace(x - 12, x + 12, 49):
        expected |= superpixel_mask(reviewer, (float(step), y))
    expected &= ~locked_mask(module_app.workspace, reviewer.image)
    reviewer.stroke(way)
    assert np.array_equal(plane(reviewer, "label") == 255, expected)
    assert reviewer.get("root.dataset.strokes") == "1"
    same_on_disk(reviewer, module_app)


def test_brackets_change_the_size_of_superpixels_in_four_steps(reviewer: ReviewerPage) -> None:
    superpixels_on(reviewer)
    point = middle(region_mask(reviewer))
    for _ in range(4):
        reviewer.press("[")
    areas, names = [], []
    for _ in range(5):
        reviewer.wait("!app.drawing.superpixels.isLoading")
        areas.append(int(superpixel_mask(reviewer, point).sum()))
        names.append(reviewer.page.locator(".ps-size").inner_text())
        reviewer.press("]")
    assert names == ["small", "medium", "large", "very large", "very large"]
    assert areas[3] == areas[4] and areas[0] < areas[2] < areas[3]


def test_the_brush_begins_and_grows_in_proportion_to_image_and_zoom(reviewer: ReviewerPage) -> None:
    first, large, zoomed = reviewer.page.evaluate(
        """async () => {
        const { firstDiameter } = await import('/static/now/reviewer/tools/brush.js');
        const at = (width, height, scale) => firstDiameter({ width, height }, { scale, ratio: 1 });
        return [at(480, 360, 2), at(4000, 3000, 0.3), at(4000, 3000, 4)]; }"""
    )
    assert (first, large, zoomed) == (9, 75, 10)
    reviewer.press("b")
    reviewer.get("app.drawing.chooseDiameter(75)")
    presses = 0
    while int(str(reviewer.get("app.drawing.diameter"))) < 200:
        reviewer.press("]")
        presses += 1
    assert presses == 6


def test_superpixels_are_fetched_when_they_are_first_needed(reviewer: ReviewerPage) -> None:
    asked: list[str] = []
    reviewer.page.on("request", lambda request: asked.append(request.url) if "superpixels?" in request.url else None)
    reviewer.press("b")
    click(reviewer, middle(region_mask(reviewer)))
    assert asked == []
    superpixels_on(reviewer)
    assert len(asked) == 1


def test_strokes_begun_before_their_superpixels_came_are_finished_in_order_when_they_do(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    held: list[Route] = []
    reviewer.page.route(TILES, lambda route: held.append(route))
    reviewer.press("w")
    reviewer.press("x")
    region = reviewer.region
    click(reviewer, middle(region_mask(reviewer)))
    reviewer.press("3")
    click(reviewer, middle(region_mask(reviewer)))
    for key in ("Enter", "b"):  # Neither may lose the clicks.
        reviewer.press(key)
        assert "2 clicks wait" in reviewer.page.locator(".ps-status").inner_text()
    assert (reviewer.get("root.dataset.strokes"), reviewer.region) == ("0", region)
    for route in held:
        route.continue_()
    reviewer.wait("root.dataset.strokes === '2'")
    same_on_disk(reviewer, module_app)


def test_superpixels_that_cannot_be_loaded_leave_nothing_half_done(reviewer: ReviewerPage) -> None:
    before = reviewer.hash_of("label")
    reviewer.page.route(TILES, lambda route: route.abort())
    reviewer.press("w")
    click(reviewer, middle(region_mask(reviewer)))
    reviewer.wait("document.querySelector('.ps-status').textContent.includes('could not be loaded')")
    assert reviewer.hash_of("label") == before
    reviewer.page.unroute(TILES)
    reviewer.press("]")
    reviewer.wait("!app.drawing.superpixels.isLoading")
    click(reviewer, middle(region_mask(reviewer)))
    reviewer.wait("root.dataset.strokes === '1'")


def test_a_polygon_fills_the_pixels_inside_and_no_locked_one(
    module_app: LiveApp, reviewer: ReviewerPage, watched: Watched
) -> None:
    before, locked = plane(reviewer, "label"), locked_mask(module_app.workspace, reviewer.image)
    reviewer.press("p")
    reviewer.press("x")
    x, y = middle(region_mask(reviewer))
    for dx, dy in ((-20, -12), (22, -10), (14, 18), (-16, 15)):
        click(reviewer, (x + dx, y + dy))
    reviewer.screenshot("reviewer-polygon")
    corners = np.array(reviewer.get("app.drawing.tools.polygon.corners"), np.float32)
    assert plane(reviewer, "label").tobytes() == before.tobytes()
    reviewer.press("Enter")
    depth = np.array(
        [
            [cv2.pointPolygonTest(corners, (column + 0.5, row + 0.5), measureDist=True) for column in range(480)]
            for row in range(360)
        ]
    )
    expected = np.where((depth > 0) & ~locked, 255, before)
    clear = np.abs(depth) > 0.01  # A pixel whose middle lies on the border may go either way.
    assert np.array_equal(plane(reviewer, "label")[clear], expected[clear])
    same_on_disk(reviewer, module_app)
    assert watched.errors == []


def test_corners_are_taken_back_one_by_one_and_all_at_once(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    before = len(decisions(module_app.workspace))
    x, y = middle(region_mask(reviewer))
    corners = "app.drawing.tools.polygon.corners.length"
    reviewer.press("p")
    for dx, dy in ((-20, -12), (22, -10), (14, 18), (0, 20)):
        click(reviewer, (x + dx, y + dy))
    assert reviewer.page.locator(".ps-status").inner_text().count("Enter") == 1
    for key, left in (("Backspace", 3), ("Control+z", 2), ("Enter", 2), ("Escape", 0)):
        reviewer.press(key)
        assert reviewer.get(corners) == left, key
    assert reviewer.get("root.dataset.tool") == "polygon"
    assert len(decisions(module_app.workspace)) == before


def test_a_double_click_closes_a_polygon(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    x, y = middle(region_mask(reviewer))
    reviewer.press("p")
    for dx, dy in ((-20, -12), (22, -10)):
        click(reviewer, (x + dx, y + dy))
    reviewer.page.mouse.dblclick(*reviewer.on_screen(x + 14, y + 18))
    reviewer.wait("root.dataset.strokes === '1'")
    same_on_disk(reviewer, module_app)


def test_fill_takes_the_connected_area_of_one_class_inside_the_region(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    region, before = region_mask(reviewer), plane(reviewer, "label")
    locked = locked_mask(module_app.workspace, reviewer.image)
    point = middle(region)
    inside = (region & ~locked & (before == before[int(point[1]), int(point[0])])).astype(np.uint8)
    numbers = cv2.connectedComponents(inside, connectivity=4)[1]
    expected = numbers == numbers[int(point[1]), int(point[0])]
    reviewer.press("k")
    reviewer.press("x")
    click(reviewer, point)
    assert np.array_equal(plane(reviewer, "label"), np.where(expected, 255, before))
    same_on_disk(reviewer, module_app)


def test_drawing_on_locked_pixels_says_so_and_draws_when_they_are_unlocked(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    before, locked = plane(reviewer, "label"), locked_mask(module_app.workspace, reviewer.image)
    reviewer.press("0")
    point = middle(locked & (before == before[locked][0]))
    for tool in "bk":
        reviewer.press(tool)
        reviewer.press("x")
        click(reviewer, point)
        assert "Nothing is drawn" in reviewer.page.locator(".ps-status").inner_text(), tool
        assert reviewer.get("root.dataset.strokes") == "0"
        assert np.array_equal(plane(reviewer, "label"), before)
    reviewer.press("l")
    click(reviewer, point)
    assert (plane(reviewer, "label") != before)[locked].any()
    same_on_disk(reviewer, module_app)
    assert decisions(module_app.workspace)[-1].lock_override


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_random_strokes_of_all_tools_change_no_locked_pixel(
    seed: int, module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    chance = random.Random(seed)
    before = stored_state(module_app.workspace, reviewer.image)
    locked = locked_mask(module_app.workspace, reviewer.image)
    reviewer.press("0")
    for _ in range(14):
        tool = chance.choice("bewpk")
        if (
            reviewer.get("root.dataset.tool")
            != {"b": "brush", "e": "eraser", "w": "superpixels", "p": "polygon", "k": "fill"}[tool]
        ):
            reviewer.press(tool)
        reviewer.wait("!app.drawing.superpixels.isLoading")
        reviewer.press(chance.choice("[]"))
        if tool != "e":
            reviewer.press(chance.choice("123456789x"))
        points = [(chance.uniform(2, 478), chance.uniform(2, 358)) for _ in range(4)]
        if tool in "pk":
            for point in points:
                click(reviewer, point)
            reviewer.press("Enter") if tool == "p" else None
        else:
            reviewer.stroke(points)
        reviewer.wait("!app.drawing.isActive")
    same_on_disk(reviewer, module_app)
    after = stored_state(module_app.workspace, reviewer.image)
    assert (after.label != before.label).sum() > 300
    assert np.array_equal(after.label[locked], before.label[locked])
    assert not (after.provenance[locked] == Provenance.HUMAN).any()


def test_all_tools_draw_with_the_keyboard_alone(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    status = reviewer.page.locator(".ps-status")
    counts = []
    for tool, keys in (
        ("b", ["4", "Space"]),
        ("w", ["5", "Space"]),
        ("p", ["6", "Space", "Shift+ArrowRight", "Space", "Shift+ArrowDown", "Space", "Enter"]),
        ("k", ["7", "Space"]),
        ("e", ["Space"]),
    ):
        reviewer.press(tool)
        reviewer.wait("!app.drawing.superpixels.isLoading")
        for key in keys:
            reviewer.press(key)
        counts.append(int(str(reviewer.get("root.dataset.strokes"))))
        assert status.inner_text()[0].isdigit(), "the place of the cross comes first"
    assert counts == [1, 2, 3, 4, 5]
    same_on_disk(reviewer, module_app)


def test_space_held_down_draws_a_line_and_shift_space_holds_it(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    reviewer.press("b")
    reviewer.press("x")
    reviewer.page.keyboard.down("Space")
    for _ in range(3):
        reviewer.press("Shift+ArrowRight")
    reviewer.page.keyboard.up("Space")
    assert reviewer.get("root.dataset.strokes") == "1"
    held = reviewer.hash_of("label")
    reviewer.press("Control+z")
    for _ in range(3):
        reviewer.press("Shift+ArrowLeft")
    reviewer.press("Shift+Space")
    assert "Held down" in reviewer.page.locator(".ps-status").inner_text()
    for _ in range(3):
        reviewer.press("Shift+ArrowRight")
    reviewer.press("Space")
    assert reviewer.hash_of("label") == held
    assert reviewer.get("root.dataset.strokes") == "1"
    same_on_disk(reviewer, module_app)


def test_the_cross_of_the_keyboard_stays_in_view(reviewer: ReviewerPage) -> None:
    reviewer.press("b")
    for _ in range(40):
        reviewer.press("Shift+ArrowLeft")
    x, y = reviewer.get("app.viewport.toScreen(...app.drawing.at)")  # type: ignore[misc]
    assert 0 <= x <= float(str(reviewer.get("app.viewport.width")))
    assert 0 <= y <= float(str(reviewer.get("app.viewport.height")))
    assert str(reviewer.page.locator(".ps-status").inner_text()).startswith("0, ")
