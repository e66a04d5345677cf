"""Must never happen: an unsent decision is lost, sent twice, sent out of order, or sent as somebody else's."""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, Route, expect

from tests.browser.conftest import FLAGS, WAIT_MS, LiveApp, ReviewerPage
from tests.browser.stored import decisions, sha1, stored_state
from tests.browser.test_drawing import inside
from tests.browser.test_failed_saves import DECISIONS, press_and_go_on, press_retry, refuse_network

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
KEPT = """new Promise((resolve, reject) => {
  const opening = indexedDB.open('pixelsieve');
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const reading = opening.result.transaction(['%s']).objectStore('%s').getAll();
    reading.onsuccess = () => { opening.result.close(); resolve(reading.result); };
  };
})"""


def kept(reviewer: ReviewerPage, store: str = "waiting") -> list[dict[str, object]]:
    """What the browser keeps, read behind the page's back."""
    found = reviewer.page.evaluate(f"async () => (await {KEPT % (store, store)}).map((entry) => entry.header)")
    return list(found)


def op_ids(app: LiveApp) -> list[str]:
    return [entry.op_id for entry in decisions(app.workspace)]


def test_decisions_made_in_a_network_cut_of_30_seconds_are_stored_once_in_order(
    own_app: LiveApp, open_reviewer: OpenReviewer, context: BrowserContext
) -> None:
    context.clock.install()
    reviewer = open_reviewer(own_app)
    reviewer.wait("app.feed.images.size >= 2 && app.feed.views.size >= 4")
    left = regions_left(reviewer)
    context.set_offline(True)
    made = [press_and_go_on(reviewer, key) for key in ("Space", "2", "x")]
    reviewer.wait("root.dataset.saving === 'offline' && root.dataset.pending === '3'")
    for _ in range(10):
        context.clock.fast_forward(3_000)  # Whatever is tried in between fails.
    assert reviewer.page.get_by_role("button", name="Offline: 3 waiting. Retry").is_visible()
    assert len(kept(reviewer)) == 3 and op_ids(own_app) == []
    assert regions_left(reviewer) == left - 3
    reviewer.press("Control+z")
    reviewer.wait("root.dataset.region === argument && !app.isBusy", str(made[-1]))
    assert regions_left(reviewer) == left - 2
    reviewer.press("Control+Shift+z")
    assert regions_left(reviewer) == left - 3
    status = reviewer.page.locator(".ps-status")
    reviewer.press("m")
    expect(status).to_contain_text("could not be found. The server cannot be reached.")
    context.set_offline(False)  # The browser says that it is online; nobody has to press anything.
    reviewer.wait("root.dataset.saving === 'saved' && root.dataset.saved === '5'")
    assert [entry.region_id for entry in decisions(own_app.workspace)] == [*made, made[-1], made[-1]]  # Undo and redo.
    assert kept(reviewer) == [] and regions_left(reviewer) == left - 3
    expect(status).not_to_contain_text("cannot be reached")


def regions_left(reviewer: ReviewerPage) -> int:
    return int(reviewer.page.locator(".ps-left").inner_text().split()[0])


def test_without_a_network_the_review_ends_with_what_is_loaded_and_goes_on_by_itself(
    own_app: LiveApp, open_reviewer: OpenReviewer, context: BrowserContext
) -> None:
    reviewer = open_reviewer(own_app)
    reviewer.wait("app.feed.images.size >= 2 && app.feed.views.size >= 4")
    context.set_offline(True)
    made = []
    while reviewer.get("root.dataset.region") != "none":
        made.append(press_and_go_on(reviewer, "Space"))
    end = reviewer.page.locator(".ps-empty")
    expect(end).to_contain_text("No more regions are loaded")
    expect(end).to_contain_text(f"{len(made)} decisions wait in this browser")
    assert len(made) > 1 and reviewer.page.locator(".ps-decision").count() == 0
    reviewer.screenshot("reviewer-nothing-loaded")
    context.set_offline(False)
    reviewer.wait("root.dataset.saving === 'saved' && root.dataset.region !== 'none' && !app.isBusy")
    assert reviewer.region not in made
    assert [entry.region_id for entry in decisions(own_app.workspace)] == made
    expect(end).to_be_hidden()


def test_decisions_survive_a_killed_browser(
    own_app: LiveApp, tmp_path: Path, chromium_path: str, playwright: Playwright
) -> None:
    profile = tmp_path / "profile"
    killed = ReviewerPage(opened(playwright, profile, chromium_path, own_app)).ready()
    refuse_network(killed.page)
    killed.press("b")
    killed.press("5")
    killed.stroke(inside(killed))
    image, drawn = killed.image, killed.hash_of("label")
    regions = [press_and_go_on(killed, key) for key in ("Enter", "s")]
    kill_browsers_of(profile)
    reviewer = ReviewerPage(opened(playwright, profile, chromium_path, own_app)).ready()
    reviewer.wait("root.dataset.saving === 'saved' && root.dataset.saved === '3'")
    assert kept(reviewer) == []
    reviewer.page.context.close()
    log = decisions(own_app.workspace)
    assert [entry.region_id for entry in log] == [regions[0], *regions]  # The stroke, then the two keys.
    assert sha1(stored_state(own_app.workspace, image).label) == drawn


def opened(playwright: Playwright, profile: Path, chromium_path: str, app: LiveApp) -> Page:
    """The reviewer in a browser with a profile on disk."""
    flags = [*FLAGS, "--restore-last-session=false"]
    context = playwright.chromium.launch_persistent_context(
        profile, executable_path=chromium_path, args=flags, viewport={"width": 1440, "height": 900}
    )
    context.set_default_timeout(WAIT_MS)
    page = context.pages[0]
    page.goto(f"{app.url}/review")
    return page


def kill_browsers_of(profile: Path) -> None:
    """As if the machine's memory had run out: no handler of the browser runs."""
    mine = [p for p in psutil.Process().children(recursive=True) if any(str(profile) in part for part in p.cmdline())]
    assert mine, "no browser uses this profile"
    for process in mine:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(mine, timeout=10)


def test_a_full_browser_says_so_takes_no_more_decisions_and_goes_on_when_there_is_room(
    own_app: LiveApp, open_reviewer: OpenReviewer, context: BrowserContext
) -> None:
    reviewer = open_reviewer(own_app)
    region, before = reviewer.region, reviewer.hash_of("label")
    devtools = context.new_cdp_session(reviewer.page)
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": own_app.url, "quotaSize": 1})
    alert = reviewer.page.get_by_role("alert").filter(has_text="no room left to keep decisions")
    reviewer.press("Space")
    alert.wait_for()
    alert.get_by_role("button", name="Close").click()
    reviewer.press("b")
    reviewer.press("x")
    reviewer.stroke(inside(reviewer))
    alert.wait_for()
    reviewer.wait("root.dataset.strokes === '0' && !app.image.isStale && !app.isBusy")
    assert reviewer.region == region and reviewer.hash_of("label") == before
    assert kept(reviewer) == [] and op_ids(own_app) == []
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": own_app.url})
    image = reviewer.image
    reviewer.stroke(inside(reviewer))
    drawn = reviewer.hash_of("label")
    reviewer.decide("Enter")
    assert [entry.region_id for entry in decisions(own_app.workspace)] == [region, region]
    assert sha1(stored_state(own_app.workspace, image).label) == drawn != before


def test_two_tabs_share_one_queue_that_is_sent_once_and_in_order(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    first, second = open_reviewer(own_app), open_reviewer(own_app)
    network = Network()
    for reviewer in (first, second):
        reviewer.wait("app.feed.images.size >= 2 && app.feed.views.size >= 4")
        reviewer.page.route(DECISIONS, network.answer)
    made = [press_and_go_on(first, "Space")]
    open_other_than(second, made)
    made.append(press_and_go_on(second, "x"))
    open_other_than(first, made)
    made.append(press_and_go_on(first, "3"))
    second.wait("root.dataset.saving === 'offline' && root.dataset.pending === '3'")
    network.is_cut = False
    press_retry(second)
    for reviewer in (first, second):
        reviewer.wait("root.dataset.saving === 'saved' && root.dataset.saved === '3'")
    log = decisions(own_app.workspace)
    assert [entry.region_id for entry in log] == made
    assert len({entry.session for entry in log}) == 2
    assert network.passed == [entry.op_id for entry in log]


@dataclass
class Network:
    """The network of several tabs: cut at first; then it notes the op ids that pass."""

    is_cut: bool = True
    passed: list[str] = field(default_factory=list)

    def answer(self, route: Route) -> None:
        if self.is_cut:
            route.abort()
        else:
            self.passed.append(json.loads(route.request.post_data or "{}")["op_id"])
            route.continue_()


def open_other_than(reviewer: ReviewerPage, regions: list[int]) -> None:
    """Go to a region that no tab has decided."""
    while reviewer.region in regions:
        reviewer.press("ArrowRight")
        reviewer.wait("root.dataset.region !== argument && !app.isBusy", str(regions[-1]))


def test_what_a_closed_tab_left_is_sent_by_another_one(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    closed, stays = open_reviewer(own_app), open_reviewer(own_app)
    closed.page.bring_to_front()
    refuse_network(closed.page)
    region = press_and_go_on(closed, "Space")
    closed.wait("root.dataset.saving === 'offline'")
    closed.page.close()
    stays.wait("root.dataset.saving === 'saved' && root.dataset.saved === '1'")
    assert [entry.region_id for entry in decisions(own_app.workspace)] == [region]


def test_a_decision_waits_until_its_person_has_signed_in_again(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    reviewer = open_reviewer(own_app)
    answer = json.dumps({"error": "your session has expired; sign in again"})
    reviewer.page.route(
        DECISIONS, lambda route: route.fulfill(status=401, content_type="application/json", body=answer)
    )
    region = press_and_go_on(reviewer, "Space")
    reviewer.wait("root.dataset.saving === 'signed_out' && root.dataset.pending === '1'")
    assert reviewer.page.get_by_role("button", name="Signed out: 1 waiting. Sign in").is_visible()
    reviewer.page.unroute(DECISIONS)
    reviewer.page.evaluate("window.dispatchEvent(new Event('focus'))")  # Back from the page where people sign in.
    reviewer.wait("root.dataset.saving === 'saved' && root.dataset.saved === '1'")
    assert [entry.region_id for entry in decisions(own_app.workspace)] == [region]


def test_what_one_person_left_in_the_browser_is_never_sent_as_another_ones(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    reviewer = open_reviewer(own_app)
    refuse_network(reviewer.page)
    press_and_go_on(reviewer, "Space")
    reviewer.wait("root.dataset.saving === 'offline'")
    as_person(reviewer.page, "bob")
    reviewer.page.reload()
    reviewer.ready()
    reviewer.page.unroute(DECISIONS)
    reviewer.wait("root.dataset.saving === 'saved' && root.dataset.pending === '0'")
    assert len(kept(reviewer)) == 1 and op_ids(own_app) == []
    reviewer.page.unroute("**/api/session")
    reviewer.page.reload()
    reviewer.ready()
    reviewer.wait("root.dataset.saved === '1'")
    assert kept(reviewer) == [] and len(op_ids(own_app)) == 1


def test_a_tab_left_open_is_refused_when_somebody_else_has_signed_in(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    as_person(context_page := open_reviewer(own_app).page, "ann")
    context_page.reload()
    reviewer = ReviewerPage(context_page).ready()
    press_and_go_on(reviewer, "Space")
    reviewer.wait("root.dataset.saving === 'signed_out'")
    assert "this was decided by ann" in str(reviewer.get("app.view.saveState.title"))
    assert op_ids(own_app) == [] and len(kept(reviewer)) == 1


def as_person(page: Page, name: str) -> None:
    """The page is told that somebody else is signed in; the server knows better."""

    def rename(route: Route) -> None:
        session = route.fetch().json()
        route.fulfill(json={**session, "user": name})

    page.route("**/api/session", rename)


def test_what_an_older_page_kept_in_local_storage_is_sent(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    reviewer = open_reviewer(own_app)
    headers = [reviewer.get("app.editing.header('accept')"), reviewer.get("app.editing.header('skip')")]
    for sequence, header in ((1_700_000_000_001, headers[1]), (1_700_000_000_000, headers[0])):
        reviewer.page.evaluate(
            """([workspace, header, sequence]) => localStorage.setItem(`pixelsieve.outbox.${workspace}.${header.op_id}`,
               JSON.stringify({ path: '/api/decisions', header, delta: null, sequence }))""",
            [reviewer.get("app.session.workspace_id"), header, sequence],
        )
    reviewer.page.reload()
    reviewer.ready()
    reviewer.wait("root.dataset.saved === '2'")
    assert op_ids(own_app) == [header["op_id"] for header in headers]
    assert reviewer.page.evaluate("localStorage.length") == 0


def test_a_refused_drawing_that_was_taken_up_again_survives_a_crash_before_it_is_saved(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    first = open_reviewer(own_app)
    region = first.region
    first.wait("app.lease.held?.is_mine")
    first.hear_nothing_of_others()
    second = open_reviewer(own_app, f"?region={region}")
    second.decide("x")
    second.page.close()
    first.press("b")
    first.stroke(inside(first))
    first.wait("root.dataset.refused === '1' && !app.isBusy")
    first.get("app.outbox.kept.settle = () => new Promise(() => {})")  # As a crash before the old one is let go.
    first.page.get_by_role("button", name="Open this region and draw again").click()
    first.wait("root.dataset.region === argument && root.dataset.strokes === '1'", str(region))
    first.all_saved()
    assert len(kept(first, "refused")) == 1 and len(op_ids(own_app)) == 2
    again = open_reviewer(own_app)
    again.page.get_by_role("alert").filter(has_text="nothing was overwritten").wait_for()
