"""Simulated annotators: which key they press, what they draw, and what it costs, in cases to be checked by hand."""

import cv2
import numpy as np
import pytest

from app.domain.simulated_people import (
    CLICK_S,
    DECIDE_S,
    KEY_S,
    ONE_KEY,
    ORACLE,
    Answer,
    SimulatedPerson,
    answer_for,
    seconds_of,
)
from app.domain.states import DecisionKind
from datasets.labels import IGNORE_INDEX

SIZE = (20, 30)
EVERYWHERE = np.ones(SIZE, bool)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def plane(value: int) -> np.ndarray:
    return np.full(SIZE, value, np.uint8)


def answer(label: np.ndarray, truth: np.ndarray, region: np.ndarray = EVERYWHERE, **options: object) -> Answer:
    return answer_for(region, EVERYWHERE, label, truth, SimulatedPerson("p", **options), rng(), likely=(1, 4))  # type: ignore[arg-type]


def test_a_region_that_is_right_is_accepted_with_one_key() -> None:
    given = answer(plane(1), plane(1))
    assert (given.kind, given.keys, given.clicks, given.looks) == (DecisionKind.ACCEPT, 1, 0, 1)


def test_a_region_of_one_other_class_is_relabeled_with_one_key() -> None:
    given = answer(plane(1), plane(3))
    assert (given.kind, given.class_id, given.keys, given.clicks) == (DecisionKind.RELABEL, 3, 1, 0)


def test_few_wrong_pixels_are_tolerated_and_more_are_drawn() -> None:
    truth = plane(1)
    truth[0, :30] = 3  # 30 of 600 pixels are 5 %.
    assert answer(plane(1), truth).kind is DecisionKind.ACCEPT
    truth[1, 0] = 3
    assert answer(plane(1), truth).kind is DecisionKind.DRAW


def test_the_oracle_draws_exactly_the_wrong_pixels_of_the_region() -> None:
    truth, region = plane(1), np.zeros(SIZE, bool)
    truth[5:15, 5:15] = 3
    region[:, :20] = True
    truth[5:15, 25:] = 3  # Outside of the region: not drawn.
    given = answer(plane(1), truth, region)
    assert given.touched_mask is not None and given.label is not None
    assert np.array_equal(given.touched_mask, region & (truth == 3))
    assert set(given.label[given.touched_mask]) == {3}
    assert (given.clicks, given.keys, given.looks) == (4, 3, 2)  # Four corners; class, Enter, Enter.


def test_a_speck_is_one_dab() -> None:
    truth = plane(1)
    truth[2:6, 2:6] = 3
    assert answer(plane(1), truth, tolerance=0.0).clicks == 1


def test_a_person_who_clicks_outlines_paints_what_is_inside_of_them() -> None:
    truth = plane(1)
    truth[5:15, 5:25] = 3
    truth[5, 5] = 1  # A missing corner: four clicks cannot follow it.
    given = answer(plane(1), truth, draws_outlines=True)
    assert given.touched_mask is not None
    wrong = (truth == 3).astype(np.uint8)
    inner = cv2.erode(wrong, np.ones((5, 5), np.uint8)).astype(bool)  # Two pixels inside of the true outline.
    outer = cv2.dilate(wrong, np.ones((5, 5), np.uint8)).astype(bool)
    assert given.clicks == 4 and not np.array_equal(given.touched_mask, wrong.astype(bool))
    assert given.touched_mask[inner].all() and not given.touched_mask[~outer].any()


def test_nothing_is_drawn_on_locked_pixels() -> None:
    truth = plane(1)
    truth[5:15, 5:25] = 3
    allowed = np.ones(SIZE, bool)
    allowed[:, :10] = False
    drawn = answer_for(EVERYWHERE, allowed, plane(1), truth, ORACLE, rng())
    assert drawn.touched_mask is not None and not drawn.touched_mask[:, :10].any()


def test_pixels_that_nobody_knows_are_left_out_and_a_region_of_them_is_void() -> None:
    truth = plane(IGNORE_INDEX)
    assert answer(plane(1), truth).kind is DecisionKind.VOID
    truth[0] = 1
    assert answer(plane(1), truth).kind is DecisionKind.ACCEPT


def test_whoever_errs_overlooks_what_is_wrong_and_doubts_what_is_right() -> None:
    assert answer(plane(1), plane(3), error_rate=1.0).kind is DecisionKind.ACCEPT
    given = answer(plane(1), plane(1), error_rate=1.0)
    assert (given.kind, given.class_id) == (DecisionKind.RELABEL, 4)


def test_whoever_doubts_leaves_it_to_a_second_reviewer() -> None:
    assert answer(plane(1), plane(3), doubt_rate=1.0).kind is DecisionKind.DONT_KNOW


def test_time_is_the_sum_of_published_times() -> None:
    given = Answer(DecisionKind.DRAW, clicks=4, keys=3, looks=2)
    assert seconds_of(given, ORACLE, rng()) == pytest.approx(2 * DECIDE_S + 3 * KEY_S + 4 * CLICK_S)


def test_spread_leaves_the_mean_time() -> None:
    chance, hurried = rng(), SimulatedPerson("p", time_spread=0.4)
    times = [seconds_of(Answer(DecisionKind.ACCEPT), hurried, chance) for _ in range(4000)]
    assert np.std(times) > 0.1
    assert np.mean(times) == pytest.approx(DECIDE_S + KEY_S, rel=0.03)


def grid(level: int) -> np.ndarray:
    """Squares of 10 pixels at level 1, of 5 at level 0."""
    side = (5, 10)[level]
    rows, columns = np.indices(SIZE)
    return (rows // side) * 100 + columns // side


def with_superpixels(
    label: np.ndarray, truth: np.ndarray, allowed: np.ndarray = EVERYWHERE, **options: object
) -> Answer:
    person = SimulatedPerson("p", **{"superpixel_levels": (1, 0), **options})  # type: ignore[arg-type]
    return answer_for(EVERYWHERE, allowed, label, truth, person, rng(), superpixels=grid)


def test_large_superpixels_are_clicked_first_and_smaller_ones_where_these_mix_classes() -> None:
    truth = plane(1)
    truth[:10, :20] = 3  # Two large ones.
    truth[10:15, :5] = 4  # A quarter of a large one.
    given = with_superpixels(plane(1), truth)
    assert given.label is not None and given.touched_mask is not None
    assert np.array_equal(given.label, truth) and np.array_equal(given.touched_mask, truth != 1)
    # W, class, smaller, class, Enter; no outline.
    assert (given.clicks, given.keys, given.looks) == (3, 5, 3)


def test_what_superpixels_leave_is_outlined_until_the_tolerance_is_kept() -> None:
    truth = plane(1)
    truth[:10, :20] = 3
    truth[12:18, 11:13] = 4  # In no superpixel the most: 12 and 12 of 25 pixels of two small ones.
    tolerant = with_superpixels(plane(1), truth)
    assert tolerant.label is not None and (tolerant.label[12:18, 11:13] == 1).all() and tolerant.clicks == 2
    exact = with_superpixels(plane(1), truth, tolerance=0.0)
    assert np.array_equal(exact.label, truth)
    assert (exact.clicks - tolerant.clicks, exact.keys - tolerant.keys) == (1, 2)  # One dab; its class and Enter.


def test_a_superpixel_changes_no_locked_pixel() -> None:
    truth = plane(1)
    truth[:10, :20] = 3
    allowed = np.ones(SIZE, bool)
    allowed[:, :10] = False
    given = with_superpixels(plane(1), truth, allowed)
    assert (
        given.touched_mask is not None and not given.touched_mask[:, :10].any() and given.touched_mask[:10, 10:20].all()
    )


def test_whoever_draws_with_superpixels_needs_some() -> None:
    truth = plane(1)
    truth[:10] = 3
    with pytest.raises(ValueError, match="draws with superpixels"):
        answer(plane(1), truth, superpixel_levels=(0,))


def test_the_quick_pass_gives_a_region_the_class_that_most_of_it_has() -> None:
    truth = plane(1)
    truth[:12] = 3
    given = answer_for(EVERYWHERE, EVERYWHERE, plane(1), truth, ONE_KEY, rng(), superpixels=grid)
    assert (given.kind, given.class_id, given.keys, given.clicks) == (DecisionKind.RELABEL, 3, 1, 0)
