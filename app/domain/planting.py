"""Wrong labels on purpose: which regions they suit, and which wrong class is worth showing.

They are planted in images whose label people drew before the import. The model predicts such an image, a decoy, like
any other; where it is unsure, the label is known nevertheless, so a region of doubt can be shown with a class that is
certainly wrong. What anybody answers there is looked at and thrown away. All other regions of a decoy are asked as they
are: an image with nothing but errors in it, or with fewer regions than others, would give itself away.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, LabelArray

PURE_SHARE = 0.9
"""Least share of a region's pixels that must have its true class: what is half right is no test. Chosen by us."""

SHARE_OF_DECOY = 1 / 2
"""Of the regions of a decoy, at most. Regions of doubt are wrong about as often, and each of the others costs a person
an answer that tells nothing new. Chosen by us."""

CAUGHT_SHARE = 0.5
"""A planted error is caught when at most this share of its pixels still has the wrong class."""


def number_in_decoy(regions: int) -> int:
    """How many of a decoy's regions may be shown with a wrong class."""
    return ceil(SHARE_OF_DECOY * regions)


def true_class(label: LabelArray, mask: NDArray[np.bool_]) -> int | None:
    """The class of nearly all pixels of a mask in a label that people drew; None when it is mixed or void."""
    counts = np.bincount(label[mask], minlength=256)
    class_id = int(counts.argmax())
    return class_id if class_id != IGNORE_INDEX and counts[class_id] >= PURE_SHARE * counts.sum() else None


def wrong_class(truth: int, top_classes: Sequence[tuple[int, float]]) -> int | None:
    """The likeliest class of a region that is wrong: what the model might well have said, and perhaps did say."""
    return next((class_id for class_id, _ in top_classes if class_id != truth), None)


def shown_classes(wrong: int, top_classes: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """The likeliest classes as if the model had said the wrong one, which changes places with the first."""
    order = [class_id for class_id, _ in top_classes]
    at = order.index(wrong)
    order[0], order[at] = order[at], order[0]
    return tuple((class_id, share) for class_id, (_, share) in zip(order, top_classes, strict=True))


def is_caught(label: LabelArray, mask: NDArray[np.bool_], wrong: int) -> bool:
    """Whether the wrong class is gone from a planted region once somebody decided it.

    Args:
        label: (h, w) ids as the person left them.
        mask: (h, w), the region.
        wrong: the class it was shown with.
    """
    return float(np.mean(label[mask] == wrong)) <= CAUGHT_SHARE
