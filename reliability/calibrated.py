"""The calibrated verdict on each pixel, as a module that exports to ONNX."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reliability.combined_score import CombinedScore
from reliability.score_bins import NUM_BINS, score_bin
from reliability.scores import confidence, margin

SCORES: dict[str, Callable[[Tensor], Tensor]] = {"confidence": confidence, "margin": margin}
"""Single scores in [0, 1] that can be calibrated, each from (N, C, H, W) probabilities."""

COMBINED = "combined"
"""Name of the score that is fitted to a student, a `CombinedScore`."""

SCORE_NAMES = (*SCORES, COMBINED)

NOTHING_RELIABLE = -1.0
"""Threshold below every probability."""


class CalibratedReliability(nn.Module):
    """Looks up the probability of being wrong by predicted class and score; reliable is what stays below a threshold.

    Args:
        score: a name in SCORE_NAMES.
        table: (C, NUM_BINS), probability of being wrong.
        threshold: on that probability, NOTHING_RELIABLE to call nothing reliable; None leaves that to others.
        combined: the score, where it is COMBINED; None otherwise.

    Raises:
        ValueError: unknown score, a combined score too many or missing or for other classes, or a table of another
            shape or with values outside [0, 1].
    """

    table: Tensor
    threshold: Tensor | None

    def __init__(
        self, score: str, table: Tensor, threshold: float | None, combined: CombinedScore | None = None
    ) -> None:
        super().__init__()
        if score not in SCORE_NAMES:
            raise ValueError(f"unknown score {score!r}; choose one of {', '.join(SCORE_NAMES)}")
        if (score == COMBINED) != (combined is not None):
            raise ValueError(f"the weights of a combined score belong to the score '{COMBINED}' and to no other")
        if table.ndim != 2 or table.shape[1] != NUM_BINS or not bool(((table >= 0) & (table <= 1)).all()):
            raise ValueError(f"the table must be (C, {NUM_BINS}) numbers from 0 to 1, got {tuple(table.shape)}")
        if combined is not None and combined.num_classes != len(table):
            raise ValueError(f"the combined score has {combined.num_classes} classes, the table {len(table)}")
        self.score = score
        self.combined = combined
        self.num_classes = len(table)
        self.register_buffer("table", table.float().flatten())
        limit = None if threshold is None else torch.tensor(threshold, dtype=torch.float32)
        self.register_buffer("threshold", limit)

    @torch.no_grad()
    def forward(self, probabilities: Tensor, label: Tensor) -> tuple[Tensor, Tensor | None]:
        """Judge every pixel; one whose score is NaN is as unsure as its class gets, and never reliable.

        Args:
            probabilities: (N, C, H, W) float32, sums to 1 over C.
            label: (N, H, W) int64, predicted class ids.

        Returns:
            probability of being wrong (N, H, W) float32; reliable (N, H, W) bool, None without a threshold.
        """
        score = score_of(self.score, self.combined, probabilities, label)
        probability_wrong = self.table[label * NUM_BINS + score_bin(score)]
        if self.threshold is None:
            return probability_wrong, None
        return probability_wrong, (probability_wrong <= self.threshold) & (score >= 0)


def score_of(name: str, combined: CombinedScore | None, probabilities: Tensor, label: Tensor) -> Tensor:
    """A score by name; arguments as in `CalibratedReliability`. (N, H, W) in [0, 1] but for rounding."""
    return SCORES[name](probabilities) if combined is None else combined(probabilities, label)
