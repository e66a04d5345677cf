"""A picture and its class ids, painted together: what covers a pixel in one covers it in the other."""

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
"""Red, green, blue, 0 to 255; may leave the range before it is clipped at the end."""

Texture = NDArray[np.float32]
"""(H, W, 1) or (H, W, 3) factors around 1."""


class SceneCanvas:
    """An RGB picture with a label of the same size, back to front.

    Attributes:
        rgb: (H, W, 3) float32, 0 to 255.
        label: (H, W) uint8 class ids.
    """

    def __init__(self, size_hw: tuple[int, int], class_id: int) -> None:
        self.size_hw = size_hw
        self.rgb = np.zeros((*size_hw, 3), np.float32)
        self.label = np.full(size_hw, class_id, np.uint8)

    def fill(self, mask: NDArray[np.bool_], color: NDArray[np.float32] | Color, class_id: int | None) -> None:
        """Paint `mask` with one colour or the pixels of a picture; class_id None keeps the label."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows) == 0:
            return
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))  # most shapes are small
        source = np.broadcast_to(np.asarray(color, np.float32), self.rgb.shape)
        np.copyto(self.rgb[box], source[box], where=mask[box][..., None])
        if class_id is not None:
            self.label[box][mask[box]] = class_id

    def polygon(self, points_xy: NDArray[np.float64] | list[tuple[float, float]]) -> NDArray[np.bool_]:
        """Mask of a filled polygon."""
        mask = np.zeros(self.size_hw, np.uint8)
        cv2.fillPoly(mask, [np.round(np.asarray(points_xy)).astype(np.int32)], 1)
        return mask.astype(bool)

    def rectangle(self, left: float, top: float, right: float, bottom: float) -> NDArray[np.bool_]:
        """Mask of an upright rectangle."""
        return self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)])

    def ellipse(self, center_xy: tuple[float, float], radii_xy: tuple[float, float]) -> NDArray[np.bool_]:
        """Mask of an upright ellipse."""
        mask = np.zeros(self.size_hw, np.uint8)
        center = (round(center_xy[0]), round(center_xy[1]))
        cv2.ellipse(mask, center, (max(1, round(radii_xy[0])), max(1, round(radii_xy[1]))), 0, 0, 360, 1, -1)
        return mask.astype(bool)

    def line(self, start_xy: tuple[float, float], end_xy: tuple[float, float], width: float) -> NDArray[np.bool_]:
        """Mask of a thick line; `width` in pixels, at least 1."""
        mask = np.zeros(self.size_hw, np.uint8)
        start, end = (round(start_xy[0]), round(start_xy[1])), (round(end_xy[0]), round(end_xy[1]))
        cv2.line(mask, start, end, 1, max(1, round(width)))
        return mask.astype(bool)


def cloud_noise(
    rng: np.random.Generator, size_hw: tuple[int, int], cell: float, octaves: int = 3
) -> NDArray[np.float32]:
    """Smooth random field, (H, W), roughly in [-1, 1].

    Args:
        rng: source of randomness.
        size_hw: of the field.
        cell: size in pixels of the coarsest blobs; each octave halves size and strength.
        octaves: number of layers.
    """
    field = np.zeros(size_hw, np.float32)
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        rows, columns = (max(2, int(side / step) + 2) for side in size_hw)
        grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        field += np.asarray(cv2.resize(grid, size_hw[::-1], interpolation=cv2.INTER_CUBIC), np.float32) / 2**octave
    return field / np.float32(1.75)
