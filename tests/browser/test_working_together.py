"""Sharing the work: whose images are whose, questions and their answers, and what somebody did not know."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.services.assigning import list_image_work
from app.services.comments import image_comments
from app.storage.database import open_store
from tests.browser.conftest import SCREENSHOTS, LiveApp, ReviewerPage, Watched
from tests.browser.stored import region_row
from tests.browser.test_accessibility import severe_violations

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
HOSTILE = '<img src=x onerror="window.hacked=1">'


@pytest.fixture
def open_page(context: BrowserContext, watched: Watched, own_app: LiveApp) -> Callable[[str, str], Page]:
    """A page of an application of one's own, with its panel drawn."""

    def opened(path: str, drawn: str) -> Page:
        page = context.new_page()
        watched.follow(page)
        page.goto(own_app.url + path)
        page.wait_for_selector(f"{drawn} .pp", state="attached")
        return page

    return opened


def owners(app: LiveApp) -> dict[str, str | None]:
    store = open_store(app.workspace)
    found = {work.sample_id: work.assignee for work in list_image_work(store)}
    store.close()
    return found


def test_chosen_images_are_given_to_a_person_and_stay_in_sight(
    own_app: LiveApp, open_page: Callable[[str, str], Page]
) -> None:
    page = open_page("/queue", "#queue")
    page.get_by_role("tab", name="Images").click()
    first = page.locator("#images tbody tr").first
    name = first.get_by_role("link").inner_text()
    first.get_by_role("checkbox").check()
    page.get_by_label("Person", exact=True).fill("bob")
    page.get_by_role("button", name="Give to this person").click()
    expect(page.locator("#images tbody tr", has_text="bob")).to_have_count(1)
    expect(page.locator("#images tbody tr")).to_have_count(3)
    expect(page.get_by_label("Whose images")).to_have_value("Everybody's")
    assert owners(own_app)[name] == "bob"
    page.get_by_label("Whose images").click()
    page.get_by_role("option", name="Mine and nobody's").click()
    expect(page.locator("#images tbody tr")).to_have_count(2)
    page.screenshot(path=SCREENSHOTS / "queue-images.png")


def test_images_of_nobody_are_shared_out(
    own_app: LiveApp, open_page: Callable[[str, str], Page], open_reviewer: OpenReviewer
) -> None:
    page = open_page("/queue", "#queue")
    page.get_by_role("tab", name="Images").click()
    page.locator("#images tbody tr").first.get_by_role("checkbox").check()
    page.get_by_label("Person", exact=True).fill("bob")
    page.get_by_role("button", name="Give to this person").click()
    expect(page.locator("#images tbody tr", has_text="bob")).to_have_count(1)
    page.get_by_text("Share nobody's images out").click()
    page.get_by_role("button", name="Share out by expected work").click()
    expect(page.locator("#images tbody tr", has_text="bob")).to_have_count(3)
    assert set(owners(own_app).values()) == {"bob"}
    reviewer = open_reviewer(own_app)
    expect(reviewer.page.get_by_role("heading", name="Nothing left for you now")).to_be_visible()
    expect(reviewer.page.get_by_text("in images that are given to others: bob ")).to_be_visible()
    expect(reviewer.page.locator(".ps-left")).to_contain_text("0 regions left for you · ")


def test_a_question_is_asked_with_the_keyboard_listed_and_answered(
    own_app: LiveApp, open_reviewer: OpenReviewer, open_page: Callable[[str, str], Page]
) -> None:
    reviewer = open_reviewer(own_app)
    region, image_id = reviewer.region, reviewer.image
    reviewer.press("n")
    reviewer.page.keyboard.type(f"tram {HOSTILE} or bus?")
    reviewer.press("Tab")
    reviewer.press("Space")
    reviewer.press("Shift+Tab")
    reviewer.press("Control+Enter")
    expect(reviewer.page.locator(".ps-comments")).to_contain_text("Comments (1, 1 open)")
    assert severe_violations(reviewer.page) == []
    reviewer.decide("s")  # The keys work again as soon as the dialog is closed.
    page = open_page("/second-review", "#second-review")
    expect(page.locator(".pp-questions li")).to_contain_text("or bus?")
    page.screenshot(path=SCREENSHOTS / "second-review-question.png")
    page.locator(".pp-questions a").click()
    answering = ReviewerPage(page).ready()
    assert answering.region == region
    answering.press("n")
    answering.page.keyboard.type("a bus")
    answering.page.screenshot(path=SCREENSHOTS / "review-comments.png")
    answering.page.get_by_role("button", name="Answer with the text below").click()
    expect(answering.page.locator(".ps-comments")).to_have_text("Comments (2)N")
    store = open_store(own_app.workspace)
    said = image_comments(store, image_id)
    store.close()
    assert [(each.text, each.is_question, each.is_open) for each in said] == [
        (f"tram {HOSTILE} or bus?", True, False), ("a bus", False, False),
    ]  # fmt: skip
    assert page.evaluate("window.hacked") is None


def test_keys_typed_into_a_comment_decide_nothing(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    reviewer = open_reviewer(own_app)
    region = reviewer.region
    reviewer.press("n")
    reviewer.page.keyboard.type("x 1 s f")
    reviewer.press("Escape")
    assert reviewer.region == region
    assert region_row(own_app.workspace, region).state == "open"


def test_what_somebody_did_not_know_is_listed_and_decided_by_the_next(
    own_app: LiveApp, open_reviewer: OpenReviewer, open_page: Callable[[str, str], Page]
) -> None:
    reviewer = open_reviewer(own_app)
    region = reviewer.region
    reviewer.decide("f")
    page = open_page("/second-review", "#second-review")
    expect(page.locator("#second-review tbody tr")).to_have_count(1)
    page.screenshot(path=SCREENSHOTS / "second-review.png")
    page.get_by_role("link", name="Review", exact=True).last.click()
    second = ReviewerPage(page).ready()
    assert second.region == region
    second.press("Space")
    second.wait("root.dataset.region === 'none' && Number(root.dataset.saved) === 1")
    assert region_row(own_app.workspace, region).state == "decided"
