"""Making an audit look like the queue: its numbers and its reliability map are those of regions that the model doubts.

An audit region comes from the reliable area, so what the model says about it would give it away. What is shown instead
is mixed from two queued regions of the same image, its looks: how sure the model is, how the probability falls from
class to class, and how unsure each pixel is. Classes, their order and all labels stay the audit's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.regions import TOP_CLASSES

HALO_PX = 3
"""How far a region's doubt fades into its surroundings on the reliability map, in pixels."""

TopClasses = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Look:
    """How a region of doubt looks.

    Attributes:
        area: its pixels.
        mean_confidence: mean probability of being right, 0-1.
        probabilities: of its likeliest classes, falling; without a calibration the first is `mean_confidence` but for
            rounding.
    """

    area: int
    mean_confidence: float
    probabilities: tuple[float, ...]


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
    return Look(area, min(1.0, confidence * right_share), probabilities[: min(num_classes, TOP_CLASSES)])


def mixed_look(looks: Sequence[Look], rng: np.random.Generator) -> Look:
    """A look between two different ones of those given, so that no number occurs twice; the area is that of one.

    Args:
        looks: at least two.
        rng: the source of chance.
    """
    first, second = (looks[int(index)] for index in rng.choice(len(looks), 2, replace=False))
    share = float(rng.uniform(0.05, 0.95))
    pairs = zip(first.probabilities, second.probabilities, strict=False)
    probabilities = tuple(share * one + (1 - share) * other for one, other in pairs)
    confidence = share * first.mean_confidence + (1 - share) * second.mean_confidence
    return Look(first.area, confidence, probabilities)


def disguised_classes(top_classes: TopClasses, look: Look) -> TopClasses:
    """A region's own likeliest classes, in their order, with the probabilities of a look."""
    return tuple((class_id, share) for (class_id, _), share in zip(top_classes, look.probabilities, strict=False))


def disguised_unreliability(
    unreliability: NDArray[np.uint8], mask: NDArray[np.bool_], mean_confidence: float, seed: int
) -> NDArray[np.uint8]:
    """(h, w) uint8, as `unreliability`, in which the pixels of `mask` look as unsure as `mean_confidence` says.

    Highest inside and falling to the border, as doubt does, with the grain of the true map, and fading over HALO_PX
    pixels around it. Pixels farther away keep their value.

    Args:
        unreliability: (h, w) uint8, round(255 * (1 - confidence)), with a margin of HALO_PX around the mask if it can.
        mask: (h, w) bool, at least one True.
        mean_confidence: of the look.
        seed: of the grain; the same seed gives the same map.
    """
    inside = cv2.distanceTransform(np.pad(mask.view(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    outside = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    noise = np.random.default_rng(seed).normal(size=mask.shape).astype(np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), 2.0)
    # Between 0.7 at the border and 1.2 in the middle, then brought to the mean.
    height = 0.7 + 0.5 * inside / inside.max() + 0.12 * grain / max(float(grain.std()), 1e-6)
    doubt = height * (1 - mean_confidence) / float(height[mask].mean())
    border = (1 - mean_confidence) * 0.7 * np.clip(1 - outside / (HALO_PX + 1), 0, 1)
    values = np.rint(255 * np.clip(np.where(mask, doubt, border), 0, 1)).astype(np.uint8)
    shown: NDArray[np.uint8] = np.where(mask, values, np.maximum(unreliability, values))
    return shown
