"""How well stated probabilities of being wrong agree with how often pixels are wrong; all sums run over pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reliability.probability_curves import log_loss

DIAGRAM_EDGES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
"""Bins of the reliability diagram, over the probability of being wrong; finer where thresholds lie. Ours."""


@dataclass(frozen=True)
class CalibrationQuality:
    """One curve on images that it may or may not have been fitted on.

    Attributes:
        ece: expected calibration error: mean over pixels of |stated - observed| of their bin (Guo et al.,
            arXiv:1706.04599, equation 3), with the bins of DIAGRAM_EDGES.
        brier: mean squared difference between the stated probability and the outcome (Brier, 1950).
        log_loss: nats per pixel.
        pixels: valid pixels.
        diagram: (stated, observed, pixels) per bin that holds a pixel, by rising probability.
    """

    ece: float
    brier: float
    log_loss: float
    pixels: int
    diagram: tuple[tuple[float, float, int], ...]


def calibration_quality(counts: Tensor, table: Tensor) -> CalibrationQuality:
    """Compare a table of probabilities with what was counted.

    Args:
        counts: (C, NUM_BINS, 2) right and wrong pixels, at least one.
        table: (C, NUM_BINS) probability of being wrong.
    """
    stated = table.double().flatten()
    right, wrong = counts.double().flatten(0, 1).unbind(dim=1)
    pixels = right + wrong
    total = float(pixels.sum())
    place = torch.bucketize(stated, torch.tensor(DIAGRAM_EDGES[1:-1], dtype=torch.float64), right=True)
    sums = torch.zeros(3, len(DIAGRAM_EDGES) - 1, dtype=torch.float64)
    sums.index_add_(1, place, torch.stack((stated * pixels, wrong, pixels)))
    sums = sums[:, sums[2] > 0]
    mean_stated, observed = sums[0] / sums[2], sums[1] / sums[2]
    return CalibrationQuality(
        ece=float(((mean_stated - observed).abs() * sums[2]).sum()) / total,
        brier=float((wrong * (1 - stated) ** 2 + right * stated**2).sum()) / total,
        log_loss=float(log_loss(counts, table)) / total,
        pixels=int(total),
        diagram=tuple(zip(mean_stated.tolist(), observed.tolist(), sums[2].long().tolist(), strict=True)),
    )
