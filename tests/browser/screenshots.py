"""Pictures of every page, to be looked at: python -m tests.browser.screenshots [--readme]

Without a model and without training: a made-up workspace with two rounds and some decisions. `--readme` also renews the
pictures that the README shows.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from app.config import Workspace
from app.domain.states import ModelStatus
from app.storage.database import open_store
from tests.browser.conftest import FLAGS, REPOSITORY, SCREENSHOTS, ReviewerPage, in_thread
from tests.browser.every_page import every_page, open_address
from tests.browser.team_work import work_as_team
from tests.browser.workspace import add_model, build_workspace
from tests.conftest import find_chromium
from tests.unit.trust_cases import make_scene

README_IMAGES = REPOSITORY / "docs" / "images"


@dataclass(frozen=True)
class Window:
    """A window that people have: CSS pixels, device pixels per CSS pixel, and whether it is touched."""

    name: str
    width: int
    height: int
    ratio: float = 1.0
    is_touched: bool = False


WINDOWS = (
    Window("desktop", 1440, 900),
    Window("sharp", 1440, 900, ratio=2),
    Window("tablet", 1024, 768, is_touched=True),
)
REVIEWER_STATES = {
    "whole-image": "0", "reliability": "0r", "difference": "0d", "band": "0t", "dimmed": "Shift+H", "drawing": "b",
    "superpixels": "w3", "flag": "g", "keys": "?",
}  # fmt: skip


def prepare(root: Path) -> Workspace:
    """A workspace with a candidate beside the current model."""
    workspace = build_workspace(root, pool=8)
    with closing(open_store(workspace)) as store:
        add_model(store, 2, ModelStatus.CANDIDATE, miou=0.66)
    return workspace


@contextmanager
def opened(browser: Browser, window: Window, scheme: str) -> Iterator[Page]:
    """A page in a window, without motion."""
    context = browser.new_context(
        viewport={"width": window.width, "height": window.height}, device_scale_factor=window.ratio,
        has_touch=window.is_touched, color_scheme=scheme, reduced_motion="reduce",
    )  # fmt: skip
    yield context.new_page()
    context.close()


def picture_pages(browser: Browser, url: str, folder: Path) -> None:
    """Every page in every window, light and dark."""
    for window in WINDOWS:
        for scheme in ("light", "dark"):
            with opened(browser, window, scheme) as page:
                for address in every_page():
                    open_address(page, url, address)
                    page.screenshot(path=folder / f"{address.name}-{window.name}-{scheme}.png")


def picture_reviewer(browser: Browser, url: str, folder: Path) -> None:
    """The reviewer after some decisions, in every mode."""
    with opened(browser, WINDOWS[0], "light") as page:
        page.goto(f"{url}/review")
        reviewer = ReviewerPage(page).ready()
        for key in ("Space", "2", "x", "3", "Space", "f"):
            reviewer.decide(key)
        for name, keys in REVIEWER_STATES.items():
            page.goto(f"{url}/review?image_id={reviewer.image}")
            reviewer.ready()
            for key in [keys] if "+" in keys else list(keys):
                reviewer.press(key)
            reviewer.wait("root.dataset.mode !== 'reliability' || app.image.unreliability !== null")
            reviewer.wait("!app.screen.frame && !app.drawing.superpixels.isLoading")
            page.screenshot(path=folder / f"reviewer-{name}.png")


def picture_quality(browser: Browser, root: Path, folder: Path) -> None:
    """The quality page of a lead after three people have worked: without work there is nothing on it."""
    scene = make_scene(root, pool=6)
    workspace = Workspace(scene.root)
    with closing(open_store(workspace)) as store:
        work_as_team(store, scene.truth, turns=120)
    with in_thread(workspace) as app:
        for scheme in ("light", "dark"):
            with opened(browser, WINDOWS[0], scheme) as page:
                page.goto(f"{app.url}/quality")
                page.wait_for_selector("#quality [data-drawn]", state="attached")
                page.screenshot(path=folder / f"quality-top-{scheme}.png")
                page.screenshot(path=folder / f"quality-with-work-{scheme}.png", full_page=True)


README_PICTURES = {
    "reviewer.png": "review-desktop-light.png", "reliability.png": "reviewer-reliability.png",
    "rounds.png": "rounds-desktop-dark.png", "quality.png": "quality-top-light.png",
}  # fmt: skip
"""Name in docs/images -> picture made here. The README's picture of two compared rounds needs trained ones."""


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="also renew the README's pictures in docs/images")
    renews_readme = parser.parse_args().readme
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as temporary,
        in_thread(prepare(Path(temporary))) as app,
        sync_playwright() as made,
    ):
        browser = made.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        picture_pages(browser, app.url, SCREENSHOTS)
        picture_reviewer(browser, app.url, SCREENSHOTS)
        picture_quality(browser, Path(temporary) / "worked", SCREENSHOTS)
        browser.close()
    if renews_readme:
        for name, source in README_PICTURES.items():
            shutil.copyfile(SCREENSHOTS / source, README_IMAGES / name)
    print(f"{len(list(SCREENSHOTS.glob('*.png')))} pictures lie in {SCREENSHOTS.relative_to(REPOSITORY)}/")


if __name__ == "__main__":
    main()
