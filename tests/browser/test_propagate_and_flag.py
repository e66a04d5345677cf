"""Look-alikes that get a class together, and reliable areas that somebody calls wrong."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from playwright.sync_api import Page, expect

from app.config import Workspace
from app.domain.states import DecisionKind, ModelStatus, RegionKind, RegionState
from app.services.importing import import_dataset
from app.services.proposals import store_proposal
from app.storage.database import open_store
from app.storage.trust_settings import write_trust_settings
from datasets.labels import ClassSet
from export.session import Prediction
from tests.browser.conftest import LiveApp, ReviewerPage, Watched, in_thread, visit
from tests.browser.stored import decisions, locked_mask, region_row, sha1, stored_state
from tests.browser.test_tools import click, middle, plane, region_mask
from tests.browser.workspace import NAMES, NO_PROBES, SceneFiles, add_model, pool_images

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
SIZE_HW = (200, 300)
SPOTS = [(45, 50), (45, 150), (45, 250), (150, 80)]
"""Rows and columns; the last has another color than the others."""
CAR = 8


def spot(index: int) -> NDArray[np.bool_]:
    """(H, W), the pixels of a spot."""
    return cv2.circle(np.zeros(SIZE_HW, np.uint8), SPOTS[index][::-1], 22, 1, -1) > 0


@pytest.fixture(scope="module")
def alike_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One picture with three red spots and a blue one, about all of which the model says 'road' and is unsure."""
    root = tmp_path_factory.mktemp("alike")
    folder = root / "source"
    folder.mkdir()
    picture = np.full((*SIZE_HW, 3), 120, np.uint8)
    for index, color in enumerate([(190, 40, 40)] * 3 + [(40, 40, 190)]):
        picture[spot(index)] = color
    label = np.full(SIZE_HW, 3, np.uint8)
    for name in ("labeled_0", "gold_0", "spots"):
        PillowImage.fromarray(picture + np.uint8(len(name))).save(folder / f"{name}.png")
    dataset = SceneFiles(folder, dict.fromkeys(("labeled_0", "gold_0", "spots"), label), ClassSet.from_names(NAMES))
    workspace = Workspace(root / "workspace")
    with closing(open_store(workspace, create=True)) as store:
        import_dataset(store, dataset, {"labeled_0"}, {"gold_0"})
        with store.session() as session:  # An audit, drawn by chance, would be one more region.
            write_trust_settings(session, NO_PROBES)
        model_id = add_model(store, 1, ModelStatus.CURRENT, miou=0.5)
        confidence = np.full(SIZE_HW, 0.97, np.float32)
        for index in range(4):
            confidence[spot(index)] = 0.5
        probabilities = np.broadcast_to((1 - confidence) / (len(NAMES) - 1), (len(NAMES), *SIZE_HW)).copy()
        probabilities[3] = confidence
        prediction = Prediction(
            label=label, confidence=confidence, margin=confidence, residual_variance=np.zeros(SIZE_HW, np.float32),
            weight=confidence, reliable=confidence > 0.8, probabilities=probabilities,
        )  # fmt: skip
        store_proposal(store, pool_images(store)[0][0], model_id, prediction)
    return workspace


@pytest.fixture
def alike_app(alike_workspace: Workspace, tmp_path: Path) -> Iterator[LiveApp]:
    """An application over a copy of that workspace."""
    shutil.copytree(alike_workspace.root, tmp_path / "workspace")
    with in_thread(Workspace(tmp_path / "workspace")) as app:
        yield app


@pytest.fixture
def alike(alike_app: LiveApp, tab: Page) -> ReviewerPage:
    """The reviewer of that application."""
    visit(tab, alike_app, "/review")
    return ReviewerPage(tab).ready()


def open_spot(reviewer: ReviewerPage, index: int) -> None:
    """Open the region of a spot."""
    row, column = SPOTS[index]
    number = f"app.image.regions[{row} * app.image.width + {column}]"
    reviewer.get(f"app.open(app.image.byNumber.get({number}).region_id)")
    reviewer.wait(f"app.current?.row.number === {number} && !app.isBusy")


def relabel_first_red(reviewer: ReviewerPage) -> int:
    """Call the first red spot a car; the region that was relabeled."""
    open_spot(reviewer, 0)
    region = reviewer.region
    reviewer.decide("9")
    reviewer.wait("!document.querySelector('.ps-offer').hidden")
    return region


def test_a_relabel_offers_lookalikes_and_goes_on(alike_app: LiveApp, alike: ReviewerPage) -> None:
    reviewer = alike
    region = relabel_first_red(reviewer)
    assert reviewer.region != region
    assert "2 regions look like the one in spots that is car now" in reviewer.page.locator(".ps-offer").inner_text()
    reviewer.decide("Space")
    assert [entry.kind for entry in decisions(alike_app.workspace)] == [DecisionKind.RELABEL, DecisionKind.ACCEPT]


def test_the_preview_is_applied_by_one_key_as_one_decision_and_taken_back_by_one_undo(
    alike_app: LiveApp, alike: ReviewerPage, watched: Watched
) -> None:
    reviewer = alike
    relabel_first_red(reviewer)
    before, initial = plane(reviewer, "label"), hashes(reviewer)
    for key in ("Enter", "y"):
        preview_lookalikes(reviewer)
        assert "2 regions" in reviewer.page.locator(".ps-status").inner_text()
        reviewer.screenshot("reviewer-propagate")
        assert np.array_equal(plane(reviewer, "label"), before)
        reviewer.press(key)
        reviewer.wait("root.dataset.preview === undefined && !app.isBusy")
        reviewer.all_saved()
        state = stored_state(alike_app.workspace, reviewer.image)
        assert {int(state.label[SPOTS[index]]) for index in range(3)} == {CAR}, key
        assert int(state.label[SPOTS[3]]) == 3
        spread = hashes(reviewer)
        assert spread == (sha1(state.label), sha1(state.provenance))
        entry = decisions(alike_app.workspace)[-1]
        assert entry.kind is DecisionKind.PROPAGATE and len(entry.stats["propagated_regions"]) == 2, key
        assert reviewer.get("app.session.counts.propagated") == 0
        assert [region_row(alike_app.workspace, each).propagated for each in entry.stats["propagated_regions"]] == [
            True,
            True,
        ]
        reviewer.press("Control+z")
        reviewer.all_saved()
        assert hashes(reviewer) == initial, f"undo after {key}"
    preview_lookalikes(reviewer)
    reviewer.press("y")
    reviewer.wait("root.dataset.preview === undefined && !app.isBusy")
    for step, expected in (("Control+z", initial), ("Control+Shift+z", spread), ("Control+z", initial)):
        reviewer.press(step)  # Without waiting for the server.
        reviewer.wait("!app.isBusy")
        assert hashes(reviewer) == expected, step
    reviewer.all_saved()
    assert sha1(stored_state(alike_app.workspace, reviewer.image).label) == initial[0]
    assert reviewer.get("[...app.image.byNumber.values()].filter(({ state }) => state === 'open').length") == 3
    assert watched.errors == []


def preview_lookalikes(reviewer: ReviewerPage) -> None:
    reviewer.press("m")
    reviewer.wait("root.dataset.preview === '2'")


def hashes(reviewer: ReviewerPage) -> tuple[str, str]:
    return reviewer.hash_of("label"), reviewer.hash_of("provenance")


def test_escape_leaves_lookalikes_as_they_are_and_returns(alike_app: LiveApp, alike: ReviewerPage) -> None:
    reviewer = alike
    relabel_first_red(reviewer)
    at, before = reviewer.region, reviewer.hash_of("label")
    preview_lookalikes(reviewer)
    for key in ("3", "x", "s", "b"):  # Nothing else is done while an answer is waited for.
        reviewer.press(key)
    reviewer.press("Escape")
    reviewer.wait("root.dataset.preview === undefined && root.dataset.region === argument && !app.isBusy", str(at))
    assert reviewer.hash_of("label") == before
    assert len(decisions(alike_app.workspace)) == 1


def test_a_click_leaves_one_of_them_out(alike_app: LiveApp, alike: ReviewerPage) -> None:
    reviewer = alike
    relabel_first_red(reviewer)
    preview_lookalikes(reviewer)
    click(reviewer, (SPOTS[1][1], SPOTS[1][0]))
    reviewer.wait("root.dataset.preview === '1'")
    reviewer.press("Enter")
    reviewer.wait("root.dataset.preview === undefined && !app.isBusy")
    reviewer.all_saved()
    label = stored_state(alike_app.workspace, reviewer.image).label
    assert (int(label[SPOTS[1]]), int(label[SPOTS[2]])) == (3, CAR)


def test_without_a_relabel_the_key_says_what_is_missing(alike_app: LiveApp, alike: ReviewerPage) -> None:
    reviewer = alike
    reviewer.press("m")
    assert "Relabel a region first" in reviewer.page.locator(".ps-status").inner_text()
    reviewer.decide(str(1 + int(str(reviewer.get("app.current.row.class_id")))))
    reviewer.press("m")
    assert "have that class already" in reviewer.page.locator(".ps-status").inner_text()
    open_spot(reviewer, 3)  # Nothing else is blue.
    reviewer.decide("9")
    region = reviewer.region
    reviewer.press("m")
    expect(reviewer.page.locator(".ps-status")).to_contain_text("No other region of spots that waits looks like")
    assert reviewer.region == region


def locked_point(app: LiveApp, reviewer: ReviewerPage) -> tuple[float, float]:
    """The middle of a large reliable area of one class."""
    label, locked = plane(reviewer, "label"), locked_mask(app.workspace, reviewer.image)
    return middle(locked & (label == label[middle_of(locked)]))


def middle_of(mask: NDArray[np.bool_]) -> tuple[int, int]:
    x, y = middle(mask)
    return int(y), int(x)


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_a_wrong_reliable_area_becomes_a_region_that_is_relabeled_by_the_usual_keys(
    way: str, own_app: LiveApp, own_reviewer: ReviewerPage, watched: Watched
) -> None:
    reviewer = own_reviewer
    first, image = reviewer.region, reviewer.image
    before, locked = stored_state(own_app.workspace, image), locked_mask(own_app.workspace, image)
    reviewer.press("0")
    reviewer.press("g")
    if way == "mouse":
        click(reviewer, locked_point(own_app, reviewer))
    else:
        for _ in range(60):
            if reviewer.get("app.image.reliable[app.drawing.pixelAt(app.drawing.at)]") == 1:
                break
            reviewer.press("Shift+ArrowUp")
        assert "locked" in reviewer.page.locator(".ps-status").inner_text()
        reviewer.press("Space")
    reviewer.wait("root.dataset.region !== argument && !app.isBusy", str(first))
    reviewer.all_saved()
    row = region_row(own_app.workspace, reviewer.region)
    assert (row.kind, row.state) == (RegionKind.FLAGGED, RegionState.OPEN)
    flagged = region_mask(reviewer)
    assert int(flagged.sum()) == row.area and locked[flagged].all()
    reviewer.screenshot("reviewer-flag")
    reviewer.decide("3")
    assert reviewer.region == first  # Back to where the flag interrupted.
    after = stored_state(own_app.workspace, image)
    assert np.array_equal(after.label, np.where(flagged, 2, before.label))
    assert [entry.kind for entry in decisions(own_app.workspace)] == [DecisionKind.FLAG, DecisionKind.RELABEL]
    assert watched.errors == []


def test_undo_takes_back_a_relabeled_flag_in_two_steps_also_after_a_reload(
    own_app: LiveApp, own_reviewer: ReviewerPage
) -> None:
    reviewer = own_reviewer
    first, image = reviewer.region, reviewer.image
    initial = stored_state(own_app.workspace, image)
    reviewer.press("0")
    reviewer.press("g")
    click(reviewer, locked_point(own_app, reviewer))
    reviewer.wait("root.dataset.region !== argument && !app.isBusy", str(first))
    flagged = reviewer.region
    reviewer.decide("3")
    reviewer.page.reload()
    reviewer.ready()
    reviewer.press("Control+z")
    reviewer.wait("root.dataset.region === argument && !app.isBusy", str(flagged))
    reviewer.press("Control+z")
    reviewer.all_saved()
    reviewer.wait("root.dataset.region !== argument && !app.isBusy", str(flagged))
    assert reviewer.image == image
    expect(reviewer.page.locator(".ps-status")).to_contain_text("Undone: the flag.")
    state = stored_state(own_app.workspace, image)
    assert (sha1(state.label), sha1(state.provenance)) == (sha1(initial.label), sha1(initial.provenance))
    shown = reviewer.get("app.feed.ready(argument)".replace("argument", str(image)) + ".then((image) => image.id)")
    assert shown == image
    reviewer.press("Control+Shift+z")
    reviewer.wait("root.dataset.region === argument && !app.isBusy", str(flagged))
    assert int(region_mask(reviewer).sum()) == region_row(own_app.workspace, flagged).area
    reviewer.page.goto(f"{own_app.url}/second-review")
    row = reviewer.page.locator(f"[data-flag='{flagged}']")
    expect(row).to_contain_text("open")
    row.get_by_role("link", name="Review the flagged area in").click()
    reviewer.ready()
    assert reviewer.region == flagged


def test_drawing_in_a_flagged_area_needs_no_unlocking_and_stays_inside_it(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    first, image = reviewer.region, reviewer.image
    before = stored_state(module_app.workspace, image).label
    reviewer.press("0")
    reviewer.press("g")
    click(reviewer, locked_point(module_app, reviewer))
    reviewer.wait("root.dataset.region !== argument && !app.isBusy", str(first))
    reviewer.press("b")
    reviewer.press("x")
    for _ in range(8):
        reviewer.press("]")
    x, y = middle(region_mask(reviewer))
    reviewer.stroke([(x - 8, y), (x + 8, y)])
    locked = locked_mask(module_app.workspace, image)
    reviewer.decide("Enter")
    changed = stored_state(module_app.workspace, image).label != before
    assert changed.any() and not changed[locked].any()


def test_pointing_at_what_is_not_reliable_says_why_nothing_happens(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    known = len(decisions(module_app.workspace))
    reviewer.press("g")
    click(reviewer, middle(region_mask(reviewer)))
    status = reviewer.page.locator(".ps-status")
    assert "not reliable" in status.inner_text()
    for key, tool, said in (
        ("5", "flag", "Click the wrong area first"),
        ("Escape", "none", ""),
        ("i", "none", "No class has the key I"),
    ):
        reviewer.press(key)
        expect(status).to_contain_text(said)
        assert reviewer.get("root.dataset.tool") == tool
    assert decisions(module_app.workspace)[known:] == []
