"""Cutting the queue at a threshold: which pixels it calls reliable, and which images may be cut anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

_STEPS = 255
"""A proposal keeps round(255 * probability)."""


def reliable_below(unreliability: NDArray[np.uint8], threshold: float) -> NDArray[np.bool_]:
    """(H, W), True where a pixel is wrong with a probability of at most the threshold, however it was rounded.

    So a pixel whose rounded value could lie on either side is not reliable, and below 0.2 % none is.

    Args:
        unreliability: (H, W) uint8, round(255 * probability of being wrong).
        threshold: 0-1; 1 calls every pixel reliable.

    Raises:
        ValueError: a threshold outside 0-1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"a threshold is a probability of being wrong, 0-1, got {threshold}")
    largest = np.minimum((np.arange(_STEPS + 1) + 0.5) / _STEPS, 1.0)  # that each stored value can stand for
    reliable: NDArray[np.bool_] = (largest <= threshold)[unreliability]
    return reliable


def reliable_at(probability_wrong: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """(H, W), True where a pixel is wrong with a probability of at most the threshold, as the model file compares it.

    Args:
        probability_wrong: (H, W) float32, 0-1.
        threshold: 0-1.
    """
    reliable: NDArray[np.bool_] = probability_wrong <= np.float32(threshold)
    return reliable


class Standing(StrEnum):
    """What becomes of an image when the queue is cut anew."""

    AS_CHOSEN = "as_chosen"
    """It is cut at the threshold in force."""
    CONTROL = "control"
    """People label it from scratch and see no proposal of it."""
    DECIDED = "decided"
    """Somebody acted on it, if only to skip a region or to take something back: it stays as that person saw it."""
    HELD = "held"
    """Somebody works on it now."""
    TO_CUT = "to_cut"
    """It can be cut anew."""


def standing_of(is_as_chosen: bool, is_control: bool, has_decisions: bool, is_held: bool) -> Standing:
    """The first of these that holds, in this order."""
    if is_control:
        return Standing.CONTROL
    if is_as_chosen:
        return Standing.AS_CHOSEN
    if has_decisions:
        return Standing.DECIDED
    return Standing.HELD if is_held else Standing.TO_CUT


def proposal_to_restore(kept: Sequence[tuple[int, float | None]], threshold: float | None) -> int | None:
    """Which of a model's proposals for an image comes back into force with the model.

    The latest one that was cut at the model's threshold; where the image never was, because somebody had decided
    something about it or worked on it, the latest one.

    Args:
        kept: (id, threshold) of each.
        threshold: in force for the model; None is what the model file says.

    Returns:
        Its id; None without any.
    """
    as_chosen = [number for number, cut_at in kept if cut_at == threshold]
    return max(as_chosen or [number for number, _ in kept], default=None)


def threshold_words(threshold: float | None) -> str:
    """A threshold as people read it."""
    if threshold is None:
        return "the model file's own verdict"
    return f"wrong with at most {100 * threshold:.3g} %"


@dataclass(frozen=True)
class QueueSize:
    """How much people would be asked.

    Attributes:
        images: with at least one region.
        regions: that wait.
        region_pixels: in them.
        unreliable_pixels: that nobody decided and that are not called reliable, in regions or not.
        pixels: of all images looked at.
        by_class: regions of each predicted class; classes at the end without any may be missing.
    """

    images: int = 0
    regions: int = 0
    region_pixels: int = 0
    unreliable_pixels: int = 0
    pixels: int = 0
    by_class: tuple[int, ...] = ()

    def __add__(self, other: "QueueSize") -> "QueueSize":
        return QueueSize(
            self.images + other.images,
            self.regions + other.regions,
            self.region_pixels + other.region_pixels,
            self.unreliable_pixels + other.unreliable_pixels,
            self.pixels + other.pixels,
            tuple(one + more for one, more in zip_longest(self.by_class, other.by_class, fillvalue=0)),
        )

    def scaled(self, factor: float) -> "QueueSize":
        """An estimate for `factor` times as many images."""
        return QueueSize(
            round(factor * self.images),
            round(factor * self.regions),
            round(factor * self.region_pixels),
            round(factor * self.unreliable_pixels),
            round(factor * self.pixels),
            tuple(round(factor * each) for each in self.by_class),
        )

    @property
    def asked_share(self) -> float | None:
        """Pixels in regions as a share of all; None without pixels."""
        return self.region_pixels / self.pixels if self.pixels else None
