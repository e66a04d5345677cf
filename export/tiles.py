"""Predicting a picture in overlapping windows and blending the probabilities, so that no seam is left."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OVERLAP_SHARE = 0.25
"""Share of a tile that is seen twice along each axis. Our choice: it hides seams at 1.8 times the pixels."""


@dataclass(frozen=True)
class TilePlan:
    """How a picture is cut; all in pixels and whole multiples of the student's stride.

    Attributes:
        tile: side of a window.
        overlap: least number of pixels that neighboring windows share, below `tile`.
        stride: of the student.
    """

    tile: int
    overlap: int
    stride: int

    def windows(self, size: int) -> list[slice]:
        """Windows that cover `size` pixels of one axis.

        Each starts on the grid on which the student would see the whole picture. The last one is moved inside as far
        as the grid allows, so it may be shorter than the others by less than a stride.
        """
        if size <= self.tile:
            return [slice(0, size)]
        last = -(-(size - self.tile) // self.stride) * self.stride
        starts = [*range(0, last, self.tile - self.overlap), last]
        return [slice(start, min(start + self.tile, size)) for start in starts]


def predict_in_tiles(
    image: NDArray[np.uint8], plan: TilePlan, predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Probabilities of a large picture.

    Every window counts with a weight that falls off linearly towards those of its sides that another window overlaps.

    Where a window ends, the student misses context, which the overlap hides. What it computes over everything it sees,
    such as the statistics of group normalization in FPN decoders, is that of the window and not of the picture.

    Args:
        image: (H, W, 3).
        plan: how it is cut.
        predict: (1, h, w, 3) -> (1, C, h, w), sums to 1 over C.

    Returns:
        (C, H, W), sums to 1 over C.
    """
    height, width = image.shape[:2]
    total: NDArray[np.float32] | None = None
    weight_sum = np.zeros((height, width), np.float32)
    for rows in plan.windows(height):
        for columns in plan.windows(width):
            weight = _ramp(rows, height, plan.overlap)[:, None] * _ramp(columns, width, plan.overlap)  # (h, w)
            probabilities = predict(np.ascontiguousarray(image[None, rows, columns]))[0]  # (C, h, w)
            if total is None:
                total = np.zeros((probabilities.shape[0], height, width), np.float32)
            total[:, rows, columns] += probabilities * weight
            weight_sum[rows, columns] += weight
    assert total is not None  # there is at least one window per axis
    total /= weight_sum
    return total


def _ramp(window: slice, size: int, overlap: int) -> NDArray[np.float32]:
    """Weight along one axis: 1 inside, falling towards the sides that do not lie on the picture's border."""
    length = window.stop - window.start
    rising = np.minimum((np.arange(length, dtype=np.float32) + 1) / (overlap + 1), 1)
    from_start = rising if window.start > 0 else np.ones(length, np.float32)
    return np.minimum(from_start, rising[::-1]) if window.stop < size else from_start
