"""Pictures of gold images: what became wrong can be told from what became right without telling hues apart."""

import numpy as np

from app.web.gold_pictures import difference_picture, label_picture
from datasets.labels import IGNORE_INDEX, ClassSet

GRAY = np.full((16, 16, 3), 128, np.uint8)
CLASSES = ClassSet.from_names(["dark", "bright"])


def plane(*columns: int) -> np.ndarray:
    """(16, 16) with one value per four columns."""
    return np.repeat(np.asarray(columns, np.uint8), 4)[None].repeat(16, axis=0)


def luminance(pixels: np.ndarray) -> float:
    return float((pixels.astype(float) @ (0.2126, 0.7152, 0.0722)).mean())


def test_each_kind_of_change_is_drawn_in_its_place():
    drawn = difference_picture(GRAY, plane(0, 0, 0, 0), plane(0, 0, 1, 1), plane(0, 1, 0, 1), 16)
    same, worse, better, wrong = (drawn[:, 4 * column : 4 * column + 4] for column in range(4))
    assert np.ptp(same, axis=2).max() == 0
    assert {tuple(color) for color in worse.reshape(-1, 3)} == {(196, 18, 84), (92, 0, 38)}
    assert {tuple(color) for color in better.reshape(-1, 3)} == {(96, 220, 236)}
    assert len({tuple(color) for color in wrong.reshape(-1, 3)}) == 2


def test_worse_and_better_differ_in_brightness_too():
    drawn = difference_picture(GRAY, plane(0, 0, 0, 0), plane(0, 0, 1, 1), plane(0, 1, 0, 1), 16)
    assert luminance(drawn[:, 8:12]) > 2 * luminance(drawn[:, 4:8])


def test_void_pixels_are_neither_worse_nor_better():
    void = np.full((16, 16), IGNORE_INDEX, np.uint8)
    drawn = difference_picture(GRAY, void, plane(0, 0, 1, 1), plane(0, 1, 0, 1), 16)
    assert np.ptp(drawn, axis=2).max() == 0


def test_void_is_hatched_and_classes_are_not():
    drawn = label_picture(GRAY, plane(0, 0, IGNORE_INDEX, IGNORE_INDEX), CLASSES, 16)
    assert len({tuple(color) for color in drawn[:, :8].reshape(-1, 3)}) == 1
    assert len({tuple(color) for color in drawn[:, 8:].reshape(-1, 3)}) == 2


def test_class_ids_are_never_mixed_when_a_picture_is_made_smaller():
    drawn = label_picture(GRAY, plane(0, 1, 0, 1), CLASSES, 5)
    assert len({tuple(color) for color in drawn.reshape(-1, 3)}) == 2
