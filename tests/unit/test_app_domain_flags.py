"""How much of a reliable area a flag takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label as label_components

from app.domain.flags import flagged_area
from app.domain.regions import RegionRules

SIZE_HW = (40, 50)
LOOSE = RegionRules(max_flag_share=1.0)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)


def flagged_mask(delta):
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[delta.rows_columns] = delta.touched_mask
    return mask


def test_a_flag_takes_the_connected_area_of_the_same_class():
    label = np.zeros(SIZE_HW, np.uint8)
    label[5:15, 5:15] = 1
    label[20:30, 5:15] = 1
    delta = flagged_area(label, np.ones(SIZE_HW, np.bool_), picture(), (7, 8), LOOSE)
    expected = np.zeros(SIZE_HW, np.bool_)
    expected[5:15, 5:15] = True
    assert np.array_equal(flagged_mask(delta), expected)
    assert set(delta.values[delta.touched_mask].tolist()) == {1}


def test_a_flag_does_not_reach_across_pixels_that_are_not_free():
    free_mask = np.ones(SIZE_HW, np.bool_)
    free_mask[:, 20] = False
    delta = flagged_area(np.zeros(SIZE_HW, np.uint8), free_mask, picture(), (5, 5), LOOSE)
    assert np.array_equal(flagged_mask(delta), np.broadcast_to(np.arange(SIZE_HW[1]) < 20, SIZE_HW))


@given(
    seed=st.integers(0, 999),
    x=st.integers(0, SIZE_HW[1] - 1),
    y=st.integers(0, SIZE_HW[0] - 1),
    share=st.sampled_from([0.05, 0.2, 1.0]),
)
def test_a_flag_is_free_connected_of_one_class_holds_its_point_and_keeps_the_cap(seed, x, y, share):
    rng = np.random.default_rng(seed)
    label = np.repeat(rng.integers(0, 2, (SIZE_HW[0], 5), dtype=np.uint8), 10, axis=1)
    free_mask = rng.random(SIZE_HW) < 0.9
    free_mask[y, x] = True
    rules = RegionRules(max_flag_share=share)
    mask = flagged_mask(flagged_area(label, free_mask, picture(seed), (x, y), rules))
    assert mask[y, x] and not (mask & ~free_mask).any() and np.unique(label[mask]).size == 1
    assert label_components(mask, connectivity=1).max() == 1
    assert mask.sum() <= RegionRules(max_area_share=share).max_area(mask.size)


def test_two_points_of_one_piece_flag_the_same_pixels():
    label, free_mask = np.zeros(SIZE_HW, np.uint8), np.ones(SIZE_HW, np.bool_)
    rules = RegionRules(max_flag_share=0.1)
    first = flagged_mask(flagged_area(label, free_mask, picture(), (10, 10), rules))
    row, column = np.argwhere(first)[-1]
    second = flagged_mask(flagged_area(label, free_mask, picture(), (int(column), int(row)), rules))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("share", [0.02, 1.0], ids=["cut", "whole"])
def test_pieces_of_an_area_are_disjoint(share):
    label, free_mask = np.zeros(SIZE_HW, np.uint8), np.ones(SIZE_HW, np.bool_)
    rules = RegionRules(max_flag_share=share)
    covered = np.zeros(SIZE_HW, np.int64)
    while (covered == 0).any():
        row, column = np.argwhere(covered == 0)[0]
        covered += flagged_mask(flagged_area(label, free_mask, picture(), (int(column), int(row)), rules))
    assert covered.max() == 1


def test_a_flag_is_capped_by_a_rule_of_its_own_however_large_queued_regions_may_be():
    label, free_mask = np.zeros(SIZE_HW, np.uint8), np.ones(SIZE_HW, np.bool_)
    small, large = (
        flagged_area(label, free_mask, picture(), (10, 10), RegionRules(max_area_share=share)) for share in (0.04, 0.5)
    )
    assert np.array_equal(flagged_mask(small), flagged_mask(large))
    assert 0 < flagged_mask(large).sum() <= RegionRules(max_area_share=0.04).max_area(label.size) < label.size


def test_a_flag_of_less_than_the_fewest_pixels_of_a_region_is_not_asked_for():
    label, free_mask = np.zeros(SIZE_HW, np.uint8), np.ones(SIZE_HW, np.bool_)
    rules = RegionRules(min_area_share=0.6, max_area_share=1.0)
    assert flagged_mask(flagged_area(label, free_mask, picture(), (10, 10), rules)).all()
