"""Whether a detector is worth anything: its boxes against people's labels, counted over all images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from datasets.labels import IGNORE_INDEX, LabelArray
from reliability.boxes import box_class_mask
from training.detector.boxes import BoxArray, components_of

MATCHING_IOU = 0.5
"""From this overlap on a box has found its object, as in Pascal VOC."""


class DetectorQuality:
    """Counts per class, summed over images before anything is divided.

    Args:
        class_names: of the data.
        class_ids: what the detector detects.
        min_box_px: smaller regions of a label are no objects that a box could match.
    """

    def __init__(self, class_names: Sequence[str], class_ids: Sequence[int], min_box_px: int) -> None:
        self._names, self._class_ids, self._min_box_px = class_names, tuple(class_ids), min_box_px
        self._images = 0
        self._boxes = np.zeros(len(class_names), np.int64)
        self._majority = np.zeros(len(class_names), np.int64)
        self._matched = np.zeros(len(class_names), np.int64)
        self._pixels = np.zeros(len(class_names), np.int64)
        self._covered = np.zeros(len(class_names), np.int64)

    def add(self, boxes: BoxArray, label: LabelArray) -> None:
        """Count one image: its detected boxes and its (H, W) uint8 label."""
        self._images += 1
        class_id = boxes[:, 4].astype(np.int64)
        self._boxes += self._per_class(class_id)
        self._majority += self._per_class(class_id[_majorities(boxes, label) == class_id])
        self._matched += self._per_class(class_id[self._is_matched(boxes, label)])
        self._pixels += np.bincount(label.reshape(-1), minlength=256)[: len(self._names)]
        planes = box_class_mask(torch.from_numpy(boxes)[None], len(self._names), (label.shape[0], label.shape[1]))
        self._covered += [int((label[plane] == number).sum()) for number, plane in enumerate(planes[0].numpy())]

    def _per_class(self, class_id: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(class_id, minlength=len(self._names))

    def _is_matched(self, boxes: BoxArray, label: LabelArray) -> NDArray[np.bool_]:
        objects = components_of(label).at_least(self._min_box_px).boxes
        if not len(boxes) or not len(objects):
            return np.zeros(len(boxes), bool)
        outer = np.array([0, 0, 1, 1], np.float32)
        overlap = box_iou(torch.from_numpy(boxes[:, :4] + outer), torch.from_numpy(objects[:, :4] + outer)).numpy()
        same_class = boxes[:, 4, None] == objects[None, :, 4]
        return np.asarray((same_class & (overlap >= MATCHING_IOU)).any(axis=1))

    def summary(self) -> dict[str, Any]:
        """Per class and over all of them, as fractions; None where there was nothing to count.

        `precision`: boxes in which no class has more labeled pixels than theirs (a correct box around something thin
        misses this). `matched`: boxes that overlap a region of their class by MATCHING_IOU; several may match the same.
        `coverage`: pixels of the class inside a box of the class.
        """
        chosen = list(self._class_ids)
        per_class = {self._names[number]: self._row([number]) for number in chosen}
        return {"images": self._images, **self._row(chosen), "per_class": per_class}

    def _row(self, chosen: list[int]) -> dict[str, Any]:
        boxes, pixels = int(self._boxes[chosen].sum()), int(self._pixels[chosen].sum())
        return {
            "boxes": boxes,
            "precision": int(self._majority[chosen].sum()) / boxes if boxes else None,
            "matched": int(self._matched[chosen].sum()) / boxes if boxes else None,
            "coverage": int(self._covered[chosen].sum()) / pixels if pixels else None,
        }


def _majorities(boxes: BoxArray, label: LabelArray) -> NDArray[np.int64]:
    """(B,) the most frequent class inside each box; IGNORE_INDEX for a box without labeled pixels."""
    found = np.full(len(boxes), IGNORE_INDEX, np.int64)
    for number, (left, top, right, bottom, _) in enumerate(boxes.astype(np.int64)):
        counts = np.bincount(label[top : bottom + 1, left : right + 1].reshape(-1), minlength=256)[:IGNORE_INDEX]
        if counts.any():
            found[number] = counts.argmax()
    return found
