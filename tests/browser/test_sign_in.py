"""Signing in and out in a real browser, by keyboard, and taking an invitation."""

from contextlib import closing

import pytest
from playwright.sync_api import BrowserContext, expect

from app.domain.roles import Role
from app.services.local_actor import command_line_actor
from app.services.people import open_people
from app.storage.database import open_store
from tests.browser.conftest import SCREENSHOTS, WAIT_MS, LiveApp
from tests.browser.people import PASSWORD, add_people, sign_in

pytestmark = pytest.mark.browser


@pytest.fixture
def peopled_app(own_app: LiveApp) -> LiveApp:
    """Lea leads, ann annotates; the server was running before they had accounts."""
    add_people(own_app.workspace, lea=Role.LEAD, ann=Role.ANNOTATOR)
    return own_app


def test_a_person_signs_in_and_is_where_they_wanted_to_go(peopled_app: LiveApp, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{peopled_app.url}/queue")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "sign_in.png")
    sign_in(page, "ann", "wrong words in a row")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/queue")
    expect(page.get_by_role("link", name="ann")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_role("link", name="Export")).to_be_hidden()


def test_signing_out_closes_the_pages(peopled_app: LiveApp, context: BrowserContext) -> None:
    page, other = context.new_page(), context.new_page()
    page.goto(f"{peopled_app.url}/login")
    sign_in(page, "lea")
    expect(page.get_by_role("link", name="lea")).to_be_visible(timeout=WAIT_MS)
    other.goto(f"{peopled_app.url}/export")
    expect(other.get_by_role("link", name="lea")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("link", name="lea").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    notice = other.get_by_role("alert").filter(has_text="You are not signed in")
    expect(notice).to_be_visible(timeout=WAIT_MS)  # The page asks for news by itself.
    notice.get_by_role("link", name="Sign in").click()
    sign_in(other, "lea")
    other.wait_for_url("**/export")
    expect(other.get_by_role("link", name="lea")).to_be_visible(timeout=WAIT_MS)
    expect(other.get_by_role("alert").filter(has_text="You are not signed in")).to_have_count(0)


def test_an_invitation_makes_a_person_choose_a_password(peopled_app: LiveApp, context: BrowserContext) -> None:
    with closing(open_store(peopled_app.workspace)) as store:
        ticket = open_people(store).accounts.create(command_line_actor(), "zoë", Role.REVIEWER)
    page = context.new_page()
    page.goto(f"{peopled_app.url}/join?token={ticket.token}")
    expect(page.get_by_label("Name")).to_have_value("zoë")
    page.get_by_label("Password", exact=True).fill("another four words")
    page.get_by_label("The same password again").fill("another four words")
    page.get_by_role("button", name="Save and sign in").click()
    expect(page.get_by_role("link", name="zoë")).to_be_visible()


def test_a_token_is_copied_from_the_account_page(peopled_app: LiveApp, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{peopled_app.url}/login?next=/account")
    sign_in(page, "ann")
    page.get_by_label("What is it for?").fill("nightly export")
    page.get_by_role("button", name="Make a token").click()
    token = page.get_by_role("textbox", name="New token").input_value()
    page.screenshot(path=SCREENSHOTS / "account.png", full_page=True)
    answer = context.request.get(f"{peopled_app.url}/api/session", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["user"] == "ann"
    page.goto(f"{peopled_app.url}/account")
    expect(page.get_by_text("nightly export")).to_be_visible()
    expect(page.get_by_role("textbox", name="New token")).to_be_hidden()
