"""Two people on one image, and one person in two tabs: one works, the other looks, and nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from app.domain.roles import Role
from app.services.local_actor import command_line_actor
from app.services.people import open_people
from app.services.people_types import Origin
from app.storage.database import open_store
from tests.browser.conftest import SCREENSHOTS, LiveApp, ReviewerPage, new_context
from tests.browser.stored import decisions, region_row

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
SignedIn = Callable[[str], BrowserContext]


@pytest.fixture
def signed_in(own_app: LiveApp, browser: Browser) -> Iterator[SignedIn]:
    """A browser of a person who signed in through the form."""
    with closing(open_store(own_app.workspace)) as store:
        people = open_people(store)
        for name, role in (("ann", Role.ANNOTATOR), ("rea", Role.REVIEWER)):
            ticket = people.accounts.create(command_line_actor(), name, role)
            people.invitations.take(ticket.token, PASSWORD, Origin("test"))
    opened: list[BrowserContext] = []

    def sign_in(name: str) -> BrowserContext:
        context = new_context(browser)
        opened.append(context)
        page = context.new_page()
        page.goto(f"{own_app.url}/review")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.screenshot(path=SCREENSHOTS / "login.png")
        page.keyboard.press("Enter")
        page.wait_for_selector("#reviewer .ps[data-hydrated]", state="attached")
        return context

    yield sign_in
    for context in opened:
        context.close()


def reviewer_of(context: BrowserContext, app: LiveApp, query: str = "") -> ReviewerPage:
    page = context.pages[0] if not query else context.new_page()
    if query:
        page.goto(f"{app.url}/review{query}")
    return ReviewerPage(page).ready()


def test_two_people_are_given_different_images_and_a_reviewer_takes_over(own_app: LiveApp, signed_in: SignedIn) -> None:
    ann = reviewer_of(signed_in("ann"), own_app)
    ann.wait("app.lease.held?.is_mine")
    rea_context = signed_in("rea")
    rea = reviewer_of(rea_context, own_app)
    assert rea.image != ann.image
    ann.decide("f")
    ann.press("ArrowLeft")
    ann.wait("app.lease.held?.is_mine && !app.isBusy && app.current.row.state === 'second_review'")
    second = reviewer_of(rea_context, own_app, "?state=second_review")
    expect(second.page.locator(".ps-empty")).to_contain_text("1 more waits: ann is working on this image.")
    second.page.screenshot(path=SCREENSHOTS / "review-left-to-others.png")
    second.page.close()
    region = ann.region
    looking = reviewer_of(rea_context, own_app, f"?region={region}")
    banner = looking.page.locator(".ps-held")
    expect(banner).to_contain_text("ann works on this image since")
    accept = ".ps-strip [data-command='accept']"
    expect(looking.page.locator(accept)).to_have_attribute("aria-disabled", "true")
    looking.press("Space")
    assert looking.region == region
    looking.page.screenshot(path=SCREENSHOTS / "review-held.png")
    banner.get_by_role("button", name="Take it over").click()
    expect(looking.page.get_by_role("alertdialog")).to_contain_text("ann works on it and can only look then")
    looking.press("Enter")
    looking.wait("app.lease.held?.is_mine && !app.isBusy")
    expect(banner).to_be_hidden()
    assert looking.page.locator(".ps [aria-disabled='true']").count() == 0
    ann.page.evaluate("document.querySelector('#reviewer .ps').pixelsieve.lease.beat()")
    expect(ann.page.locator(".ps-held")).to_contain_text("rea took this image over at")
    expect(ann.page.locator(accept)).to_have_attribute("aria-disabled", "true")
    ann.press("Space")
    ann.press("ArrowRight")
    ann.wait("app.image?.id !== argument && !app.isBusy", looking.image)
    looking.decide("Space")
    said = [(each.user, each.kind, each.region_id) for each in decisions(own_app.workspace)]
    assert said == [("ann", "dont_know", region), ("rea", "accept", region)]


def test_what_was_decided_while_somebody_took_over_is_refused_and_said(own_app: LiveApp, signed_in: SignedIn) -> None:
    ann = reviewer_of(signed_in("ann"), own_app)
    ann.wait("app.lease.held?.is_mine")
    region = ann.region
    looking = reviewer_of(signed_in("rea"), own_app, f"?region={region}")
    looking.page.locator(".ps-held").get_by_role("button", name="Take it over").click()
    looking.press("Enter")
    looking.wait("app.lease.held?.is_mine")
    ann.press("Space")  # Ann's tab has not heard of it yet.
    expect(ann.page.locator(".ps-notice")).to_contain_text("rea works on this image since")
    assert decisions(own_app.workspace) == []
    assert region_row(own_app.workspace, region).state == "open"


def test_of_one_persons_tabs_the_latest_works_until_the_other_one_is_chosen(
    own_app: LiveApp, signed_in: SignedIn
) -> None:
    context = signed_in("ann")
    first = reviewer_of(context, own_app)
    first.wait("app.lease.held?.is_mine")
    second = reviewer_of(context, own_app, f"?region={first.region}")
    second.wait("app.lease.held?.is_mine")
    first.page.evaluate("document.querySelector('#reviewer .ps').pixelsieve.lease.beat()")
    banner = first.page.locator(".ps-held")
    expect(banner).to_contain_text("You work on this image in another tab")
    first.press("Space")
    banner.get_by_role("button", name="Use it here").click()
    first.wait("app.lease.held?.is_mine && !app.isBusy")
    first.decide("Space")
    assert len(decisions(own_app.workspace)) == 1


def test_a_tab_that_closes_gives_its_image_back(own_app: LiveApp, signed_in: SignedIn) -> None:
    context = signed_in("ann")
    first = reviewer_of(context, own_app)
    first.wait("app.lease.held?.is_mine")
    region = first.region
    first.page.goto(f"{own_app.url}/queue")
    again = reviewer_of(context, own_app, f"?region={region}")
    again.wait("app.lease.held?.is_mine")


def test_an_image_that_is_left_before_the_server_answered_is_given_back(own_app: LiveApp, signed_in: SignedIn) -> None:
    ann = reviewer_of(signed_in("ann"), own_app)
    ann.wait("app.lease.held?.is_mine")
    with ann.page.expect_response("**/release"):
        ann.get("void (app.lease.beat(false, true), app.lease.enter(app.lease.imageId + 1))")


def test_an_ended_session_keeps_what_was_decided_until_the_person_is_back(
    own_app: LiveApp, signed_in: SignedIn
) -> None:
    context = signed_in("ann")
    ann = reviewer_of(context, own_app)
    cookies = context.cookies()
    context.clear_cookies()
    ann.press("Space")
    ann.wait("root.dataset.saving !== 'saved' && root.dataset.saving !== 'saving'")
    assert decisions(own_app.workspace) == []
    context.add_cookies(cookies)
    ann.page.locator(".ps-save").click()
    ann.wait("root.dataset.saving === 'saved'")
    assert [each.user for each in decisions(own_app.workspace)] == ["ann"]
