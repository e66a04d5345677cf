"""Undo and redo stroke by stroke: across regions, images and reloads, offline, and beside another tab."""

import random
from collections.abc import Callable

import pytest

from app.domain.states import RegionState
from tests.browser.conftest import LiveApp, ReviewerPage, Watched
from tests.browser.stored import decisions, region_row, sha1, stored_state
from tests.browser.test_drawing import inside

pytestmark = pytest.mark.browser

OpenReviewer = Callable[..., ReviewerPage]
WRITES = "**/api/{decisions,undo,redo,flags}"
HASHES = """(async () => { const found = {}; for (const [id, loading] of app.feed.images) {
    const image = await loading; const hash = async (plane) => Array.from(new Uint8Array(
      await crypto.subtle.digest('SHA-1', image[plane])), (byte) => byte.toString(16).padStart(2, '0')).join('');
    found[id] = [await hash('label'), await hash('provenance')]; } return found; })()"""


def shown(reviewer: ReviewerPage) -> dict[str, list[str]]:
    """Label and provenance of all images that the page holds."""
    return dict(reviewer.get(HASHES))  # type: ignore[call-overload]


def on_disk(app: LiveApp, image_ids: list[str]) -> dict[str, list[str]]:
    """The same from the store."""
    states = {image_id: stored_state(app.workspace, int(image_id)) for image_id in image_ids}
    return {image_id: [sha1(state.label), sha1(state.provenance)] for image_id, state in states.items()}


def draw(reviewer: ReviewerPage, class_key: str) -> None:
    """One brush stroke on the current region; the brush stays on."""
    if reviewer.get("root.dataset.tool") != "brush":
        reviewer.press("b")
    reviewer.press(class_key)
    reviewer.stroke(inside(reviewer))


def test_strokes_of_several_regions_are_undone_one_by_one_in_their_order(
    module_app: LiveApp, reviewer: ReviewerPage, watched: Watched
) -> None:
    states, regions = [], []
    for class_key in "37":
        regions.append(reviewer.region)
        for _ in range(2):
            states.append(reviewer.hash_of("label"))
            draw(reviewer, class_key)
            reviewer.press("]")
        reviewer.decide("Enter")
    for region, before in zip(
        [regions[1]] * 3 + [regions[0]] * 3, [None, states[3], states[2], None, states[1], states[0]], strict=True
    ):
        reviewer.press("Control+z")
        reviewer.wait("root.dataset.region === argument && !app.isBusy", str(region))
        assert before is None or reviewer.hash_of("label") == before
    reviewer.all_saved()
    assert shown(reviewer) == on_disk(module_app, list(shown(reviewer)))
    assert watched.errors == []


def test_undo_is_seen_before_the_server_answers(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    initial, first = shown(reviewer), reviewer.region
    draw(reviewer, "4")
    drawn = reviewer.hash_of("label")
    reviewer.press("b")
    reviewer.press("2")
    reviewer.wait("root.dataset.region !== argument && !app.isBusy", str(first))
    reviewer.all_saved()
    reviewer.page.route(WRITES, lambda route: route.abort())
    reviewer.press("Control+z")
    reviewer.wait("root.dataset.region === argument && !app.isBusy", str(first))
    assert reviewer.hash_of("label") == drawn
    reviewer.press("Control+z")
    assert shown(reviewer)[str(reviewer.image)] == initial[str(reviewer.image)]
    reviewer.wait("root.dataset.pending === '2'")
    reviewer.page.unroute(WRITES)
    reviewer.get("app.outbox.retry()")
    reviewer.all_saved()
    assert shown(reviewer) == on_disk(module_app, list(shown(reviewer)))


def test_strokes_are_undone_and_done_again_after_a_reload(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    region, image = reviewer.region, reviewer.image
    states = [reviewer.hash_of("label")]
    for class_key in "359":
        draw(reviewer, class_key)
        reviewer.press("]")
        states.append(reviewer.hash_of("label"))
    reviewer.all_saved()
    reviewer.page.reload()
    reviewer.ready()
    assert (reviewer.region, reviewer.hash_of("label")) == (region, states[3])
    for expected in (states[2], states[1], states[0]):
        reviewer.press("Control+z")
        reviewer.all_saved()
        assert reviewer.hash_of("label") == expected == sha1(stored_state(module_app.workspace, image).label)
    reviewer.page.reload()
    reviewer.ready()
    for expected in states[1:]:
        reviewer.press("Control+Shift+z")
        reviewer.all_saved()
        assert reviewer.hash_of("label") == expected
    assert reviewer.region == region


def test_escape_takes_back_the_strokes_of_this_region_also_those_before_a_reload(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    initial = reviewer.hash_of("label")
    draw(reviewer, "3")
    draw(reviewer, "6")
    reviewer.all_saved()
    reviewer.page.reload()
    reviewer.ready()
    draw(reviewer, "x")
    assert reviewer.get("root.dataset.strokes") == "3"
    reviewer.press("Escape")
    reviewer.all_saved()
    assert reviewer.get("root.dataset.strokes") == "0"
    assert reviewer.hash_of("label") == initial == sha1(stored_state(module_app.workspace, reviewer.image).label)


def test_escape_leaves_the_strokes_of_other_regions(module_app: LiveApp, reviewer: ReviewerPage) -> None:
    known = len(decisions(module_app.workspace))
    draw(reviewer, "3")
    reviewer.decide("Enter")
    draw(reviewer, "5")
    reviewer.press("Escape")
    reviewer.all_saved()
    log = decisions(module_app.workspace)[known:]
    assert [entry.kind.value for entry in log] == ["draw", "draw", "draw", "undo"]
    assert log[3].undoes == log[2].op_id


def random_step(reviewer: ReviewerPage, chance: random.Random) -> int:
    """Do something; how many actions it was."""
    before = int(str(reviewer.get("app.editing.history.done.length")))
    kind = chance.choice(["stroke", "stroke", "superpixels", "polygon", "fill", "erase", "class", "accept", "void",
                          "skip", "doubt", "enter", "move"])  # fmt: skip
    if kind in ("stroke", "superpixels", "polygon", "fill", "erase"):
        key, tool = {"stroke": ("b", "brush"), "superpixels": ("w", "superpixels"), "polygon": ("p", "polygon"),
                     "fill": ("k", "fill"), "erase": ("e", "eraser")}[kind]  # fmt: skip
        if reviewer.get("root.dataset.tool") != tool:
            reviewer.press(key)
        reviewer.wait("!app.drawing.superpixels.isLoading")
        if kind != "erase":
            reviewer.press(chance.choice("123456789x"))
        points = [(x + chance.uniform(-9, 9), y + chance.uniform(-9, 9)) for x, y in inside(reviewer)]
        if kind in ("polygon", "fill"):
            for point in points if kind == "polygon" else points[:1]:
                reviewer.page.mouse.click(*reviewer.on_screen(*point))
            reviewer.press("Enter") if kind == "polygon" else None
        else:
            reviewer.stroke(points)
        reviewer.wait("!app.drawing.isActive")
    elif kind == "enter" and reviewer.get("root.dataset.strokes") != "0":
        reviewer.press("Enter")
    else:
        if reviewer.get("root.dataset.tool") != "none":
            reviewer.press(
                {"brush": "b", "superpixels": "w", "polygon": "p", "fill": "k", "eraser": "e"}[
                    str(reviewer.get("root.dataset.tool"))
                ]
            )
        key = {"class": chance.choice("123456789"), "accept": "Space", "void": "x", "skip": "s", "doubt": "f"}.get(kind)
        reviewer.press(key or "ArrowRight")
    reviewer.wait("!app.isBusy")
    return int(str(reviewer.get("app.editing.history.done.length"))) - before


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_n_actions_and_n_undos_restore_the_initial_bytes_and_n_redos_the_later_ones(
    seed: int, own_app: LiveApp, own_reviewer: ReviewerPage, watched: Watched
) -> None:
    chance = random.Random(seed)
    reviewer = own_reviewer
    reviewer.wait("app.feed.images.size >= 2")
    image_ids = list(shown(reviewer))
    initial = on_disk(own_app, image_ids)
    count = sum(random_step(reviewer, chance) for _ in range(22))
    reviewer.all_saved()
    assert count > 12
    edited = on_disk(own_app, image_ids)
    assert {key: value for key, value in shown(reviewer).items() if key in edited} == edited != initial
    if seed % 2:
        reviewer.page.reload()
        reviewer.ready()
    for key, expected in (("Control+z", initial), ("Control+Shift+z", edited)):
        for _ in range(count):
            reviewer.press(key)
            reviewer.wait("!app.isBusy && app.editing.waiting === 0")
        reviewer.all_saved()
        assert on_disk(own_app, image_ids) == expected
        held = shown(reviewer)
        assert held == {image_id: expected[image_id] for image_id in held if image_id in expected} | {
            image_id: value for image_id, value in held.items() if image_id not in expected
        }
    assert watched.errors == []


def test_a_step_that_another_tab_took_back_is_not_taken_back_twice(
    own_app: LiveApp, open_reviewer: OpenReviewer
) -> None:
    first = open_reviewer(own_app)
    region, image = first.region, first.image
    initial = first.hash_of("label")
    draw(first, "x")
    first.all_saved()
    second = open_reviewer(own_app, f"?region={region}")
    second.take_over()
    second.press("Control+z")
    second.all_saved()
    assert second.hash_of("label") == initial
    first.page.bring_to_front()
    first.take_over()
    first.press("Control+z")
    first.wait("root.dataset.refused === '1' && !app.isBusy && app.editing.asked.size === 0")
    first.all_saved()
    assert first.hash_of("label") == initial == sha1(stored_state(own_app.workspace, image).label)
    assert first.get("app.editing.history.done.length") == 0
    assert len(decisions(own_app.workspace)) == 2


def test_what_another_tab_draws_on_the_same_image_is_seen_here(own_app: LiveApp, open_reviewer: OpenReviewer) -> None:
    first = open_reviewer(own_app)
    region = first.region
    second = open_reviewer(own_app, f"?region={region}")
    second.take_over()
    draw(second, "x")
    second.all_saved()
    drawn = second.hash_of("label")
    first.page.bring_to_front()
    first.wait("app.image.label.includes(255) && !app.isBusy")
    assert first.hash_of("label") == drawn
    first.take_over()
    draw(first, "4")
    first.all_saved()
    assert first.get("root.dataset.refused ?? '0'") == "0"


def test_strokes_drawn_offline_are_undone_offline_and_all_of_it_is_sent_once(
    module_app: LiveApp, reviewer: ReviewerPage
) -> None:
    known = len(decisions(module_app.workspace))
    image = reviewer.image
    reviewer.page.route(WRITES, lambda route: route.abort())
    draw(reviewer, "3")
    kept = reviewer.hash_of("label")
    draw(reviewer, "x")
    reviewer.press("Control+z")
    assert reviewer.hash_of("label") == kept
    reviewer.wait("root.dataset.pending === '3'")
    reviewer.page.unroute(WRITES)
    reviewer.page.reload()
    reviewer.ready()
    reviewer.all_saved()
    reviewer.wait("!app.image.isStale")
    assert len(decisions(module_app.workspace)[known:]) == 3
    assert reviewer.hash_of("label") == kept == sha1(stored_state(module_app.workspace, image).label)
    reviewer.press("Control+z")
    reviewer.all_saved()
    assert region_row(module_app.workspace, reviewer.region).state is RegionState.OPEN
    assert len(decisions(module_app.workspace)[known:]) == 4
