"""How good a student is: mIoU and IoU per class over all pixels of a set, and how well its scores tell its errors.

Intersections and unions are summed over the whole set before dividing (training/evaluation_counts.py). A class that
occurs neither in the labels nor in the predictions has no IoU and is left out of the mean; `absent_classes` names it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from datasets.labels import IGNORE_INDEX
from datasets.sample import Sample, SegmentationDataset
from reliability.boxes import box_class_mask
from reliability.selection import SelectionInputs, SelectionMethod
from training.evaluation_counts import EvaluationCounts
from training.processes import ALONE, ProcessPart, in_full_precision


@dataclass(frozen=True)
class Inference:
    """How images become probabilities.

    Attributes:
        device, memory_format: of the student.
        mean, std: of RGB in [0, 1].
        window_hw: sliding windows of this size, or None for whole images.
        flip: predict the mirrored image as well, for the score `flip_confidence`; the predicted class stays that of the
            image as it is.
    """

    device: torch.device
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    window_hw: tuple[int, int] | None = None
    memory_format: torch.memory_format = torch.contiguous_format
    flip: bool = False

    @torch.inference_mode()
    def prediction(self, student: nn.Module, image_u8: np.ndarray[Any, np.dtype[np.uint8]]) -> "Prediction":
        """Of one (H, W, 3) image."""
        image = torch.from_numpy(image_u8).to(self.device).permute(2, 0, 1)[None].float() / 255
        mean, std = (torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in (self.mean, self.std))
        image = ((image - mean) / std).contiguous(memory_format=self.memory_format)
        probabilities, features = self._of_view(student, image)
        return Prediction(probabilities, features, self._of_view(student, image.flip(-1))[0] if self.flip else None)

    def _of_view(self, student: nn.Module, image: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.window_hw is not None:
            return windowed_probabilities(student, image, self.window_hw), None
        output = student(image)
        return torch.softmax(output.logits.float(), dim=1), output.features


BoxesFor = Callable[[Sample], Tensor]
"""A sample -> (1, B, 5) detected boxes as UnlabeledBatch holds them."""


class Prediction(NamedTuple):
    """What a student says about one image.

    Attributes:
        probabilities: (1, C, H, W) float32.
        features: (1, D, h, w), None from sliding windows, whose features do not fit together.
        mirrored: (1, C, H, W) probabilities of the mirrored image, not mirrored back; None unless asked for.
    """

    probabilities: Tensor
    features: Tensor | None
    mirrored: Tensor | None = None


@dataclass(frozen=True)
class EvaluationExtras:
    """What else an evaluation may be given.

    Attributes:
        progress: of the run in [0, 1], for selection methods whose rule changes while training; 1 is its end.
        block_of: sample id -> the block that the image is counted in too; None counts the set as a whole only.
        boxes_for: what a detector found on an image, for selection methods that cannot judge pixels without it.
        part: which of the images this process looks at; the counts of all processes are added up.
    """

    progress: float = 1.0
    block_of: Callable[[str], str] | None = None
    boxes_for: BoxesFor | None = None
    part: ProcessPart = ALONE

    def box_class_mask(self, selection: SelectionMethod, sample: Sample, probabilities: Tensor) -> Tensor | None:
        """(1, C, H, W) bool, pixels inside the image's boxes of each class; None for methods without boxes."""
        if self.boxes_for is None or "boxes" not in selection.needs:
            return None
        _, num_classes, height, width = probabilities.shape
        return box_class_mask(self.boxes_for(sample).to(probabilities.device), num_classes, (height, width))


NO_EXTRAS = EvaluationExtras()


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


def evaluate_student(
    student: nn.Module,
    dataset: SegmentationDataset,
    inference: Inference,
    selection: SelectionMethod,
    on_image: Callable[[int, int], None] = lambda done, total: None,
    extras: EvaluationExtras = NO_EXTRAS,
) -> dict[str, Any]:
    """Measure on every labeled image of a data set; with `extras.part` all processes of a run do so together.

    Args:
        student: in any mode; in eval mode and float32 while this runs.
        dataset: images without a label are skipped.
        inference: how probabilities are made.
        selection: whose reliable pixels are measured.
        on_image: called with the number of finished and of all images; processes are taken to be equally far.
        extras: progress, blocks, boxes, and the part of this process.

    Returns:
        miou, iou_per_class and pixel_accuracy as fractions over valid pixels; `reliability`: per score the values of
        ReliabilityMeter; `selection`: precision and coverage of the reliable pixels; `blocks`, when asked for: names,
        confusion (B, C, C) and per score the right and wrong pixels (B, bins, 2) in the bins of SCORE_EDGES. None
        where a number does not exist.

    Raises:
        ValueError: no image of the data set has a label.
    """
    labeled = [index for index in range(len(dataset)) if dataset.is_labeled(index)]
    if not labeled:
        raise ValueError("none of the images to evaluate on has a label; choose another split")
    counts = empty_counts(dataset, labeled, inference, extras)
    was_training = student.training
    student.eval()
    try:
        with in_full_precision(student):
            for turn, index in enumerate(extras.part.of(labeled), start=1):
                count_image(counts, student, dataset[index], inference, selection, extras)
                on_image(min(turn * extras.part.count, len(labeled)), len(labeled))
    finally:
        student.train(was_training)
    extras.part.add_up(counts.tensors().values())
    return counts.summary()


def empty_counts(
    dataset: SegmentationDataset, labeled: Sequence[int], inference: Inference, extras: EvaluationExtras
) -> EvaluationCounts:
    """Counts of nothing yet; the same blocks in every process, whichever of the images it will add."""
    names: tuple[str, ...] = ()
    if extras.block_of is not None:
        names = tuple(dict.fromkeys(extras.block_of(dataset.sample_ids[index]) for index in labeled))
    return EvaluationCounts(dataset.class_set.names, inference.device, names, inference.flip)


@torch.inference_mode()
def count_image(
    counts: EvaluationCounts,
    student: nn.Module,
    sample: Sample,
    inference: Inference,
    selection: SelectionMethod,
    extras: EvaluationExtras,
) -> None:
    """Predict one labeled image and add it to the counts."""
    assert sample.label is not None
    label = torch.from_numpy(sample.label).to(inference.device).long()[None]
    prediction = inference.prediction(student, sample.image)
    inputs = SelectionInputs(
        prediction.probabilities,
        label != IGNORE_INDEX,
        features=prediction.features,
        box_class_mask=extras.box_class_mask(selection, sample, prediction.probabilities),
        progress=extras.progress,
    )
    block = "" if extras.block_of is None else extras.block_of(sample.sample_id)
    counts.add(prediction.probabilities, prediction.mirrored, label, selection(inputs), block)
