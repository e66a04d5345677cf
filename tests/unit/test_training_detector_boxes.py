"""Boxes from labels, and boxes that move with their crop."""

import dataclasses

import numpy as np
import pytest
import torch

from datasets.labels import ClassSet
from reliability.boxes import NO_BOX, box_class_mask
from tests.unit.training_cases import tiny_config, write_blocks
from training.batches.geometry import Geometry, draw_geometry
from training.batches.loader import BatchLoader
from training.config import ViewConfig
from training.data import open_training_data
from training.detector.boxes import components_of, named_classes, no_boxes, thing_classes


def label_with(*rectangles, size_hw=(20, 30), background=255):
    """(class id, left, top, right, bottom), corners inside, painted in this order."""
    label = np.full(size_hw, background, np.uint8)
    for class_id, left, top, right, bottom in rectangles:
        label[top : bottom + 1, left : right + 1] = class_id
    return label


def drawn(boxes, size_hw, num_classes=3):
    return box_class_mask(torch.from_numpy(boxes)[None], num_classes, size_hw)[0].numpy()


def test_every_region_of_a_class_is_a_box_with_both_corners_inside():
    boxes = components_of(label_with((2, 3, 4, 7, 9), (1, 10, 0, 12, 2), (2, 20, 4, 21, 5))).boxes
    assert sorted(map(tuple, boxes.tolist())) == [(3, 4, 7, 9, 2), (10, 0, 12, 2, 1), (20, 4, 21, 5, 2)]


def test_regions_of_two_classes_that_touch_stay_apart():
    components = components_of(label_with((0, 0, 0, 9, 9), (1, 10, 0, 14, 9)))
    assert components.area.tolist() == [100, 50] and components.boxes[:, 4].tolist() == [0, 1]


def test_regions_that_touch_at_a_corner_are_one():
    assert components_of(label_with((0, 0, 0, 1, 1), (0, 2, 2, 3, 3))).boxes.tolist() == [[0, 0, 3, 3, 0]]


def test_void_has_no_box():
    assert components_of(label_with()).boxes.shape == (0, 5)


def test_boxes_with_a_short_side_are_dropped():
    components = components_of(label_with((0, 0, 0, 3, 19), (1, 10, 0, 14, 4)))
    assert components.at_least(5).boxes[:, 4].tolist() == [1] and components.at_least(5).area.tolist() == [25]


def test_no_component_is_long_enough_when_there_is_none():
    assert components_of(label_with()).at_least(1).boxes.shape == (0, 5)


def test_what_touches_three_borders_is_no_thing():
    label = label_with((0, 0, 0, 29, 8), (1, 0, 9, 29, 19), (2, 5, 5, 8, 12))
    assert thing_classes([components_of(label)], 3) == (2,)


def test_what_fills_the_middle_of_most_images_is_no_thing():
    label = label_with((0, 1, 1, 28, 18), (1, 5, 5, 8, 12))
    assert thing_classes([components_of(label)], 2) == (1,)


def test_splinters_do_not_make_a_thing():
    splinters = [(0, left, 15, left, 15) for left in range(2, 28, 3)]
    label = label_with((0, 0, 0, 29, 8), *splinters)
    assert thing_classes([components_of(label)], 1) == ()


def test_a_class_that_never_occurs_is_no_thing():
    assert thing_classes([components_of(label_with((1, 5, 5, 8, 8)))], 3) == (1,)


def test_users_name_the_classes_themselves():
    assert named_classes(" car, sign ", ClassSet.from_names(["road", "sign", "car"])) == (1, 2)


def test_a_name_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match=r"detector\.classes: bus is no class of the data; choose from road, car"):
        named_classes("bus,car", ClassSet.from_names(["road", "car"]))


def test_a_flipped_box_is_mirrored():
    flip = Geometry(np.array([[-1.0, 0.0, 29.0], [0.0, 1.0, 0.0]]), (20, 30))
    assert flip.of_boxes(np.array([[3, 4, 7, 9, 2]], np.float32)).tolist() == [[22, 4, 26, 9, 2]]


def test_a_box_is_cut_to_the_crop():
    crop = Geometry(np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 6.0]]), (10, 10))
    assert crop.of_boxes(np.array([[3, 4, 7, 30, 1]], np.float32)).tolist() == [[0, 0, 2, 9, 1]]


def test_a_box_outside_the_crop_is_left_out():
    crop = Geometry(np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 6.0]]), (10, 10))
    assert crop.of_boxes(np.array([[0, 0, 4, 19, 1], [15, 6, 20, 8, 1]], np.float32)).shape == (0, 5)


def test_a_doubled_box_covers_twice_as_many_pixels():
    doubled = Geometry(np.array([[0.5, 0.0, -0.25], [0.0, 0.5, -0.25]]), (40, 60))
    assert doubled.of_boxes(np.array([[3, 4, 7, 9, 0]], np.float32)).tolist() == [[6, 8, 15, 19, 0]]


@pytest.mark.parametrize("seed", range(8))
def test_drawing_moved_boxes_gives_the_moved_drawing(seed):
    rng = np.random.default_rng(seed)
    boxes = np.array([[3, 4, 20, 30, 0], [25, 10, 59, 47, 1], [0, 0, 6, 47, 2]], np.float32)
    geometry = draw_geometry(rng, (48, 60), ViewConfig(crop_hw=(40, 44), scale_range=(0.6, 1.8)))
    moved, expected = drawn(geometry.of_boxes(boxes), (40, 44)), drawn(boxes, (48, 60))
    for class_id in range(3):
        warped = geometry.of_mask(expected[class_id])
        inner = warped & _shifted(warped, all)
        outer = warped | _shifted(warped, any)
        assert (inner <= moved[class_id]).all() and (moved[class_id] <= outer).all()


def _shifted(mask, combine):
    """Whether all (any) of a pixel's 8 neighbors are in the mask; beyond the border the nearest pixel counts."""
    padded = np.pad(mask, 1, mode="edge")
    height, width = mask.shape
    neighbors = np.stack([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)])
    return neighbors.all(0) if combine is all else neighbors.any(0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_training_data(tiny_config(write_blocks(tmp_path_factory.mktemp("blocks"))).data)


def batch_with(data, boxes):
    config = tiny_config("")
    return BatchLoader(dataclasses.replace(data, boxes=boxes), ("plain",), config.views, config.run).batch(0).unlabeled


def test_boxes_of_a_batch_are_padded_with_rows_without_a_class(data):
    whole = np.array([[0, 0, 79, 63, 1]], np.float32)
    names = [data.pool.read(item).sample_id for item in data.unlabeled]
    boxes = {name: whole if number % 2 else np.repeat(whole, 3, axis=0) for number, name in enumerate(names)}
    rows = batch_with(data, boxes).boxes
    assert rows.shape == (2, 3, 5) and set(rows[..., 4].unique().tolist()) <= {1.0, float(NO_BOX)}


def test_a_whole_image_box_covers_exactly_what_is_no_padding(data):
    boxes = {data.pool.read(item).sample_id: np.array([[0, 0, 79, 63, 1]], np.float32) for item in data.unlabeled}
    batch = batch_with(data, boxes)
    assert torch.equal(box_class_mask(batch.boxes, 3, (32, 32))[:, 1], batch.valid)


def test_a_batch_of_images_without_boxes_is_drawn_as_nothing(data):
    batch = batch_with(data, {data.pool.read(item).sample_id: no_boxes() for item in data.unlabeled})
    assert not box_class_mask(batch.boxes, 3, (32, 32)).any()


def test_without_a_detector_a_batch_has_no_boxes(data):
    assert batch_with(data, None).boxes is None
