"""Forty regions by keyboard as they come: doubt, audits, planted errors and an image from scratch, counted exactly."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Response, expect

from app.config import Workspace
from app.domain.intervals import counted_share
from app.domain.roles import Role
from app.domain.states import ImageRole, RegionKind
from app.services.quality_report import quality_report
from app.storage.database import Store, open_store
from app.storage.models import Image, Proposal, Region
from app.storage.planes import StoredPlanes
from tests.browser.conftest import LiveApp, ReviewerPage, Watched, in_thread
from tests.browser.people import add_people, open_as
from tests.browser.test_accessibility import severe_violations
from tests.unit.trust_cases import TRUST, make_scene

pytestmark = pytest.mark.browser

REGIONS = 40
TRUST_HERE = TRUST.model_copy(update={"audit_share": 0.15, "planted_share": 0.15, "control_share": 0.2, "seed": 9})
NO_PROPOSAL = "This image is labeled from scratch: there is no proposal."


@dataclass
class Expected:
    """What the numbers must be, from what was pressed and what a region really was."""

    kinds: Counter[RegionKind] = field(default_factory=Counter)
    queue: list[bool] = field(default_factory=list)
    """Of each decided region of the queue, whether it was changed."""
    audits: list[bool] = field(default_factory=list)
    """Of each audit with a class, whether the model was wrong."""
    void_audits: int = 0
    planted: list[bool] = field(default_factory=list)
    """Of each planted error, whether it was caught."""
    from_scratch: tuple[int, int] = (0, 0)
    """Wrong and reliable pixels of the control image."""

    def answer(self, kind: RegionKind, key: str, measures: bool) -> None:
        """A region was accepted (Space), relabeled (a number) or called void (x); audits of decoys measure nothing."""
        self.kinds[kind] += 1
        if not measures:
            return
        if kind is RegionKind.QUEUE:
            self.queue.append(key != "Space")
        elif kind is RegionKind.PLANTED:
            self.planted.append(key != "Space")
        elif key == "x":
            self.void_audits += 1
        else:
            self.audits.append(key != "Space")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[LiveApp]:
    scene = make_scene(tmp_path, pool=4, trust=TRUST_HERE)
    add_people(Workspace(scene.root), ann=Role.ANNOTATOR, lea=Role.LEAD)
    with in_thread(Workspace(scene.root)) as app:
        yield app


@pytest.fixture
def store(app: LiveApp) -> Iterator[Store]:
    with closing(open_store(app.workspace)) as store:
        yield store


def region_of(store: Store, region_id: int) -> tuple[RegionKind, int, bool]:
    """What a region really is, the class that it is shown with, and whether its answer counts in what is measured."""
    with store.reader() as session:
        region = session.get_one(Region, region_id)
        is_in_pool = session.get_one(Image, region.image_id).role is ImageRole.POOL
        return region.kind, region.class_id, is_in_pool or region.kind is not RegionKind.AUDIT


def go_on(reviewer: ReviewerPage, key: str) -> None:
    """Press what finishes a region, and wait for the next one."""
    region = reviewer.region
    reviewer.press(key)
    reviewer.wait("root.dataset.region !== argument", str(region))


def draw_whole_image(reviewer: ReviewerPage, store: Store, expected: Expected) -> None:
    """One class everywhere: there is no other way, and a key that is pressed by mistake does not finish it."""
    page, region_id = reviewer.page, reviewer.region
    expect(page.get_by_text("Label from scratch", exact=False).first).to_be_visible()
    assert reviewer.get("root.dataset.tool") == "brush"
    assert (
        page.locator(".ps-likely, [data-command='accept']:visible, [data-command='reliability']:visible").count() == 0
    )
    assert reviewer.get("app.image.proposal.every((id) => id === 255)")
    reviewer.screenshot("reviewer-from-scratch")
    assert severe_violations(page) == []
    reviewer.press("r")
    expect(page.locator(".ps-status")).to_contain_text(NO_PROPOSAL)
    reviewer.press("3")
    reviewer.press("Space")
    reviewer.wait("root.dataset.strokes === '1'")
    reviewer.press("Enter")  # Nearly all of it would be void.
    expect(page.get_by_text("is not drawn and would become void", exact=False)).to_be_visible()
    reviewer.press("Escape")
    assert reviewer.region == region_id
    reviewer.press("k")
    reviewer.press("4")
    reviewer.press("ArrowUp")
    for _ in range(2):
        reviewer.press("Shift+ArrowUp")
    reviewer.press("Space")
    reviewer.wait("root.dataset.strokes === '2'")
    label = np.array(reviewer.get("Array.from(app.image.label)"), np.uint8)
    go_on(reviewer, "Enter")
    with store.reader() as session:
        proposal = session.get_one(Proposal, session.get_one(Region, region_id).proposal_id)
        said = StoredPlanes(store.workspace.absolute(proposal.folder))
    assert set(np.unique(label)) == {2, 3}
    wrong = (said.label.ravel() != label) & said.reliable.ravel()
    expected.kinds[RegionKind.CONTROL] += 1
    expected.from_scratch = int(wrong.sum()), int(said.reliable.sum())


def decide(reviewer: ReviewerPage, store: Store, expected: Expected, turn: int) -> None:
    kind, shown, measures = region_of(store, reviewer.region)
    if kind is RegionKind.CONTROL:
        draw_whole_image(reviewer, store, expected)
        return
    key = ("Space", str(1 + (shown + 1) % 9), "x", "b")[turn % 4]
    if key != "b":
        go_on(reviewer, key)
        expected.answer(kind, key, measures)
        return
    before = reviewer.hash_of("label")
    for each in ("b", str(1 + (shown + 1) % 9), "Space"):
        reviewer.press(each)
    is_drawn = kind is RegionKind.QUEUE and reviewer.hash_of("label") != before
    if (
        not is_drawn
    ):  # An audit counts by one pixel, which the brush may miss; and the cross may stand beside the region.
        reviewer.press("Escape")
        reviewer.wait("root.dataset.strokes === '0' && root.dataset.tool === 'none'")
    go_on(reviewer, "Enter" if is_drawn else "Space")
    expected.answer(kind, "drawn" if is_drawn else "Space", measures)


def test_what_is_decided_by_keyboard_is_in_the_numbers_exactly(
    app: LiveApp, store: Store, browser: Browser, watched: Watched
) -> None:
    page = open_as(browser, app, "ann", "/review", watched)
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if "/api/" in answer.url else None)
    reviewer = ReviewerPage(page).ready()
    expected = Expected()
    for turn in range(REGIONS):
        decide(reviewer, store, expected, turn)
    reviewer.wait("root.dataset.saving === 'saved' && root.dataset.pending === '0'")
    told = " ".join(each.text() for each in answers if "json" in each.headers.get("content-type", ""))
    assert '"queue"' in told and '"audit"' not in told and '"planted"' not in told
    assert set(expected.kinds) == {RegionKind.QUEUE, RegionKind.AUDIT, RegionKind.PLANTED, RegionKind.CONTROL}
    page.context.close()

    report = quality_report(store)
    assert report.changed == counted_share(sum(expected.queue), len(expected.queue))
    assert report.caught == counted_share(sum(expected.planted), len(expected.planted))
    (audit,) = report.audits
    assert audit.audited.wrong == counted_share(sum(expected.audits), len(expected.audits))
    assert (audit.audited.num_void, audit.audited.num_set_aside) == (expected.void_audits, 0)
    assert (report.control.wrong_pixels, report.control.reliable_pixels) == expected.from_scratch
    assert report.effort.num_regions == REGIONS - 1 and report.saved.scratch_s > 0
    assert [person.user for person in report.people] == ["ann"]
    check_page(open_as(browser, app, "lea", "/quality", watched), report.to_json())
    assert watched.errors == watched.outside == []


def check_page(page: Page, report: dict[str, Any]) -> None:
    """The lead reads the same."""
    page.wait_for_selector("#quality [data-actions]", state="attached")
    for name in ("audited", "caught", "changed", "effort"):
        expect(page.locator(f"[data-number='{name}']")).to_contain_text(report["sentences"][name])
    expect(page.locator("[data-part='arms']")).to_contain_text("1 of 1 control images are finished")
    page.context.close()
