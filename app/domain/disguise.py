"""Making an audit look like the queue: its numbers and its reliability map are those of regions that the model doubts.

An audit region comes from the reliable area, so what the model says about it would give it away. What is shown instead
is mixed from two queued regions of the same image, its looks: how sure the model is, how the probability falls from
class to class, and how unsure the pixels are. Classes, their order and all labels stay the audit's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.regions import TOP_CLASSES

HALO_PX = 3
"""How far a region's doubt fades into its surroundings on the reliability map, in pixels."""

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""Of the doubt of a region's pixels, those that a look keeps."""

_BESIDE = 0.9
"""Doubt beside a region by the least in it. Chosen by us: locked pixels at its edge are a little surer than it is."""

TopClasses = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Look:
    """How a region of doubt looks.

    Attributes:
        area: its pixels.
        mean_confidence: mean probability of being right, 0-1.
        probabilities: of its likeliest classes, falling; without a calibration the first is `mean_confidence` but for
            rounding.
        doubts: QUANTILES of its pixels' probability of being wrong.
        around: mean of it over locked pixels that touch a region.
    """

    area: int
    mean_confidence: float
    probabilities: tuple[float, ...]
    doubts: tuple[float, ...]
    around: float


def doubt_quantiles(doubt: NDArray[np.floating]) -> tuple[float, ...]:
    """QUANTILES of the probability of being wrong of a region's pixels, at least one."""
    return tuple(float(value) for value in np.quantile(doubt.astype(np.float64), QUANTILES))


def doubt_beside(doubt: NDArray[np.floating], reliable: NDArray[np.bool_]) -> float | None:
    """Mean doubt of the locked pixels that touch others; None where there are none.

    Args:
        doubt: (H, W) probability of being wrong.
        reliable: (H, W), the locked pixels.
    """
    beside = cv2.dilate((~reliable).view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_) & reliable
    return float(doubt[beside].mean(dtype=np.float64)) if beside.any() else None


def invented_doubts(mean_confidence: float) -> tuple[tuple[float, ...], float]:
    """`doubts` and `around` of a Look where no region lends any."""
    doubts = tuple((0.8 + 0.4 * each) * (1 - mean_confidence) for each in QUANTILES)
    return doubts, _BESIDE * doubts[0]


def invented_look(
    num_classes: int, min_area: int, max_area: int, rng: np.random.Generator, right_share: float = 1.0
) -> Look:
    """For an image without any region of doubt: a plausible one, between even odds and a clear favorite.

    Args:
        num_classes: C.
        min_area, max_area: of regions, in pixels.
        rng: the source of chance.
        right_share: probability of being right by the largest probability: 1 without a calibration.
    """
    confidence = float(rng.uniform(0.45, 0.75))
    rest = np.sort(rng.dirichlet(np.ones(max(1, num_classes - 1))))[::-1] * (1 - confidence)
    area = round(float(np.exp(rng.uniform(np.log(min_area), np.log(max(min_area, max_area // 2))))))
    probabilities = (confidence, *(min(float(share), confidence) for share in rest))
    right = min(1.0, confidence * right_share)
    return Look(area, right, probabilities[: min(num_classes, TOP_CLASSES)], *invented_doubts(right))


def mixed_look(looks: Sequence[Look], rng: np.random.Generator) -> Look:
    """A look between two different ones of those given, so that no number occurs twice; the area is that of one.

    Args:
        looks: at least two.
        rng: the source of chance.
    """
    first, second = (looks[int(index)] for index in rng.choice(len(looks), 2, replace=False))
    share = float(rng.uniform(0.05, 0.95))

    def between(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
        return tuple(share * one + (1 - share) * other for one, other in zip(ours, theirs, strict=False))

    confidence, around = between([first.mean_confidence, first.around], [second.mean_confidence, second.around])
    probabilities = between(first.probabilities, second.probabilities)
    return Look(first.area, confidence, probabilities, between(first.doubts, second.doubts), around)


def disguised_classes(top_classes: TopClasses, look: Look) -> TopClasses:
    """A region's own likeliest classes, in their order, with the probabilities of a look."""
    return tuple((class_id, share) for (class_id, _), share in zip(top_classes, look.probabilities, strict=False))


def disguised_unreliability(
    unreliability: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    mean_confidence: float,
    doubts: Sequence[float],
    around: float,
    seed: int,
) -> NDArray[np.uint8]:
    """(h, w) uint8, as `unreliability`, in which the pixels of `mask` look as unsure as a look says.

    Highest inside and falling to the border, as doubt does, with the grain of the true map, and fading over HALO_PX
    pixels around it. Pixels farther away keep their value.

    Args:
        unreliability: (h, w) uint8, round(255 * (1 - confidence)), with a margin of HALO_PX around the mask if it can.
        mask: (h, w) bool, at least one True.
        mean_confidence, doubts, around: of the look.
        seed: of the grain; the same seed gives the same map.
    """
    inside = cv2.distanceTransform(np.pad(mask.view(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    outside = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    noise = np.random.default_rng(seed).normal(size=mask.shape).astype(np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), 2.0)
    height = inside / float(inside.max()) + 0.25 * grain / max(float(grain.std()), 1e-6)
    rank = np.argsort(np.argsort(height[mask]))
    doubt = np.interp(rank / max(1, rank.size - 1), QUANTILES, doubts)
    beside = (outside > 0) & (outside <= 1)
    known = unreliability / 255
    lift = max(0.0, around - float(known[beside].mean())) if beside.any() else 0.0
    shown_doubt = known + lift * np.clip(1 - (outside - 1) / HALO_PX, 0, 1)
    shown_doubt[mask] = doubt + (1 - mean_confidence) - float(doubt.mean())
    shown: NDArray[np.uint8] = np.rint(255 * np.clip(shown_doubt, 0, 1)).astype(np.uint8)
    return shown
