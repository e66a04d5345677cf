"""Which region is worth a person's time next, and when an image is good enough. Queue order is score order."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

DIVERSITY_DISCOUNT = 0.95
"""Factor on the score for every better region of the same image: the 14th of an image counts half. Chosen by us, so
that the head of the queue shows many images and a round learns from all of them."""

RARITY_RANGE = (0.5, 4.0)
"""Limits of the rarity factor, chosen by us: no class may drown the others or vanish."""


def expected_errors(area: int, mean_confidence: float) -> float:
    """Wrong pixels to be expected in a region: area x mean probability of being wrong.

    Args:
        area: pixels.
        mean_confidence: mean probability of being right. It is calibrated in regions of a calibrated model file; in
            those of another one the largest probability stands in for it.
    """
    return area * (1.0 - min(max(mean_confidence, 0.0), 1.0))


def class_rarity(class_pixels: Sequence[int]) -> NDArray[np.float64]:
    """(C,) factor per class: sqrt(median share / share) within RARITY_RANGE; 1 everywhere without labeled pixels.

    Args:
        class_pixels: labeled pixels per class. A class nobody labeled yet is the rarest.
    """
    pixels = np.asarray(class_pixels, np.float64)
    present = pixels > 0
    if not present.any():
        return np.ones(pixels.size)
    rarity = np.full(pixels.size, RARITY_RANGE[1])
    rarity[present] = np.sqrt(np.median(pixels[present]) / pixels[present])
    clipped: NDArray[np.float64] = np.clip(rarity, *RARITY_RANGE)
    return clipped


def diversified_scores(gains: Sequence[float]) -> list[float]:
    """Scores of the regions of one image: the gains, each discounted once for every better region of the same image.

    Within an image the order does not change; between images it makes room for others.
    """
    values = np.asarray(gains, np.float64)
    rank = np.empty(values.size, np.int64)
    rank[np.argsort(-values, kind="stable")] = np.arange(values.size)
    scores: list[float] = (values * DIVERSITY_DISCOUNT**rank).tolist()
    return scores


def is_enough(open_errors: Iterable[float], num_pixels: int, enough_share: float) -> bool:
    """Whether what is left in an image is worth less than the limit.

    Args:
        open_errors: expected wrong pixels of each region that still waits for a decision.
        num_pixels: pixels of the image.
        enough_share: the limit as a share of the image's pixels, 0-1.
    """
    return sum(open_errors) < enough_share * num_pixels
