"""A pixel is reliable when an object detector, which learned from the same labels, sees its class there too.

Source: Howlader et al., arXiv:2407.12630 (ECCV 2024), and the released code cvlab-stonybrook/Weighting-Pseudo-Labels at
b049223: trusted = inside a box of the pseudo-label's class, and confidence >= 0.95.

Deviation: the released code lets boxes decide which pseudo-labels enter the prototype memory and never masks the loss
with them (reliability/methods/rank_statistics.py does that). Here the same rule is a selection of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reliability.checks import checked_count, checked_number, usable_inputs
from reliability.scores import probability_of
from reliability.selection import PixelSelection, SelectionInputs, SelectionMethod


class DetectorAgreement(SelectionMethod):
    """Weight 1 inside a detected box of the pixel's class at or above a confidence, else 0.

    Attributes:
        threshold: smallest confidence that counts.
        boxless_classes: classes that no detector can know; for their pixels the confidence alone decides.
    """

    normalizer = "valid"
    needs = frozenset({"boxes"})
    boxless: Tensor

    def __init__(self, threshold: float, boxless_classes: Sequence[int]) -> None:
        super().__init__()
        self.threshold = checked_number("threshold", threshold, 0.0, 1.0)
        if isinstance(boxless_classes, str) or not isinstance(boxless_classes, Sequence):
            raise ValueError(f"option 'boxless_classes' must be a list of class ids but is {boxless_classes!r}")
        self.boxless_classes = tuple(checked_count("boxless_classes", each, 0) for each in boxless_classes)
        ids = torch.tensor(self.boxless_classes, dtype=torch.int64)
        self.register_buffer("boxless", ids, persistent=False)  # an option, not state

    def prepare(self, num_classes: int, num_features: int) -> None:
        """Nothing to prepare, but now the number of classes is known.

        Raises:
            ValueError: a boxless class does not exist.
        """
        self._check_boxless(num_classes)

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        boxes = inputs.box_class_mask
        if boxes is None:
            raise ValueError(
                "detector_agreement compares with detected boxes, but there are none; predict through a run folder "
                "(python -m training evaluate) or choose csl"
            )
        self._check_boxless(probabilities.shape[1])
        confidence, label = probabilities.max(dim=1)
        agreed = probability_of(boxes, label)
        if self.boxless_classes:
            agreed = agreed | (label.unsqueeze(3) == self.boxless).any(dim=3)
        reliable = usable & agreed & (confidence >= self.threshold)
        scores = {"confidence": torch.where(usable, confidence, 0.0)}
        return PixelSelection(label, reliable.float(), reliable, scores)

    def _check_boxless(self, num_classes: int) -> None:
        beyond = [class_id for class_id in self.boxless_classes if class_id >= num_classes]
        if beyond:
            raise ValueError(
                f"option 'boxless_classes' of detector_agreement holds {beyond[0]}, but class ids end at "
                f"{num_classes - 1}"
            )


def build(threshold: float = 0.95, boxless_classes: Sequence[int] = ()) -> DetectorAgreement:
    """Detector agreement.

    Args:
        threshold: confidence in [0, 1]; 0.95 in the released code.
        boxless_classes: ids of classes without any box in training (road, sky): there the confidence alone decides. In
            the released code no pseudo-label of such a class is ever trusted, which the empty default does.

    Raises:
        ValueError: an option is out of range.
    """
    return DetectorAgreement(threshold, boxless_classes)
