"""A lead at the Admin page: invites, changes roles, locks out, ends sessions, and reads what everybody did."""

import csv
import io
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from app.domain.roles import Role
from app.services.backup_restoring import check_backup
from app.services.processes import Monitor
from tests.browser.conftest import SCREENSHOTS, LiveApp, new_context
from tests.browser.people import add_people, arrive, sign_in

pytestmark = pytest.mark.browser

SignedIn = Callable[[str, str], Page]


@pytest.fixture
def signed_in(own_app: LiveApp, browser: Browser) -> Iterator[SignedIn]:
    """Opens a page in a browser of its own, after signing in."""
    add_people(own_app.workspace, lea=Role.LEAD, ann=Role.ANNOTATOR)
    opened: list[BrowserContext] = []

    def open_page(name: str, path: str) -> Page:
        context = new_context(browser)
        opened.append(context)
        page = context.new_page()
        page.goto(f"{own_app.url}/login?next={path}")
        sign_in(page, name)
        arrive(page, path)
        return page

    yield open_page
    for context in opened:
        context.close()


@pytest.fixture
def admin(signed_in: SignedIn) -> Page:
    page = signed_in("lea", "/admin")
    page.wait_for_selector("#admin [data-drawn]", state="attached")
    return page


def row_of(admin: Page, name: str) -> Locator:
    return admin.locator(f"tr[data-person='{name}']")


def test_a_lead_invites_somebody_who_then_signs_in(own_app: LiveApp, admin: Page, browser: Browser) -> None:
    form = admin.get_by_role("form", name="Invite somebody")
    form.get_by_label("Name").fill("Zoë")
    form.get_by_label("Role").select_option("reviewer")
    form.get_by_role("button", name="Invite").click()
    link = admin.get_by_role("textbox", name="Link for zoë").input_value()
    assert link.startswith(f"{own_app.url}/join?token=")
    admin.get_by_role("button", name="Copy and close").click()
    expect(row_of(admin, "zoë")).to_contain_text("invited, no password yet")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    admin.screenshot(path=SCREENSHOTS / "admin.png", full_page=True)
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    for label in ("Password", "The same password again"):
        page.get_by_label(label, exact=True).fill("another four words")
    page.get_by_role("button", name="Save and sign in").click()
    expect(page.get_by_role("link", name="zoë")).to_be_visible()
    expect(page.get_by_role("link", name="Admin")).to_be_hidden()
    context.close()


def test_whoever_is_locked_out_is_out_with_the_next_click(admin: Page, signed_in: SignedIn) -> None:
    ann = signed_in("ann", "/queue")
    expect(ann.get_by_role("link", name="ann")).to_be_visible()
    row_of(admin, "ann").get_by_role("button", name="Lock ann out").click()
    admin.get_by_role("button", name="Lock out", exact=True).last.click()
    expect(row_of(admin, "ann")).to_contain_text("locked out")
    ann.get_by_role("link", name="Review").first.click()
    expect(ann.get_by_role("heading", name="Sign in")).to_be_visible()


def test_another_role_opens_other_pages(admin: Page, signed_in: SignedIn) -> None:
    row_of(admin, "ann").get_by_label("Role of ann").select_option("engineer")
    admin.get_by_role("button", name="Change the role").click()
    expect(admin.get_by_role("status").first).to_have_text("ann is an engineer now.")
    ann = signed_in("ann", "/export")
    expect(ann.get_by_role("button", name="Export")).to_be_visible()


def test_the_only_lead_cannot_be_demoted(admin: Page) -> None:
    select = row_of(admin, "lea").get_by_label("Role of lea")
    select.select_option("annotator")
    admin.get_by_role("button", name="Change the role").click()
    expect(admin.get_by_role("alert").last).to_contain_text("lea is the only lead who can sign in")
    admin.get_by_role("button", name="Cancel").click()
    expect(select).to_have_value("lead")


def test_the_audit_log_is_filtered_and_taken_away_as_a_table(admin: Page) -> None:
    log = admin.locator("#audit-log")
    log.get_by_role("combobox").select_option("account_created")
    expect(log.locator("tbody tr")).to_have_count(2)
    log.get_by_label("To what").fill("ann")
    log.get_by_role("button", name="Show").click()
    expect(log.locator("tbody tr")).to_have_count(1)
    with admin.expect_download() as started:
        log.get_by_role("link", name="Download as CSV").click()
    rows = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    assert [(row["action"], row["target"]) for row in rows] == [("account_created", "ann")]
    log.get_by_label("Who", exact=True).fill("nobody at all")
    log.get_by_role("button", name="Show").click()
    expect(log.get_by_text("No entry with this filter.")).to_be_visible()


def test_a_session_is_ended_from_afar(admin: Page, signed_in: SignedIn) -> None:
    ann = signed_in("ann", "/queue")
    admin.reload()
    admin.get_by_role("button", name="End this session of ann").click()
    admin.get_by_role("button", name="End it").click()
    expect(admin.get_by_role("status").first).to_have_text("A session of ann has ended.")
    ann.reload()
    expect(ann.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_first_account_is_made_on_the_page_and_closes_it(own_app: LiveApp, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{own_app.url}/admin")
    form = page.get_by_role("form", name="Invite somebody")
    form.get_by_label("Name").fill("lea")
    form.get_by_role("button", name="Make my account").click()
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    for label in ("Password", "The same password again"):
        page.get_by_label(label, exact=True).fill("another four words")
    page.get_by_role("button", name="Save and sign in").click()
    page.goto(f"{own_app.url}/admin")
    expect(row_of(page, "lea")).to_contain_text("lea (you)")


@pytest.mark.usefixtures("worker")
def test_a_lead_backs_up_deletes_an_image_and_brings_it_back(own_app: LiveApp, signed_in: SignedIn) -> None:
    page = signed_in("lea", "/queue")
    page.get_by_role("tab", name="Images").click()
    first = page.locator("#images tbody tr").first
    name = first.get_by_role("link").inner_text()
    first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#images tbody tr")).to_have_count(2)
    page.goto(f"{own_app.url}/admin")
    upkeep = page.locator("#upkeep")
    upkeep.get_by_role("button", name=f"Bring {name} back").click()
    expect(upkeep.get_by_text("No image is deleted.")).to_be_visible()
    upkeep.get_by_role("button", name="Back up now").click()
    page.get_by_label("Name", exact=True).last.fill("monday")
    page.get_by_role("button", name="Back up", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("The backup monday.zip is made", timeout=60_000)
    with page.expect_download() as started:
        upkeep.get_by_role("link", name="Download monday").click()
    assert check_backup(started.value.path(), Monitor()).files > 0
    upkeep.screenshot(path=SCREENSHOTS / "admin-upkeep.png")
