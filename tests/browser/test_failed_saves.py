"""Must never happen: a decision is lost, or counted twice, because a save failed."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import LiveApp, ProcessApp, ReviewerPage
from tests.browser.stored import decisions, sha1, stored_state
from tests.browser.test_drawing import inside

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
DECISIONS = "**/api/decisions"


def press_and_go_on(reviewer: ReviewerPage, key: str) -> int:
    """Decide while nothing can be saved; returns the region that was decided."""
    region = reviewer.region
    reviewer.press(key)
    reviewer.wait("root.dataset.region !== argument", str(region))
    return region


def test_decisions_made_while_the_server_is_down_are_saved_once_when_it_is_back(
    mortal_app: ProcessApp, open_reviewer: OpenReviewer
) -> None:
    reviewer = open_reviewer(mortal_app)
    reviewer.wait("app.feed.images.size >= 2")
    reviewer.decide("Space")
    mortal_app.kill()
    region = press_and_go_on(reviewer, "2")
    reviewer.wait("root.dataset.saving === 'offline'")
    assert reviewer.page.get_by_role("button", name="Offline: 1 waiting. Retry").is_visible()
    mortal_app.start()
    reviewer.wait("root.dataset.saving === 'saved' && root.dataset.saved === '2'")
    log = decisions(mortal_app.workspace)
    assert [entry.region_id for entry in log].count(region) == 1
    assert len(log) == 2


def test_who_is_faster_than_the_server_goes_on_with_the_next_region(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    reviewer = open_reviewer(own_app)
    held: list[Route] = []
    reviewer.page.route(DECISIONS, lambda route: held.append(route))
    regions = []
    for _ in range(30):  # More than are fetched ahead, and again as many.
        regions.append(press_and_go_on(reviewer, "Space"))
        assert reviewer.get("root.dataset.region") != "none"
    assert len(set(regions)) == 30 and decisions(own_app.workspace) == []
    held[0].continue_()
    reviewer.page.unroute(DECISIONS)
    reviewer.wait("root.dataset.saved === '30' && root.dataset.saving === 'saved'")
    assert [entry.region_id for entry in decisions(own_app.workspace)] == regions


def test_decision_whose_answer_was_lost_is_sent_again_and_stored_once(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    reviewer = open_reviewer(own_app)
    bodies: list[str | None] = []

    def lose_first_answer(route: Route) -> None:
        bodies.append(route.request.post_data)
        if len(bodies) == 1:
            route.fetch()  # The server stores it; the browser never hears of it.
            route.abort()
        else:
            route.continue_()

    reviewer.page.route(DECISIONS, lose_first_answer)
    region = press_and_go_on(reviewer, "Space")
    reviewer.wait("root.dataset.saved === '1' && root.dataset.saving === 'saved'")
    assert len(bodies) == 2 and bodies[0] == bodies[1]
    assert [entry.region_id for entry in decisions(own_app.workspace)] == [region]


def test_drawing_that_could_not_be_saved_survives_a_reload(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    reviewer = open_reviewer(own_app)
    image = reviewer.image
    refuse_network(reviewer.page)
    reviewer.press("b")
    reviewer.press("5")
    reviewer.stroke(inside(reviewer))
    drawn = reviewer.hash_of("label")
    reviewer.wait("root.dataset.saving === 'offline'")
    assert decisions(own_app.workspace) == []
    reviewer.page.unroute(DECISIONS)
    reviewer.page.reload()
    reviewer.ready()
    reviewer.wait("root.dataset.saving === 'saved' && root.dataset.saved === '1'")
    assert len(decisions(own_app.workspace)) == 1
    assert sha1(stored_state(own_app.workspace, image).label) == drawn


def test_decisions_that_wait_are_sent_in_the_order_in_which_they_were_made(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    reviewer = open_reviewer(own_app)
    refuse_network(reviewer.page)
    made = [press_and_go_on(reviewer, key) for key in ("1", "Space", "x", "3")]
    reviewer.wait("root.dataset.saving === 'offline' && root.dataset.pending === '4'")
    reviewer.page.unroute(DECISIONS)
    press_retry(reviewer)
    reviewer.wait("root.dataset.saved === '4'")
    assert [entry.region_id for entry in decisions(own_app.workspace)] == made


def test_drawing_refused_because_of_another_tab_can_be_taken_up_again(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    first = open_reviewer(own_app)
    region, image = first.region, first.image
    first.wait("app.lease.held?.is_mine")
    first.hear_nothing_of_others()
    second = open_reviewer(own_app, f"?region={region}")
    second.decide("x")
    second.page.close()
    refuse_network(first.page)
    first.press("b")
    first.press("4")
    first.stroke(inside(first))
    first.press("]")
    first.stroke(inside(first)[:2])
    drawn = first.hash_of("touched")
    first.page.unroute(DECISIONS)
    first.get("app.outbox.retry()")
    first.wait("root.dataset.refused === '2' && !app.isBusy")
    alert = first.page.get_by_role("alert")
    assert "nothing was" in alert.inner_text() and "2 strokes wait here" in alert.inner_text()
    assert len(decisions(own_app.workspace)) == 1
    first.page.get_by_role("button", name="See what changed").click()
    expect(alert).to_contain_text("→ void")
    assert first.get("app.conflict.path !== null")
    first.page.get_by_role("button", name="Open this region and draw again").click()
    first.wait("root.dataset.region === argument && root.dataset.strokes === '2'", str(region))
    first.all_saved()
    assert first.hash_of("touched") == drawn
    assert first.hash_of("label") == sha1(stored_state(own_app.workspace, image).label)
    assert first.get("app.outbox.refused.length") == 0
    first.decide("Enter")
    assert len(decisions(own_app.workspace)) == 4


def press_retry(reviewer: ReviewerPage) -> None:
    """Press the button; the page's own next try may have been faster and have switched it off, which is fine too."""
    reviewer.page.locator(".ps-save").evaluate("button => button.click()")


def refuse_network(page: Page) -> None:
    page.route(DECISIONS, lambda route: route.abort())
