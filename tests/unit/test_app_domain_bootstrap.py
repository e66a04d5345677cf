"""Intervals over gold images: resampled sums, paired, and silent where there is too little to say."""

import numpy as np
import pytest

from app.domain.bootstrap import MIN_INTERVAL_IMAGES, draw_images, interval_of, resampled_iou, resampled_miou
from app.domain.pixel_counts import PixelCounts


def random_counts(num_images: int, num_classes: int = 3, seed: int = 0) -> PixelCounts:
    rng = np.random.default_rng(seed)
    hits = rng.integers(0, 50, (num_images, num_classes))
    return PixelCounts(hits, hits + rng.integers(0, 20, hits.shape), hits + rng.integers(0, 20, hits.shape))


def test_every_resample_draws_as_many_images_as_there_are():
    draws = draw_images(7, resamples=50)
    assert draws.shape == (50, 7)
    assert set(draws.sum(axis=1)) == {7}


def test_a_resample_sums_the_pixels_of_the_images_that_it_drew():
    counts = random_counts(4)
    drawn = [0, 0, 2, 3]
    hits = sum(counts.hits[image] for image in drawn)
    union = sum(counts.labeled[image] + counts.predicted[image] - counts.hits[image] for image in drawn)
    assert resampled_iou(counts, np.array([[2, 0, 1, 1]]))[0] == pytest.approx(hits / union)


def test_a_class_whose_images_were_not_drawn_is_left_out_even_where_it_is_predicted():
    hits = np.array([[5, 5], [5, 0]])
    counts = PixelCounts(hits, labeled=np.array([[5, 5], [9, 0]]), predicted=np.array([[5, 5], [5, 4]]))
    iou = resampled_iou(counts, np.array([[0, 2]]))
    assert np.isnan(iou[0, 1])
    assert resampled_miou(iou)[0] == iou[0, 0]


def test_a_class_that_is_never_labeled_but_predicted_counts_as_wrong_in_every_resample():
    counts = PixelCounts(np.array([[5, 0]]), np.array([[5, 0]]), np.array([[5, 3]]))
    assert resampled_iou(counts, np.array([[1]]))[0].tolist() == [1.0, 0.0]


def test_equal_images_leave_no_width():
    one = random_counts(1)
    counts = PixelCounts.stacked([PixelCounts(one.hits[0], one.labeled[0], one.predicted[0])] * 6)
    interval = interval_of(resampled_miou(resampled_iou(counts, draw_images(6))), 6)
    assert interval is not None
    assert interval.low == pytest.approx(interval.high)


def test_too_few_images_give_no_interval():
    values = np.linspace(0, 1, 100)
    assert interval_of(values, MIN_INTERVAL_IMAGES - 1) is None
    assert interval_of(values, MIN_INTERVAL_IMAGES) is not None


def test_nothing_but_empty_resamples_give_no_interval():
    assert interval_of(np.full(10, np.nan), 30) is None


def test_what_is_hard_for_both_models_cancels_out_of_their_difference():
    rng = np.random.default_rng(1)
    hardness = rng.integers(1, 90, (12, 1))
    labeled = np.full((12, 2), 100)
    before = PixelCounts(100 - hardness.repeat(2, 1), labeled, labeled)
    after = PixelCounts(before.hits + 5, labeled, labeled)
    draws = draw_images(12)
    then, now = (resampled_miou(resampled_iou(counts, draws)) for counts in (before, after))
    paired, alone = interval_of(now - then, 12), interval_of(now, 12)
    assert paired is not None and alone is not None
    assert paired.excludes_zero
    assert paired.high - paired.low < (alone.high - alone.low) / 5
