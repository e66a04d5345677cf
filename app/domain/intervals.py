"""How far a share that was counted, or a median, may be from the true one."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
"""What every interval on the pages and in reports covers."""


@dataclass(frozen=True)
class CountedShare:
    """A share that was counted, with its interval.

    Attributes:
        hits: how many had the property.
        trials: out of how many.
        share: hits / trials, None without trials.
        low: lower end of the interval, 0 without trials.
        high: upper end, 1 without trials.
    """

    hits: int
    trials: int
    share: float | None
    low: float
    high: float


def wilson_interval(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The true shares that are plausible after `hits` of `trials` independent draws; (0, 1) without draws.

    Stays inside 0-1 and tells something even when nothing or everything was hit, where share +- z * sqrt(variance) is
    empty. Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22, p. 209;
    recommended by Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion", Statist. Sci. 16.

    Args:
        hits: 0 to `trials`.
        trials: from 0 upwards.
        confidence: how often such an interval is to hold the true share, between 0 and 1.

    Raises:
        ValueError: more hits than trials, a negative number, or a confidence outside (0, 1).
    """
    if not 0 <= hits <= trials or not 0 < confidence < 1:
        raise ValueError(
            f"an interval needs 0 <= hits <= trials and 0 < confidence < 1, got {hits}, {trials} and {confidence}"
        )
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, per_trial = hits / trials, z * z / trials
    center = (share + per_trial / 2) / (1 + per_trial)
    half = z * sqrt(share * (1 - share) / trials + per_trial / (4 * trials)) / (1 + per_trial)
    # At the ends the formula gives exactly 0 and 1; rounding must not push them beyond the share itself.
    return min(max(0.0, center - half), share), max(min(1.0, center + half), share)


def counted_share(hits: int, trials: int) -> CountedShare:
    """A share with the interval that all reports use."""
    low, high = wilson_interval(hits, trials)
    return CountedShare(hits, trials, hits / trials if trials else None, low, high)


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Two of the values between which the true median lies, whatever the distribution; None where they are too few.

    Those of the ranks (n + 1) / 2 -+ z * sqrt(n) / 2, rounded outwards: fewer than 6 values give none at 95 %. Source:
    Conover 1999, "Practical Nonparametric Statistics", 3rd ed., section 3.2 (normal approximation of the binomial).

    Args:
        values: independent draws, in any order.
        confidence: how often such an interval is to hold the true median, between 0 and 1.
    """
    number = len(values)
    rank = floor((number + 1) / 2 - NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(number) / 2)
    if rank < 1:
        return None
    ordered = sorted(values)
    return ordered[rank - 1], ordered[number - rank]
