"""The threshold page: what is promised, what another threshold would cost, cutting the queue at it, and going back."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import select

from app.config import Workspace
from app.domain.roles import Actor, Role
from app.domain.states import DecisionKind, ImageRole, RegionState
from app.services import predicting
from app.services.model_limits import read_asked
from app.services.processes import Monitor
from app.services.recutting import recut_pool
from app.services.review_types import QueueFilter
from app.services.snapshots import list_snapshots
from app.services.thresholds import choose_threshold
from app.storage.database import Store, open_store
from app.storage.models import Image, Model, Proposal, Region
from app.storage.settings import CalibrationSettings
from tests.browser.conftest import SCREENSHOTS, WAIT_MS, LiveApp, Watched
from tests.browser.workspace import NAMES, NO_PROBES
from tests.unit.trust_cases import Annotator, ScenePredictor, make_scene

pytestmark = pytest.mark.browser

LEAD = Actor("lea", Role.LEAD)
OWN, LOOSE = 0.2, 0.5
NOTE = {
    "alpha": 0.05, "risk": "reliable", "unit": "image", "units": 40, "images": 40, "threshold": OWN,
    "is_promised": True, "decides": True, "bound": 0.045, "coverage": 0.8, "error_rate": 0.02,
    "sentence": "Promised: at most 5 % are wrong.",
}  # fmt: skip
CURVE = {
    "threshold": [0.02, 0.1, OWN, LOOSE, 1.0],
    "coverage": [0.1, 0.6, 0.8, 0.9, 1.0],
    "error_rate": [0.0, 0.01, 0.02, 0.06, 0.12],
    "promised_by_images": [0.024, 0.034, 0.045, 0.09, 0.15],
    "promised_by_blocks": [0.3, 0.3, 0.3, 0.4, 0.5],
}
CLASS = {
    "pixels": 100, "error_rate": 0.12, "has_own_curve": True, "coverage": CURVE["coverage"],
    "reliable_error_rate": CURVE["error_rate"],
}  # fmt: skip


@pytest.fixture
def own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A calibrated model that predicted four images; cut at another threshold once and back, so those cuts are kept."""
    scene = make_scene(tmp_path, pool=4, trust=NO_PROBES)
    workspace = Workspace(scene.root)
    with closing(open_store(workspace)) as store:
        run = workspace.rounds / "001" / "run"
        run.mkdir()
        said = {"note": NOTE, "curve": CURVE, "classes": dict.fromkeys(NAMES, CLASS), "thresholds": {}}
        (run / "calibration.json").write_text(json.dumps(said))
        with store.session() as session:
            model = session.get_one(Model, 1)
            gold = {"calibration": NOTE, "reliable_coverage": 0.8, "reliable_precision": 0.98}
            model.gold, model.run_dir = {**(model.gold or {}), **gold}, workspace.relative(run)
        monkeypatch.setattr(predicting, "load_predictor", lambda path: ScenePredictor(store, scene))
        for threshold in (LOOSE, None):
            choose_threshold(store, LEAD, threshold)
            recut_pool(store, workspace, Monitor())
        ann = Annotator(store)
        view = ann.service.region(ann.service.queue(QueueFilter())[0].region_id)
        ann.decide(DecisionKind.ACCEPT, view)
    return workspace


@pytest.fixture
def page(own_app: LiveApp, context: BrowserContext, watched: Watched) -> Iterator[Page]:
    """The page, drawn. At the end, nothing may have left this machine or gone wrong in it."""
    page = context.new_page()
    watched.follow(page)
    page.goto(f"{own_app.url}/threshold")
    page.wait_for_selector("#threshold .pp[data-drawn]")
    yield page
    assert watched.outside == [] and watched.errors == []


def stored(workspace: Workspace) -> tuple[dict[int, float | None], list[tuple[int, int]], list[int]]:
    """Threshold of each pool image, the regions that wait, and those that are decided."""
    with closing(open_store(workspace)) as store, store.reader() as session:
        of_pool = Proposal.active & Proposal.image_id.in_(select(Image.id).where(Image.role == ImageRole.POOL))
        cuts = {row.image_id: row.threshold for row in session.scalars(select(Proposal).where(of_pool))}
        return cuts, waiting(store), list(session.scalars(select(Region.id).where(Region.state == RegionState.DECIDED)))


def waiting(store: Store) -> list[tuple[int, int]]:
    return sorted((row.region_id, row.area) for row in Annotator(store).service.queue(QueueFilter(), limit=500))


def cut(page: Page, button: str, title: str) -> None:
    page.get_by_role("button", name=button).click()
    dialog = page.get_by_role("dialog", name=title)
    expect(dialog).to_contain_text("3 images that nobody has acted on get new regions")
    dialog.get_by_role("button", name="Cut the queue").click()
    expect(page.locator("#threshold .pp-message")).to_contain_text("): 3; cut so before: ", timeout=WAIT_MS)


@pytest.mark.usefixtures("worker")
def test_the_slider_previews_one_button_cuts_the_queue_and_another_goes_back(page: Page, own_app: LiveApp) -> None:
    cuts, before, decided = stored(own_app.workspace)
    assert len(decided) == 1 and set(cuts.values()) == {None}
    expect(page.get_by_label("The promise in short")).to_contain_text("At most 5 %")
    expect(page.get_by_label("The promise in short")).to_contain_text("whether the pool is like the gold images")
    cost = page.locator(".pp-cost")
    expect(cost).to_have_attribute("data-regions", str(len(before)))

    slider = page.get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Threshold 20 %: 80 % of the held-out pixels"))
    expect(page.get_by_text("This is in force: move the slider")).to_be_visible()
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("This is in force: move the slider")).to_be_hidden()
    expect(cost).to_contain_text("A cut changes 3 images. As they are stay 1 because somebody has acted on them.")
    expect(cost).to_contain_text(f"now {len(before)} regions")
    expected = int(cost.get_attribute("data-regions") or 0)
    assert 0 < expected < len(before)
    assert stored(own_app.workspace) == (cuts, before, decided)
    expect(page.get_by_label("Another threshold")).to_contain_text("No promise holds at this threshold")
    expect(page.get_by_role("row", name=re.compile("^building"))).to_contain_text("90 %")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "threshold-moved.png", full_page=True)

    cut(page, "Cut the queue here…", "Cut the queue at 50 %?")
    cuts_after, after, decided_after = stored(own_app.workspace)
    assert sorted(cuts_after.values(), key=str) == [LOOSE, LOOSE, LOOSE, None] and decided_after == decided
    assert sum(area for _, area in after) < sum(area for _, area in before)
    expect(page.get_by_label("The promise in short")).to_contain_text("No promise")
    expect(page.get_by_label("The promise in short")).to_contain_text("chose on")
    expect(page.get_by_role("row", name=re.compile("^round 1: reliable is wrong with at most 50 %"))).to_be_visible()
    assert "threshold" in [snapshot.reason for snapshot in list_snapshots(own_app.workspace)]

    page.goto(own_app.url)
    expect(page.locator("#summary")).to_contain_text("wrong with at most 50 %, as somebody chose")
    page.goto(f"{own_app.url}/export")
    expect(page.locator("#exports")).to_contain_text("wrong with at most 50 %. Nothing is promised about them.")
    expect(page.locator("#exports").get_by_role("link", name="Threshold")).to_be_visible()
    page.goto(f"{own_app.url}/threshold")

    cut(page, "Back to the model's own…", "Cut the queue at the model's own threshold?")
    assert stored(own_app.workspace) == (cuts, before, decided)
    expect(page.get_by_label("The promise in short")).to_contain_text("At most 5 %")

    page.get_by_label("Asked error, in %").fill("3")
    page.get_by_label("No picture comes from a video").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#threshold .pp-message")).to_contain_text("at most 3 % are wrong")
    with closing(open_store(own_app.workspace)) as store:
        assert read_asked(store) == CalibrationSettings(alpha=0.03, independent=True)
