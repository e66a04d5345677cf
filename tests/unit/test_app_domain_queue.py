"""Scores: expected errors x rarity, diversity between images, and when an image is good enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.queue import DIVERSITY_DISCOUNT, class_rarity, diversified_scores, expected_errors, is_enough


@pytest.mark.parametrize(("area", "confidence", "expected"), [(100, 0.75, 25.0), (8, 1.0, 0.0), (8, 0.0, 8.0)])
def test_expected_errors_are_area_times_the_probability_of_being_wrong(area, confidence, expected):
    assert expected_errors(area, confidence) == expected


def test_a_class_four_times_rarer_than_the_median_counts_twice():
    assert class_rarity([100, 400, 400]).tolist() == pytest.approx([2.0, 1.0, 1.0])


def test_rarity_is_capped_at_both_ends_and_an_unseen_class_is_the_rarest():
    assert class_rarity([1, 100_000, 10**9, 0]).tolist() == [4.0, 1.0, 0.5, 4.0]


def test_without_any_labeled_pixel_no_class_is_rarer_than_another():
    assert class_rarity([0, 0, 0]).tolist() == [1.0, 1.0, 1.0]


def test_the_best_region_of_an_image_keeps_its_gain_and_the_others_are_discounted_by_rank():
    gains = [10.0, 30.0, 20.0]
    assert diversified_scores(gains) == pytest.approx([10 * DIVERSITY_DISCOUNT**2, 30, 20 * DIVERSITY_DISCOUNT])


@given(st.lists(st.floats(0, 1e6), max_size=40))
def test_diversity_never_changes_the_order_inside_an_image(gains):
    scores = diversified_scores(gains)
    in_order_of_gain = np.asarray(scores)[np.argsort(-np.asarray(gains), kind="stable")]
    assert np.all(np.diff(in_order_of_gain) <= 0)


def test_equal_regions_of_two_images_alternate_in_the_queue():
    scores = [(score, image) for image in "ab" for score in diversified_scores([8.0, 8.0, 8.0])]
    order = [image for _, image in sorted(scores, key=lambda entry: -entry[0])]
    assert order[0] != order[1] or order[1] != order[2]
    assert sorted(order[:2]) == ["a", "b"] and sorted(order[2:4]) == ["a", "b"]


@pytest.mark.parametrize(("errors", "enough"), [([], True), ([4.0, 5.0], True), ([4.0, 6.0], False), ([400.0], False)])
def test_an_image_is_enough_when_fewer_errors_are_expected_than_the_limit(errors, enough):
    assert is_enough(errors, num_pixels=10_000, enough_share=0.001) is enough
