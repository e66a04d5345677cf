"""Boxes of whole pixels from labels: connected components, and which classes are things that a detector can learn."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray

BoxArray = NDArray[np.float32]
"""(B, 5): left, top, right, bottom in whole pixels, both corners inside, and class id."""

MOST_BORDERS = 0.8
"""A thing's average pixel lies in a component that touches at most this many of the image's four borders. In CamVid's
training labels and splits of them, down to 23 images, things reach 0 (bicyclist) to 0.74 (fence), the rest 0.92 (tree,
in 23 images) to 2.7 (road)."""

LARGEST_BOX_SHARE = 0.5
"""Half of a thing's pixels lie in components whose box covers at most this share of the image: a background that fills
the middle of the image touches no border either. CamVid's things reach 0.11 (car)."""


@dataclass(frozen=True)
class Components:
    """The connected regions of equal class in one label, 8-connected.

    Attributes:
        boxes: (B, 5).
        area: (B,) int64 pixels of each region.
        size_hw: of the label.
    """

    boxes: BoxArray
    area: NDArray[np.int64]
    size_hw: tuple[int, int]

    def at_least(self, min_box_px: int) -> "Components":
        """Those whose box's shorter side has at least this many pixels."""
        sides = self.boxes[:, 2:4] - self.boxes[:, :2] + 1
        kept = sides.min(axis=1, initial=np.inf) >= min_box_px
        return Components(self.boxes[kept], self.area[kept], self.size_hw)


def no_boxes() -> BoxArray:
    """An image without any box."""
    return np.empty((0, 5), np.float32)


def components_of(label: LabelArray) -> Components:
    """Every connected region of a class; void and unlabeled pixels belong to none.

    Touching objects of one class become one box: class ids do not tell them apart. Howlader et al. train on boxes of
    single objects, which only data with instance labels can give.

    Args:
        label: (H, W) uint8 with IGNORE_INDEX.
    """
    numbered = measure.label(label, background=IGNORE_INDEX, connectivity=2)  # type: ignore[no-untyped-call]
    found = ndimage.find_objects(numbered)
    if not found:
        return Components(no_boxes(), np.empty(0, np.int64), (label.shape[0], label.shape[1]))
    area = np.bincount(numbered.reshape(-1), minlength=len(found) + 1)[1:]
    first_pixel = np.unique(numbered, return_index=True)[1][-len(found) :]
    corners = [(columns.start, rows.start, columns.stop - 1, rows.stop - 1) for rows, columns in found]
    boxes = np.column_stack([np.array(corners), label.reshape(-1)[first_pixel]]).astype(np.float32)
    return Components(boxes, area, (label.shape[0], label.shape[1]))


def thing_classes(labels: Iterable[Components], num_classes: int) -> tuple[int, ...]:
    """Classes whose regions look like things: of limited size, and not cut off by several borders of the image.

    Both measures weigh regions by their pixels, so that splinters of a street or of the sky do not make it a thing.
    The rule is ours; `detector.classes` overrides it.
    """
    rows = [_measures(components) for components in labels]
    class_id, area, borders, share = np.concatenate([np.empty((0, 4)), *rows]).T
    return tuple(
        candidate
        for candidate in range(num_classes)
        if (of_class := class_id == candidate).any()
        and np.average(borders[of_class], weights=area[of_class]) <= MOST_BORDERS
        and _weighted_median(share[of_class], area[of_class]) <= LARGEST_BOX_SHARE
    )


def _measures(components: Components) -> NDArray[np.float64]:
    """(B, 4): class id, pixels, borders touched, share of the image inside the box."""
    height, width = components.size_hw
    left, top, right, bottom, class_id = components.boxes.astype(np.float64).T
    borders = (left == 0).astype(int) + (top == 0) + (right == width - 1) + (bottom == height - 1)
    share = (right - left + 1) * (bottom - top + 1) / (height * width)
    return np.column_stack([class_id, components.area, borders, share])


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def named_classes(names: str, class_set: ClassSet) -> tuple[int, ...]:
    """The class ids of `detector.classes`.

    Raises:
        ValueError: a name that is no class.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in class_set.names]
    if unknown:
        raise ValueError(
            f"detector.classes: {', '.join(unknown)} is no class of the data; choose from {', '.join(class_set.names)}"
        )
    return tuple(sorted({class_set.names.index(name) for name in wanted}))
