"""How much of a reliable area becomes a region when somebody points at it and says that it is wrong."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import Delta, delta_from_mask
from app.domain.regions import RegionRules, split_large
from datasets.labels import LabelArray


def flagged_area(
    label: LabelArray,
    free_mask: NDArray[np.bool_],
    image: NDArray[np.uint8],
    point: tuple[int, int],
    rules: RegionRules,
) -> Delta:
    """The area around a point, with the label that it has.

    All free pixels of the point's class that are 4-connected to it; of an area over the cap only the piece with the
    point, cut along superpixels as queued regions are.

    Args:
        label: (H, W) predicted class ids.
        free_mask: (H, W), pixels that may be flagged; True at the point.
        image: (H, W, 3) uint8 RGB; superpixels follow its edges.
        point: column and row.
        rules: give the cap of flags, as a share of the image.
    """
    x, y = point
    same = (free_mask & (label == label[y, x])).view(np.uint8)
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(same, connectivity=4, ltype=cv2.CV_32S)
    left, top, width, height, area = (int(value) for value in boxes[numbers[y, x]])
    box = slice(top, top + height), slice(left, left + width)
    pieces = (numbers[box] == numbers[y, x]).astype(np.int32)
    of_flags = replace(rules, max_area_share=min(1.0, max(rules.max_flag_share, 2 * rules.min_area_share)))
    if area > of_flags.max_area(label.size):
        pieces = split_large(pieces, image[box], of_flags, label.size)
    piece_mask = pieces == pieces[y - top, x - left]
    return delta_from_mask(piece_mask, label[box], left, top)
