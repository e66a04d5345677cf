"""What people stumbled over: sizes, names that are cut, texts in the wrong place, and lists that say too little."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from app.config import Workspace
from app.domain.states import ModelStatus
from app.storage.database import open_store
from app.storage.settings import adopt_class_set
from datasets.labels import ClassSet
from tests.browser.conftest import SCREENSHOTS, LiveApp, ReviewerPage, Watched, in_thread, visit
from tests.browser.test_drawing import inside
from tests.browser.test_pages import open_page
from tests.browser.workspace import NAMES, add_model, build_workspace, propose_again

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
LONG_NAMES = tuple(f"{name} or something like a {name}" for name in NAMES)
WINDOWS = (1440, 900), (1280, 720), (1024, 700)
"""Widths and heights."""
HALF_TRANSLATED = r"/\bcommon\.[a-z]+/"
_FILLS_THE_WINDOW = """Math.abs(window.innerHeight - root.getBoundingClientRect().bottom
  - parseFloat(getComputedStyle(root.closest('.main')).paddingBottom)) < 2"""
_TOOLBAR_ROWS = "new Set([...document.querySelectorAll('.ps-bar > *')].map((each) => each.offsetTop)).size"
_SIDE_SCROLLS_WITH_TWELVE = """() => {
  const [list, side] = ['.ps-classes', '.ps-side'].map((each) => document.querySelector(each));
  const more = [...Array(12 - list.children.length)].map(() => list.lastElementChild.cloneNode(true));
  list.append(...more);
  const scrolls = side.scrollHeight > side.clientHeight;
  more.forEach((each) => each.remove());
  return scrolls; }"""
_PLACES = """() => ['.ps-stage', '.ps-top5', "[data-command='void']"].map((each) => {
  const { x, y, width, height } = document.querySelector(each).getBoundingClientRect();
  return [x, y, width, height]; })"""
"""Of the picture and the answers: left, top, width, height."""
_CUT = """() => [...document.querySelectorAll(
    '.ps-likely, .ps-likely .ps-name, .ps-accept, .ps-accept span, .ps-status')]
  .filter((each) => each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1)
  .filter((each) => getComputedStyle(each).display !== 'inline').map((each) => each.textContent)"""
GRADIO_SAYS_AGAIN_AFTER_MS = 5000
"""Gradio tells screen readers its state at most this often."""


def resize(reviewer: ReviewerPage, width: int, height: int) -> None:
    """Give the window a size that it did not have, and wait until the page has it, too."""
    reviewer.page.set_viewport_size({"width": width, "height": height})
    reviewer.wait(
        "window.innerWidth === argument[0] && window.innerHeight === argument[1] && "
        "document.documentElement.scrollHeight === window.innerHeight && "
        "app.viewport.width === app.view.stage.clientWidth",
        [width, height],
    )


def test_reviewer_is_exactly_as_high_as_its_window(live_app: LiveApp, tab: Page) -> None:
    visit(tab, live_app, "/review")
    reviewer = ReviewerPage(tab).ready()
    reviewer.wait(_FILLS_THE_WINDOW)  # Although the page around it came late.
    for width, height in WINDOWS:
        window = f"in a window of {width} x {height}"
        resize(reviewer, width, height)
        assert reviewer.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), window
        assert reviewer.page.evaluate(_TOOLBAR_ROWS) <= 2, window
        reviewer.press("t")  # One more line in the legend.
        assert reviewer.page.evaluate(_SIDE_SCROLLS_WITH_TWELVE) is False, window
        reviewer.press("t")
        before = reviewer.page.evaluate(_PLACES)
        assert before[0][3] > 0.6 * height, window
        for key in ("b", "w", "Escape", "s"):
            reviewer.press(key)
            reviewer.wait("!app.isBusy")
            assert reviewer.page.evaluate(_PLACES) == before, f"{window} after {key}"
        draw_and_put_the_brush_away(reviewer)  # Then there are two ways to end, and the picture stays where it is.
        picture, _, void = reviewer.page.evaluate(_PLACES)
        assert [picture, void] == [before[0], before[2]], window
        reviewer.screenshot(f"reviewer-strokes-without-tool-{width}")
        take_the_strokes_back(reviewer)


def draw_and_put_the_brush_away(reviewer: ReviewerPage) -> None:
    reviewer.press("b")
    reviewer.stroke(inside(reviewer))
    reviewer.press("b")
    reviewer.wait("root.dataset.tool === 'none' && root.dataset.strokes === '1'")


def take_the_strokes_back(reviewer: ReviewerPage) -> None:
    reviewer.press("Escape")
    reviewer.wait("root.dataset.strokes === '0'")
    reviewer.all_saved()


def test_full_class_names_are_readable_in_the_buttons(tmp_path: Path, open_reviewer: OpenReviewer) -> None:
    cut = {}
    with in_thread(build_workspace(tmp_path, pool=1, names=LONG_NAMES)) as app:
        reviewer = open_reviewer(app)
        for width, height in WINDOWS:
            resize(reviewer, width, height)
            reviewer.screenshot(f"reviewer-long-names-{width}")
            cut[f"{width} x {height}"] = reviewer.page.evaluate(_CUT)
            draw_and_put_the_brush_away(reviewer)
            cut[f"{width} x {height}, with a stroke"] = reviewer.page.evaluate(_CUT)
            take_the_strokes_back(reviewer)
        reviewer.page.close()
    assert {window: texts for window, texts in cut.items() if texts} == {}


def test_a_picture_that_takes_long_is_announced(live_app: LiveApp, context: BrowserContext) -> None:
    page = context.new_page()
    held: list[Route] = []
    page.route("**/planes", lambda route: held.append(route))
    page.goto(f"{live_app.url}/review")
    loading = page.get_by_text("Loading the picture…")
    expect(loading).to_be_visible()
    expect(page.get_by_text("Click the picture to use the keys")).to_be_hidden()
    page.screenshot(path=SCREENSHOTS / "reviewer-loading.png")
    for route in held:
        route.continue_()
    page.unroute("**/planes")
    ReviewerPage(page).ready()
    expect(loading).to_be_hidden()


def test_no_text_is_left_untranslated(live_app: LiveApp, context: BrowserContext, watched: Watched) -> None:
    page = context.new_page()
    page.add_init_script(
        f"""new MutationObserver(() => {{ window.raw ??= document.body?.textContent.match({HALF_TRANSLATED})?.[0]; }})
        .observe(document, {{ subtree: true, childList: true, characterData: true }})"""
    )
    page.clock.install()
    page.goto(live_app.url)
    page.wait_for_selector("#summary .pp-next", state="attached")
    page.clock.run_for(2 * GRADIO_SAYS_AGAIN_AFTER_MS)
    assert page.evaluate("window.raw ?? null") is None


def test_messages_leave_the_navigation_free_and_refuse_a_round_while_one_waits(own_app: LiveApp, tab: Page) -> None:
    with closing(open_store(own_app.workspace)) as store:
        add_model(store, 2, ModelStatus.CANDIDATE, miou=0.62)
    page = open_page(tab, own_app, "rounds")
    page.get_by_role("button", name="Train the next round").click()
    message = page.get_by_text("round 2 waits for a decision")
    expect(message).to_be_visible()
    expect(page.locator("#jobs")).to_contain_text("No job has run yet.")
    box = message.bounding_box()
    assert box is not None and box["y"] > 450


def test_export_name_that_is_not_allowed_is_explained_in_words(own_app: LiveApp, tab: Page) -> None:
    page = open_page(tab, own_app, "export")
    expect(page.get_by_label("Name")).to_have_value(re.compile("^coco-"))
    page.get_by_label("Name").fill("my export!")
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_text("use 1-64 letters (a-z), digits, - and _")).to_be_visible()


def test_lists_keep_what_was_said_when_a_newer_model_proposes(
    own_app: LiveApp, context: BrowserContext, watched: Watched, open_reviewer: OpenReviewer
) -> None:
    reviewer = open_reviewer(own_app)
    relabeled = reviewer.region
    reviewer.decide("9")
    reviewer.decide("f")
    propose_again(own_app.workspace)
    page = context.new_page()
    watched.follow(page)
    open_page(page, own_app, "queue")
    page.locator("#state-filter input").click()
    page.get_by_role("option", name="Decided").click()
    line = page.locator(f"#queue tr[data-region='{relabeled}']")
    expect(line.locator("td").last).to_contain_text(re.compile("^car.+, "))
    page.wait_for_function("() => document.querySelector('#queue img')?.naturalWidth > 0")
    expect(line.get_by_role("link")).to_have_count(0)
    page.screenshot(path=SCREENSHOTS / "queue-decided.png")
    page.locator("#state-filter input").click()
    page.get_by_role("option", name="Second review").click()
    expect(page.locator("#queue tbody td").last).to_contain_text("don't know")
    page.locator("#queue tbody").get_by_role("link").click()
    second = ReviewerPage(page).ready()
    expect(page.locator(".ps-chip")).to_have_text("Not known: waits for second review")
    second.press("Space")
    second.wait("root.dataset.region === 'none' && root.dataset.saved === '1'")
    old = open_reviewer(own_app, f"?region={relabeled}")
    expect(old.page.get_by_text(f"Region {relabeled} belongs to an older proposal")).to_be_visible()
    old.page.get_by_role("link", name="Go on with the queue").click()
    old.ready()
    assert old.region != relabeled


def test_workspace_without_images_says_what_comes_first(
    tmp_path: Path, context: BrowserContext, watched: Watched, open_reviewer: OpenReviewer
) -> None:
    workspace = Workspace(tmp_path / "empty")
    with closing(open_store(workspace, create=True)) as store, store.session() as session:
        adopt_class_set(session, ClassSet.from_names(NAMES), "a test")
    with in_thread(workspace) as app:
        page = context.new_page()
        watched.follow(page)
        open_page(page, app, "rounds")
        expect(page.get_by_label("Next action")).to_contain_text("Import images")
        reviewer = open_reviewer(app)
        expect(reviewer.page.get_by_role("heading", name="Nothing to review yet")).to_be_visible()
        reviewer.press("Space")
        assert watched.errors == []
        for each in (page, reviewer.page):
            each.close()


def test_another_workspace_opens_in_the_same_tab(
    live_app: LiveApp, own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    page = open_reviewer(live_app).page
    for app in (own_app, live_app):
        page.goto(f"{app.url}/review")
        ReviewerPage(page).ready()
