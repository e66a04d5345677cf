"""One COCO segmentation as a mask: run lengths in both spellings, and polygons, checked before they are decoded."""

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

_MAX_OUTLINE_STEPS = 50_000_000
"""pycocotools walks every polygon edge in steps of a fifth of a pixel and allocates a few numbers for each step."""

_FAR = 1e9
"""No coordinate gets near it; NaN and Infinity fail the comparison, and so do numbers that no float can hold."""


def decode_segmentation(segmentation: object, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of one annotation.

    Args:
        segmentation: {"size": [h, w], "counts": text or list}, or a list of polygons [x0, y0, x1, y1, ...], each a
            list or an array of numbers.
        size_hw: of the image.

    Returns:
        (H, W).

    Raises:
        ValueError: neither of these forms, or damaged; says what is wrong.
    """
    if isinstance(segmentation, dict):
        lengths = _checked_run_lengths(segmentation, size_hw)
    elif isinstance(segmentation, list) and segmentation:
        polygons = [_checked_polygon(polygon, size_hw) for polygon in segmentation]
        filled = run_lengths.merge(run_lengths.frPyObjects(polygons, *size_hw))
        lengths = _expand(filled["counts"].decode("ascii"))
    else:
        raise ValueError("'segmentation' must be run lengths {size, counts} or a list of polygons")
    is_inside = np.arange(len(lengths)) % 2 == 1  # runs alternate, starting outside, column by column
    return np.repeat(is_inside, lengths).reshape(size_hw[::-1]).T


def _checked_run_lengths(segmentation: dict[str, Any], size_hw: tuple[int, int]) -> list[int]:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or any(type(side) is not int for side in size) or tuple(size) != size_hw:
        raise ValueError(f"the run lengths are for [height, width] {str(size)[:40]}, the image is {list(size_hw)}")
    if isinstance(counts, str):
        lengths = _expand(counts)
    elif isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts):
        lengths = counts
    else:
        raise ValueError("'counts' must be a text or a list of whole numbers from 0")
    if sum(lengths) != size_hw[0] * size_hw[1]:
        raise ValueError(f"the run lengths cover {sum(lengths)} pixels, the image has {size_hw[0] * size_hw[1]}")
    return lengths


def _expand(text: str) -> list[int]:
    """Run lengths from COCO's compressed text.

    Each number is written in groups of 5 bits, lowest first, as characters from '0'; bit 6 says that more follow, and
    from the third number on it is the difference to the one before the last.

    Source: rleFrString in cocoapi/common/maskApi.c; it does not check its input, so this does.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 30:
            raise ValueError(f"'counts' is damaged at run {len(lengths)} (character {character!r})")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        length = value + (lengths[-2] if len(lengths) > 2 else 0)
        if not 0 <= length < 2**32:
            raise ValueError(f"'counts' is damaged: run {len(lengths)} has length {length}")
        lengths.append(length)
        value = shift = 0
    if shift:
        raise ValueError("'counts' is cut off in the middle of a number")
    return lengths


def _checked_polygon(polygon: object, size_hw: tuple[int, int]) -> list[float]:
    if not isinstance(polygon, (list, array)) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError("a polygon must be a list of at least three points [x0, y0, x1, y1, ...]")
    if not all(type(number) in (int, float) and -_FAR < number < _FAR for number in polygon):
        raise ValueError("a polygon must hold finite numbers only")
    points = np.array(polygon, dtype=np.float64).reshape(-1, 2)  # (points, 2), x and y
    size_wh = np.array(size_hw[::-1])
    if (points < -size_wh).any() or (points > 2 * size_wh).any():
        raise ValueError(f"a polygon lies far outside the image of {size_wh[0]} x {size_wh[1]} pixels")
    edges = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
    if 5 * edges.sum() + len(edges) > _MAX_OUTLINE_STEPS:
        raise ValueError(f"a polygon of {len(points)} points has an outline of {edges.sum():.0f} pixels, too many")
    return points.reshape(-1).tolist()
