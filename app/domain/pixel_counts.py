"""Pixels counted by class: what IoU is made of. Counts of several images add up exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, LabelArray


def confusion_matrix(truth: LabelArray, predicted: LabelArray, num_classes: int) -> NDArray[np.int64]:
    """(C, C) pixel counts [truth, predicted] over the pixels whose truth is not IGNORE_INDEX.

    Raises:
        ValueError: sizes differ, or an id is not below `num_classes`.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the label is {truth.shape} and the prediction {predicted.shape} (height, width)")
    valid = truth != IGNORE_INDEX
    codes = truth[valid].astype(np.int64) * num_classes + predicted[valid]
    if codes.size and max(int(truth[valid].max()), int(predicted[valid].max())) >= num_classes:
        raise ValueError(f"a class id is not below {num_classes}; label and model have different class lists")
    return np.bincount(codes, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


@dataclass(frozen=True)
class PixelCounts:
    """Pixels per class, of one image (C,) or of several (N, C), without those whose truth is void.

    Attributes:
        hits: labeled and predicted as the class.
        labeled: labeled as the class.
        predicted: predicted as the class.
    """

    hits: NDArray[np.int64]
    labeled: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @classmethod
    def of(cls, truth: LabelArray, predicted: LabelArray, num_classes: int) -> "PixelCounts":
        """Count one image. Raises: ValueError: see `confusion_matrix`."""
        confusion = confusion_matrix(truth, predicted, num_classes)
        return cls(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0))

    @classmethod
    def stacked(cls, counts: Sequence["PixelCounts"]) -> "PixelCounts":
        """(N, C) from N images, N at least 1."""
        names = ("hits", "labeled", "predicted")
        return cls(*(np.stack([getattr(each, name) for each in counts]) for name in names))

    def total(self) -> "PixelCounts":
        """(C,) over all images."""
        return PixelCounts(self.hits.sum(axis=0), self.labeled.sum(axis=0), self.predicted.sum(axis=0))

    @property
    def union(self) -> NDArray[np.int64]:
        """Pixels that are labeled or predicted as the class."""
        return self.labeled + self.predicted - self.hits


def iou_per_class(counts: PixelCounts) -> list[float | None]:
    """Intersection over union of each class from (C,) counts; None for a class in neither truth nor prediction."""
    return [float(hit / size) if size else None for hit, size in zip(counts.hits, counts.union, strict=True)]


def mean_iou(iou: Sequence[float | None]) -> float | None:
    """Mean over the classes that have an IoU; None when no class has one."""
    present = [value for value in iou if value is not None]
    return float(np.mean(present)) if present else None
