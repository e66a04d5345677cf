"""Audits that look like the queue."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.disguise import (
    HALO_PX,
    QUANTILES,
    Look,
    disguised_classes,
    disguised_unreliability,
    doubt_beside,
    doubt_quantiles,
    invented_doubts,
    invented_look,
    mixed_look,
)

LOOKS = [
    Look(100, 0.5, (0.5, 0.3, 0.2), *invented_doubts(0.5)),
    Look(400, 0.7, (0.7, 0.2, 0.05), (0.25,) * 10 + (0.9,), 0.2),
    Look(900, 0.6, (0.6, 0.4), *invented_doubts(0.6)),
]


@given(st.integers(0, 10_000))
def test_a_mixed_look_lies_between_two_others_and_copies_neither(seed):
    look = mixed_look(LOOKS, np.random.default_rng(seed))
    assert look.area in {100, 400, 900}
    assert 0.5 < look.mean_confidence < 0.7 and look.mean_confidence not in {each.mean_confidence for each in LOOKS}
    assert list(look.probabilities) == sorted(look.probabilities, reverse=True)
    assert look.probabilities[0] == pytest.approx(look.mean_confidence)
    assert len(look.doubts) == len(QUANTILES) and list(look.doubts) == sorted(look.doubts)
    assert min(each.doubts[0] for each in LOOKS) < look.doubts[0] < max(each.doubts[0] for each in LOOKS)


@given(st.integers(0, 10_000), st.integers(2, 30))
def test_an_invented_look_is_a_distribution_between_even_odds_and_a_favorite(seed, num_classes):
    look = invented_look(num_classes, 24, 800, np.random.default_rng(seed))
    assert 0.45 <= look.mean_confidence <= 0.75 and 24 <= look.area <= 400
    assert list(look.probabilities) == sorted(look.probabilities, reverse=True)
    assert sum(look.probabilities) <= 1.0001 and len(look.probabilities) == min(5, num_classes)


def test_an_invented_look_is_as_calibrated_as_the_regions_beside_it():
    plain, calibrated = (invented_look(4, 24, 800, np.random.default_rng(1), share) for share in (1.0, 0.8))
    assert plain.mean_confidence == plain.probabilities[0]
    assert calibrated.mean_confidence == 0.8 * plain.mean_confidence
    assert (calibrated.area, calibrated.probabilities) == (plain.area, plain.probabilities)
    assert np.mean(calibrated.doubts) == pytest.approx(1 - calibrated.mean_confidence)


def test_an_invented_look_fits_where_regions_may_not_vary_in_size():
    assert invented_look(2, 50, 60, np.random.default_rng(0)).area == 50


def test_classes_and_their_order_stay_the_regions_own():
    own = ((4, 0.98), (1, 0.01), (0, 0.005))
    assert disguised_classes(own, LOOKS[0]) == ((4, 0.5), (1, 0.3), (0, 0.2))


@given(st.integers(0, 1000), st.floats(0.3, 0.9))
def test_the_map_is_as_unsure_as_the_look_inside_and_unchanged_far_away(seed, confidence):
    unreliability = np.full((60, 70), 5, np.uint8)
    mask = np.zeros((60, 70), np.bool_)
    mask[20:40, 25:45] = True
    shown = disguised_unreliability(unreliability, mask, confidence, *invented_doubts(confidence), seed)
    assert shown[mask].mean() / 255 == pytest.approx(1 - confidence, abs=0.02)
    near = np.zeros_like(mask)
    near[20 - HALO_PX : 40 + HALO_PX, 25 - HALO_PX : 45 + HALO_PX] = True
    assert (shown[~near] == 5).all()
    assert (shown[near & ~mask] >= 5).all()


def test_doubt_is_highest_inside_and_falls_to_the_border():
    mask = np.zeros((61, 61), np.bool_)
    mask[10:51, 10:51] = True
    shown = disguised_unreliability(np.zeros((61, 61), np.uint8), mask, 0.5, *invented_doubts(0.5), 0).astype(int)
    assert shown[25:36, 25:36].mean() > shown[10:51, 10:14].mean() > shown[10:51, 8].mean() > shown[10:51, 5].mean()


def test_doubt_is_spread_inside_and_beside_as_in_the_region_that_lends_its_look():
    rng = np.random.default_rng(5)
    mask = np.zeros((60, 70), np.bool_)
    mask[5:55, 5:65] = True
    lent = np.where(mask, rng.beta(2, 6, mask.shape) * 0.6 + 0.2, 0.12)  # Nothing under a threshold, and a long tail.
    doubts, around = doubt_quantiles(lent[mask]), doubt_beside(lent, ~mask)
    assert around == pytest.approx(0.12) and doubt_beside(lent, np.ones_like(mask)) is None
    mean = 1 - lent[mask].mean()
    shown = disguised_unreliability(np.zeros(mask.shape, np.uint8), mask, mean, doubts, around, 1) / 255
    asked = [0.01, 0.25, 0.5, 0.75, 0.99]
    assert np.quantile(shown[mask], asked) == pytest.approx(np.quantile(lent[mask], asked), abs=0.03)
    assert shown[mask].std() == pytest.approx(lent[mask].std(), rel=0.1)
    assert shown[4, 30] == pytest.approx(0.12, abs=0.01) and 0 < shown[3, 30] < 0.12 and shown[1, 30] == 0


def test_the_same_seed_makes_the_same_map():
    mask = np.ones((8, 9), np.bool_)
    doubts = invented_doubts(0.5)
    maps = [disguised_unreliability(np.zeros((8, 9), np.uint8), mask, 0.5, *doubts, seed) for seed in (1, 1, 2)]
    assert np.array_equal(maps[0], maps[1]) and not np.array_equal(maps[0], maps[2])
