"""Crops, strong views, boxes."""

import cv2
import numpy as np
import pytest

from datasets.labels import IGNORE_INDEX
from tests.unit.training_cases import color_blocks
from training.batches.draws import StrongDraw, draw_box, draw_masked, draw_strong
from training.batches.geometry import Geometry, draw_geometry
from training.batches.opencv_views import block_mask, paste_mask, render_strong
from training.config import ViewConfig

PLAIN = ViewConfig(crop_hw=(32, 40), scale_range=(1.0, 1.0), flip_probability=0.0)


def coded(size_hw):
    """An image whose red and green channels are the row and the column."""
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def test_scale_1_without_flip_cuts_pixels_out_unchanged():
    image = coded((64, 80))
    crop = draw_geometry(np.random.default_rng(0), (64, 80), PLAIN).of_image(image)
    top, left = int(crop[0, 0, 0]), int(crop[0, 0, 1])
    assert np.array_equal(crop, image[top : top + 32, left : left + 40])


def test_a_flip_mirrors_the_same_crop():
    image = coded((64, 80))
    flipped = ViewConfig(crop_hw=(32, 40), scale_range=(1.0, 1.0), flip_probability=1.0)
    crop = draw_geometry(np.random.default_rng(0), (64, 80), PLAIN).of_image(image)
    mirrored = draw_geometry(np.random.default_rng(0), (64, 80), flipped).of_image(image)
    assert np.array_equal(mirrored, crop[:, ::-1])


@pytest.mark.parametrize("seed", range(8))
def test_label_weight_and_mask_stay_on_their_pixels(seed):
    views = ViewConfig(crop_hw=(48, 56), scale_range=(0.5, 2.0))
    _, label = color_blocks(seed)
    geometry = draw_geometry(np.random.default_rng(seed), label.shape, views)
    warped = geometry.of_label(label)
    inside = geometry.of_mask(np.ones(label.shape, bool))
    weight = geometry.of_weight((label == 1).astype(np.float32))
    assert np.array_equal(weight == 1, inside & (warped == 1)) and (warped[~inside] == IGNORE_INDEX).all()


@pytest.mark.parametrize("seed", range(8))
def test_image_and_label_agree_after_warping(seed):
    views = ViewConfig(crop_hw=(48, 56), scale_range=(0.5, 2.0))
    _, label = color_blocks(seed)
    image = np.repeat(label[..., None] * 100, 3, axis=2).astype(np.uint8)
    geometry = draw_geometry(np.random.default_rng(seed), label.shape, views)
    warped, crop = geometry.of_label(label), geometry.of_image(image)
    square = np.ones((3, 3), np.uint8)
    warped, crop = np.pad(warped, 1, constant_values=IGNORE_INDEX), np.pad(crop, ((1, 1), (1, 1), (0, 0)))
    inner = (cv2.erode(warped, square) == cv2.dilate(warped, square)) & (warped != IGNORE_INDEX)  # away from borders
    assert inner.mean() > 0.2 and np.array_equal(crop[..., 0][inner], warped[inner] * 100)


def test_padding_of_a_small_image_is_black_ignored_and_invalid():
    geometry = draw_geometry(np.random.default_rng(0), (20, 24), PLAIN)
    image = np.full((20, 24, 3), 200, np.uint8)
    outside = ~geometry.of_mask(np.ones((20, 24), bool))
    assert outside.sum() == 32 * 40 - 20 * 24
    assert (geometry.of_image(image)[outside] == 0).all()
    assert (geometry.of_label(np.zeros((20, 24), np.uint8))[outside] == IGNORE_INDEX).all()
    assert (geometry.of_weight(np.ones((20, 24), np.float32))[outside] == 0).all()


def drawn_box(seed, views):
    return paste_mask(StrongDraw(box=draw_box(np.random.default_rng(seed), views)), views)


def drawn_blocks(seed, views):
    return block_mask(draw_masked(np.random.default_rng(seed), views), views)


def test_a_box_lies_inside_and_has_its_area():
    views = ViewConfig(crop_hw=(60, 90), cutmix_probability=1.0)
    shares = [drawn_box(seed, views).mean() for seed in range(200)]
    assert 0.015 <= min(shares) and max(shares) <= 0.41 and np.mean(shares) == pytest.approx(0.21, abs=0.03)


def test_a_box_is_a_rectangle():
    views = ViewConfig(crop_hw=(60, 90), cutmix_probability=1.0)
    box = drawn_box(3, views)
    rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
    assert box.sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)


def test_boxes_appear_with_their_probability():
    views = ViewConfig(crop_hw=(60, 90), cutmix_probability=0.5)
    share = np.mean([drawn_box(seed, views).any() for seed in range(400)])
    assert share == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("draw", [draw_strong, draw_masked], ids=["strong", "masked"])
def test_padding_stays_black_in_strong_views(draw):
    views = ViewConfig(crop_hw=(32, 40), blur_probability=1.0, jitter_probability=1.0)
    image, _ = color_blocks(0, (32, 48))
    image, valid = image[:, :40].copy(), np.ones((32, 40), bool)
    valid[:, 30:] = False
    image[~valid] = 0
    for seed in range(6):
        assert (render_strong(draw(np.random.default_rng(seed), views), image, valid)[~valid] == 0).all()


def test_half_of_the_masked_views_have_blocks():
    views = ViewConfig(crop_hw=(64, 64))
    with_blocks = [drawn_blocks(seed, views).any() for seed in range(300)]
    assert np.mean(with_blocks) == pytest.approx(0.5, abs=0.09)


def test_blocks_cover_their_share_of_the_crop():
    views = ViewConfig(crop_hw=(128, 128))
    covers = [drawn_blocks(seed, views).mean() for seed in range(200)]
    assert np.mean([cover for cover in covers if cover > 0]) == pytest.approx(0.7, abs=0.05)


def rendered(image, seed, views):
    """A strong view of an image without padding."""
    return render_strong(draw_strong(np.random.default_rng(seed), views), image, np.ones(image.shape[:2], bool))


def test_a_strong_view_without_any_operation_is_the_weak_view():
    views = ViewConfig(crop_hw=(64, 80), jitter_probability=0, gray_probability=0, blur_probability=0)
    image, _ = color_blocks(0)
    assert np.array_equal(rendered(image, 0, views), image)


def test_a_gray_view_has_equal_channels():
    views = ViewConfig(crop_hw=(64, 80), jitter_probability=0, gray_probability=1, blur_probability=0)
    image, _ = color_blocks(0)
    gray = rendered(image, 0, views)
    assert np.array_equal(gray[..., 0], gray[..., 1]) and np.array_equal(gray[..., 1], gray[..., 2])


def test_strong_views_leave_the_weak_view_alone():
    image, _ = color_blocks(0)
    before = image.copy()
    for seed in range(10):
        rendered(image, seed, ViewConfig(crop_hw=(64, 80)))
    assert np.array_equal(image, before)


def test_geometry_is_the_same_for_the_same_seed():
    first, second = (draw_geometry(np.random.default_rng(5), (64, 80), ViewConfig()) for _ in range(2))
    assert isinstance(first, Geometry) and np.array_equal(first.matrix, second.matrix)
