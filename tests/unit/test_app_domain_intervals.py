"""Wilson's interval: against published values, against its definition, and how often it holds the truth."""

from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from app.domain.intervals import counted_share, median_interval, wilson_interval

counts = st.integers(1, 2000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_values_of_a_published_table(hits, trials, low, high):
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", Stat. Med. 17, table I, method 3."""
    assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=6e-5)


@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_it_is_what_scipy_calculates(count, confidence):
    expected = binomtest(*count).proportion_ci(confidence, method="wilson")
    assert wilson_interval(*count, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(counts)
def test_it_lies_in_0_to_1_and_holds_the_share(count):
    low, high = wilson_interval(*count)
    assert 0 <= low <= count[0] / count[1] <= high <= 1
    assert low < high


@given(counts)
def test_hits_and_misses_mirror_each_other(count):
    hits, trials = count
    low, high = wilson_interval(hits, trials)
    assert wilson_interval(trials - hits, trials) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(counts)
def test_its_ends_are_the_shares_that_the_score_test_just_does_not_reject(count):
    hits, trials = count
    for end in wilson_interval(hits, trials):
        if 0 < end < 1:
            z = (hits / trials - end) / sqrt(end * (1 - end) / trials)
            assert abs(z) == pytest.approx(1.959964, abs=1e-5)


@given(counts, st.integers(2, 50))
def test_more_of_the_same_narrows_it(count, factor):
    low, high = wilson_interval(*count)
    closer_low, closer_high = wilson_interval(count[0] * factor, count[1] * factor)
    assert closer_high - closer_low < high - low


@pytest.mark.parametrize("trials", [30, 100, 300])
def test_over_all_true_shares_it_holds_the_truth_about_95_times_in_100(trials):
    """Exact, without drawing: the mean over true shares of the binomial probability that the interval holds them."""
    shares = np.linspace(0.0005, 0.9995, 1000)
    hits = np.arange(trials + 1)
    binomial = np.array([float(comb(trials, k)) for k in hits])
    chances = binomial * shares[:, None] ** hits * (1 - shares[:, None]) ** (trials - hits)
    ends = np.array([wilson_interval(int(k), trials) for k in hits])
    holds = (ends[:, 0] <= shares[:, None]) & (shares[:, None] <= ends[:, 1])
    coverage = (chances * holds).sum(axis=1)
    assert 0.945 < coverage.mean() < 0.96
    assert coverage.min() > 0.83  # Where the share is about 0.2 / trials; Brown, Cai and DasGupta show the same dips.


def test_nothing_counted_says_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert counted_share(0, 0).share is None


def test_a_counted_share_carries_its_numbers():
    found = counted_share(3, 60)
    assert (found.hits, found.trials, found.share) == (3, 60, 0.05)
    assert (found.low, found.high) == wilson_interval(3, 60)


@pytest.mark.parametrize(("hits", "trials", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_impossible_counts_are_refused(hits, trials, confidence):
    with pytest.raises(ValueError, match="0 <= hits <= trials"):
        wilson_interval(hits, trials, confidence)


# --- the median ---


@pytest.mark.parametrize("number", [6, 7, 8, 9, 20, 50, 101, 1000])
def test_the_medians_ranks_are_those_of_the_sign_test_give_or_take_one(number):
    """Exactly: the largest rank r with P(Binomial(n, 1/2) < r) <= 2.5 %."""
    exact = int(binom.ppf(0.025, number, 0.5))
    low, high = median_interval(range(1, number + 1))
    assert exact - 1 <= low <= exact + 1 and high == number + 1 - low
    assert 1 - 2 * binom.cdf(low - 1, number, 0.5) >= 0.93


def test_too_few_values_give_no_interval_of_the_median():
    assert median_interval([1.0] * 5) is None and median_interval([]) is None
    assert median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0)


def test_the_interval_of_the_median_holds_it_in_about_95_of_100_runs():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(1000):
        low, high = median_interval(rng.lognormal(1, 0.8, 40).tolist())
        held += low <= np.e <= high
    assert 0.93 <= held / 1000 <= 0.985
