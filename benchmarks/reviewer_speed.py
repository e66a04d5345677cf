"""How fast the reviewer answers in a real browser: from the key to the next region painted, saving, moving, drawing.

python -m benchmarks.reviewer_speed [--workspace folder/workspace] [--size 4000x3000] [--regions 30]

Makes a workspace with large pictures (or takes one: its regions get decided), serves it, and drives Chromium.
"""

import argparse
import itertools
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from app.config import Workspace
from benchmarks.large_workspace import IMAGES, SIZE_WH, build, parse_size
from benchmarks.served import START_S, served
from benchmarks.side_by_side import RESULTS_FOLDER, describe_machine, summary

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
THINK_MS = 600
"""A fast person between two regions; 0 is a key pressed again as soon as the next region is there."""
FRAMES_MS = 2500
_ROOT = "document.querySelector('#reviewer .ps')"

_WATCH = f"""() => {{
  const root = {_ROOT};
  window.log = [];
  let pressed = 0, image = root.dataset.image;
  addEventListener('keydown', (event) => {{ pressed = event.timeStamp; }}, true);
  const note = (what) => log.push({{ what, ms: performance.now() - pressed }});
  new MutationObserver((changes) => {{
    for (const name of new Set(changes.map((change) => change.attributeName))) {{
      if (name === 'data-saved') note('saved');
      if (name !== 'data-region') continue;
      const kind = root.dataset.image === image ? 'same image' : 'other image';
      image = root.dataset.image;
      const channel = new MessageChannel();  // Runs behind the frame that shows the region.
      channel.port1.onmessage = () => note(kind);
      requestAnimationFrame(() => channel.port2.postMessage(null));
    }}
  }}).observe(root, {{ attributes: true }});
}}"""

_FRAMES = """(ms) => new Promise((resolve) => {
  const times = [];
  const end = performance.now() + ms;
  const step = (time) => { times.push(time); if (time < end) requestAnimationFrame(step); else resolve(times); };
  requestAnimationFrame(step);
})"""


def measure(url: str, regions: int, ratio: float) -> dict[str, list[float]]:
    """Milliseconds by name: opening the page, switches, saves, frames."""
    chromium = os.environ.get("PIXELSIEVE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900}, device_scale_factor=ratio)
        found = {"open the page": [_open(page, url)]}
        for label, think_ms in (("a person", THINK_MS), ("at once", 0)):
            page.evaluate(_WATCH)
            _decide(page, regions, think_ms)
            for entry in page.evaluate("log"):
                found.setdefault(f"{entry['what']}, {label}", []).append(entry["ms"])
            found["open the page"].append(_open(page, url))
        found |= _moving(page)
        browser.close()
    return found


def _open(page: Page, url: str) -> float:
    """Milliseconds until the first region is shown."""
    start = time.perf_counter()
    page.goto(f"{url}/review")
    page.wait_for_selector("#reviewer .ps[data-hydrated]", state="attached", timeout=1000 * START_S)
    taken = 1000 * (time.perf_counter() - start)
    page.wait_for_timeout(THINK_MS)
    return taken


def _decide(page: Page, regions: int, think_ms: int) -> None:
    for _ in range(regions):
        region = page.evaluate(f"{_ROOT}.dataset.region")
        page.keyboard.press("Space")
        page.wait_for_function(f"(region) => {_ROOT}.dataset.region !== region", arg=region, timeout=1000 * START_S)
        page.wait_for_timeout(think_ms)
    page.wait_for_function(f"{_ROOT}.dataset.saving === 'saved'", timeout=1000 * START_S)


def _moving(page: Page) -> dict[str, list[float]]:
    """Times between frames while the view is dragged and while the brush draws."""
    box = page.locator(".ps-stage").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    found = {}
    for name, key in (("frame, dragging", None), ("frame, dragging the whole image", "0"), ("frame, drawing", "b")):
        if key is not None:
            page.keyboard.press(key)
        page.mouse.move(*middle)
        page.mouse.down()
        page.evaluate(f"void (window.frames_ = ({_FRAMES})({FRAMES_MS}))")
        end, step = time.monotonic() + FRAMES_MS / 1000, 0
        while time.monotonic() < end:
            step += 1
            across = (step % 40 - 20) if step // 40 % 2 else (20 - step % 40)
            page.mouse.move(middle[0] + 6 * across, middle[1] + 3 * across)
        times = page.evaluate("window.frames_")
        page.mouse.up()
        found[name] = [after - before for before, after in itertools.pairwise(times)]
    return found


def main() -> None:
    """Measure, print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="measure this one; its regions get decided (default: a new one)")
    parser.add_argument("--size", type=parse_size, default=SIZE_WH, help="of the new pictures (default 4000x3000)")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"new pictures (default {IMAGES})")
    parser.add_argument("--regions", type=int, default=30, help="decided twice: with pauses, and at once (default 30)")
    parser.add_argument("--pixel-ratio", type=float, default=1.0, help="device pixels per CSS pixel (default 1)")
    parser.add_argument("--name", help="write benchmarks/results/<name>.json (default: only print)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made = None if arguments.workspace else build(Path(temporary), arguments.size, arguments.images)
        with served(made or Workspace(arguments.workspace)) as server:
            found = {
                name: summary(times)
                for name, times in measure(server.url, arguments.regions, arguments.pixel_ratio).items()
            }
    table = Table(
        "what", "count", "median ms", "95 % below ms", title="The reviewer in a browser", title_justify="left"
    )
    for name, row in found.items():
        table.add_row(name, *(f"{value:g}" for value in row.values()))
    Console().print(table)
    if arguments.name:
        facts = {"size_wh": arguments.size, "pixel_ratio": arguments.pixel_ratio, "think_ms": THINK_MS}
        result = {"name": arguments.name, "facts": facts, "milliseconds": found, "machine": describe_machine()}
        (RESULTS_FOLDER / f"{arguments.name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
