"""Gold images as small pictures to lay side by side: label, prediction, and what changed between two predictions."""

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray

_CLASS_SHARE = 0.65
"""How much of a pixel is its class's color; the rest is the gray picture, so that edges can be told."""
_VOID_GRAY = 96
_BECAME_WRONG = (196, 18, 84)
_BECAME_WRONG_STRIPE = (92, 0, 38)
_BECAME_RIGHT = (96, 220, 236)
_WRONG_IN_BOTH = (250, 204, 60)
_HATCH_STEP = 8
"""Pixels of the result between two lines of a hatch."""


def shown_size(size_wh: tuple[int, int], width: int) -> tuple[int, int]:
    """Width and height of a picture that is at most `width` pixels wide, never enlarged."""
    scale = min(1.0, width / size_wh[0])
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))


def plain_picture(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """(h, w, 3) RGB of a picture, at most `width` pixels wide."""
    size_wh = shown_size((image.shape[1], image.shape[0]), width)
    picture: NDArray[np.uint8] = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return picture


def label_picture(image: NDArray[np.uint8], label: LabelArray, class_set: ClassSet, width: int) -> NDArray[np.uint8]:
    """(h, w, 3) RGB: class colors over the gray picture, void as a gray cross-hatch."""
    picture = plain_picture(image, width)
    shown = _nearest(label, picture.shape)
    table = np.full((256, 3), _VOID_GRAY, np.float32)
    table[: len(class_set)] = class_set.colors
    mixed = _CLASS_SHARE * table[shown] + (1 - _CLASS_SHARE) * _gray(picture)
    result = np.rint(mixed).astype(np.uint8)
    cross = _hatch(shown.shape, falling=True) | _hatch(shown.shape, falling=False)
    result[(shown == IGNORE_INDEX) & cross] = _VOID_GRAY // 2
    return result


def difference_picture(
    image: NDArray[np.uint8], label: LabelArray, before: LabelArray, after: LabelArray, width: int
) -> NDArray[np.uint8]:
    """(h, w, 3) RGB: the gray picture, and over it what became wrong, what became right and what stayed wrong."""
    picture = plain_picture(image, width)
    truth, old, new = (_nearest(plane, picture.shape) for plane in (label, before, after))
    valid = truth != IGNORE_INDEX
    was_right, is_right = old == truth, new == truth
    result: NDArray[np.uint8] = np.rint(60 + 0.55 * _gray(picture)).astype(np.uint8).repeat(3, axis=2)
    became_wrong = valid & was_right & ~is_right
    result[became_wrong] = _BECAME_WRONG
    result[became_wrong & _hatch(truth.shape, falling=True)] = _BECAME_WRONG_STRIPE
    result[valid & ~was_right & is_right] = _BECAME_RIGHT
    rows, columns = np.indices(truth.shape)
    dots = (rows % 4 < 2) & (columns % 4 < 2)
    result[valid & ~was_right & ~is_right & dots] = _WRONG_IN_BOTH
    return result


def _nearest(plane: LabelArray, shape: tuple[int, ...]) -> LabelArray:
    """Class ids are never mixed: the nearest pixel's id counts."""
    shown: LabelArray = cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    return shown


def _gray(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w, 1)."""
    gray: NDArray[np.float32] = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return gray[..., None]


def _hatch(shape: tuple[int, ...], falling: bool) -> NDArray[np.bool_]:
    """(h, w) True on diagonal lines."""
    rows, columns = np.indices(shape[:2])
    lines: NDArray[np.bool_] = (columns + (-rows if falling else rows)) % _HATCH_STEP < 2
    return lines
