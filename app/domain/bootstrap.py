"""How far a number on the gold images would move with other gold images: a paired bootstrap over images.

A resample draws as many images as there are, with replacement; two models are compared on the same draws, so what is
hard for both cancels out. Percentile intervals at 95 %. Images of one video resemble each other, so for them such an
interval is too narrow.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.pixel_counts import PixelCounts

MIN_INTERVAL_IMAGES = 5
"""Fewer images than this give no interval: resamples of four repeat themselves, and look surer than they are."""

RESAMPLES = 2000
DRAW_SEED = 0
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """Where 95 % of the resamples fall, as fractions."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of it lies on one side of 0."""
        return self.low > 0 or self.high < 0


def draw_images(num_images: int, resamples: int = RESAMPLES, seed: int = DRAW_SEED) -> NDArray[np.int64]:
    """(R, N) how often each image is drawn; rows sum to N. The same numbers for the same arguments."""
    even = np.full(num_images, 1 / num_images)
    return np.random.default_rng(seed).multinomial(num_images, even, size=resamples)


def resampled_iou(counts: PixelCounts, draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """(R, C) IoU of every resample; NaN for a class that the resample does not show.

    A resample may have lost every image that shows a rare class: that class is left out of it, for all models alike,
    even where one of them predicts it.

    Args:
        counts: (N, C) per image.
        draws: (R, N), see `draw_images`.
    """
    times = draws.astype(np.float64)  # Exact for counts below 2^53, and many times faster than integers.
    hits, labeled, union = (times @ plane for plane in (counts.hits, counts.labeled, counts.union))  # each (R, C)
    ever_labeled = counts.labeled.sum(axis=0) > 0  # (C,)
    shown = np.where(ever_labeled, labeled > 0, union > 0)
    return np.where(shown, hits / np.maximum(union, 1), np.nan)


def resampled_miou(iou: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) mean over the classes of each resample, NaN where it shows none."""
    shown = ~np.isnan(iou)
    number = shown.sum(axis=1)
    total = np.where(shown, iou, 0.0).sum(axis=1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def interval_of(values: NDArray[np.float64], num_images: int) -> Interval | None:
    """The middle 95 % of (R,) resampled numbers; None with fewer than MIN_INTERVAL_IMAGES behind them.

    Args:
        values: NaN where a resample says nothing.
        num_images: how many images the number rests on.
    """
    said = values[~np.isnan(values)]
    if num_images < MIN_INTERVAL_IMAGES or said.size == 0:
        return None
    low, high = np.percentile(said, _TAILS)
    return Interval(float(low), float(high))
