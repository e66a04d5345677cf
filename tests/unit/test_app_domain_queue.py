"""Scores: expected errors x rarity, diversity between images, and when an image is good enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.queue import QueueRules, class_rarity, diversified_scores, expected_errors, is_enough

RULES = QueueRules()


@pytest.mark.parametrize(("area", "confidence", "expected"), [(100, 0.75, 25.0), (8, 1.0, 0.0), (8, 0.0, 8.0)])
def test_expected_errors_are_area_times_the_probability_of_being_wrong(area, confidence, expected):
    assert expected_errors(area, confidence) == expected


def test_a_class_four_times_rarer_than_the_median_counts_twice():
    assert class_rarity([100, 400, 400], RULES).tolist() == pytest.approx([2.0, 1.0, 1.0])


def test_rarity_is_capped_at_both_ends_and_an_unseen_class_is_the_rarest():
    assert class_rarity([1, 100_000, 10**9, 0], RULES).tolist() == [4.0, 1.0, 0.5, 4.0]


def test_without_any_labeled_pixel_no_class_is_rarer_than_another():
    assert class_rarity([0, 0, 0], RULES).tolist() == [1.0, 1.0, 1.0]


def test_the_best_region_of_an_image_keeps_its_gain_and_the_others_are_discounted_by_rank():
    scores = diversified_scores([10.0, 30.0, 20.0], QueueRules(diversity_discount=0.5))
    assert scores == pytest.approx([10 * 0.5**2, 30, 20 * 0.5])


@given(st.lists(st.floats(0, 1e6), max_size=40))
def test_diversity_never_changes_the_order_inside_an_image(gains):
    scores = diversified_scores(gains, RULES)
    in_order_of_gain = np.asarray(scores)[np.argsort(-np.asarray(gains), kind="stable")]
    assert np.all(np.diff(in_order_of_gain) <= 0)


def test_equal_regions_of_two_images_alternate_in_the_queue():
    scores = [(score, image) for image in "ab" for score in diversified_scores([8.0, 8.0, 8.0], RULES)]
    order = [image for _, image in sorted(scores, key=lambda entry: -entry[0])]
    assert order[0] != order[1] or order[1] != order[2]
    assert sorted(order[:2]) == ["a", "b"] and sorted(order[2:4]) == ["a", "b"]


def test_without_rarity_and_diversity_a_score_is_what_the_region_is_expected_to_hold():
    plain = QueueRules(diversity_discount=1.0, rarity_low=1.0, rarity_high=1.0)
    assert diversified_scores([3.0, 2.0, 1.0], plain) == [3.0, 2.0, 1.0]
    assert class_rarity([1, 100, 0], plain).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "wrong", [{"diversity_discount": 0}, {"diversity_discount": 1.1}, {"rarity_low": 1.5}, {"rarity_high": 0.5}]
)
def test_rules_that_would_turn_the_queue_around_are_refused(wrong):
    with pytest.raises(ValueError, match="the queue needs"):
        QueueRules(**wrong)


@pytest.mark.parametrize(("errors", "enough"), [([], True), ([4.0, 5.0], True), ([4.0, 6.0], False), ([400.0], False)])
def test_an_image_is_enough_when_fewer_errors_are_expected_than_the_limit(errors, enough):
    assert is_enough(errors, num_pixels=10_000, enough_share=0.001) is enough
