"""Scores counted in bins: all that curves, thresholds and the exported graph look at, so that they agree exactly.

A bin is a range of 1 - score, a sixteenth of a halving wide: scores of trained networks crowd near 1, where 0.999 and
0.9999 must stay as far apart as 0.5 and 0.75. Everything surer than 1 - 2^-20 shares the last bin: float32 has little
more to tell there, and two kernels that add in another order differ by as much.
"""

import math

import torch
from torch import Tensor

BINS_PER_HALVING = 16
HALVINGS = 20
NUM_BINS = BINS_PER_HALVING * HALVINGS + 1

_EDGE_SLACK = 1e-3
"""Added before rounding down, as a share of a bin: without it 1 - 2^-20 and other powers of two may fall on either side
of their edge. Far above what the ONNX exporter deletes."""


def score_bin(score: Tensor) -> Tensor:
    """The bin of each score, 0 for the least sure. Exports to ONNX.

    Args:
        score: any shape, in [0, 1], larger is surer. NaN counts as the least sure score; values outside as the nearest.

    Returns:
        same shape, int64 in [0, NUM_BINS - 1].
    """
    distance = 1 - score
    distance = torch.where(distance < 1, distance, 1.0).clamp_min(2.0**-HALVINGS)  # NaN is not below 1
    return (distance.log() * (-BINS_PER_HALVING / math.log(2)) + _EDGE_SLACK).floor().long()


def bin_scores() -> Tensor:
    """(NUM_BINS,) float64, the score in the middle of each bin, ascending; the last bin's is its lower edge."""
    middle = torch.arange(NUM_BINS, dtype=torch.float64) + 0.5
    middle[-1] -= 0.5
    return 1 - 2 ** (-middle / BINS_PER_HALVING)


def count_bins(score: Tensor, label: Tensor, error: Tensor, valid: Tensor, num_classes: int) -> Tensor:
    """Right and wrong pixels of one image by predicted class and bin.

    Args:
        score: (H, W), larger is surer.
        label: (H, W) int64, predicted class ids.
        error: (H, W) bool, True where the predicted class is wrong.
        valid: (H, W) bool.
        num_classes: C.

    Returns:
        (C, NUM_BINS, 2) int64, right pixels first.

    Raises:
        ValueError: the score of a valid pixel is NaN or infinite, or lies outside [0, 1].
    """
    values = score[valid]
    if not bool(((values >= -1e-6) & (values <= 1 + 1e-6)).all()):  # a softmax sums to 1 but for rounding
        raise ValueError(
            "the score of a valid pixel is not a number from 0 to 1; the student's weights are damaged or its training "
            "diverged, and nothing can be calibrated on it"
        )
    key = (label[valid] * NUM_BINS + score_bin(values)) * 2 + error[valid].long()
    return torch.bincount(key, minlength=num_classes * NUM_BINS * 2).view(num_classes, NUM_BINS, 2)
