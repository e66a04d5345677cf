"""Which regions of an image look so much like another one that a person may give them its class in one go."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

COLOR_LIMIT = 12.0
"""Largest distance of two mean colors in CIE Lab; 2.3 is just noticeable, 100 is black to white. See PROFILE_LIMIT."""

PROFILE_LIMIT = 0.25
"""Largest distance of two probability profiles: half the sum of absolute differences, 0 equal to 1 disjoint.

Both limits were chosen by us: they are what people see in a preview and may decline.
"""


@dataclass(frozen=True)
class Appearance:
    """What a region looks like, to people and to the model.

    Attributes:
        class_id: the predicted class.
        color: (3,) mean color of its pixels in CIE Lab.
        profile: mean probability of its likeliest classes, by class id; what is missing counts as 0.
    """

    class_id: int
    color: NDArray[np.float64]
    profile: dict[int, float]


def mean_color(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(3,) mean color in CIE Lab of (n, 3) RGB pixels, n >= 1."""
    lab: NDArray[np.float64] = rgb2lab(pixels.mean(axis=0) / 255)
    return lab


def profile_distance(one: dict[int, float], other: dict[int, float]) -> float:
    """Half the sum of absolute differences of two probability profiles, 0-1."""
    class_ids = one.keys() | other.keys()
    return 0.5 * sum(abs(one.get(class_id, 0.0) - other.get(class_id, 0.0)) for class_id in class_ids)


def looks_alike(one: Appearance, other: Appearance) -> bool:
    """Same predicted class, similar color, similar probabilities. Symmetric."""
    return (
        one.class_id == other.class_id
        and float(np.linalg.norm(one.color - other.color)) <= COLOR_LIMIT
        and profile_distance(one.profile, other.profile) <= PROFILE_LIMIT
    )


def lookalikes(source: Appearance, candidates: Sequence[Appearance]) -> list[int]:
    """Indices of the candidates that look like `source`, the most similar color first."""
    found = [index for index, candidate in enumerate(candidates) if looks_alike(source, candidate)]
    return sorted(found, key=lambda index: float(np.linalg.norm(source.color - candidates[index].color)))
