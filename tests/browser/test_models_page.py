"""The models page: any two rounds side by side, promoting with limits and reasons, going back, setting aside."""

import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.model_changes import list_changes
from app.services.rounds import list_models
from app.storage.database import open_store
from app.storage.models import Proposal
from tests.browser.conftest import SCREENSHOTS, WAIT_MS, LiveApp, Watched, in_thread
from tests.browser.rounds_workspace import Quality, add_measured_model, build_rounds_workspace

pytestmark = pytest.mark.browser

QUALITIES = Quality(14, seed=1), Quality(9, 9, seed=2), Quality(6, seed=3), Quality(5, 6, seed=4)
"""Round 3 is current; round 4 does not know signs, which gold shows."""
PAINTED = """() => [...document.querySelectorAll('#comparison article:first-child img')]
    .every((picture) => picture.complete && picture.naturalWidth > 0)"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_rounds_workspace(tmp_path_factory.mktemp("rounds"), QUALITIES).root


@pytest.fixture
def app(template: Path, tmp_path: Path) -> Iterator[LiveApp]:
    with in_thread(Workspace(Path(shutil.copytree(template, tmp_path / "workspace")))) as served:
        yield served


@pytest.fixture(scope="module")
def unchanged_app(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """For tests that only look."""
    copy = shutil.copytree(template, tmp_path_factory.mktemp("unchanged") / "workspace")
    with in_thread(Workspace(Path(copy))) as served:
        yield served


def open_models(page: Page, app: LiveApp, query: str = "") -> Page:
    page.goto(f"{app.url}/models{query}")
    page.wait_for_selector("#models .pp[data-drawn]")
    return page


def statuses(app: LiveApp) -> dict[int, ModelStatus]:
    with closing(open_store(app.workspace)) as store:
        return {model.round: model.status for model in list_models(store)}


def compared(page: Page, old: int, new: int) -> Locator:
    """The comparison, once it shows these two."""
    page.wait_for_selector(f"#comparison [data-compared='{old}-{new}']")
    return page.locator("#comparison")


def picture(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_the_waiting_round_is_compared_with_the_current_one_image_by_image(
    unchanged_app: LiveApp, tab: Page, watched: Watched
) -> None:
    page = open_models(tab, unchanged_app)
    comparison = compared(page, 3, 4)
    expect(comparison.get_by_role("heading", name="Gold got worse: promoting it needs a reason.")).to_be_visible()
    expect(comparison.get_by_role("row", name=re.compile("^sign"))).to_contain_text("over the limit")
    changes = comparison.locator("article header span:nth-of-type(2)").all_inner_texts()
    assert all(text.startswith("−") for text in changes[:3]) and len(changes) == 6
    comparison.locator("article").first.scroll_into_view_if_needed()
    page.wait_for_function(PAINTED)
    picture(page, "models")
    assert watched.errors == []


def test_any_two_rounds_are_compared_and_the_address_says_which(unchanged_app: LiveApp, tab: Page) -> None:
    page = open_models(tab, unchanged_app)
    compared(page, 3, 4)
    page.get_by_label("From").select_option("1")
    compared(page, 1, 4)
    page.get_by_label("to", exact=True).select_option("2")
    expect(compared(page, 1, 2).get_by_role("row", name=re.compile("^mIoU"))).to_contain_text("+")
    held: list[Route] = []
    page.route("**/api/models", lambda route: held.append(route))
    with page.expect_request("**/api/models"):
        page.reload()
    expect(page.get_by_text("Loading the rounds…")).to_be_visible()
    expect(page.locator("#comparison")).to_be_hidden()
    held[-1].continue_()  # Of this page: the one before may have asked, too.
    page.unroute("**/api/models")
    compared(page, 1, 2)
    expect(page.get_by_text("Loading the rounds…")).to_have_count(0)
    page.get_by_role("button", name="Swap the two rounds").click()
    expect(compared(page, 2, 1).get_by_role("row", name=re.compile("^mIoU"))).to_contain_text("−")


def test_a_gold_image_is_looked_at_large_with_the_arrow_keys(unchanged_app: LiveApp, tab: Page) -> None:
    page = open_models(tab, unchanged_app, "?old=1&new=3")
    first = compared(page, 1, 3).locator("article").first
    name = first.locator("strong").inner_text()
    first.get_by_role("button", name=f"Round 1 of {name}, larger").click()
    dialog = page.get_by_role("dialog", name=name)
    expect(dialog.get_by_role("button", name="Round 1")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("img", name=f"Round 3 of {name}")).to_have_js_property("complete", True)
    expect(dialog.get_by_role("button", name="Round 3")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('dialog img')?.naturalWidth > 0")
    picture(page, "models-difference")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_worse_round_is_promoted_only_with_a_reason_that_is_kept(app: LiveApp, tab: Page) -> None:
    page = open_models(tab, app)
    compared(page, 3, 4).get_by_role("button", name="Promote round 4…").click()
    dialog = page.get_by_role("dialog", name="Promote round 4?")
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("sign falls by")
    picture(page, "models-promote")
    dialog.get_by_role("button", name="Cancel").click()
    assert statuses(app)[3] is ModelStatus.CURRENT
    page.get_by_role("button", name="Promote… round 4").click()
    dialog.get_by_label("Reason").fill("signs are not needed")
    dialog.get_by_role("button", name="Promote", exact=True).click()
    expect(page.locator("[data-model='4']")).to_have_attribute("data-status", "current")
    expect(page.get_by_label("Decisions about models")).to_contain_text("“signs are not needed”")
    assert statuses(app)[3] is ModelStatus.RETIRED


def test_a_round_within_the_limits_is_promoted_without_a_reason(app: LiveApp, tab: Page) -> None:
    with closing(open_store(app.workspace)) as store:
        add_measured_model(store, 5, ModelStatus.CANDIDATE, Quality(6, seed=3))
    page = open_models(tab, app)
    expect(compared(page, 3, 5)).to_contain_text("Gold got no worse")
    page.get_by_role("button", name="Promote round 5…").click()
    page.get_by_role("button", name="Promote", exact=True).click()
    expect(page.locator("[data-model='5']")).to_have_attribute("data-status", "current")
    expect(page.locator(".pp-message")).to_contain_text("Round 5 is the current one")


def test_one_click_and_a_reason_go_back_to_an_earlier_round(app: LiveApp, tab: Page) -> None:
    page = open_models(tab, app)
    page.get_by_role("button", name="Roll back… round 1").click()
    dialog = page.get_by_role("dialog", name="Roll back to round 1?")
    dialog.get_by_label("Reason").fill("worse")
    dialog.get_by_role("button", name="Roll back").click()
    expect(dialog.get_by_role("alert")).to_contain_text("at least 3 words")
    dialog.get_by_label("Reason").fill("its outlines were better")
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.locator("[data-model='1']")).to_have_attribute("data-status", "current")
    expect(page.locator(".pp-message")).to_contain_text("2 images have its proposals back")
    expect(page.get_by_label("Decisions about models")).to_contain_text("went back to round 1 in place of round 3")
    with closing(open_store(app.workspace)) as store, store.reader() as session:
        assert {proposal.model_id for proposal in session.query(Proposal).where(Proposal.active)} == {1}


def test_a_round_is_set_aside(app: LiveApp, tab: Page) -> None:
    page = open_models(tab, app)
    compared(page, 3, 4).get_by_role("button", name="Set it aside…").click()
    page.get_by_role("dialog").get_by_role("button", name="Set aside").click()
    expect(page.locator("[data-model='4']")).to_have_attribute("data-status", "rejected")
    assert statuses(app)[3] is ModelStatus.CURRENT


def test_a_decision_on_an_old_view_is_refused(app: LiveApp, tab: Page) -> None:
    page, other = open_models(tab, app), open_models(tab.context.new_page(), app)
    page.get_by_role("button", name="Roll back… round 1").click()
    other.get_by_role("button", name="Roll back… round 2").click()
    for each in (other, page):
        each.get_by_role("dialog").get_by_label("Reason").fill("its outlines were better")
        each.get_by_role("dialog").get_by_role("button", name="Roll back").click()
        if each is other:
            expect(other.locator("[data-model='2']")).to_have_attribute("data-status", "current")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("round 2 is the current one by now")
    assert statuses(app)[2] is ModelStatus.CURRENT
    with closing(open_store(app.workspace)) as store:
        assert len(list_changes(store)) == 1
    other.close()


def test_limits_are_changed_and_applied(app: LiveApp, tab: Page) -> None:
    page = open_models(tab, app)
    page.get_by_role("button", name="Change the limits…").click()
    dialog = page.get_by_role("dialog", name="Limits of promotion")
    dialog.get_by_label("Gold mIoU, in points").fill("30")
    dialog.get_by_label("Any single class, in points").fill("90")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("falls by more than 30 points")).to_be_visible()
    expect(page.get_by_text("Gold got no worse")).to_be_visible()


def test_the_home_page_leads_to_the_comparison_that_waits(unchanged_app: LiveApp, tab: Page) -> None:
    page = tab
    page.goto(unchanged_app.url)
    next_action = page.get_by_label("Next action")
    expect(next_action).to_contain_text("Decide about round 4")
    expect(page.get_by_role("img", name=re.compile("Gold mIoU: round 1 .* to "))).to_be_visible()
    picture(page, "rounds-candidate")
    next_action.get_by_role("link", name="Compare").click()
    compared(page, 3, 4)


def test_a_measurement_is_queued_from_the_page(app: LiveApp, tab: Page) -> None:
    page = open_models(tab, app)
    page.get_by_role("button", name="Measure again round 2").click()
    expect(page.locator(".pp-message")).to_contain_text(re.compile(r"Job \d+ measures round 2"), timeout=WAIT_MS)
