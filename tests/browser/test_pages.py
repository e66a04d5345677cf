"""The pages around the reviewer: they load, stay on this machine, and their buttons do what they say."""

import re
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select, update

from app.domain.states import ImageRole
from app.services.failed_predictions import note_failure
from app.storage.database import open_store
from app.storage.models import Image, Proposal
from tests.browser.conftest import SCREENSHOTS, WAIT_MS, LiveApp, ReviewerPage, in_thread, visit
from tests.browser.every_page import every_page, open_address
from tests.browser.stored import region_row
from tests.browser.workspace import NAMES, build_workspace

pytestmark = pytest.mark.browser

ADDRESSES = {address.name: address for address in every_page()}
HOSTILE = '<img src=x onerror="window.hacked=1">${window.hacked=1}{{window.hacked=1}}'


def open_page(tab: Page, app: LiveApp, name: str) -> Page:
    """Go to a page of an application and wait until it is drawn."""
    open_address(tab, app.url, ADDRESSES[name])
    return tab


def test_line_of_the_queue_opens_its_region_and_keeps_the_filter(live_app: LiveApp, tab: Page) -> None:
    page = open_page(tab, live_app, "queue")
    classes = "Array.from(document.querySelectorAll('#queue tbody tr'), (row) => row.cells[2].textContent)"
    name, _ = Counter(page.evaluate(classes)).most_common(1)[0]  # Other tests have decided some of them.
    page.locator("#class-filter input").click()
    page.get_by_role("option", name=name, exact=True).click()
    page.wait_for_function(f"(name) => {classes}.every((each) => each === name)", arg=name)
    line = page.locator("#queue tbody tr").nth(1)
    region = int(str(line.get_attribute("data-region")))
    line.get_by_role("link").click()
    reviewer = ReviewerPage(page).ready()
    assert reviewer.region == region
    assert f"class_id={NAMES.index(name)}" in page.url
    reviewer.decide("Space")
    assert region_row(live_app.workspace, reviewer.region).class_id == NAMES.index(name)


def test_queue_shows_what_is_left_now_and_not_when_the_server_started(
    own_app: LiveApp, tab: Page, open_reviewer: Callable[..., ReviewerPage]
) -> None:
    reviewer = open_reviewer(own_app)
    decided = reviewer.region
    reviewer.decide("Space")
    page = open_page(tab, own_app, "queue")
    expect(page.locator(f"#queue tr[data-region='{decided}']")).to_have_count(0)
    expect(page.locator(f"#queue tr[data-region='{reviewer.region}']")).to_have_count(1)


def test_home_page_names_the_next_action_and_images_that_the_model_fails_on(own_app: LiveApp, tab: Page) -> None:
    with closing(open_store(own_app.workspace)) as store:
        with store.session() as session:
            damaged = session.scalars(select(Image).where(Image.role == ImageRole.POOL).limit(1)).one()
            session.execute(update(Proposal).where(Proposal.image_id == damaged.id).values(active=False))
        note_failure(store, damaged, 1, "street.png is no picture <b>at all</b>")
    page = open_page(tab, own_app, "rounds")
    next_action = page.get_by_label("Next action")
    expect(next_action).to_contain_text(re.compile(r"Review \d+ regions"))
    failures = page.get_by_label("Images without a proposal")
    expect(failures).to_contain_text(f"{damaged.name}: street.png is no picture <b>at all</b>")
    page.screenshot(path=SCREENSHOTS / "rounds-damaged-image.png")
    next_action.get_by_role("link", name="Review").click()
    ReviewerPage(page).ready()


@pytest.mark.usefixtures("worker")
def test_labels_are_exported_and_downloaded_as_one_file(own_app: LiveApp, tab: Page, tmp_path: Path) -> None:
    page = open_page(tab, own_app, "export")
    page.get_by_label("All: every image, gold ones included").check()
    expect(page.get_by_label("Name")).to_have_value(re.compile("^coco-"))
    page.get_by_label("Name").fill("first-export")
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator("#jobs [data-state=succeeded]")).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download zip").click()
    download.value.save_as(tmp_path / "export.zip")
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        names = archive.namelist()
    assert "first-export/annotations.json" in names and "first-export/manifest.json" in names
    assert sum(name.startswith("first-export/masks/") for name in names) == 6


def test_job_without_a_worker_waits_and_can_be_cancelled(own_app: LiveApp, tab: Page) -> None:
    page = open_page(tab, own_app, "rounds")
    page.get_by_role("button", name="Train the next round").click()
    expect(page.get_by_text("no worker is running")).to_be_visible()
    job = page.locator("#jobs [data-job]").first
    expect(job).to_have_attribute("data-state", "queued")
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_have_attribute("data-state", "cancelled", timeout=WAIT_MS)


def test_names_from_files_never_become_markup_or_code(tmp_path: Path, tab: Page) -> None:
    names = (*NAMES[:-1], HOSTILE)
    with in_thread(build_workspace(tmp_path, pool=2, names=names)) as app:
        for name in ("rounds", "queue", "second-review", "models", "export", "review"):
            page = open_page(tab, app, name)
            assert page.evaluate("window.hacked") is None
            if name == "review":
                expect(page.locator(".ps-side .ps-class").last).to_contain_text(HOSTILE)
            if name == "queue":
                page.locator("#class-filter input").click()
                expect(page.get_by_role("option").last).to_contain_text("<img src=x")
            assert page.evaluate("window.hacked") is None
        tab.goto("about:blank")


def test_modes_switch_on_and_off_with_their_key_and_the_legend_follows(live_app: LiveApp, tab: Page) -> None:
    visit(tab, live_app, "/review")
    reviewer = ReviewerPage(tab).ready()
    legend = reviewer.page.locator(".ps-legend li")
    view = reviewer.get("app.viewport.state")
    for key, mode, lines in (
        ("r", "reliability", ["the more, the less sure", "the model is sure"]),
        ("d", "difference", ["changed, in its new class", "changed to void", "as the model said"]),
        ("h", "image", ["picture only, overlay hidden"]),
    ):
        expect(legend).to_have_text(["this region", "to decide", "reliable", "by people", "void"])
        reviewer.press(key)
        reviewer.wait("root.dataset.mode === argument", mode)
        expect(legend).to_have_text(lines)
        reviewer.screenshot(f"reviewer-{mode}")
        reviewer.press(key)
        reviewer.wait("root.dataset.mode === 'class'")
        assert reviewer.get("app.viewport.state") == view, f"the view moved in mode {mode}"


def test_reviewer_fits_small_screens(live_app: LiveApp, tab: Page) -> None:
    visit(tab, live_app, "/review")
    reviewer = ReviewerPage(tab).ready()
    page = reviewer.page
    for width in (430, 1100):
        page.set_viewport_size({"width": width, "height": 860})
        reviewer.wait(
            f"window.innerWidth === {width} && root.scrollWidth <= root.clientWidth && "
            "root.getBoundingClientRect().right <= window.innerWidth"
        )
        page.get_by_role("button", name="Brush", exact=True).click()
        finish, skip = (page.get_by_role("button", name=name) for name in ("Finish region", "Skip"))
        expect(finish, f"{width} wide").to_be_visible()
        expect(skip, f"{width} wide").to_be_hidden()
        reviewer.screenshot(f"reviewer-{width}")
        page.get_by_role("button", name="Cancel").click()
        expect(skip, f"{width} wide").to_be_visible()
