"""Ranking label parts: a planted error comes first, and a class that the model does not know does not."""

import numpy as np
import pytest

from app.domain.regions import BAND, LEFTOVER
from app.domain.suspects import LabelPart, find_part, holding_region, label_parts, precision_at, rank_parts
from benchmarks.label_errors import are_errors, plant_errors
from datasets.labels import IGNORE_INDEX

SURE = np.float32(0.9)


def test_a_part_the_model_disagrees_with_comes_first_with_its_suggestion() -> None:
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 30:] = 1
    label = truth.copy()
    label[10:20, 5:20] = 2
    label[25:35, 40:55] = 2
    predicted = truth.copy()
    predicted[25:35, 40:55] = 2
    ranked = rank_parts(label_parts(7, label, predicted, np.full(truth.shape, SURE)))
    first = ranked[0].part
    assert (first.image_id, first.class_id, first.suggested, first.bbox, first.area) == (7, 2, 0, (5, 10, 20, 20), 150)
    assert first.doubt == pytest.approx(0.9)
    assert ranked[-1].part.bbox == (40, 25, 55, 35)


def test_a_class_that_is_always_doubted_is_no_reason_by_itself() -> None:
    label = np.zeros((40, 60), np.uint8)
    for x in (5, 20, 35):
        label[10:30, x : x + 8] = 3  # The model has never seen this class.
    label[0:8, 0:20] = 1
    predicted = np.zeros_like(label)
    predicted[0:8, 30:60] = label[0:8, 30:60] = 1
    ranked = rank_parts(label_parts(1, label, predicted, np.full(label.shape, SURE)))
    assert ranked[0].part.class_id == 1 and ranked[0].part.bbox == (0, 0, 20, 8)


def test_undecided_pixels_and_small_parts_are_no_parts() -> None:
    label = np.full((20, 20), IGNORE_INDEX, np.uint8)
    label[:10, :10] = 1
    label[15, 15] = 2
    found = label_parts(1, label, np.ones_like(label), np.full(label.shape, SURE))
    assert [(part.class_id, part.area, part.suggested) for part in found] == [(1, 100, 1)]


def three_parts() -> tuple[np.ndarray, list[LabelPart]]:
    """Two bars of class 1 and one of class 2, and the parts that they are."""
    label = np.full((12, 20), IGNORE_INDEX, np.uint8)
    label[2:10, 2:6], label[2:10, 8:12], label[2:10, 12:16] = 1, 1, 2
    return label, label_parts(1, label, np.zeros_like(label), np.full(label.shape, SURE), min_area=10)


def test_a_part_is_found_again_where_it_was_whatever_happens_elsewhere() -> None:
    label, parts = three_parts()
    label[0, 0], label[2:10, 8:12] = 2, 0
    found = {part.bbox: find_part(part, label) for part in parts}
    assert {bbox: mask is not None for bbox, mask in found.items()} == {
        (2, 2, 6, 10): True,
        (8, 2, 12, 10): False,
        (12, 2, 16, 10): True,
    }
    mask = found[12, 2, 16, 10]
    assert mask is not None and mask.shape == (8, 4) and mask.all()


@pytest.mark.parametrize(("y", "x", "now"), [(2, 2, 0), (5, 4, 0), (5, 6, 1)], ids=["corner", "hole", "grown"])
def test_a_part_that_shrank_or_grew_is_not_found(y: int, x: int, now: int) -> None:
    label, (first, *_) = three_parts()
    label[y, x] = now
    assert find_part(first, label) is None


def test_a_part_lies_in_the_region_that_holds_most_of_it_or_in_none() -> None:
    mask = np.ones((2, 3), np.bool_)
    assert holding_region(mask, np.array([[0, 0, 4], [7, 7, 0]], np.uint16)) == 7
    assert holding_region(mask, np.zeros((2, 3), np.uint16)) is None
    assert holding_region(mask, np.array([[BAND, BAND, 4], [LEFTOVER, LEFTOVER, 0]], np.uint16)) == 4
    assert holding_region(mask, np.full((2, 3), BAND, np.uint16)) is None


def test_precision_counts_the_first_ones() -> None:
    assert precision_at([True, False, True, False], 3) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="between 1 and 2"):
        precision_at([True, False], 3)


def test_planted_errors_are_recognized_among_the_parts() -> None:
    label = np.zeros((60, 60), np.uint8)
    label[10:30, 10:30] = 1
    planted = plant_errors(label, 0.5, 3, np.random.default_rng(3))
    assert (planted != label).any() and not (planted != label).all()
    assert np.array_equal(plant_errors(label, 0.0, 3, np.random.default_rng(0)), label)
    parts = rank_parts(label_parts(1, planted, label, np.full(label.shape, SURE)))
    errors = are_errors(parts, {1: planted != label}, {1: planted})
    assert sum(errors) == 1 and errors[0], "the part with another class is doubted most"
