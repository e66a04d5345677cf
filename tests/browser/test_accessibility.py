"""Every page, light and dark: axe's rules, no request that leaves the machine, keys, and the choice of colors."""

import io
from contextlib import closing

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image as PillowImage
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from app.config import Workspace
from app.domain.roles import Role
from app.storage.database import open_store
from tests.browser.conftest import SCREENSHOTS, LiveApp, ReviewerPage, Watched, in_thread, visit
from tests.browser.every_page import Address, every_form, every_page, open_address
from tests.color_vision import Colors, contrast
from tests.unit.people_cases import PASSWORD, Team

pytestmark = pytest.mark.browser

PAGES = [pytest.param(address, id=address.name) for address in every_page()]
SEVERE = ("serious", "critical")
# Lists open when they have the focus, and a browser marks the part of a date by itself.
_IS_OUTLINED = """() => { const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(document.activeElement);
  return document.activeElement.matches('body, [role=combobox], [type=date]') || boxShadow !== 'none'
    || (outlineStyle !== 'none' && outlineWidth !== '0px'); }"""
_MOVED = """() => { const { activeElement: now, body } = document;
  const isElsewhere = now !== window.last || now === body || now.type === 'date'; window.last = now;
  return isElsewhere; }"""
"""A date is one element with a stop for day, month and year each."""
IS_DARK = "document.body.classList.contains('dark')"


def severe_violations(page: Page) -> list[str]:
    """Rule, element and reason of everything that axe calls serious or critical."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in SEVERE
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("address", PAGES)
def test_page_loads_without_errors_breaks_no_rule_shows_the_focus_and_stays_on_this_machine(
    address: Address, live_app: LiveApp, tab: Page, watched: Watched
) -> None:
    page = tab
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        open_address(page, live_app.url, address)
        assert page.evaluate(IS_DARK) is (scheme == "dark")
        check_names(page, live_app.workspace)
        page.screenshot(path=SCREENSHOTS / f"{address.name}-{scheme}.png")
        assert severe_violations(page) == [], scheme
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        if scheme == "light":
            check_tab(page)
    assert watched.outside == []
    assert watched.errors == []


def check_names(page: Page, workspace: Workspace) -> None:
    """The page leads to the others, and says over which workspace it is."""
    expect(page.get_by_role("link", name="Rounds").first).to_be_visible()
    expect(page.locator("#workspace .pp-workspace")).to_have_text("workspace")
    expect(page.locator("#workspace")).not_to_contain_text("null")
    expect(page.get_by_title(f"Workspace {workspace.root.resolve()}")).to_be_visible()
    expect(page).to_have_title("workspace · Pixelsieve")


def check_tab(page: Page) -> None:
    """Tab goes on from every control, and shows where it is."""
    page.evaluate("document.activeElement.blur()")
    moved, outlined = [], []
    for _ in range(30):
        page.keyboard.press("Tab")
        moved.append(page.evaluate(_MOVED))
        outlined.append(page.evaluate(_IS_OUTLINED))
    assert all(moved), "Tab stays on one element"
    assert all(outlined), f"nothing shows the focus on element {outlined.index(False) + 1}"


def test_forms_break_no_rule_before_and_after_signing_in(
    own_workspace: Workspace, context: BrowserContext, watched: Watched
) -> None:
    with closing(open_store(own_workspace)) as store:
        Team(store).add("ann", Role.LEAD)
    page = context.new_page()
    watched.follow(page)
    with in_thread(own_workspace) as app:

        def check_forms() -> set[str]:
            titles = set()
            for path in every_form():
                for scheme in ("light", "dark"):
                    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                    page.goto(app.url + path)
                    if page.locator("main > .brand").count() == 0:
                        break  # It led on to another page.
                    titles.add(page.title())
                    assert severe_violations(page) == []
            return titles

        before = check_forms()
        page.goto(f"{app.url}/login")
        page.get_by_label("Name").fill("ann")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button").click()
        page.wait_for_selector("#workspace h1", state="attached")
        after = check_forms()
        page.close()
    assert len(before) >= 2 and after - before
    assert watched.outside == []


def test_reviewer_tells_its_state_and_list_of_keys_and_drawing_break_no_rule(live_app: LiveApp, tab: Page) -> None:
    visit(tab, live_app, "/review")
    reviewer = ReviewerPage(tab).ready()
    page = reviewer.page
    expect(page.get_by_role("toolbar", name="View and tools")).to_be_visible()
    brush = page.get_by_role("button", name="Brush", exact=True)
    expect(brush).to_have_attribute("aria-pressed", "false")
    expect(brush).to_have_attribute("aria-keyshortcuts", "B")
    reviewer.press("b")
    expect(brush).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status").filter(has_text="Brush")).to_contain_text(
        "Enter finishes the region, Esc takes its strokes back"
    )
    assert severe_violations(page) == []
    reviewer.press("Escape")
    reviewer.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    reviewer.screenshot("reviewer-keys")
    assert severe_violations(page) == []
    reviewer.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    assert reviewer.get("document.activeElement === app.view.stage")


def test_chosen_colors_hold_on_every_page_and_the_system_is_followed_until_then(
    live_app: LiveApp, context: BrowserContext
) -> None:
    page = context.new_page()
    rounds, queue, *_ = every_page()
    open_address(page, live_app.url, rounds)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(IS_DARK)
    button = page.locator(".pp-theme")
    button.click()
    expect(button).to_contain_text("Light")
    assert not page.evaluate(IS_DARK)
    open_address(page, live_app.url, queue)
    page.wait_for_function(f"!({IS_DARK})")
    page.goto(f"{live_app.url}/?__theme=dark")
    page.wait_for_selector("#workspace h1", state="attached")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(IS_DARK)


def picture_of(box: Locator, around: int = 4) -> Colors:
    """(H, W, 3) pixels of an element and so many around it, 0 to 1."""
    place = box.bounding_box()
    assert place is not None
    clip = {"x": place["x"] - around, "y": place["y"] - around}
    clip |= {"width": place["width"] + 2 * around, "height": place["height"] + 2 * around}
    return np.asarray(PillowImage.open(io.BytesIO(box.page.screenshot(clip=clip))).convert("RGB")) / 255


def inner_contrast(box: Locator) -> float:
    """Largest contrast to the most frequent color inside a box: what its tick is seen by."""
    inside = picture_of(box, around=-3).reshape(-1, 3)
    colors, counts = np.unique(inside, axis=0, return_counts=True)
    return float(contrast(inside, colors[counts.argmax()]).max())


def assert_ticks_are_seen(page: Page, drawn: int) -> None:
    """Of every kind of box that is shown: at least 3 between tick and fill, rim and page (WCAG 2.2, 1.4.11)."""
    boxes = [box for box in page.locator("input[type=checkbox]").all() if box.is_visible()]
    assert len(boxes) >= drawn
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.wait_for_function(f"{IS_DARK} === {'true' if scheme == 'dark' else 'false'}")
        for box in boxes[:: max(1, len(boxes) - 1)]:
            assert_tick_is_seen(box, scheme)


def assert_tick_is_seen(box: Locator, scheme: str) -> None:
    for is_ticked in (True, False):
        box.set_checked(is_ticked)
        box.page.mouse.move(0, 0)
        for has_focus in (True, False):
            box.evaluate("(box, focus) => focus ? box.focus() : box.blur()", has_focus)
            seen = inner_contrast(box)
            assert seen >= 3 if is_ticked else seen < 1.5, f"{scheme}, ticked {is_ticked}, focus {has_focus}: {seen}"
    seen = picture_of(box)
    assert contrast(seen, seen[0, 0]).max() >= 3, scheme


def test_ticks_are_seen_in_light_and_dark_with_and_without_focus(live_app: LiveApp, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{live_app.url}/queue")
    page.get_by_role("tab", name="Images").click()
    page.wait_for_selector("#images tbody tr")
    assert_ticks_are_seen(page, drawn=11)
    page.goto(live_app.url)
    page.wait_for_selector("#from-scratch input")
    assert_ticks_are_seen(page, drawn=1)
    page.goto(f"{live_app.url}/threshold")
    page.wait_for_selector("#threshold form")
    assert_ticks_are_seen(page, drawn=1)
    page.goto(f"{live_app.url}/review")
    reviewer = ReviewerPage(page).ready()
    reviewer.press("n")
    assert_ticks_are_seen(page, drawn=1)


def test_fingers_find_room_on_a_tablet(live_app: LiveApp, browser: Browser) -> None:
    made = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True, is_mobile=True)
    page = made.new_page()
    page.goto(f"{live_app.url}/review")
    reviewer = ReviewerPage(page).ready()
    small = page.evaluate(
        """() => [...document.querySelectorAll('.ps button')].map(({ textContent, offsetHeight }) =>
        [textContent, offsetHeight]).filter(([, height]) => height > 0 && height < 36).map(([text]) => text)"""
    )
    assert small == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    region = reviewer.region
    page.locator(".ps-likely").first.tap()
    reviewer.wait("root.dataset.region !== argument", str(region))
    made.close()
