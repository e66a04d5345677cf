"""Which parts of people's labels are most likely wrong: connected pixels of one class that the model disagrees with."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.regions import LEFTOVER
from datasets.labels import IGNORE_INDEX, LabelArray

MIN_AREA = 50
"""Smaller parts are left out: outlines of a pixel or two look wrong wherever a person was a little off. Ours."""
MAX_AREA = 1_000_000_000
"""No image has more pixels, and what is larger does not fit into the store."""
_PRIOR_PIXELS = 100.0
"""So many pixels of its class's usual doubt are added to every part: small parts need stronger evidence. Ours."""


@dataclass(frozen=True)
class LabelPart:
    """Connected pixels of one class in a label.

    Attributes:
        image_id: of the image.
        class_id: what the label says.
        suggested: what the model says most often where it disagrees; `class_id` if it nowhere does.
        bbox: x0, y0, x1, y1; the last ones outside.
        area: pixels.
        doubt: mean probability, by the model, that the label is wrong.
    """

    image_id: int
    class_id: int
    suggested: int
    bbox: tuple[int, int, int, int]
    area: int
    doubt: float


@dataclass(frozen=True)
class Suspect:
    """A part with its rank's reason.

    Attributes:
        part: the part.
        score: how much more the model doubts it than it usually doubts labels of this class.
    """

    part: LabelPart
    score: float


def label_parts(
    image_id: int, label: LabelArray, predicted: LabelArray, right: NDArray[np.float32], min_area: int = MIN_AREA
) -> list[LabelPart]:
    """All parts of a label with at least `min_area` pixels.

    Args:
        label: (H, W), IGNORE_INDEX where no person decided.
        predicted: (H, W) class ids of the model.
        right: (H, W) its probability of being right.
    """
    wrong = np.where(label == predicted, 1 - right, right)
    found = []
    for class_id, (x0, y0, x1, y1), mask in connected_parts(label, min_area):
        box = np.s_[y0:y1, x0:x1]
        others = predicted[box][mask & (predicted[box] != class_id)]
        suggested = int(np.bincount(others).argmax()) if others.size else class_id
        doubt = float(wrong[box][mask].mean())
        found.append(LabelPart(image_id, class_id, suggested, (x0, y0, x1, y1), int(mask.sum()), doubt))
    return found


def find_part(part: LabelPart, label: LabelArray) -> NDArray[np.bool_] | None:
    """The part's mask within its box in the label as it is now; None where the label has changed there.

    Args:
        part: as it was listed.
        label: (H, W), IGNORE_INDEX where no person decided.
    """
    x0, y0, x1, y1 = part.bbox
    left, top = max(0, x0 - 1), max(0, y0 - 1)  # With a pixel more on every side, one sees whether the part has grown.
    around = label[top : y1 + 1, left : x1 + 1]
    same = np.where(around == part.class_id, around, np.uint8(IGNORE_INDEX))
    wanted = x0 - left, y0 - top, x1 - left, y1 - top
    for _, bbox, mask in connected_parts(same, part.area):
        if bbox == wanted and np.count_nonzero(mask) == part.area:
            return mask
    return None


def holding_region(mask: NDArray[np.bool_], region_map: NDArray[np.uint16]) -> int | None:
    """The number of the region that holds most pixels of a part; None where it lies outside of all regions.

    Args:
        mask: (h, w) the part within its box.
        region_map: (h, w) there; 0, LEFTOVER and BAND are no regions.
    """
    numbers = region_map[mask & (region_map > 0) & (region_map < LEFTOVER)]
    return int(np.bincount(numbers).argmax()) if numbers.size else None


def connected_parts(
    label: LabelArray, min_area: int
) -> Iterator[tuple[int, tuple[int, int, int, int], NDArray[np.bool_]]]:
    """Class, box (x0, y0, x1, y1) and mask within the box of every part with at least `min_area` pixels."""
    for class_id in np.unique(label[label != IGNORE_INDEX]).tolist():
        of_class = (label == class_id).view(np.uint8)
        _, numbers, boxes, _ = cv2.connectedComponentsWithStats(of_class, connectivity=4, ltype=cv2.CV_32S)
        for number, (x, y, width, height, area) in enumerate(boxes[1:].tolist(), start=1):
            if area >= min_area:
                mask: NDArray[np.bool_] = numbers[y : y + height, x : x + width] == number
                yield class_id, (x, y, x + width, y + height), mask


def rank_parts(parts: Sequence[LabelPart]) -> list[Suspect]:
    """The most suspicious first.

    A class that the model hardly knows is doubted everywhere, so a part counts by its doubt above the usual one of its
    class.
    """
    doubt: dict[int, float] = defaultdict(float)
    pixels: dict[int, int] = defaultdict(int)
    for part in parts:
        doubt[part.class_id] += part.doubt * part.area
        pixels[part.class_id] += part.area
    suspects = [
        Suspect(part, (part.doubt - doubt[part.class_id] / pixels[part.class_id]) * _trust(part.area)) for part in parts
    ]
    return sorted(suspects, key=lambda suspect: (-suspect.score, suspect.part.image_id, suspect.part.bbox))


def precision_at(ranked: Sequence[bool], k: int) -> float:
    """Share of real errors among the first k.

    Raises:
        ValueError: there are fewer than k.
    """
    if not 1 <= k <= len(ranked):
        raise ValueError(f"k must be between 1 and {len(ranked)}, got {k}")
    return sum(ranked[:k]) / k


def _trust(area: int) -> float:
    return area / (area + _PRIOR_PIXELS)
