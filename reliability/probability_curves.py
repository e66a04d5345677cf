"""From a score to the probability that the predicted class is wrong: one monotone curve over the bins of the score.

Curves are fitted on counts of right and wrong pixels per bin (`reliability.score_bins`). The predicted class and the
softmax probabilities stay what they are; only the question "how likely is this pixel wrong?" gets a calibrated answer.
"""

import torch
from torch import Tensor

from reliability.score_bins import NUM_BINS, bin_scores

PRIOR_PIXELS = 10.0
"""Pixels per bin that stand for the temperature's curve in the isotonic one. Ours: they decide only where next to
nothing was counted, and keep a bin without a single error from being called certain."""

_INVERSE_TEMPERATURES = (0.01, 100.0)


def uncalibrated_curve() -> Tensor:
    """(NUM_BINS,) float64: 1 - score, what a score that is a probability says about itself."""
    return 1 - bin_scores()


def temperature_curve(counts: Tensor) -> Tensor:
    """sigmoid(-log odds of the score / T), with the one T that gives the least log loss.

    Args:
        counts: (NUM_BINS, 2) right and wrong pixels.

    Returns:
        (NUM_BINS,) float64, falling.

    Source: Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599, equation 9, for the two outcomes
    right and wrong, so that it works for every score and leaves the softmax alone. The loss is convex in 1 / T; its
    slope is bisected between the limits 0.01 and 100.
    """
    odds = torch.logit(bin_scores())
    right, wrong = counts.double().unbind(dim=1)
    low, high = torch.tensor(_INVERSE_TEMPERATURES, dtype=torch.float64).log()
    for _ in range(50):
        middle = (low + high) / 2
        wrong_probability = torch.sigmoid(-odds * middle.exp())
        slope = (odds * (wrong * (1 - wrong_probability) - right * wrong_probability)).sum()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return torch.sigmoid(-odds * ((low + high) / 2).exp())


def isotonic_curve(counts: Tensor) -> Tensor:
    """The falling curve with the least squared error; `PRIOR_PIXELS` per bin come from the temperature's curve.

    Args:
        counts: (NUM_BINS, 2) right and wrong pixels.

    Returns:
        (NUM_BINS,) float64, falling, above 0 and below 1.

    Source: Zadrozny and Elkan, KDD 2002. Written as the max-min formula (Robertson, Wright and Dykstra, 1988,
    theorem 1.4.4): value k is the smallest over i <= k of the largest over j >= k of the mean of bins i to j.
    """
    prior = temperature_curve(counts)
    wrong = counts[:, 1].double() + PRIOR_PIXELS * prior
    pixels = counts.sum(dim=1).double() + PRIOR_PIXELS
    zero = torch.zeros(1, dtype=torch.float64)
    wrong_sum, pixel_sum = torch.cat((zero, wrong.cumsum(0))), torch.cat((zero, pixels.cumsum(0)))
    sums = wrong_sum[None, 1:] - wrong_sum[:-1, None]  # (i, j), of bins i to j
    means = sums / (pixel_sum[None, 1:] - pixel_sum[:-1, None])
    is_run = torch.ones_like(means, dtype=torch.bool).triu()
    largest = torch.where(is_run, means, -torch.inf).flip(1).cummax(dim=1).values.flip(1)  # over j >= column
    smallest = torch.where(is_run, largest, torch.inf).cummin(dim=0).values  # over i <= row
    return smallest.diagonal().clone()


CURVES = {
    "uncalibrated": lambda counts: uncalibrated_curve(),
    "temperature": temperature_curve,
    "isotonic": isotonic_curve,
}
"""The kinds of curves, each from (NUM_BINS, 2) counts."""


def log_loss(counts: Tensor, curve: Tensor) -> Tensor:
    """Summed log loss in nats of the outcomes right and wrong.

    Args:
        counts: (..., NUM_BINS, 2).
        curve: (..., NUM_BINS), in [0, 1]; probabilities of 0 and 1 count as 1e-12 from there.

    Returns:
        0-dim float64.
    """
    curve = curve.double().clamp(1e-12, 1 - 1e-12)
    right, wrong = counts.double().unbind(dim=-1)
    return -(right * torch.log1p(-curve) + wrong * curve.log()).sum()


def check_counts(counts: Tensor) -> None:
    """Refuse counts that no image can have given.

    Raises:
        ValueError: another shape than (images, C, NUM_BINS, 2), negative, not whole, or without any pixel.
    """
    if counts.ndim != 4 or counts.shape[2:] != (NUM_BINS, 2) or counts.is_floating_point():
        raise ValueError(
            f"counts must be whole numbers of shape (images, C, {NUM_BINS}, 2), got {counts.dtype} "
            f"{tuple(counts.shape)}; make them with reliability.score_bins.count_bins"
        )
    if bool((counts < 0).any()) or not bool(counts.any()):
        raise ValueError("counts must not be negative, and at least one pixel must be counted")
