"""The largest threshold whose expected error stays within a promise: conformal risk control.

A pixel is called reliable when its probability of being wrong is at most the threshold. With n exchangeable units
(images, or blocks of frames) and a loss in [0, B] per unit that never falls when the threshold rises, the largest
threshold with

    n / (n + 1) * mean loss + B / (n + 1) <= alpha

keeps the expected loss of a further unit at or below alpha.

Source: Angelopoulos, Bates, Fisch, Lei and Schuster, "Conformal Risk Control", arXiv:2208.02814, equation 4 and
theorem 1, with the threshold's direction turned round. What is expected is an average over calibration sets and further
units; for one calibration set the error can be larger. Nothing is promised about units of another kind.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reliability.score_bins import NUM_BINS

THRESHOLDS = torch.logspace(-6, 0, 241, dtype=torch.float64).float()
"""(L,) thresholds on the probability of being wrong, ascending, 40 for each power of ten: fixed before any data is
seen, as the theorem wants it. Below the first one lies the threshold that calls nothing reliable, whose loss is 0."""

LOSS_BOUND = 1.0
"""B: no share of wrong pixels is larger."""

SMALLEST_SHARE = 0.01
"""An image with fewer reliable pixels than this share of its valid ones is judged as if it had so many: the error rate
among a handful of pixels says nothing, and one wrong pixel would forbid every threshold. Ours."""


@dataclass(frozen=True)
class ReliablePixels:
    """Pixels called reliable at each threshold of THRESHOLDS.

    Attributes:
        reliable: (n, L) int64 per image.
        wrong: (n, L) int64, those of them whose predicted class is wrong.
        valid: (n,) int64, all valid pixels of the image, at least 1.
    """

    reliable: Tensor
    wrong: Tensor
    valid: Tensor

    def coverage(self) -> Tensor:
        """(L,) float64, reliable among valid pixels, over the pixels of all images."""
        return self.reliable.sum(dim=0).double() / self.valid.sum()

    def error_rate(self) -> Tensor:
        """(L,) float64, wrong among reliable pixels, over the pixels of all images; NaN where none is reliable."""
        return self.wrong.sum(dim=0).double() / self.reliable.sum(dim=0)


def reliable_pixels(counts: Tensor, table: Tensor, thresholds: Tensor = THRESHOLDS) -> ReliablePixels:
    """Count what every threshold would call reliable, exactly as the exported graph compares.

    Args:
        counts: (n, C, NUM_BINS, 2) right and wrong pixels per image, at least one each.
        table: (C, NUM_BINS) float32, probability of being wrong.
        thresholds: (L,) float32, ascending.

    Raises:
        ValueError: an image without a valid pixel, or a probability that is not a number.
    """
    if bool(table.isnan().any()):
        raise ValueError("a probability of being wrong is NaN; fit the curves again")
    valid = counts.sum(dim=(1, 2, 3))
    if bool((valid == 0).any()):
        raise ValueError("an image has no valid pixel and so no error rate; leave it out")
    first = torch.searchsorted(thresholds, table.float().flatten())  # first threshold that is not below the probability
    right_and_wrong = torch.zeros(2, len(counts), len(thresholds) + 1, dtype=torch.int64)
    right_and_wrong.index_add_(2, first, counts.long().flatten(1, 2).permute(2, 0, 1).contiguous())
    right, wrong = right_and_wrong[:, :, :-1].cumsum(dim=2)
    return ReliablePixels(right + wrong, wrong, valid)


def reliable_error_loss(pixels: ReliablePixels) -> Tensor:
    """(n, L) float64: error rate among an image's reliable pixels, made monotone.

    A stricter threshold can leave a worse rate (right pixels go before wrong ones), so the loss at a threshold is the
    largest rate at it or at any stricter one; the rate itself is never above its loss. Where fewer than SMALLEST_SHARE
    of the image's pixels are reliable, that share is the divisor.

    Source: arXiv:2208.02814, section 4.1: control a monotone upper bound of a loss that is not monotone.
    """
    divisor = torch.maximum(pixels.reliable.double(), SMALLEST_SHARE * pixels.valid.double().unsqueeze(1))
    return (pixels.wrong / divisor).cummax(dim=1).values


def wrong_share_loss(pixels: ReliablePixels) -> Tensor:
    """(n, L) float64: wrong reliable pixels among all valid pixels of an image; monotone as it is.

    Keeping it at alpha keeps the error rate among reliable pixels at alpha / coverage, not at alpha.
    """
    return pixels.wrong / pixels.valid.double().unsqueeze(1)


LOSSES = {"reliable": reliable_error_loss, "image": wrong_share_loss}
"""What may be promised: the error rate among an image's reliable pixels, or their wrong ones among all its pixels."""


def losses_in_score_order(counts: Tensor, curve: Tensor, risk: str) -> Tensor:
    """Losses of thresholds on a curve that was fitted on these very images.

    One curve for all classes calls the surest pixels by score reliable, whatever it was fitted on. So the loss is made
    monotone over every threshold on the score, which are there without any curve, and read off at those that the
    curve's thresholds come to: a choice within the bound is then one that the score alone would allow.

    Args:
        counts: (n, C, NUM_BINS, 2).
        curve: (NUM_BINS,) float32, falling.
        risk: a name in LOSSES.

    Returns:
        (n, L) at THRESHOLDS.
    """
    order = torch.arange(NUM_BINS, dtype=torch.float32)
    by_score = LOSSES[risk](reliable_pixels(counts, order.flip(0).expand(counts.shape[1], -1), order))
    surest = (curve <= THRESHOLDS.unsqueeze(1)).sum(dim=1)  # (L,) how many bins pass
    return torch.cat((torch.zeros_like(by_score[:, :1]), by_score), dim=1)[:, surest]


def unit_means(losses: Tensor, unit: Tensor) -> Tensor:
    """(units, L) mean of the images of each unit, a monotone loss in the same range.

    Args:
        losses: (n, L).
        unit: (n,) int64, 0 to units - 1, each at least once.
    """
    sums = torch.zeros(int(unit.max()) + 1, losses.shape[1], dtype=losses.dtype).index_add_(0, unit, losses)
    return sums / torch.bincount(unit).unsqueeze(1)


@dataclass(frozen=True)
class RiskControl:
    """What can be promised with n units.

    Attributes:
        index: into THRESHOLDS of the largest threshold within alpha, or -1 for the one that calls nothing reliable.
        is_reachable: whether n is large enough for alpha at all, B / (n + 1) <= alpha.
        bounds: (L,) float64, the left side of the inequality at each threshold: the error that could be promised there.
    """

    index: int
    is_reachable: bool
    bounds: Tensor


def control_risk(losses: Tensor, alpha: float) -> RiskControl:
    """Choose the threshold; see the module.

    Args:
        losses: (n, L) float64 in [0, LOSS_BOUND], never falling along L.
        alpha: promised expected loss, between 0 and 1.

    Raises:
        ValueError: no unit, a loss that is NaN, out of range or falls, or alpha out of range.
    """
    check_alpha(alpha)
    if len(losses) == 0:
        raise ValueError("there is no unit to control the risk on; give at least one image")
    if not bool(((losses >= 0) & (losses <= LOSS_BOUND)).all()) or bool((losses.diff(dim=1) < 0).any()):
        raise ValueError(f"losses must be numbers from 0 to {LOSS_BOUND:g} that never fall as the threshold rises")
    bounds = bound_of(losses.double().mean(dim=0), len(losses))
    within = int((bounds <= alpha).sum())  # bounds never fall either
    return RiskControl(within - 1, LOSS_BOUND / (len(losses) + 1) <= alpha, bounds)


def threshold_within(losses: Tensor, alpha: float) -> int:
    """Index of the largest threshold whose mean loss on these units is at most alpha, -1 for none; promises nothing."""
    return int((losses.double().mean(dim=0) <= alpha).sum()) - 1


def bound_of(mean_loss: Tensor, units: int) -> Tensor:
    """The expected loss that can be promised: n / (n + 1) * mean loss + B / (n + 1)."""
    return (units * mean_loss + LOSS_BOUND) / (units + 1)


def units_needed(alpha: float) -> int:
    """Fewest units with which alpha can be reached, if not a single reliable pixel of theirs is wrong."""
    return math.ceil(LOSS_BOUND / alpha - 1e-9) - 1


def check_alpha(alpha: float) -> None:
    """Refuse a promise that is none.

    Raises:
        ValueError: alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, for example 0.01 for one percent, got {alpha}")
