"""One visual channel, one meaning: what the overlay paints over which pixels."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.services.reviewing import ReviewService
from app.storage.database import open_store
from app.storage.runs import encode_runs
from tests.browser.conftest import LiveApp, ReviewerPage, in_thread
from tests.browser.stored import sha1
from tests.browser.workspace import NAMES, build_workspace

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]

_COLORS = """(kind) => {
  const { image, screen: { renderer, viewport }, current } = document.querySelector('#reviewer .ps').pixelsieve;
  const human = (p) => image.provenance[p] === 1;
  const wanted = {
    current: (p) => image.regions[p] === current.row.number,
    locked: (p) => image.reliable[p] === 1 && !human(p),
    waiting: (p) => image.isQueued(image.regions[p]) && image.regions[p] !== current.row.number && !human(p),
    human,
  }[kind];
  // Pixels with only their own region up to two pixels away, so that no outline, wide as it is on the screen, is there.
  const near = [-2, -1, 0, 1, 2].flatMap((dy) => [-2, -1, 0, 1, 2].map((dx) => dy * image.width + dx));
  const inner = (p) => near.every((step) => image.regions[p + step] === image.regions[p]
    && human(p + step) === human(p));
  const found = {};
  for (let y = 2; y < image.height - 2; y++) {
    for (let x = 2; x < image.width - 2; x++) {
      const p = y * image.width + x;
      if (!wanted(p) || !inner(p)) continue;
      const [left, top] = viewport.toScreen(x + 0.5, y + 0.5).map(Math.floor);
      const [right, bottom] = viewport.toScreen(x + 1.5, y + 1.5).map(Math.floor);
      if (left < 0 || top < 0 || right >= renderer.canvas.width || bottom >= renderer.canvas.height) continue;
      const rgba = renderer.layerContext.getImageData(left, top, 1, 1).data;
      (found[image.label[p]] ??= new Set()).add(rgba.join(','));
    }
  }
  return Object.fromEntries(Object.entries(found).map(([id, colors]) => [id, [...colors]]));
}"""


def colors_of(reviewer: ReviewerPage, kind: str) -> dict[int, list[str]]:
    """Overlay colours (r,g,b,a) by class id, over the inner pixels of one kind."""
    found: dict[str, Any] = reviewer.page.evaluate(_COLORS, kind)
    assert found, f"no {kind} pixel in view"
    return {int(class_id): colors for class_id, colors in found.items()}


def alpha(color: str) -> int:
    return int(color.split(",")[3])


def show_whole_image(reviewer: ReviewerPage) -> ReviewerPage:
    """Every pixel in view, painted now instead of with the next frame."""
    if not reviewer.get("app.viewport.isFitted"):
        reviewer.press("0")
    reviewer.page.evaluate("document.querySelector('#reviewer .ps').pixelsieve.screen.paint()")
    return reviewer


def decide_and_look(app: LiveApp, reviewer: ReviewerPage, key: str) -> None:
    """Decide a region, then open another region of the same image."""
    image = reviewer.image
    reviewer.decide(key)
    reviewer.page.goto(f"{app.url}/review?image_id={image}")
    reviewer.ready()
    assert reviewer.image == image
    show_whole_image(reviewer)


def test_current_region_shows_the_raw_pixels(reviewer: ReviewerPage) -> None:
    show_whole_image(reviewer)
    for colors in colors_of(reviewer, "current").values():
        assert {alpha(color) for color in colors} == {0}


def test_reliable_pixels_have_a_plain_fill_of_about_a_third(reviewer: ReviewerPage) -> None:
    show_whole_image(reviewer)
    for colors in colors_of(reviewer, "locked").values():
        assert len(colors) == 1
        assert alpha(colors[0]) == round(0.35 * 255)


def test_regions_that_wait_are_hatched_in_two_tones(reviewer: ReviewerPage) -> None:
    show_whole_image(reviewer)
    for colors in colors_of(reviewer, "waiting").values():
        assert len(colors) == 2


def test_decided_regions_have_a_plain_fill_and_void_is_crossed_out_in_grey(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    reviewer = open_reviewer(own_app)
    decide_and_look(own_app, reviewer, "2")
    assert [len(colors) for colors in colors_of(reviewer, "human").values()] == [1]
    reviewer.screenshot("reviewer-decided")
    with closing(open_store(own_app.workspace)) as store:
        kept = ReviewService(store).image_planes(reviewer.image)
    for name, plane in (("label", kept.label), ("provenance", kept.provenance)):
        assert reviewer.hash_of(name) == sha1(plane), name
    decide_and_look(own_app, reviewer, "x")
    colors = colors_of(reviewer, "human")[255]
    assert len(colors) == 2
    for color in colors:
        red, green, blue, _ = map(int, color.split(","))
        assert max(red, green, blue) - min(red, green, blue) <= 2


def test_region_opens_at_about_a_third_of_the_view(reviewer: ReviewerPage) -> None:
    for _ in range(4):
        x0, y0, x1, y1 = reviewer.page.evaluate("document.querySelector('#reviewer .ps').pixelsieve.current.row.bbox")
        share = reviewer.page.evaluate(
            """([width, height]) => { const { viewport } = document.querySelector('#reviewer .ps').pixelsieve;
            return Math.max(width * viewport.scale / viewport.width, height * viewport.scale / viewport.height); }""",
            [x1 - x0, y1 - y0],
        )
        assert 0.15 < share < 0.6
        reviewer.press("ArrowRight")
        reviewer.wait("String(app.current.row.bbox) !== argument", ",".join(map(str, (x0, y0, x1, y1))))


def test_outline_encloses_exactly_the_region(reviewer: ReviewerPage) -> None:
    enclosed, area = reviewer.page.evaluate(
        """async () => {
      const { image, current: { row } } = document.querySelector('#reviewer .ps').pixelsieve;
      const { traceOutline } = await import('/static/now/reviewer/outline.js');
      const shoelace = (loop) => loop.reduce((sum, [x, y], i) => {
        const [nextX, nextY] = loop[(i + 1) % loop.length];
        return sum + (x * nextY - nextX * y) / 2;
      }, 0);
      const loops = traceOutline(image.regions, image.width, row.number, row.bbox);
      return [loops.map(shoelace).reduce((a, b) => a + b, 0), row.area];
    }"""
    )
    assert enclosed == area


def test_outline_has_a_loop_for_every_hole(reviewer: ReviewerPage) -> None:
    loops = reviewer.page.evaluate(
        """async () => {
      const { traceOutline } = await import('/static/now/reviewer/outline.js');
      const ring = [1, 1, 1, 0,
                    1, 0, 1, 0,
                    1, 1, 1, 0,
                    0, 0, 0, 1];
      return traceOutline(Uint16Array.from(ring), 4, 1, [0, 0, 4, 4]).map((loop) => loop.length);
    }"""
    )
    assert sorted(loops) == [4, 4, 4]


def test_browser_and_server_write_the_same_runs(reviewer: ReviewerPage) -> None:
    written, plane, size = reviewer.page.evaluate(
        """async () => {
      const { encodeRuns, decodeRuns, deflate, inflate } = await import('/static/now/reviewer/wire.js');
      const { label, width, height } = document.querySelector('#reviewer .ps').pixelsieve.image;
      const runs = encodeRuns(label);
      const back = decodeRuns(await inflate(await deflate(runs)), new Uint8Array(label.length));
      if (back.some((id, p) => id !== label[p])) throw new Error('the round trip changed the plane');
      return [Array.from(runs), Array.from(label), [height, width]];
    }"""
    )
    assert bytes(written) == encode_runs(np.asarray(plane, np.uint8).reshape(size))


_PLACED = """() => {
  const { image, current, screen: { marks, viewport } } = document.querySelector('#reviewer .ps').pixelsieve;
  return marks.placeLetters(image, current.row.number).map(({ text, x, y }) => {
    const [imageX, imageY] = viewport.toImage(x, y).map(Math.floor);
    return { text, id: image.label[imageY * image.width + imageX] };
  });
}"""


def test_every_key_letter_lies_on_its_class_when_hues_repeat(reviewer: ReviewerPage) -> None:
    show_whole_image(reviewer)
    keys = {each["id"]: each["key"] for each in reviewer.get("app.session.classes")}  # type: ignore[attr-defined]
    placed = reviewer.page.evaluate(_PLACED)
    assert len(NAMES) > 8 and len(placed) >= 4
    assert [letter["text"] for letter in placed] == [keys[letter["id"]] for letter in placed]


def test_eight_classes_need_no_letters(tmp_path: Path, open_reviewer: OpenReviewer) -> None:
    with in_thread(build_workspace(tmp_path, pool=1, names=NAMES[:8])) as app:
        reviewer = open_reviewer(app)
        assert reviewer.get("app.screen.marks.letters") is None
        reviewer.page.close()


_ANCHOR_OF_RING = """async () => {
  const { findAnchors } = await import('/static/now/reviewer/anchors.js');
  const row = (inner) => [1, 1, 1, ...inner, 1, 1, 1];
  const [full, open] = [row([1, 1, 1]), row([0, 0, 0])];
  return findAnchors(Uint16Array.from([full, full, open, open, open, full, full].flat()), 9).get(1).at; }"""


def _middle_of_run(pixels: np.ndarray, width: int) -> int:
    """Of the pixels that follow each other in a row, with the middle one of all among them."""
    runs = np.split(pixels, np.flatnonzero((np.diff(pixels) != 1) | (pixels[1:] % width == 0)) + 1)
    run = next(run for run in runs if run[0] <= pixels[len(pixels) // 2] <= run[-1])
    return int(run[len(run) // 2])


def test_anchor_of_a_region_is_in_the_middle_of_the_run_with_its_middle_pixel(reviewer: ReviewerPage) -> None:
    found, regions, width = reviewer.page.evaluate(
        """() => {
      const { anchors, regions, width } = document.querySelector('#reviewer .ps').pixelsieve.image;
      return [[...anchors].map(([number, { at, area }]) => [number, at, area]), Array.from(regions), width];
    }"""
    )
    numbers = np.asarray(regions)
    expected = {}
    for number in sorted(set(numbers[(numbers > 0) & (numbers < 65534)].tolist())):
        pixels = np.flatnonzero(numbers == number)
        y, x = divmod(_middle_of_run(pixels, width), width)
        expected[number] = ([x + 0.5, y + 0.5], len(pixels))
    assert {number: (at, area) for number, at, area in found} == expected
    assert reviewer.page.evaluate(_ANCHOR_OF_RING) == [7.5, 3.5]  # Not at the hole.


def test_reliability_shows_the_map_of_every_image_that_comes_next(reviewer: ReviewerPage) -> None:
    reviewer.press("r")
    reviewer.wait("app.image.unreliability !== null")
    reviewer.get("app.open(app.feed.rows.find((row) => row.image_id !== app.image.id).region_id)")
    reviewer.wait("!app.isBusy && app.image.unreliability !== null && app.screen.renderer.hasLayer")
