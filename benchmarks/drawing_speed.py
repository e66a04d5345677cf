"""How fast drawing is in a real browser, on large pictures beside small ones: handlers, frames, saves, undo.

python -m benchmarks.drawing_speed [--size 4000x3000] [--turns 3] [--name drawing]

Makes a workspace of small and one of large pictures, serves both, and draws on them in turns in one Chromium. The ratio
of two medians from the same run says what size costs; milliseconds depend on the machine and on what else it does.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.large_workspace import SIZE_WH, build, parse_size
from benchmarks.reviewer_speed import FLAGS
from benchmarks.served import START_S, served
from benchmarks.side_by_side import RESULTS_FOLDER, describe_machine, summary

SMALL_WH = (480, 360)
IMAGES = 2
MOVES = 120
"""Pointer events of a stroke; a mouse sends 60-125 in a second, a pen up to 240."""

_ROOT = "document.querySelector('#reviewer .ps')"
_WATCH = """() => {
  const stage = document.querySelector('.ps-stage');
  window.times = { move: [], up: [], down: [], frame: [] };
  const names = { pointermove: 'move', pointerup: 'up', pointerdown: 'down' };
  for (const [type, name] of Object.entries(names)) {
    let start = 0;
    addEventListener(type, () => { start = performance.now(); }, true);
    stage.addEventListener(type, () => times[name].push(performance.now() - start));  // Behind the page's own.
  }
  let last = null;
  const step = (time) => {
    if (window.isWatchingFrames) { if (last !== null) times.frame.push(time - last); last = time; } else last = null;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}"""
_PRESS_UNDO = f"""async (shiftKey) => {{
  const app = {_ROOT}.pixelsieve;
  const {{ history }} = app.editing;
  while (app.isBusy) await new Promise((resolve) => setTimeout(resolve, 0));
  const before = history.done.length;
  const start = performance.now();
  const keys = {{ key: 'z', ctrlKey: true, shiftKey, bubbles: true, cancelable: true }};
  document.querySelector('.ps-stage').dispatchEvent(new KeyboardEvent('keydown', keys));
  while (history.done.length === before) await new Promise((resolve) => setTimeout(resolve, 0));
  await new Promise((resolve) => requestAnimationFrame(resolve));
  return performance.now() - start;
}}"""
_TAKE = "(name) => times[name].splice(0)"
Found = dict[str, list[float]]


class Drawer:
    """One page on which strokes are drawn."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        page.goto(f"{url}/review")
        page.wait_for_selector("#reviewer .ps[data-hydrated]", state="attached", timeout=1000 * START_S)
        page.evaluate(_WATCH)
        box = page.locator(".ps-stage").bounding_box()
        assert box is not None
        self._middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def measure(self) -> Found:
        """One turn: milliseconds by what was done."""
        self._page.bring_to_front()
        found: Found = {}
        self._page.keyboard.press("l")  # Locked pixels would make the work smaller.
        self._tool("b")
        for name, larger in (("brush 9 px", 0), ("brush 200 px", 40)):
            for _ in range(larger):
                self._page.keyboard.press("]")
            found |= self._stroke(name)
            for _ in range(larger):
                self._page.keyboard.press("[")
        self._tool("w")
        self._page.wait_for_function(f"!{_ROOT}.pixelsieve.drawing.superpixels.isLoading", timeout=1000 * START_S)
        found |= self._stroke("superpixels")
        self._tool("k")
        self._take("down")
        self._page.mouse.click(*self._middle)
        found["fill: click"] = self._take("down")
        found |= self._undo()
        self._page.keyboard.press("k")  # Puts the tool away.
        self._page.keyboard.press("l")
        return found

    def _tool(self, key: str) -> None:
        """Choose a tool that is not on, and what it draws."""
        self._page.keyboard.press(key)
        self._page.keyboard.press("2")

    def _stroke(self, name: str) -> Found:
        x, y = self._middle
        self._page.mouse.move(x, y)
        self._page.mouse.down()
        self._take("move"), self._take("frame"), self._take("up")
        self._page.evaluate("void (window.isWatchingFrames = true)")
        for step in range(MOVES):
            across = (step % 40 - 20) if step // 40 % 2 else (20 - step % 40)
            self._page.mouse.move(x + 6 * across, y + 3 * across + step)
        self._page.evaluate("void (window.isWatchingFrames = false)")
        self._page.mouse.up()
        found = {f"{name}: pointer move": self._take("move"), f"{name}: frame": self._take("frame")}
        saved = self._page.evaluate(
            f"""async () => {{ const start = performance.now(); const app = {_ROOT}.pixelsieve;
            while (app.editing.unanswered.size > 0) await new Promise((resolve) => setTimeout(resolve, 2));
            return performance.now() - start; }}"""
        )
        return {**found, f"{name}: pointer up": self._take("up"), f"{name}: saved after": [saved]}

    def _undo(self) -> Found:
        """Every stroke of the turn is taken back and done again once, then taken back for the next turn."""
        count = self._page.evaluate(f"Number({_ROOT}.dataset.strokes)")
        found: Found = {}
        for name, shift in (("undo", False), ("redo", True), ("", False)):
            for _ in range(count):
                seen = self._page.evaluate(_PRESS_UNDO, shift)
                if name:
                    found.setdefault(f"{name}: seen after", []).append(seen)
            self._page.wait_for_function(f"{_ROOT}.dataset.saving === 'saved'", timeout=1000 * START_S)
        return found

    def _take(self, name: str) -> list[float]:
        return list(self._page.evaluate(_TAKE, name))


def measure(size_wh: tuple[int, int], turns: int) -> dict[str, Found]:
    """Milliseconds by size and by what was done."""
    chromium = os.environ.get("PIXELSIEVE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        drawers = {}
        for name, size in (("small", SMALL_WH), ("large", size_wh)):
            server = stack.enter_context(served(build(folder / name, size, IMAGES)))
            drawers[name] = Drawer(browser.new_page(viewport={"width": 1440, "height": 900}), server.url)
        found: dict[str, Found] = {name: {} for name in drawers}
        for turn in range(turns + 1):
            for name, drawer in drawers.items():
                for what, times in drawer.measure().items():
                    if turn > 0:  # The first one warms up.
                        found[name].setdefault(what, []).extend(times)
        browser.close()
    return found


def _row(small: list[float], large: list[float]) -> tuple[dict[str, float], dict[str, float], float]:
    """Both summaries, and the ratio of the medians; below 0.05 ms a browser's clock says nothing."""
    ratio = statistics.median(large) / max(statistics.median(small), 0.05)
    return summary(small), summary(large), round(ratio, 2)


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=parse_size, default=SIZE_WH, help="of the large pictures (default 4000x3000)")
    parser.add_argument("--turns", type=int, default=3, help="how often everything is drawn on each (default 3)")
    parser.add_argument("--name", help="write benchmarks/results/<name>.json (default: only print)")
    arguments = parser.parse_args()
    found = measure(arguments.size, arguments.turns)
    rows = {what: _row(found["small"][what], large) for what, large in found["large"].items()}
    table = Table("what", "count", "small: median ms", "95 % below", "large: median ms", "95 % below", "ratio")
    for what, (small, large, ratio) in rows.items():
        cells = (large["count"], small["median_ms"], small["p95_ms"], large["median_ms"], large["p95_ms"], ratio)
        table.add_row(what, *(f"{cell:g}" for cell in cells))
    Console().print(table)
    if arguments.name:
        facts = {"small_wh": SMALL_WH, "large_wh": arguments.size, "turns": arguments.turns, "moves": MOVES}
        times = {what: dict(zip(("small", "large", "ratio"), row, strict=True)) for what, row in rows.items()}
        result = {"name": arguments.name, "facts": facts, "milliseconds": times, "machine": describe_machine()}
        (RESULTS_FOLDER / f"{arguments.name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
