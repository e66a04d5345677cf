"""Curves from scores to the probability of being wrong, against hand-made truth and against SciPy."""

import numpy as np
import pytest
import torch
from scipy.optimize import isotonic_regression

from reliability.probability_curves import (
    CURVES,
    PRIOR_PIXELS,
    check_counts,
    isotonic_curve,
    log_loss,
    temperature_curve,
    uncalibrated_curve,
)
from reliability.score_bins import NUM_BINS, bin_scores


def counts_of(probability_wrong: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """(NUM_BINS, 2) as expected under that curve."""
    wrong = (pixels * probability_wrong).round()
    return torch.stack((pixels - wrong, wrong), dim=1).long()


MANY = torch.full((NUM_BINS,), 1e8, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 4.0])
def test_the_temperature_is_found_again(temperature):
    truth = torch.sigmoid(-torch.logit(bin_scores()) / temperature)
    torch.testing.assert_close(temperature_curve(counts_of(truth, MANY)), truth, rtol=1e-4, atol=1e-8)


def test_the_isotonic_curve_is_scipys_with_the_prior_in_it():
    generator = np.random.default_rng(0)
    counts = torch.from_numpy(generator.integers(0, 40, (NUM_BINS, 2)))
    counts[generator.random(NUM_BINS) < 0.5] = 0
    pixels = counts.sum(dim=1).double() + PRIOR_PIXELS
    rate = (counts[:, 1] + PRIOR_PIXELS * temperature_curve(counts)) / pixels
    expected = isotonic_regression(rate.numpy(), weights=pixels.numpy(), increasing=False).x
    np.testing.assert_allclose(isotonic_curve(counts).numpy(), expected, rtol=1e-9)


EXTREMES = {
    "nothing counted in most bins": torch.zeros(NUM_BINS, 2, dtype=torch.long).index_fill(0, torch.tensor([40]), 7),
    "all right": counts_of(torch.zeros(NUM_BINS), MANY),
    "all wrong": counts_of(torch.ones(NUM_BINS), MANY),
    "surer means worse": counts_of(bin_scores() / 2, MANY),
}


@pytest.mark.parametrize("kind", CURVES)
@pytest.mark.parametrize("extreme", EXTREMES)
def test_every_curve_falls_and_stays_between_0_and_1(kind, extreme):
    curve = CURVES[kind](EXTREMES[extreme])
    assert curve.shape == (NUM_BINS,)
    assert bool((curve >= 0).all() and (curve <= 1).all() and (curve.diff() <= 1e-12).all())


def test_isotonic_follows_what_was_counted_where_much_was_counted():
    assert isotonic_curve(EXTREMES["all right"]).max() < 1e-6 and isotonic_curve(EXTREMES["all wrong"]).min() > 1 - 1e-6


def test_log_loss_is_that_of_single_pixels():
    counts = torch.zeros(NUM_BINS, 2, dtype=torch.long)
    counts[16], counts[32] = torch.tensor([3, 1]), torch.tensor([2, 0])
    curve = torch.zeros(NUM_BINS).index_fill(0, torch.tensor([16]), 0.25).index_fill(0, torch.tensor([32]), 0.1)
    expected = -(3 * np.log(0.75) + np.log(0.25) + 2 * np.log(0.9))
    assert float(log_loss(counts, curve)) == pytest.approx(expected, rel=1e-6)


def test_a_certainty_that_fails_costs_much_but_not_everything():
    counts = torch.ones(NUM_BINS, 2, dtype=torch.long)
    assert bool(log_loss(counts, torch.zeros(NUM_BINS)).isfinite())


def test_uncalibrated_is_one_minus_the_score():
    assert torch.equal(uncalibrated_curve(), 1 - bin_scores())


WRONG = {
    "another shape": torch.ones(2, 3, NUM_BINS, dtype=torch.long),
    "no whole numbers": torch.ones(2, 3, NUM_BINS, 2),
    "negative": -torch.ones(2, 3, NUM_BINS, 2, dtype=torch.long),
    "nothing": torch.zeros(2, 3, NUM_BINS, 2, dtype=torch.long),
}


@pytest.mark.parametrize("case", WRONG)
def test_counts_that_no_image_gives_are_refused(case):
    with pytest.raises(ValueError, match="counts must"):
        check_counts(WRONG[case])
