"""Where audits and control images stand in the queue."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.mixing import LARGEST_SHARE, number_needed, score_between, spread_places

seeds = st.integers(0, 2**31)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.001, LARGEST_SHARE), seeds, st.integers(200, 3000))
def test_any_200_places_in_a_row_hold_the_share_give_or_take_two(share, seed, regions):
    number = number_needed(share, regions, 0.5)
    places = spread_places(number, regions, np.random.default_rng(seed))
    is_probe = np.zeros(regions + number, np.bool_)
    is_probe[np.array(places, np.int64) + np.arange(number)] = True
    found = np.convolve(is_probe, np.ones(200, np.int64), mode="valid")
    assert np.abs(found - 200 * share).max() <= 2 + 1


def test_the_usual_share_is_ten_audits_in_200_and_chance_decides_about_fractions():
    assert number_needed(0.05, 190, 0.0) == number_needed(0.05, 190, 0.99) == 10
    assert number_needed(0, 1000, 0.5) == number_needed(0.05, 0, 0.5) == 0
    chances = np.random.default_rng(1).random(4000)
    assert np.mean([number_needed(0.05, 3, chance) for chance in chances]) == pytest.approx(3 / 19, abs=0.02)


def test_neither_a_place_nor_the_distance_to_the_next_repeats():
    """A pattern would show as a preferred remainder or distance; chance alone leaves each as frequent as the others."""
    places = np.array(spread_places(4000, 100_000, np.random.default_rng(3)))
    in_stretch = np.bincount(places % 25, minlength=25)
    assert in_stretch.min() > 100 and in_stretch.max() < 230  # 160 are expected, with a deviation of 12.
    distances = np.bincount(np.diff(places))
    assert distances.max() < 0.06 * len(places) and np.count_nonzero(distances) > 40
    assert abs(np.corrcoef(np.diff(places)[:-2], np.diff(places)[2:])[0, 1]) < 0.05


@pytest.mark.parametrize(("number", "regions"), [(0, 10), (3, 0), (7, 2)])
def test_there_is_a_place_for_every_probe_however_short_the_queue(number, regions):
    places = spread_places(number, regions, np.random.default_rng(0))
    assert len(places) == number and places == sorted(places)
    assert all(0 <= place <= regions for place in places)


@pytest.mark.parametrize(("above", "below"), [(None, 4.0), (9.0, 4.0), (9.0, None), (4.0, 4.0), (None, None)])
def test_a_score_lies_between_those_of_its_neighbors(above, below):
    for chance in (0.0, 0.5, 1.0):
        score = score_between(above, below, chance)
        assert (below is None or score >= below) and (above is None or score <= above)
        if (above, below) in {(None, 4.0), (9.0, 4.0), (9.0, None)}:
            assert (below or 0) < score < (above or np.inf)
