"""Everything an evaluation sums over the pixels of a set: integer tensors, so that parts of a set add up exactly.

A part may be the images of one process (`EvaluationCounts.tensors`) or a block of consecutive frames: counts per block
are what a bootstrap needs to say how far a number would move with other images, without seeing the images again.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from datasets.labels import IGNORE_INDEX
from reliability import scores
from reliability.metrics import ReliabilityMeter, SelectionMeter
from reliability.selection import PixelSelection

SCORE_NAMES = ("confidence", "margin", "entropy", "residual_variance", "weight")
"""Scores that are measured, each turned so that it lies in [0, 1] and larger means surer: entropy as 1 - H / log C,
residual_variance as 1 - it; `weight` is that of the configured selection method."""

FLIP_SCORE = "flip_confidence"
"""The predicted class's probability, averaged over the image and its mirror image; costs a second pass."""

_BINS_PER_HALVING = 4


def _score_edges() -> tuple[float, ...]:
    """Where the bins of block counts begin: a finer step the nearer a score is to 0 or 1, and a bin for exactly 1.

    Four bins for each halving of the distance, from 1/2 to 2^-8 above 0 and to 2^-24 below 1 (float32 has nothing
    between that and 1): scores of trained networks crowd there. Ours; the AUROC moved by less than 0.001 against
    exact ranks in the test of this module.
    """
    from_zero = [2 ** (-step / _BINS_PER_HALVING) for step in range(8 * _BINS_PER_HALVING, _BINS_PER_HALVING, -1)]
    from_one = [1 - 2 ** (-step / _BINS_PER_HALVING) for step in range(_BINS_PER_HALVING, 24 * _BINS_PER_HALVING + 1)]
    return (*from_zero, *from_one, 1.0)


SCORE_EDGES = _score_edges()
"""Lower edges of all bins but the first, ascending; bin k holds scores from edge k - 1 up to, not including, edge k."""


class EvaluationCounts:
    """Counts of one set or of a part of it.

    Args:
        class_names: in the order of their ids.
        device: where counting happens.
        blocks: names of the blocks that are counted apart; all parts of one set must name the same ones.
        with_flip: count FLIP_SCORE as well.
    """

    def __init__(
        self, class_names: tuple[str, ...], device: torch.device, blocks: tuple[str, ...] = (), with_flip: bool = False
    ) -> None:
        self.class_names = class_names
        self.blocks = blocks
        self.score_names = (*SCORE_NAMES, FLIP_SCORE) if with_flip else SCORE_NAMES
        self.meters = {name: ReliabilityMeter(device) for name in self.score_names}
        self.selected = SelectionMeter(device)
        num_classes, bins = len(class_names), len(SCORE_EDGES) + 1
        self.images = torch.zeros((), dtype=torch.int64, device=device)
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
        self.block_confusion = torch.zeros(len(blocks), *self.confusion.shape, dtype=torch.int64, device=device)
        self.block_scores = torch.zeros(
            len(blocks), len(self.score_names), bins, 2, dtype=torch.int64, device=device
        )  # (B, S, bins, right and wrong)
        self._edges = torch.tensor(SCORE_EDGES, device=device)

    @torch.inference_mode()
    def add(
        self, probabilities: Tensor, mirrored: Tensor | None, label: Tensor, selection: PixelSelection, block: str = ""
    ) -> None:
        """Count one image.

        Args:
            probabilities: (1, C, H, W) float32.
            mirrored: (1, C, H, W) of the mirrored image; needed when FLIP_SCORE is counted.
            label: (1, H, W) int64.
            selection: of these probabilities.
            block: which block the image belongs to; not looked at without blocks.
        """
        valid = label != IGNORE_INDEX
        predicted = probabilities.argmax(1)
        error = predicted != label
        confusion = multiclass_confusion_matrix(
            predicted, label, len(self.class_names), ignore_index=IGNORE_INDEX, validate_args=False
        )
        values = _oriented_scores(probabilities, mirrored, predicted, selection.weight)
        measured = {name: values[name].clamp(0, 1) for name in self.score_names}
        self.images += 1
        self.confusion += confusion
        for name, score in measured.items():
            self.meters[name].update(score, error, valid)
        self.selected.update(selection.reliable, error, valid)
        if self.blocks:
            index = self.blocks.index(block)
            self.block_confusion[index] += confusion
            self.block_scores[index] += self._binned(torch.stack(list(measured.values())), error, valid)

    def tensors(self) -> dict[str, Tensor]:
        """Every count by name, int64; adding another part's tensors to these in place merges the parts."""
        return {
            "images": self.images,
            "confusion": self.confusion,
            "selected": self.selected.counts,
            **{f"score/{name}": meter.counts for name, meter in self.meters.items()},
            "block_confusion": self.block_confusion,
            "block_scores": self.block_scores,
        }

    def merge(self, other: "EvaluationCounts") -> None:
        """Add what another part counted.

        Raises:
            ValueError: the parts name other classes, blocks or scores.
        """
        for name in ("class_names", "blocks", "score_names"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"counts with different {name} cannot be added; evaluate all parts in the same way")
        added = other.tensors()
        for name, counts in self.tensors().items():
            counts += added[name].to(counts.device)

    def summary(self) -> dict[str, Any]:
        """What `evaluate_student` returns; JSON values."""
        result = {
            "images": int(self.images),
            **_summary_of(self.confusion.cpu(), self.class_names),
            "reliability": {name: _finite(meter.compute()) for name, meter in self.meters.items()},
            "selection": _finite(self.selected.quality()._asdict()),
        }
        if self.blocks:
            result["blocks"] = {
                "names": list(self.blocks),
                "confusion": self.block_confusion.tolist(),
                "scores": {
                    name: self.block_scores[:, index].tolist() for index, name in enumerate(self.score_names)
                },
            }  # fmt: skip
        return result

    def _binned(self, values: Tensor, error: Tensor, valid: Tensor) -> Tensor:
        """(S, bins, 2) int64 of an image's scores (S, 1, H, W)."""
        shape = self.block_scores.shape[1:]
        bins = torch.bucketize(values[:, valid], self._edges, right=True)  # (S, P)
        score = torch.arange(shape[0], device=values.device).unsqueeze(1)
        key = (score * shape[1] + bins) * 2 + error[valid].long()
        return torch.bincount(key.flatten(), minlength=math.prod(shape)).view(shape)


def iou_from_confusion(confusion: Tensor) -> Tensor:
    """(C,) float64 IoU per class from a (C, C) confusion matrix; NaN for a class that never occurs."""
    counts = confusion.double()
    hits = counts.diag()
    return hits / (counts.sum(0) + counts.sum(1) - hits)


def _oriented_scores(
    probabilities: Tensor, mirrored: Tensor | None, predicted: Tensor, weight: Tensor
) -> dict[str, Tensor]:
    """See SCORE_NAMES and FLIP_SCORE; a softmax sums to 1 only up to rounding, so these may leave [0, 1] by as much."""
    values = {
        "confidence": scores.confidence(probabilities),
        "margin": scores.margin(probabilities),
        "entropy": 1 - scores.entropy(probabilities) / math.log(probabilities.shape[1]),
        "residual_variance": 1 - scores.residual_variance(probabilities),
        "weight": weight,
    }
    if mirrored is not None:
        values[FLIP_SCORE] = scores.probability_of(scores.flip_averaged(probabilities, mirrored), predicted)
    return values


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
