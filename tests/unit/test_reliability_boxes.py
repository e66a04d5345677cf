"""Boxes as planes of pixels, by hand-countable boxes and against the released drawing."""

import pytest
import torch

from reliability.boxes import NO_BOX, box_class_mask


def drawn(*boxes: tuple[float, ...], size_hw: tuple[int, int] = (4, 5)) -> list[tuple[int, int, int]]:
    """(class, y, x) of every pixel of one image's mask."""
    mask = box_class_mask(torch.tensor([boxes], dtype=torch.float32), 3, size_hw)
    return [(c, y, x) for _, c, y, x in mask.nonzero().tolist()]


def test_both_corners_are_inside():
    assert drawn((1, 0, 2, 1, 2)) == [(2, 0, 1), (2, 0, 2), (2, 1, 1), (2, 1, 2)]


def test_coordinates_are_truncated_to_whole_pixels():
    assert drawn((1.9, 1.9, 2.9, 1.99, 0)) == [(0, 1, 1), (0, 1, 2)]


def test_overlapping_boxes_of_a_class_cover_their_union():
    assert drawn((0, 0, 1, 0, 1), (1, 0, 2, 0, 1)) == [(1, 0, 0), (1, 0, 1), (1, 0, 2)]


def test_what_lies_beyond_the_image_is_cut_off():
    assert drawn((-3, -2, 0, 0, 0), (4, 3, 99, 99, 1)) == [(0, 0, 0), (1, 3, 4)]


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((0, 0, 4, 4, NO_BOX), id="filler"),
        pytest.param((3, 0, 2, 4, 0), id="turned-inside-out"),
        pytest.param((9, 9, 12, 12, 0), id="right-of-the-image"),
    ],
)
def test_a_box_without_pixels_draws_nothing(box):
    assert drawn(box) == []


def test_images_of_a_batch_keep_their_own_boxes():
    boxes = torch.tensor([[[0, 0, 0, 0, 1]], [[1, 0, 1, 0, 0]]], dtype=torch.float32)
    assert box_class_mask(boxes, 2, (1, 2)).nonzero().tolist() == [[0, 1, 0, 0], [1, 0, 0, 1]]
