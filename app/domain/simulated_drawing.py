"""How a simulated annotator draws in a region: with superpixels, outlines and dabs, and what that costs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, LabelArray

SuperpixelsOf = Callable[[int], NDArray[np.int64]]
"""Level (a place in `superpixels.SIDES_PX`) -> (h, w) numbers of the superpixels, from 0."""

_OUTLINE_PX = 2.0
"""How far a clicked outline may be from the true one; chosen by us. It sets how many clicks an outline costs."""
_DAB_PX = 30
"""Parts of at most so many pixels are one dab of the brush; chosen by us."""
_KEYS_PER_OUTLINE = 2
"""The class, and Enter, which closes the outline."""
_WORTH_PX, _WORTH_SHARE = 12, 1 / 8
"""A superpixel is clicked if that puts at least so many pixels and such a share of it right; chosen by us."""


class Hand(Protocol):
    """What of a `SimulatedPerson` decides how it draws."""

    @property
    def tolerance(self) -> float: ...
    @property
    def draws_outlines(self) -> bool: ...
    @property
    def superpixel_levels(self) -> tuple[int, ...]: ...


@dataclass
class Drawing:
    """What was drawn in a box.

    Attributes:
        label: (h, w) uint8, the ids after it.
        touched_mask: (h, w) bool, the drawn pixels.
        clicks: by mouse.
        keys: by keyboard, with Enter at the end.
        parts: how often the person had to make up the mind what comes next.
    """

    label: LabelArray
    touched_mask: NDArray[np.bool_]
    clicks: int = 0
    keys: int = 1
    parts: int = 0


def draw(
    known: NDArray[np.bool_], allowed_mask: NDArray[np.bool_], label: LabelArray, truth: LabelArray, hand: Hand,
    superpixels: SuperpixelsOf | None = None,
) -> Drawing:  # fmt: skip
    """Put a region right, in a box around it; every array is (h, w).

    Without superpixels every wrong part is outlined. With them, what they leave is outlined, large parts first, until
    no more than the tolerance is wrong.

    Args:
        known: pixels of the region whose truth is known.
        allowed_mask: where drawing has an effect.
        label: ids as they are now.
        truth: true ids.
        hand: who draws.
        superpixels: of the box.
    """
    drawing = Drawing(label.copy(), np.zeros_like(known))
    if superpixels is None or not hand.superpixel_levels:
        _outline(drawing, _by_class(known & (label != truth), truth), allowed_mask, hand.draws_outlines)
        return drawing
    drawing.keys += 1  # W takes the tool.
    for place, level in enumerate(hand.superpixel_levels):
        drawing.keys += 1 if place else 0  # [ makes them smaller.
        _click_superpixels(drawing, superpixels(level), known, allowed_mask, truth)
    pieces = _by_piece(known & (drawing.label != truth), truth, int(hand.tolerance * np.count_nonzero(known)))
    _outline(drawing, pieces, allowed_mask, hand.draws_outlines)
    return drawing


def _click_superpixels(
    drawing: Drawing, numbers: NDArray[np.int64], known: NDArray[np.bool_], allowed_mask: NDArray[np.bool_],
    truth: LabelArray,
) -> None:  # fmt: skip
    """Click every superpixel of the region that its commonest class puts right to a good part, class by class."""
    in_reach = np.isin(numbers, np.unique(numbers[known])) & allowed_mask
    found, place = np.unique(numbers[in_reach], return_inverse=True)
    true, now = truth[in_reach].astype(np.int64), drawing.label[in_reach].astype(np.int64)
    counts = np.zeros((found.size, IGNORE_INDEX + 1), np.int64)
    np.add.at(counts, (place, true), 1)
    area, counts[:, IGNORE_INDEX] = counts.sum(axis=1), 0
    best = counts.argmax(axis=1)
    is_right = (true == now) & (true != IGNORE_INDEX)
    gain = counts[np.arange(found.size), best] - np.bincount(place[is_right], minlength=found.size)
    is_clicked = gain >= np.maximum(_WORTH_SHARE * area, _WORTH_PX)
    chosen = np.flatnonzero(is_clicked)
    if chosen.size == 0:
        return
    rows, columns = np.nonzero(in_reach)
    painted = is_clicked[place]
    drawing.label[rows[painted], columns[painted]] = best[place[painted]]
    drawing.touched_mask[rows[painted], columns[painted]] = True
    num_classes = np.unique(best[chosen]).size
    drawing.clicks += chosen.size
    drawing.keys += num_classes
    drawing.parts += num_classes


def _outline(
    drawing: Drawing, masks: Iterable[tuple[int, NDArray[np.uint8]]], allowed_mask: NDArray[np.bool_], is_rough: bool
) -> None:
    """Draw masks of 0 and 1, each of one class, as dabs or clicked outlines; rough is what these hold, else exact."""
    for class_id, mask in masks:
        area = np.zeros_like(mask)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            clicked, num_clicks = _clicked(outline.astype(np.int32))
            drawing.clicks += num_clicks
            cv2.fillPoly(area, [clicked], 1)
        drawing.keys += _KEYS_PER_OUTLINE * len(outlines)
        drawing.parts += len(outlines)
        drawn = (area if is_rough else mask).astype(bool) & allowed_mask
        drawing.label[drawn] = class_id
        drawing.touched_mask |= drawn


def _by_class(wrong: NDArray[np.bool_], truth: LabelArray) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """All wrong pixels, class by class."""
    for class_id in np.unique(truth[wrong]):
        yield int(class_id), (wrong & (truth == class_id)).astype(np.uint8)


def _by_piece(
    wrong: NDArray[np.bool_], truth: LabelArray, at_most_wrong: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Connected wrong parts of one class, the largest first, until the rest has at most so many pixels."""
    found = []
    for class_id, mask in _by_class(wrong, truth):
        number, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        found += [(int(stats[piece, cv2.CC_STAT_AREA]), class_id, pieces, piece) for piece in range(1, number)]
    left = int(np.count_nonzero(wrong))
    for area, class_id, pieces, piece in sorted(found, key=lambda each: -each[0]):
        if left <= at_most_wrong:
            return
        left -= area
        yield class_id, (pieces == piece).astype(np.uint8)


def _clicked(outline: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """The corners that a person clicks, and how many."""
    if cv2.contourArea(outline) <= _DAB_PX:
        return outline, 1
    corners = cv2.approxPolyDP(outline, _OUTLINE_PX, closed=True)
    return corners.astype(np.int32), len(corners)
