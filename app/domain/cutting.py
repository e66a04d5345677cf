"""Which pixels another threshold would call reliable, from the probabilities of being wrong that a proposal keeps."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class QueueSize:
    """How much people would be asked.

    Attributes:
        images: with at least one region.
        regions: that wait.
        region_pixels: in them.
        unreliable_pixels: that nobody decided and that are not called reliable, in regions or not.
        pixels: of all images looked at.
    """

    images: int = 0
    regions: int = 0
    region_pixels: int = 0
    unreliable_pixels: int = 0
    pixels: int = 0

    def __add__(self, other: "QueueSize") -> "QueueSize":
        return QueueSize(
            self.images + other.images,
            self.regions + other.regions,
            self.region_pixels + other.region_pixels,
            self.unreliable_pixels + other.unreliable_pixels,
            self.pixels + other.pixels,
        )

    @property
    def asked_share(self) -> float | None:
        """Pixels in regions as a share of all; None without pixels."""
        return self.region_pixels / self.pixels if self.pixels else None
