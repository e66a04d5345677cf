"""Twenty regions with the keyboard alone, and everything around a single key press."""

import re
from collections.abc import Callable
from contextlib import closing

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from app.domain.states import DecisionKind, RegionState
from app.storage.database import open_store
from app.storage.models import Image
from app.web.keys import COMMAND_LETTERS, class_keys
from tests.browser.conftest import LiveApp, ReviewerPage, Watched
from tests.browser.stored import decisions, region_row, sha1, stored_state
from tests.browser.workspace import propose_again

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
DRAWN = {"superpixels": "w3", "polygon": "p5", "fill": "k2", "eraser": "bx"}
KEYS = ["Space", "1", "superpixels", "x", "Space", "3", "polygon", "f", "a", "fill"] * 2 + ["eraser"]
KIND_OF_KEY = {"Space": DecisionKind.ACCEPT, "x": DecisionKind.VOID, "f": DecisionKind.DONT_KNOW} | dict.fromkeys(
    DRAWN, DecisionKind.DRAW
)
CORNERS = (["Shift+ArrowRight"], ["Shift+ArrowDown"], ["Shift+ArrowLeft"] * 2)


def test_twenty_regions_are_decided_in_the_order_of_their_scores_with_the_keyboard_alone(
    own_app: LiveApp, own_reviewer: ReviewerPage, watched: Watched
) -> None:
    reviewer = own_reviewer
    shown, scores, images = [], [], set()
    for key in KEYS:
        scores.append(region_row(own_app.workspace, reviewer.region).score)
        shown.append(reviewer.region)
        images.add(reviewer.image)
        if key in DRAWN:
            draw_with_keys(reviewer, key)
        reviewer.decide("Enter" if key in DRAWN else key)
    assert scores == sorted(scores, reverse=True)
    log = decisions(own_app.workspace)
    final = [entry for entry in log if entry.kind is not DecisionKind.DRAW or entry.closes_region]
    assert [entry.region_id for entry in final] == shown
    assert [entry.kind for entry in final] == [KIND_OF_KEY.get(key, DecisionKind.RELABEL) for key in KEYS]
    assert [entry.class_id for entry in final if entry.kind is DecisionKind.RELABEL] == [0, 2, 9] * 2
    strokes = [entry.region_id for entry in log if entry not in final]
    assert strokes == [region for region, key in zip(shown, KEYS, strict=True) for _ in range(strokes_of(key))]
    for image_id in images:
        state = stored_state(own_app.workspace, image_id)
        for plane, stored in (("label", state.label), ("provenance", state.provenance)):
            assert reviewer.get(_HASH_OF_CACHED.format(image=image_id, plane=plane)) == sha1(stored)
    assert watched.errors == []


def strokes_of(key: str) -> int:
    return 2 if key == "eraser" else int(key in DRAWN)


def draw_with_keys(reviewer: ReviewerPage, tool: str) -> None:
    """A stroke of a tool at the cross, which starts inside the region."""
    for key in DRAWN[tool]:
        reviewer.press(key)
    assert "in the region" in reviewer.page.locator(".ps-status").inner_text()
    reviewer.wait("!app.drawing.superpixels.isLoading")
    reviewer.press("Space")
    if tool == "polygon":
        for corner in CORNERS:
            for arrow in corner:
                reviewer.press(arrow)
            reviewer.press("Space")
        reviewer.press("Enter")
    elif tool == "eraser":
        for key in ("e", "[", "Space"):
            reviewer.press(key)
    reviewer.wait("Number(root.dataset.strokes) === argument", strokes_of(tool))


_HASH_OF_CACHED = """Array.from(new Uint8Array(await crypto.subtle.digest('SHA-1',
    (await app.feed.images.get({image})).{plane})), (byte) => byte.toString(16).padStart(2, '0')).join('')"""


def test_skipped_region_comes_back_at_the_end(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    reviewer.page.goto(f"{module_app.url}/review?image_id={reviewer.image}")
    reviewer.ready()
    skipped = reviewer.region
    reviewer.decide("s")
    seen = []
    while reviewer.region != skipped and len(seen) < 60:
        seen.append(reviewer.region)
        reviewer.decide("Space")
    assert reviewer.region == skipped
    assert len(seen) == len(set(seen)) > 2


def test_arrows_go_back_and_forth_without_deciding(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    before = len(decisions(module_app.workspace))
    first = reviewer.region
    reviewer.press("ArrowRight")
    reviewer.wait("root.dataset.region !== argument", str(first))
    second = reviewer.region
    reviewer.press("ArrowLeft")
    reviewer.wait("root.dataset.region === argument", str(first))
    reviewer.press("ArrowRight")
    reviewer.wait("root.dataset.region === argument", str(second))
    assert len(decisions(module_app.workspace)) == before


def test_undo_and_redo_reach_decisions_of_an_earlier_visit(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    region, image = reviewer.region, reviewer.image
    initial = reviewer.hash_of("label")
    reviewer.decide("x")
    reviewer.decide("Space")
    reviewer.page.reload()
    reviewer.ready()
    for count in (1, 2):
        reviewer.press("Control+z")
        reviewer.wait("Number(root.dataset.saved) === argument && !app.isBusy", count)
    assert (reviewer.region, reviewer.image) == (region, image)
    assert region_row(module_app.workspace, region).state is RegionState.OPEN
    assert reviewer.hash_of("label") == initial == sha1(stored_state(module_app.workspace, image).label)
    reviewer.press("Control+Shift+z")
    reviewer.wait("Number(root.dataset.saved) === 3 && !app.isBusy")
    assert region_row(module_app.workspace, region).state is RegionState.DECIDED
    assert reviewer.hash_of("label") == sha1(stored_state(module_app.workspace, image).label) != initial


def test_a_key_held_down_decides_one_region_only(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    before = len(decisions(module_app.workspace))
    first = reviewer.region
    reviewer.page.keyboard.down("Space")
    reviewer.wait("root.dataset.region !== argument && Number(root.dataset.saved) === 1", str(first))
    second = reviewer.region
    for _ in range(5):
        reviewer.page.keyboard.down("Space")
    reviewer.page.keyboard.up("Space")
    assert reviewer.region == second
    assert len(decisions(module_app.workspace)) == before + 1


def test_next_region_was_fetched_ahead_and_is_shown_while_the_decision_is_on_its_way(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    known = len(decisions(module_app.workspace))
    reviewer.wait("app.feed.views.size >= 3 && app.feed.images.size >= 2")
    first, asked, held = reviewer.region, [], []
    reviewer.page.on("request", lambda request: asked.append(request.url) if request.method == "GET" else None)
    reviewer.page.route("**/api/decisions", lambda route: held.append(route))
    reviewer.press("Space")
    reviewer.wait("root.dataset.region !== argument && root.dataset.saving === 'saving'", str(first))
    needed = f"/regions/{reviewer.region}", *(f"/images/{reviewer.image}/{part}" for part in ("picture", "planes"))
    assert not [url for url in asked if url.endswith(needed)]
    assert decisions(module_app.workspace)[known:] == []
    held[0].continue_()
    reviewer.wait("root.dataset.saved === '1' && root.dataset.saving === 'saved'")
    assert len(decisions(module_app.workspace)[known:]) == 1


def test_proposals_of_a_new_model_replace_what_was_fetched_ahead(own_app: LiveApp, own_reviewer: ReviewerPage) -> None:
    reviewer = own_reviewer
    reviewer.wait("app.feed.images.size >= 2")
    stale = reviewer.region
    propose_again(own_app.workspace)
    reviewer.press("Space")
    reviewer.wait(
        "root.dataset.refused === '1' && root.dataset.region !== argument && !app.isBusy && app.image.proposalId > 3",
        str(stale),
    )
    expect(reviewer.page.get_by_role("alert")).to_contain_text("newer model")
    reviewer.press("Space")  # Not an answer to what was said.
    assert reviewer.region == int(str(reviewer.get("app.current.row.region_id")))
    reviewer.press("Escape")
    expect(reviewer.page.get_by_role("alert")).to_be_hidden()
    fresh = [reviewer.region]
    for _ in range(3):
        reviewer.decide("Space")
        fresh.append(reviewer.region)
    assert all(region_row(own_app.workspace, region).state is not RegionState.SUPERSEDED for region in fresh)
    assert len(decisions(own_app.workspace)) == 3


def test_keys_go_on_working_after_a_button_was_pressed_with_the_keyboard(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    reviewer.page.get_by_role("button", name="Skip").focus()
    reviewer.decide("Enter")
    reviewer.decide("Space")
    assert [entry.kind for entry in decisions(module_app.workspace)[-2:]] == [DecisionKind.SKIP, DecisionKind.ACCEPT]


def test_commands_and_class_keys_never_share_a_key(reviewer: ReviewerPage) -> None:
    chords = reviewer.page.evaluate(
        "async () => (await import('/static/now/reviewer/keymap.js')).COMMANDS.map(({ chord }) => chord)"
    )

    assert len(chords) == len(set(chords))
    assert not set(chords) & set(class_keys(254))
    letters = {chord for chord in chords if len(chord) == 1 and chord.isalpha()}
    assert letters == set(COMMAND_LETTERS)


def test_accepting_the_rest_is_asked_answered_and_taken_back_by_keys_alone(
    own_app: LiveApp, open_reviewer: Callable[..., ReviewerPage]
) -> None:
    with closing(open_store(own_app.workspace)) as store, store.session() as session:
        session.execute(update(Image).values(name="Straße " + Image.sample_id))
    reviewer = open_reviewer(own_app)
    region, image = reviewer.region, reviewer.image
    question = reviewer.page.get_by_role("alertdialog")
    waiting = int(str(reviewer.get("app.image.byNumber.size")))
    reviewer.press("Shift+Enter")
    expect(question).to_be_focused()
    for key in ("Space", "x", "1", "b", "ArrowRight", "Control+z"):
        reviewer.press(key)
    assert (reviewer.region, reviewer.get("root.dataset.tool")) == (region, "none")
    reviewer.press("Escape")
    expect(question).to_be_hidden()
    assert decisions(own_app.workspace) == []
    reviewer.press("Shift+Enter")
    reviewer.decide("Shift+Enter")
    assert [each.kind for each in decisions(own_app.workspace)] == ["accept_rest"]
    reviewer.press("Control+z")
    reviewer.wait("app.image?.id === argument", image)
    reviewer.all_saved()
    assert reviewer.region == region
    expect(reviewer.page.locator(".ps-chip")).to_be_empty()
    expect(reviewer.page.locator(".ps-status")).to_contain_text(
        re.compile(rf"accepting the rest of Straße street_\d+\. {waiting} of its regions wait")
    )
