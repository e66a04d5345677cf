"""How good a student is: mIoU and IoU per class over all pixels of a set, and how well its scores tell its errors.

Intersections and unions are summed over the whole set before dividing. A class that occurs neither in the labels nor in
the predictions has no IoU and is left out of the mean; `absent_classes` names it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from datasets.labels import IGNORE_INDEX
from datasets.sample import SegmentationDataset
from reliability import scores
from reliability.metrics import ReliabilityMeter, SelectionMeter
from reliability.selection import SelectionInputs, SelectionMethod

SCORE_NAMES = ("confidence", "margin", "entropy", "residual_variance", "weight")
"""Scores that are measured, each turned so that it lies in [0, 1] and larger means surer: entropy as 1 - H / log C,
residual_variance as 1 - it; `weight` is that of the configured selection method."""


@dataclass(frozen=True)
class Inference:
    """How images become probabilities.

    Attributes:
        device, memory_format: of the student.
        mean, std: of RGB in [0, 1].
        window_hw: sliding windows of this size, or None for whole images.
    """

    device: torch.device
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    window_hw: tuple[int, int] | None = None
    memory_format: torch.memory_format = torch.contiguous_format

    @torch.inference_mode()
    def prediction(self, student: nn.Module, image_u8: np.ndarray[Any, np.dtype[np.uint8]]) -> "Prediction":
        """Of one (H, W, 3) image."""
        image = torch.from_numpy(image_u8).to(self.device).permute(2, 0, 1)[None].float() / 255
        mean, std = (torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in (self.mean, self.std))
        image = ((image - mean) / std).contiguous(memory_format=self.memory_format)
        if self.window_hw is not None:
            return Prediction(windowed_probabilities(student, image, self.window_hw), None)
        output = student(image)
        return Prediction(torch.softmax(output.logits.float(), dim=1), output.features)


class Prediction(NamedTuple):
    """What a student says about one image.

    Attributes:
        probabilities: (1, C, H, W) float32.
        features: (1, D, h, w), None from sliding windows, whose features do not fit together.
    """

    probabilities: Tensor
    features: Tensor | None


def window_starts(side: int, window: int) -> list[int]:
    """First pixels of windows that cover a side with stride int(2/3 window); the last one is shifted inside.

    Source: protocol of UniMatch V2, released code.
    """
    if side <= window:
        return [0]
    return [*range(0, side - window, int(window * 2 / 3)), side - window]


def windowed_probabilities(student: nn.Module, image: Tensor, window_hw: tuple[int, int]) -> Tensor:
    """Mean of the windows' softmax probabilities; (1, C, H, W)."""
    height, width = image.shape[-2:]
    total: Tensor | None = None
    count = torch.zeros(height, width, device=image.device)
    for top in window_starts(height, window_hw[0]):
        for left in window_starts(width, window_hw[1]):
            rows, columns = slice(top, top + window_hw[0]), slice(left, left + window_hw[1])
            window = torch.softmax(student(image[..., rows, columns]).logits.float(), dim=1)
            total = image.new_zeros(1, window.shape[1], height, width) if total is None else total
            total[..., rows, columns] += window
            count[rows, columns] += 1
    assert total is not None
    return total / count


def iou_from_confusion(confusion: Tensor) -> Tensor:
    """(C,) float64 IoU per class from a (C, C) confusion matrix; NaN for a class that never occurs."""
    counts = confusion.double()
    hits = counts.diag()
    return hits / (counts.sum(0) + counts.sum(1) - hits)


def evaluate_student(
    student: nn.Module,
    dataset: SegmentationDataset,
    inference: Inference,
    selection: SelectionMethod,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure on every labeled image of a data set, in this process alone.

    Args:
        student: in any mode; in eval mode while this runs.
        dataset: images without a label are skipped.
        inference: how probabilities are made.
        selection: whose reliable pixels are measured.
        on_image: called with the number of finished and of all images.

    Returns:
        miou, iou_per_class and pixel_accuracy as fractions over valid pixels; `reliability`: per score the values of
        ReliabilityMeter; `selection`: precision and coverage of the reliable pixels. None where a number does not
        exist.

    Raises:
        ValueError: no image of the data set has a label.
    """
    labeled = [index for index in range(len(dataset)) if dataset.is_labeled(index)]
    if not labeled:
        raise ValueError("none of the images to evaluate on has a label; choose another split")
    names = dataset.class_set.names
    counts = _Counts(len(names), inference.device)
    was_training = student.training
    student.eval()
    try:
        for done, index in enumerate(labeled, start=1):
            sample = dataset[index]
            assert sample.label is not None
            label = torch.from_numpy(sample.label).to(inference.device).long()[None]
            counts.add(inference.prediction(student, sample.image), label, selection)
            on_image(done, len(labeled))
    finally:
        student.train(was_training)
    return {
        "images": len(labeled),
        **_summary_of(counts.confusion.compute().cpu(), names),
        "reliability": {name: _finite(meter.compute()) for name, meter in counts.meters.items()},
        "selection": _finite(counts.selected.quality()._asdict()),
    }


class _Counts:
    """Everything that is summed over the pixels of a set."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.confusion = MulticlassConfusionMatrix(
            num_classes, ignore_index=IGNORE_INDEX, sync_on_compute=False, validate_args=False
        ).to(device)
        self.meters = {name: ReliabilityMeter(device) for name in SCORE_NAMES}
        self.selected = SelectionMeter(device)

    @torch.inference_mode()
    def add(self, prediction: Prediction, label: Tensor, selection: SelectionMethod) -> None:
        """Count one image; label (1, H, W) int64."""
        valid = label != IGNORE_INDEX
        probabilities = prediction.probabilities
        selected = selection(SelectionInputs(probabilities, valid, features=prediction.features))
        predicted = probabilities.argmax(1)
        error = predicted != label
        self.confusion.update(predicted, label)
        for name, score in _oriented_scores(probabilities, selected.weight).items():
            self.meters[name].update(score, error, valid)
        self.selected.update(selected.reliable, error, valid)


def _oriented_scores(probabilities: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """See SCORE_NAMES; clamped because a softmax sums to 1 only up to rounding."""
    values = (
        scores.confidence(probabilities),
        scores.margin(probabilities),
        1 - scores.entropy(probabilities) / math.log(probabilities.shape[1]),
        1 - scores.residual_variance(probabilities),
        weight,
    )
    return {name: value.clamp(0, 1) for name, value in zip(SCORE_NAMES, values, strict=True)}


def _finite(numbers: dict[str, float]) -> dict[str, float | None]:
    """Numbers that do not exist (no error, nothing selected) as None: JSON has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _summary_of(confusion: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    iou = iou_from_confusion(confusion)
    present = ~iou.isnan()
    total = confusion.sum().clamp(min=1)
    return {
        "miou": float(iou[present].mean()) if present.any() else None,
        "iou_per_class": {name: float(value) if ok else None for name, value, ok in _rows(names, iou, present)},
        "absent_classes": [name for name, _, ok in _rows(names, iou, present) if not ok],
        "pixel_accuracy": float(confusion.diag().sum() / total),
    }


def _rows(names: tuple[str, ...], iou: Tensor, present: Tensor) -> Iterator[tuple[str, float, bool]]:
    return zip(names, iou.tolist(), present.tolist(), strict=True)
