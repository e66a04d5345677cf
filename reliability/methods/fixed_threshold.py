"""Reliable is what the model is sure of: confidence at or above one fixed threshold.

Source: FixMatch, arXiv:2001.07685, equation 4; UniMatch, arXiv:2208.09910, uses 0.95 for segmentation.
"""

import torch
from torch import Tensor

from reliability.checks import checked_number, usable_inputs
from reliability.selection import PixelSelection, SelectionInputs, SelectionMethod


class FixedThreshold(SelectionMethod):
    """Weight 1 at or above the threshold, 0 below.

    Attributes:
        threshold: smallest confidence that counts, scalar buffer.
    """

    normalizer = "valid"
    threshold: Tensor

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(checked_number("threshold", threshold, 0.0, 1.0)))

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        confidence, pseudo_label = probabilities.max(dim=1)
        reliable = usable & (confidence >= self.threshold)
        scores = {"confidence": torch.where(usable, confidence, 0.0)}
        return PixelSelection(pseudo_label, reliable.float(), reliable, scores)


def build(threshold: float = 0.95) -> FixedThreshold:
    """Fixed threshold.

    Args:
        threshold: confidence in [0, 1]; 0.95 in UniMatch.

    Raises:
        ValueError: threshold outside [0, 1].
    """
    return FixedThreshold(threshold)
