"""The quality page: everything a lead may know, with its intervals, and for everybody else their own numbers only."""

import csv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from app.config import Workspace
from app.domain.intervals import CountedShare
from app.domain.quality_words import FEW_AUDITS, percent
from app.domain.roles import Role
from app.domain.states import RegionKind
from app.services.quality_report import QualityReport, quality_report
from app.storage.database import open_store
from tests.browser.conftest import SCREENSHOTS, LiveApp, ReviewerPage, Watched, in_thread
from tests.browser.people import add_people, open_as
from tests.browser.stored import region_row
from tests.browser.team_work import work_as_team
from tests.browser.test_accessibility import severe_violations
from tests.browser.workspace import NAMES
from tests.unit.suspect_cases import look, nothing_known, says
from tests.unit.trust_cases import SIZE_HW, copy_scene, make_scene

pytestmark = pytest.mark.browser

SHOWN = 12
"""Parts of labels that may be wrong on one page of their list."""


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """A workspace in which three people have worked, with accounts."""
    scene = make_scene(tmp_path_factory.mktemp("scene"), pool=4)
    with closing(copy_scene(scene, tmp_path_factory.mktemp("worked"))) as store:
        work_as_team(store, scene.truth, turns=60)
        with pytest.MonkeyPatch.context() as patch:
            says(patch, nothing_known(SIZE_HW, len(NAMES)))
            look(store)
    add_people(store.workspace, lea=Role.LEAD, ann=Role.ANNOTATOR)
    with in_thread(store.workspace) as app:
        yield app


def report_of(workspace: Workspace) -> QualityReport:
    with closing(open_store(workspace)) as store:
        return quality_report(store)


def range_of(found: CountedShare, word: str) -> str:
    return f"{percent(found.low)}{word}{percent(found.high)}"


def open_quality(browser: Browser, app: LiveApp, name: str, watched: Watched) -> Page:
    page = open_as(browser, app, name, "/quality", watched)
    page.wait_for_selector("#quality [data-drawn]", state="attached")
    return page


def test_a_lead_reads_every_number_with_its_interval_filters_and_takes_the_log_away(
    worked: LiveApp, browser: Browser, watched: Watched, tmp_path: Path
) -> None:
    report = report_of(worked.workspace)
    page = open_quality(browser, worked, "lea", watched)
    page.wait_for_selector("#wrong-labels[data-listed] tbody tr")
    sentences = report.to_json()["sentences"]
    wrong = report.audits[0].audited.wrong
    answer = page.get_by_role("region", name="The answer in short")
    assert 1 < wrong.trials < FEW_AUDITS
    expect(answer).to_contain_text(f"{range_of(wrong, ' to ')} from {wrong.trials} audits: too few for one number yet")
    expect(answer.locator("[data-number='on_gold']")).to_contain_text(sentences["on_gold"])
    expect(answer).to_contain_text(sentences["audited"])
    for number, title in (("caught", "Planted errors caught"), ("changed", "Queued regions that were changed")):
        found = getattr(report, number)
        card = page.get_by_role("region", name=title)
        expect(card).to_contain_text(f"{percent(found.share)}{range_of(found, ' to ')}")
        expect(card).to_contain_text(sentences[number])
    saved = page.get_by_role("region", name="Effort saved")
    expect(saved).to_contain_text("estimate" if report.saved.share is not None else "Nothing can be said")
    people = page.locator("[data-part='people'] tbody tr")
    assert [row.split("\t")[0] for row in people.all_inner_texts()] == ["ann", "ben", "cho"]
    for row, person in zip(people.all(), report.people, strict=True):
        expect(row).to_contain_text(f"({person.changed.hits} of {person.changed.trials})")
        caught = f"({person.caught.hits} of {person.caught.trials})"
        expect(row).to_contain_text(caught if person.caught.trials else "no case yet")
    assert page.locator("#quality svg").count() > 10
    assert page.locator("#quality svg:not([role='img'][aria-label])").count() == 0
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_function(f"document.body.classList.contains('dark') === {str(scheme == 'dark').lower()}")
        page.screenshot(path=SCREENSHOTS / f"quality-with-work-{scheme}.png", full_page=True)
        assert severe_violations(page) == []
    page.set_viewport_size({"width": 1024, "height": 768})
    wide = page.locator("[data-part='people'] .pp-wide")
    assert wide.evaluate("({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth")
    page.screenshot(path=SCREENSHOTS / "quality-1024.png", full_page=True)
    page.get_by_label("Whose").select_option("ben")
    page.wait_for_selector("#quality [data-query='user=ben']")
    ben = report.people[1]
    expect(page.locator("[data-number='changed']")).to_contain_text(f"{ben.changed.hits} of {ben.changed.trials} ")
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").click()
    taken.value.save_as(tmp_path / "log.csv")
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert len(rows) == 20 and {row["user"] for row in rows} == {"ben"}
    page.get_by_label("Until").fill("2020-01-01")
    expect(page.get_by_text("No action with this filter.")).to_be_visible()
    assert watched.errors == watched.outside == []
    page.context.close()


def turn_to(row: Locator, section: Locator) -> None:
    """Turn the pages of the list until one has a row."""
    first = 1
    expect(section.get_by_text(f"{first} to")).to_be_visible()
    while row.count() == 0:
        section.get_by_role("button", name="More").click()
        first += SHOWN
        expect(section.get_by_text(f"{first} to")).to_be_visible()


def behind_imported_ones(route: Route) -> None:
    """As where so many parts that came with their image are likelier that they fill a whole answer."""
    is_behind = "offset=200" in route.request.url
    response = route.fetch(url=route.request.url.replace("offset=200", "offset=0"))
    told = response.json()
    imported = next(row for row in told["rows"] if row["is_imported"])
    route.fulfill(response=response, json=told if is_behind else {**told, "rows": [imported] * 200})


def test_a_lead_looks_for_wrong_labels_and_answers_each(worked: LiveApp, browser: Browser, watched: Watched) -> None:
    page = open_quality(browser, worked, "lea", watched)
    section = page.get_by_role("region", name="Labels that may be wrong")
    section.get_by_role("button", name="Look again").click()
    expect(section.get_by_text("waits for the worker")).to_be_visible()
    section.get_by_role("button", name="Stop").click()
    expect(section.get_by_role("status")).to_have_text("The look was stopped; the list is the one from before.")
    imported = section.locator("tr[data-answer='open']:has([data-does='change'])").first
    rank = imported.get_attribute("data-suspect")
    imported = section.locator(f"tr[data-suspect='{rank}']")
    assert imported.locator("img").evaluate("(img) => img.decode().then(() => img.naturalWidth)") > 100
    imported.get_by_role("button", name="Larger").click()
    large = page.get_by_role("dialog", name="A part of a label, large")
    assert large.get_by_role("img").evaluate("(img) => img.decode().then(() => img.naturalWidth)") > 400
    before = large.get_by_role("status").inner_text()
    page.keyboard.press("ArrowRight")
    expect(large.get_by_role("status")).not_to_have_text(before)
    assert severe_violations(page) == []
    large.get_by_role("button", name="Close").click()
    for does, answer in (("right", "right"), ("reopen", "open"), ("change", "changed"), ("reopen", "open")):
        imported.locator(f"[data-does='{does}']").click()
        expect(imported).to_have_attribute("data-answer", answer)
        assert page.evaluate("document.activeElement.closest('tr')?.dataset.suspect") == rank
    imported.locator("[data-does='right']").click()
    expect(imported).to_have_attribute("data-answer", "right")
    section.get_by_label("Only parts without an answer").check()
    expect(imported).to_have_count(0)
    section.get_by_label("Only parts without an answer").uncheck()
    expect(imported).to_have_count(1)
    page.route("**/api/suspects?limit=200*", behind_imported_ones)
    section.get_by_label("How many parts").fill("1")
    section.get_by_role("button", name="Send to review:", exact=True).click()
    expect(section.get_by_role("status")).to_have_text("1 part is in review now.")
    drawn = section.locator("tr:has([data-does='send'])").first
    turn_to(drawn, section)
    rank = drawn.get_attribute("data-suspect")
    drawn = section.locator(f"tr[data-suspect='{rank}']")
    link = drawn.get_by_role("link", name="in the reviewer")
    before = link.get_attribute("href")
    drawn.locator("[data-does='send']").click()
    expect(drawn).to_contain_text("in review")
    assert link.get_attribute("href") != before
    link.click()
    reviewer = ReviewerPage(page).ready()
    assert region_row(worked.workspace, int(reviewer.region)).kind is RegionKind.FLAGGED
    reviewer.press("Space")
    reviewer.all_saved()
    page.goto(f"{worked.url}/quality")
    turn_to(drawn, section)
    expect(drawn).to_contain_text("decided, label kept")
    assert watched.errors == watched.outside == []
    page.context.close()


def test_an_annotator_sees_own_numbers_only_and_today_counts_from_tomorrow_on(
    worked: LiveApp, browser: Browser, watched: Watched
) -> None:
    page = open_quality(browser, worked, "ann", watched)
    expect(page.get_by_role("heading", name="Nothing yet")).to_be_visible()
    shown = page.locator("#quality").inner_text()
    assert "ben" not in shown and "audit" not in shown.lower()
    assert page.locator("#quality form, #quality a[download], #wrong-labels").count() == 0
    assert watched.errors == watched.outside == []
    page.context.close()
