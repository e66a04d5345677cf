"""One random resize, crop and flip, through which everything that belongs to an image goes alike."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, LabelArray
from datasets.sample import Image
from training.config import ViewConfig
from training.detector.boxes import BoxArray

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Geometry:
    """One random resize, crop and flip.

    Attributes:
        matrix: (2, 3) float64, pixel of the crop (x, y, 1) -> pixel of the source image.
        size_hw: of the crop.
    """

    matrix: NDArray[np.float64]
    size_hw: tuple[int, int]

    def of_image(self, image: Image) -> Image:
        """(h, w, 3) uint8, bilinear; outside the source is black, which does not bleed into the border pixels."""
        height, width = self.size_hw
        warped = cv2.warpAffine(
            image, self.matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return black_outside(np.asarray(warped, np.uint8), self.inside(image.shape[:2]))

    def inside(self, source_hw: tuple[int, ...]) -> Mask:
        """(h, w) bool, False on padding."""
        return self.of_mask(np.ones(source_hw, bool))

    def of_label(self, label: LabelArray) -> LabelArray:
        """(h, w) uint8, nearest; outside the source is IGNORE_INDEX."""
        return np.asarray(self._nearest(label, IGNORE_INDEX), np.uint8)

    def of_weight(self, weight: Plane) -> Plane:
        """(h, w) float32, nearest; outside the source is 0."""
        return np.asarray(self._nearest(weight, 0), np.float32)

    def of_mask(self, mask: Mask) -> Mask:
        """(h, w) bool, nearest; outside the source is False."""
        return np.asarray(self._nearest(mask, False), np.bool_)

    def of_boxes(self, boxes: BoxArray) -> BoxArray:
        """(B', 5), cut to the crop; boxes without a pixel in it are left out.

        A pixel of the crop is inside if its center is, as in `of_mask`: drawing the moved box gives the moved drawing.
        """
        height, width = self.size_hw
        offset, step = self.matrix[[0, 1], 2], self.matrix[[0, 1], [0, 1]]
        one, other = (boxes[:, :2] - 0.5 - offset) / step, (boxes[:, 2:4] + 0.5 - offset) / step  # outer edges, (B, 2)
        first = np.maximum(np.ceil(np.minimum(one, other)), 0)
        last = np.minimum(np.ceil(np.maximum(one, other)) - 1, (width - 1, height - 1))
        visible = (first <= last).all(axis=1)
        moved = np.column_stack([first, last, boxes[:, 4]])
        return np.asarray(moved[visible], np.float32)

    def _nearest(self, plane: NDArray[Any], border: float) -> NDArray[Any]:
        """Resample; beyond the border lies `border`. Not by OpenCV, whose versions disagree near edges."""
        rows, has_row = self._nearest_places(axis=1, num_source=plane.shape[0])
        columns, has_column = self._nearest_places(axis=0, num_source=plane.shape[1])
        inside = has_row[:, None] & has_column[None]
        return np.where(inside, plane[rows[:, None], columns[None]], plane.dtype.type(border))

    def _nearest_places(self, axis: int, num_source: int) -> tuple[NDArray[np.intp], Mask]:
        """For each row (axis 1) or column (axis 0) of the crop: the nearest of the source, and whether there is one."""
        offset, step = self.matrix[[axis, axis], [2, axis]].astype(np.float32)
        places = np.rint(offset + np.arange(self.size_hw[1 - axis], dtype=np.float32) * step)  # As on the device.
        return np.clip(places, 0, num_source - 1).astype(np.intp), (places >= 0) & (places < num_source)


def draw_geometry(rng: np.random.Generator, source_hw: tuple[int, int], views: ViewConfig) -> Geometry:
    """Resize by a uniform factor, crop at a uniform place, flip with `views.flip_probability`.

    An image smaller than the crop after resizing lies in the crop's upper left corner; the rest is padding.

    Source: UniMatch, released transforms (resize by the long side, pad right and below, random crop, flip).
    """
    height, width = views.crop_hw
    scale = rng.uniform(*views.scale_range)
    scaled_hw = tuple(max(1, round(side * scale)) for side in source_hw)
    top = int(rng.integers(0, max(0, scaled_hw[0] - height) + 1))
    left = int(rng.integers(0, max(0, scaled_hw[1] - width) + 1))
    step_y, step_x = source_hw[0] / scaled_hw[0], source_hw[1] / scaled_hw[1]
    offset_y, offset_x = (top + 0.5) * step_y - 0.5, (left + 0.5) * step_x - 0.5  # pixel centers
    if rng.random() < views.flip_probability:
        offset_x, step_x = offset_x + (width - 1) * step_x, -step_x
    matrix = np.array([[step_x, 0.0, offset_x], [0.0, step_y, offset_y]])
    return Geometry(matrix, (height, width))


def black_outside(image: Image, valid: Mask) -> Image:
    """The image with 0 where it is not valid."""
    if valid.all():
        return image
    return np.where(valid[..., None], image, np.uint8(0))
