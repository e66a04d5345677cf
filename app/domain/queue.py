"""Which region is worth a person's time next, and when an image is good enough. Queue order is score order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.domain.regions import Region


@dataclass(frozen=True)
class QueueRules:
    """What else than expected errors decides the order. All values were chosen by us.

    Attributes:
        diversity_discount: factor on the score for every better region of the same image, above 0; 1 leaves it out. At
            0.95 the 14th of an image counts half, so that the head of the queue shows many images.
        rarity_low: smallest factor of a frequent class, above 0 and at most 1: no class may vanish.
        rarity_high: largest factor of a rare class, from 1: no class may drown the others. With both at 1 classes
            count alike.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # As in RegionRules.

    diversity_discount: float = 0.95
    rarity_low: float = 0.5
    rarity_high: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.diversity_discount <= 1 or not 0 < self.rarity_low <= 1 <= self.rarity_high:
            raise ValueError(
                "the queue needs 0 < diversity_discount <= 1 and 0 < rarity_low <= 1 <= rarity_high, got "
                f"{self.diversity_discount}, {self.rarity_low} and {self.rarity_high}"
            )


def expected_errors(area: int, mean_confidence: float) -> float:
    """Wrong pixels to be expected in a region: area x mean probability of being wrong.

    Args:
        area: pixels.
        mean_confidence: mean probability of being right. It is calibrated in regions of a calibrated model file; in
            those of another one the largest probability stands in for it.
    """
    return area * (1.0 - min(max(mean_confidence, 0.0), 1.0))


def gains_of(regions: Sequence[Region], rarity: NDArray[np.float64]) -> list[float]:
    """What each region is worth before diversity: the errors expected in it x the rarity of its class.

    Args:
        regions: of one image.
        rarity: (C,), see `class_rarity`.
    """
    return [expected_errors(each.area, each.mean_confidence) * float(rarity[each.class_id]) for each in regions]


def class_rarity(class_pixels: Sequence[int], rules: QueueRules) -> NDArray[np.float64]:
    """(C,) factor per class: sqrt(median share / share) within the rules' limits; 1 everywhere without labeled pixels.

    Args:
        class_pixels: labeled pixels per class. A class nobody labeled yet is the rarest.
        rules: give the limits.
    """
    pixels = np.asarray(class_pixels, np.float64)
    present = pixels > 0
    if not present.any():
        return np.ones(pixels.size)
    rarity = np.full(pixels.size, rules.rarity_high)
    rarity[present] = np.sqrt(np.median(pixels[present]) / pixels[present])
    clipped: NDArray[np.float64] = np.clip(rarity, rules.rarity_low, rules.rarity_high)
    return clipped


def diversified_scores(gains: Sequence[float], rules: QueueRules) -> list[float]:
    """Scores of the regions of one image: the gains, each discounted once for every better region of the same image.

    Within an image the order does not change; between images it makes room for others.
    """
    values = np.asarray(gains, np.float64)
    rank = np.empty(values.size, np.int64)
    rank[np.argsort(-values, kind="stable")] = np.arange(values.size)
    scores: list[float] = (values * rules.diversity_discount**rank).tolist()
    return scores


def is_enough(open_errors: Iterable[float], num_pixels: int, enough_share: float) -> bool:
    """Whether what is left in an image is worth less than the limit.

    Args:
        open_errors: expected wrong pixels of each region that still waits for a decision.
        num_pixels: pixels of the image.
        enough_share: the limit as a share of the image's pixels, 0-1.
    """
    return sum(open_errors) < enough_share * num_pixels
