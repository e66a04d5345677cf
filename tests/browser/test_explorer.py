"""FiftyOne's own page over a workspace: from a region to its sample, a tag, and back. Nothing leaves the machine."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import BrowserContext, Request, expect

from app.domain.roles import Actor, Role
from app.services.comments import open_questions
from app.services.processes import Monitor
from app.storage.database import open_store
from app.web.explorer import choose_links, sync
from tests.browser.conftest import REPOSITORY, SCREENSHOTS, LiveApp, ReviewerPage
from tests.unit.process_cases import free_port

pytestmark = pytest.mark.browser

LEE = Actor("lee", Role.LEAD)
LOAD_MS = 60_000
"""FiftyOne's page is several megabytes of script."""


@pytest.fixture
def explorer_url(own_app: LiveApp, mongodb_server: object) -> Iterator[str]:
    """FiftyOne over the workspace of `own_app`, as `pixelsieve explore` opens it."""
    port, root = free_port(), own_app.workspace.root
    url = f"http://127.0.0.1:{port}"
    with closing(open_store(own_app.workspace)) as store:
        sync(store, choose_links(store, "tests-browser", own_app.url, url), LEE, Monitor())
    command = [sys.executable, "-m", "app", "explore", "open", "-w", str(root), "--port", str(port)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = f"FiftyOne shows {root} at {url}/datasets/tests-browser (Ctrl+C stops it)\n"
        assert process.stdout.readline() == said
        yield url
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0, "Ctrl+C is how it ends"
    finally:
        process.kill()


def test_from_a_region_to_fiftyone_and_back_with_a_tag_that_takes_effect(
    own_app: LiveApp, explorer_url: str, context: BrowserContext
) -> None:
    context.set_default_timeout(LOAD_MS)
    refused: list[Request] = []
    asked: list[str] = []
    context.on("requestfailed", lambda request: refused.append(request) if request.failure == "csp" else None)
    context.on("request", lambda request: asked.append(request.url))
    grid = context.new_page()
    grid.goto(f"{explorer_url}/datasets/tests-browser")
    expect(grid.get_by_text("6 samples")).to_be_visible(timeout=LOAD_MS)
    grid.get_by_text("Dismiss", exact=True).click()
    expect(grid.locator('[data-cy="looker"]')).to_have_count(6, timeout=LOAD_MS)
    grid.screenshot(path=SCREENSHOTS / "explorer-grid.png")
    page = context.new_page()
    page.goto(own_app.url)
    expect(page.get_by_role("button", name="Bring FiftyOne up to date")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "explorer-button.png")
    page.goto(f"{own_app.url}/review")
    reviewer = ReviewerPage(page).ready()
    region, image = reviewer.region, reviewer.image
    reviewer.screenshot("explorer-way-there")

    with context.expect_page() as opened:
        page.get_by_role("link", name="See it in FiftyOne").click()
    sample = opened.value
    panel = sample.locator("#modal")
    name = page.locator(".ps-facts dd").first.inner_text()
    expect(panel.get_by_text(name, exact=True)).to_be_visible(timeout=LOAD_MS)
    panel.locator('[data-cy="action-tag-sample-labels"]').click()
    sample.locator('[data-cy="tagger-switch-sample"]').click()
    sample.locator('[data-cy="sample-tag-input"]').fill("flag")
    sample.keyboard.press("Enter")
    with sample.expect_response(re.compile("/tag$")) as tagged:
        sample.get_by_text("Apply", exact=True).click()
    assert tagged.value.ok
    sample.screenshot(path=SCREENSHOTS / "explorer-sample.png")

    way_back = panel.locator(f'a[href^="{own_app.url}/review"]')
    sample.goto(str(way_back.get_attribute("href")))
    assert ReviewerPage(sample).ready().image == image
    with closing(open_store(own_app.workspace)) as store:
        report = sync(store, choose_links(store), LEE, Monitor())
        assert report.tags.applied == ((name, "flag"),)
        assert [(question.sample_id, question.author) for question in open_questions(store)] == [(name, "lee")]

    outside = {url for url in asked if not re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url)}
    assert outside <= {request.url for request in refused}, "a request left this machine"
    assert region == reviewer.region
