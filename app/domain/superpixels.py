"""Superpixels to draw with: small areas that follow the edges of the picture, in a few sizes, tile by tile.

An image is cut into square tiles, so that even a very large one answers within a second: a tile is worked out when
somebody first draws there. Superpixels end at the border of their tile.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import slic

from app.domain.regions import SUPERPIXEL_ROUNDS

TILE_PX = 512
"""Side of a tile; one takes about half a second on a slow core."""

SIDES_PX = (8, 16, 32, 64)
"""About how long the sides of superpixels are, by level, in images of up to `BASE_PIXELS`."""

BASE_PIXELS = 1500 * 1500
"""In larger images superpixels grow with the side of the image, since things in them are larger, too."""

COMPACTNESS = 10.0
"""Larger is squarer; scikit-image's default, which suits CIE Lab colors."""


@dataclass(frozen=True)
class Tile:
    """One tile of one image in one level.

    Attributes:
        x0: column of its left edge in the image.
        y0: row of its upper edge.
        width: in pixels; tiles at the right and lower border are cut.
        height: likewise.
        side_px: about how long the sides of its superpixels are.
    """

    x0: int
    y0: int
    width: int
    height: int
    side_px: int


def tile_of(size_hw: tuple[int, int], level: int, column: int, row: int) -> Tile:
    """A tile by its place.

    Raises:
        ValueError: there is no such level, or the tile lies outside the image.
    """
    height, width = size_hw
    x0, y0 = column * TILE_PX, row * TILE_PX
    if not 0 <= level < len(SIDES_PX):
        raise ValueError(f"superpixels have levels 0-{len(SIDES_PX) - 1}, got {level}")
    if not (0 <= x0 < width and 0 <= y0 < height):
        raise ValueError(f"tile ({column}, {row}) lies outside the image of {width}x{height} pixels")
    side = SIDES_PX[level] * max(1.0, (height * width / BASE_PIXELS) ** 0.5)
    return Tile(x0, y0, min(TILE_PX, width - x0), min(TILE_PX, height - y0), round(side))


def superpixels(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint16]:
    """(h, w) numbers from 0 of connected areas of about `side_px` squared pixels; the same image gives the same ones.

    Args:
        image: (h, w, 3) uint8 RGB, at most TILE_PX on a side, so that 16 bits suffice.
        side_px: at least 2.

    Source: SLIC, Achanta et al. 2012, by scikit-image.
    """
    num_segments = max(1, round(image.shape[0] * image.shape[1] / side_px**2))
    found = slic(image, n_segments=num_segments, compactness=COMPACTNESS, max_num_iter=SUPERPIXEL_ROUNDS, start_label=0)
    numbers: NDArray[np.uint16] = found.astype(np.uint16)
    return numbers


def superpixels_in(
    box: tuple[int, int, int, int], numbers_of: Callable[[int, int], NDArray[np.uint16]]
) -> NDArray[np.int64]:
    """(h, w) numbers from 0 of the superpixels in a part of an image; those of different tiles are different.

    Args:
        box: left, top, right and bottom, in pixels of the image.
        numbers_of: column and row of a tile -> its (h, w) numbers.
    """
    x0, y0, x1, y1 = box
    found = np.zeros((y1 - y0, x1 - x0), np.int64)
    columns = range(x0 // TILE_PX, (x1 - 1) // TILE_PX + 1)
    for row in range(y0 // TILE_PX, (y1 - 1) // TILE_PX + 1):
        for column in columns:
            numbers = numbers_of(column, row).astype(np.int64)
            left, top = column * TILE_PX, row * TILE_PX
            a, b = max(x0, left), min(x1, left + numbers.shape[1])
            c, d = max(y0, top), min(y1, top + numbers.shape[0])
            tile = (row * (columns.stop + 1) + column) << 16  # 16 bits hold a tile's own.
            found[c - y0 : d - y0, a - x0 : b - x0] = tile + numbers[c - top : d - top, a - left : b - left]
    return found
