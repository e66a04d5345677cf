"""Superpixels to draw with, and the tiles that hold them."""

import cv2
import numpy as np
import pytest
from skimage.measure import label as label_components

from app.domain.superpixels import SIDES_PX, TILE_PX, superpixels, superpixels_in, tile_of

LARGE = (3000, 4000)


def picture(size_hw, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_CUBIC)


def test_tiles_cover_an_image_without_gap_or_overlap():
    covered = np.zeros((1100, 700), np.int64)
    for row in range(3):
        for column in range(2):
            tile = tile_of(covered.shape, 0, column, row)
            covered[tile.y0 : tile.y0 + tile.height, tile.x0 : tile.x0 + tile.width] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("level", "column", "row", "message"),
    [(4, 0, 0, "levels 0-3"), (-1, 0, 0, "levels 0-3"), (0, 1, 0, "outside the image"), (0, 0, -1, "outside")],
)
def test_a_level_or_tile_that_is_not_there_is_refused(level, column, row, message):
    with pytest.raises(ValueError, match=message):
        tile_of((360, 480), level, column, row)


def test_superpixels_of_large_images_are_larger():
    small = [tile_of((360, 480), level, 0, 0).side_px for level in range(len(SIDES_PX))]
    large = [tile_of(LARGE, level, 0, 0).side_px for level in range(len(SIDES_PX))]
    assert small == list(SIDES_PX)
    assert large == [18, 37, 74, 148]


@pytest.mark.parametrize("side", [8, 32])
def test_superpixels_are_connected_and_about_as_large_as_asked(side):
    numbers = superpixels(picture((120, 160)), side)
    assert label_components(numbers, background=-1, connectivity=1).max() == numbers.max() + 1
    assert 0.5 < np.bincount(numbers.reshape(-1)).mean() / side**2 < 2  # SLIC starts from a grid with whole cells.


def test_superpixels_follow_a_strong_edge():
    image = np.zeros((96, 96, 3), np.uint8)
    image[:, 41:] = 255
    numbers = superpixels(image, 16)
    assert set(np.unique(numbers[:, :41])).isdisjoint(np.unique(numbers[:, 41:]))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 40), (TILE_PX, 3)])
def test_narrow_tiles_have_superpixels_too(size_hw):
    numbers = superpixels(picture(size_hw), 8)
    assert numbers.shape == size_hw and numbers.dtype == np.uint16


def test_a_tile_of_the_smallest_superpixels_fits_16_bits():
    noise = np.random.default_rng(0).integers(0, 256, (TILE_PX, TILE_PX, 3), dtype=np.uint8)
    numbers = superpixels(noise, SIDES_PX[0])
    assert int(numbers.max()) + 1 < 65535
    assert len(np.unique(numbers)) == int(numbers.max()) + 1


def test_a_part_of_an_image_holds_the_superpixels_of_all_its_tiles_apart():
    calls = []

    def numbers_of(column: int, row: int) -> np.ndarray:
        calls.append((column, row))
        tile = tile_of((600, 1100), 1, column, row)
        return np.full((tile.height, tile.width), 7, np.uint16)

    found = superpixels_in((500, 500, 1030, 520), numbers_of)
    assert found.shape == (20, 530) and calls == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    assert len(np.unique(found)) == 6
    assert len(np.unique(found[:12, :12])) == len(np.unique(found[12:, 524:])) == 1
