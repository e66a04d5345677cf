"""Boxes and their agreement against numbers of the released code (cvlab-stonybrook/Weighting-Pseudo-Labels at b049223).

Everything is yes or no, so everything must be equal. The released code draws only boxes with int(score * 100) >= 95,
and its detector numbers the classes in its own way.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from reliability.boxes import NO_BOX, box_class_mask
from reliability.lookup import build_method
from reliability.selection import PixelSelection, SelectionInputs

VECTORS = Path(__file__).parent / "vectors"
NUM_CLASSES = 19
TRAIN_IDS = {1: 11, 2: 12, 3: 13, 4: 18, 5: 17, 6: 16, 7: 14, 8: 15, 9: 6, 10: 7, 12: 3, 13: 4}
"""The detector's ids to those of Cityscapes: person, rider, car, bicycle, motorcycle, train, truck, bus, traffic light,
traffic sign, wall, fence."""


@cache
def load() -> dict[str, np.ndarray]:
    with np.load(VECTORS / "detector_agreement.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def drawn_boxes() -> torch.Tensor:
    """(N, B, 5) boxes of each image that are sure enough, filled up with rows without a box."""
    data = load()
    sure = (data["box_score"] * 100).astype(int) >= 95
    class_id = np.array([TRAIN_IDS.get(int(number), NO_BOX) for number in data["box_label"]])
    images = len(data["label"])
    rows = torch.full((images, len(class_id), 5), float(NO_BOX))
    for image in range(images):
        own = sure & (data["box_image"] == image)
        found = np.concatenate([data["boxes_xyxy"][own], class_id[own, None]], axis=1)
        rows[image, : len(found)] = torch.from_numpy(found)
    return rows


def selection(threshold: float, **options: object) -> PixelSelection:
    """Of probabilities with the label and the confidence of the case; the rest is spread over the other classes."""
    data = load()
    label, confidence = torch.from_numpy(data["label"]).long(), torch.from_numpy(data["confidence"])
    rest = ((1 - confidence) / (NUM_CLASSES - 1)).unsqueeze(1).expand(-1, NUM_CLASSES, -1, -1)
    probabilities = rest.scatter(1, label.unsqueeze(1), confidence.unsqueeze(1))
    boxes = torch.from_numpy(data["box_class_map"]) == 1
    valid = torch.from_numpy(data["ignore"]) != 255
    method = build_method("detector_agreement", threshold=threshold, **options)
    return method(SelectionInputs(probabilities, valid, box_class_mask=boxes))


def test_drawn_boxes_equal_the_released_code():
    planes = box_class_mask(drawn_boxes(), NUM_CLASSES, load()["label"].shape[1:])
    assert np.array_equal(planes.numpy(), load()["box_class_map"] == 1)


def test_the_case_has_boxes_that_are_not_drawn():
    assert (drawn_boxes()[..., 4] != NO_BOX).sum() < len(load()["box_label"])


@pytest.mark.parametrize("inside", [True, False], ids=["trusted", "not trusted"])
def test_trusted_pixels_equal_the_released_code(inside):
    reliable = selection(threshold=0.95).reliable.numpy()
    assert (load()["trusted"] == inside).any()
    assert np.array_equal(reliable[load()["trusted"] == inside], load()["trusted"][load()["trusted"] == inside])


def test_labels_survive_inside_a_box_of_their_class_as_in_the_released_code():
    agreed = selection(threshold=0.0).reliable.numpy()
    valid = load()["ignore"] != 255
    assert np.array_equal(agreed[valid], load()["label_after_boxes"][valid] != 255)
