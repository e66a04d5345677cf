"""Which regions suit a wrong label, and what is shown in them."""

import numpy as np
import pytest

from app.domain.planting import is_caught, shown_classes, true_class, wrong_class
from datasets.labels import IGNORE_INDEX

MASK = np.ones((10, 10), np.bool_)


def label(*parts: tuple[int, int]) -> np.ndarray:
    """(10, 10) with so many pixels of each class, the rest 0."""
    values = np.concatenate([np.full(number, class_id, np.uint8) for class_id, number in parts])
    return np.concatenate([values, np.zeros(100 - values.size, np.uint8)]).reshape(10, 10)


@pytest.mark.parametrize(
    ("known", "expected"),
    [(label((3, 100)), 3), (label((3, 90)), 3), (label((3, 89)), None), (label((IGNORE_INDEX, 95)), None)],
    ids=["pure", "nearly pure", "mixed", "void"],
)
def test_a_region_has_a_true_class_when_nearly_all_of_it_has(known, expected):
    assert true_class(known, MASK) == expected


def test_only_the_regions_own_pixels_count():
    mask = np.zeros((10, 10), np.bool_)
    mask[0, :5] = True
    assert true_class(label((3, 5)), mask) == 3


@pytest.mark.parametrize(("truth", "expected"), [(4, 2), (2, 4), (9, 4)])
def test_the_wrong_class_is_the_likeliest_one_that_is_wrong(truth, expected):
    assert wrong_class(truth, ((4, 0.6), (2, 0.3), (1, 0.1))) == expected


def test_a_model_with_one_class_says_nothing_wrong():
    assert wrong_class(4, ((4, 1.0),)) is None


def test_the_wrong_class_leads_and_the_probabilities_keep_their_places():
    assert shown_classes(2, ((4, 0.6), (2, 0.3), (1, 0.1))) == ((2, 0.6), (4, 0.3), (1, 0.1))
    assert shown_classes(4, ((4, 0.6), (2, 0.3))) == ((4, 0.6), (2, 0.3))


@pytest.mark.parametrize(("left", "caught"), [(100, False), (51, False), (50, True), (0, True)])
def test_it_is_caught_when_at_most_half_of_it_is_left(left, caught):
    assert is_caught(label((7, left)), MASK, 7) is caught
