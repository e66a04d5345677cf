"""Long lists of classes: keys for the first, numbers for the others, and any of them by name from the keyboard."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ReviewerPage, in_thread
from tests.browser.stored import decisions
from tests.browser.test_accessibility import severe_violations
from tests.browser.workspace import build_workspace

pytestmark = pytest.mark.browser

NAMES = ("Straßenbahn-Fahrleitung über Grünfläche", "שלט רחוב", *(f"klasse {index:03d}" for index in range(2, 150)))


def test_one_of_150_classes_is_found_by_name_and_taken_by_keyboard_alone(
    tmp_path: Path, open_reviewer: Callable[..., ReviewerPage]
) -> None:
    workspace = build_workspace(tmp_path, pool=1, names=NAMES)
    with in_thread(workspace) as app:
        reviewer = open_reviewer(app)
        page, region = reviewer.page, reviewer.region
        options = page.get_by_role("option")
        reviewer.press("/")
        expect(options).to_have_count(150)
        assert severe_violations(page) == []
        reviewer.press("Escape")
        assert reviewer.region == region and page.evaluate("document.activeElement.matches('.ps-stage')")
        reviewer.press("/")
        page.keyboard.type("gruNFLAche uber")
        expect(options).to_have_count(1)
        page.keyboard.press("Control+A")
        page.keyboard.type("nothing like it")
        expect(page.get_by_text("No class has a name with that in it")).to_be_visible()
        page.keyboard.press("Control+A")
        page.keyboard.type("klasse 14")
        expect(options).to_have_count(12)
        reviewer.press("ArrowDown")
        reviewer.decide("Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.close()
    (taken,) = decisions(workspace)
    assert (taken.region_id, taken.class_id) == (region, 114)
