"""How good a reliability map is: does a low score find the errors, and is what a method selects right?

Everywhere a larger score means a surer pixel, `error` is True where the predicted class is wrong, and only valid pixels
are passed. Pixels with equal scores form one group, whose inner order never counts: a score with many ties (60 % of all
CSL weights are 1) must not be judged by the order in which pixels happened to be stored. All sums run over the pixels
of the whole data set, never over batches. A number that does not exist, such as the AUROC of a prediction without
errors, is NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

DEFAULT_SHARES = (0.05, 0.10, 0.20)


@dataclass(frozen=True)
class ScoreGroups:
    """Pixels counted by score, the least sure first; all that the ranking metrics need.

    Attributes:
        pixels: (G,) int64, pixels per group of equal scores; empty groups are allowed.
        errors: (G,) int64, wrong ones among them.
    """

    pixels: Tensor
    errors: Tensor

    def error_rate(self) -> float:
        """Share of wrong pixels among all."""
        return _ratio(self.errors.sum().double(), self.pixels.sum().double())

    def auroc(self) -> float:
        """Chance that a random wrong pixel scores below a random right one; ties count half."""
        errors, right = self.errors.double(), (self.pixels - self.errors).double()
        right_above = right.flip(0).cumsum(0).flip(0) - right
        return _ratio((errors * (right_above + right / 2)).sum(), errors.sum() * right.sum())

    def aupr_error(self) -> float:
        """Average precision of finding the errors from the least sure pixel upwards; one step per group."""
        precision = self.errors.cumsum(0).double() / self.pixels.cumsum(0).clamp_min(1)
        return _ratio((precision * self.errors).sum(), self.errors.sum().double())

    def aurc(self) -> float:
        """Area under the risk-coverage curve: error rate among the k surest pixels, averaged over all k.

        Source: Geifman and El-Yaniv, arXiv:1705.08500. Inside a group the expected risk over all orders is summed in
        closed form with the digamma function.
        """
        pixels, errors = self.pixels.flip(0).double(), self.errors.flip(0).double()  # surest first
        after, errors_before = pixels.cumsum(0), errors.cumsum(0) - errors
        before = after - pixels
        rate = errors / pixels.clamp_min(1)
        harmonic = torch.digamma(after + 1) - torch.digamma(before + 1)  # sum of 1 / k over the group
        return _ratio((pixels * rate + (errors_before - before * rate) * harmonic).sum(), pixels.sum())

    def excess_aurc(self) -> float:
        """AURC minus that of a perfect ranking with the same errors: 0 is perfect, comparable between models."""
        total, errors = self.pixels.sum().double(), self.errors.sum().double()
        harmonic = torch.digamma(total + 1) - torch.digamma(total - errors + 1)
        return self.aurc() - _ratio(errors - (total - errors) * harmonic, total)

    def fpr_at_95_tpr(self) -> float:
        """Share of the errors that still pass when the threshold lets 95 % of the right pixels pass.

        Positive means right, as in ConfidNet, arXiv:1910.04851. The threshold lies between groups, on the first that
        lets at least 95 % pass.
        """
        errors, right = self.errors.flip(0).cumsum(0).double(), (self.pixels - self.errors).flip(0).cumsum(0).double()
        if self.pixels.numel() == 0 or right[-1] == 0:
            return float("nan")
        enough = 0.95 * right[-1] * (1 - 1e-12)  # a share of exactly 95 % counts, however the product was rounded
        first = int(torch.searchsorted(right, enough))
        return _ratio(errors[first], errors[-1])

    def errors_found(self, shares: Sequence[float] = DEFAULT_SHARES) -> tuple[float, ...]:
        """Share of all errors that lie in the least sure `shares` of the pixels; a cut group counts in proportion."""
        pixels, errors = self.pixels.cumsum(0).double(), self.errors.cumsum(0).double()
        if self.pixels.numel() == 0 or errors[-1] == 0:
            return (float("nan"),) * len(shares)
        found = []
        for share in shares:
            wanted = share * pixels[-1]
            cut = int(torch.searchsorted(pixels, wanted).clamp_max(len(pixels) - 1))
            size = self.pixels[cut].double().clamp_min(1)
            missing = (pixels[cut] - wanted).clamp_min(0) / size * self.errors[cut]
            found.append(_ratio(errors[cut] - missing, errors[-1]))
        return tuple(found)

    def summary(self) -> dict[str, float]:
        """Every metric by name, ready for metrics.jsonl."""
        found = zip(DEFAULT_SHARES, self.errors_found(), strict=True)
        return {
            "auroc": self.auroc(),
            "aupr_error": self.aupr_error(),
            "aurc": self.aurc(),
            "excess_aurc": self.excess_aurc(),
            "fpr_at_95_tpr": self.fpr_at_95_tpr(),
            **{f"errors_found_{100 * share:02.0f}": value for share, value in found},
            "error_rate": self.error_rate(),
        }


def group_by_score(score: Tensor, error: Tensor) -> ScoreGroups:
    """Exact groups, one per distinct score.

    Args:
        score: any shape, larger is surer.
        error: same shape, bool.

    Raises:
        ValueError: shapes differ, `error` is not bool, or a score is NaN.
    """
    _check_pair(score, error)
    if bool(score.isnan().any()):
        raise ValueError("a score is NaN; pass only valid pixels")
    _, group, pixels = torch.unique(score.flatten(), return_inverse=True, return_counts=True)
    return ScoreGroups(pixels, torch.bincount(group[error.flatten()], minlength=len(pixels)))


def auroc(score: Tensor, error: Tensor) -> float:
    """See `ScoreGroups.auroc`; in [0, 1], 0.5 is chance."""
    return group_by_score(score, error).auroc()


def aupr_error(score: Tensor, error: Tensor) -> float:
    """See `ScoreGroups.aupr_error`; in [0, 1], the error rate is chance."""
    return group_by_score(score, error).aupr_error()


def aurc(score: Tensor, error: Tensor) -> float:
    """See `ScoreGroups.aurc`; in [0, 1], low is good, the error rate is chance."""
    return group_by_score(score, error).aurc()


def excess_aurc(score: Tensor, error: Tensor) -> float:
    """See `ScoreGroups.excess_aurc`; from 0 (perfect) upwards."""
    return group_by_score(score, error).excess_aurc()


def fpr_at_95_tpr(score: Tensor, error: Tensor) -> float:
    """See `ScoreGroups.fpr_at_95_tpr`; in [0, 1], low is good, 0.95 is chance."""
    return group_by_score(score, error).fpr_at_95_tpr()


def errors_found(score: Tensor, error: Tensor, shares: Sequence[float] = DEFAULT_SHARES) -> tuple[float, ...]:
    """See `ScoreGroups.errors_found`; in [0, 1], the share itself is chance."""
    return group_by_score(score, error).errors_found(shares)


class SelectedQuality(NamedTuple):
    """What a method selected.

    Attributes:
        precision: right pixels among the selected, NaN if none is selected.
        coverage: selected pixels among the valid, NaN if none is valid.
    """

    precision: float
    coverage: float


def precision_and_coverage(selected: Tensor, correct: Tensor, valid: Tensor) -> SelectedQuality:
    """Quality of a selection over all valid pixels; three bool tensors of one shape.

    Raises:
        ValueError: shapes differ.
    """
    meter = SelectionMeter()
    meter.update(selected, ~correct, valid)
    return meter.quality()


class SelectionMeter:
    """Counts selected and right pixels over a data set, exactly.

    Attributes:
        counts: (3,) int64: valid, selected, selected and right. Sum it over processes to merge their meters.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.counts = torch.zeros(3, dtype=torch.int64, device=device)

    def update(self, selected: Tensor, error: Tensor, valid: Tensor) -> None:
        """Add pixels; three bool tensors of one shape.

        Raises:
            ValueError: shapes differ.
        """
        if not selected.shape == error.shape == valid.shape:
            raise ValueError(
                f"selected, error and valid must have one shape but have {tuple(selected.shape)}, "
                f"{tuple(error.shape)} and {tuple(valid.shape)}"
            )
        chosen = selected & valid
        self.counts += torch.stack((valid.sum(), chosen.sum(), (chosen & ~error).sum())).to(self.counts.device)

    def merge(self, other: "SelectionMeter") -> None:
        """Add what another meter counted."""
        self.counts += other.counts.to(self.counts.device)

    def quality(self) -> SelectedQuality:
        """Precision and coverage of everything counted."""
        valid, selected, right = self.counts.double()
        return SelectedQuality(_ratio(right, selected), _ratio(selected, valid))


class ReliabilityMeter:
    """Ranking metrics over a data set of any size in 6 MB: scores are counted in bins.

    A bin is a range of the float32 bit pattern of the score's distance to 0 or 1, whichever is nearer: 512 bins for
    each halving of that distance, so that confidences of 0.999 and 0.9999 stay as far apart as 0.5 and 0.6. The order
    of scores is kept and equal scores share a bin. Scores that share a bin without being equal lie within 1/512 of
    that distance and count as a tie. Any finite score will do, -entropy or a z-score too; make -0.0002 of 0.9998 where
    the fine end of a score is elsewhere, ranks are all that matters.

    Attributes:
        counts: (bins, 2) int64 of right and wrong pixels. Sum it over processes to merge their meters.
    """

    _DROPPED_BITS = 14
    _HALF = 0x3F000000 >> _DROPPED_BITS  # steps from 0 to 0.5, and from 0.5 to 1
    _OUTSIDE = 0x7F7FFFFF >> _DROPPED_BITS  # steps from 0 to the lowest float32, and from 1 to the largest
    BINS = 2 * _OUTSIDE + 2 * _HALF + 1

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.counts = torch.zeros(self.BINS, 2, dtype=torch.int64, device=device)

    def update(self, score: Tensor, error: Tensor, valid: Tensor) -> None:
        """Add the valid pixels of a batch.

        Args:
            score: any shape, finite where valid, larger is surer.
            error: same shape, bool.
            valid: same shape, bool.

        Raises:
            ValueError: shapes differ, or a valid score is NaN or infinite.
        """
        _check_pair(score, error)
        _check_pair(score, valid)
        score, wrong = score[valid].float(), error[valid]
        if not bool(score.isfinite().all()):
            raise ValueError("the score of a valid pixel is NaN or infinite; mark such pixels as not valid")
        key = 2 * self._bin(score) + wrong.long()
        self.counts += torch.bincount(key, minlength=2 * self.BINS).view(-1, 2).to(self.counts.device)

    def merge(self, other: "ReliabilityMeter") -> None:
        """Add what another meter counted."""
        self.counts += other.counts.to(self.counts.device)

    def groups(self) -> ScoreGroups:
        """Everything counted so far."""
        return ScoreGroups(self.counts.sum(dim=1), self.counts[:, 1])

    def compute(self) -> dict[str, float]:
        """Every ranking metric by name, see `ScoreGroups.summary`."""
        return self.groups().summary()

    def _bin(self, score: Tensor) -> Tensor:
        """(P,) int64, 0 to BINS - 1; bit patterns of non-negative floats have the order of the floats."""
        near_zero = score < 0.5
        distance = torch.where(near_zero, score, 1 - score).abs()
        steps = (distance.view(torch.int32) >> self._DROPPED_BITS).long()
        from_zero = torch.where(score < 0, -steps, steps)
        from_one = 2 * self._HALF + torch.where(score > 1, steps, -steps)
        return self._OUTSIDE + torch.where(near_zero, from_zero, from_one)


def _check_pair(score: Tensor, mask: Tensor) -> None:
    if score.shape != mask.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"expected a bool tensor of shape {tuple(score.shape)} beside the score "
            f"but got {mask.dtype} {tuple(mask.shape)}"
        )


def _ratio(numerator: Tensor, denominator: Tensor) -> float:
    """numerator / denominator, NaN for 0 / 0."""
    return float(numerator / denominator)
