"""Bins keep the order of scores, are finest near 1, and count what the exported graph will look up."""

import pytest
import torch

from reliability.score_bins import NUM_BINS, bin_scores, count_bins, score_bin


def test_bins_keep_the_order_of_scores():
    score = torch.cat((torch.linspace(0, 1, 5001), 1 - torch.logspace(-8, 0, 5001))).sort().values
    bins = score_bin(score)
    assert bool((bins.diff() >= 0).all()) and (int(bins[0]), int(bins[-1])) == (0, NUM_BINS - 1)


@pytest.mark.parametrize(("score", "expected"), [(0.0, 0), (0.5, 16), (0.75, 32), (1 - 2**-20, 320), (1.0, 320)])
def test_powers_of_two_fall_on_the_upper_side_of_their_edge(score, expected):
    assert int(score_bin(torch.tensor(score))) == expected


def test_a_bin_holds_its_own_middle():
    assert torch.equal(score_bin(bin_scores()), torch.arange(NUM_BINS))  # in float64: float32 ends before the last bins


@pytest.mark.parametrize("odd", [float("nan"), -1.0, -float("inf")], ids=str)
def test_what_is_no_score_counts_as_the_least_sure_one(odd):
    assert int(score_bin(torch.tensor(odd))) == 0


def test_right_and_wrong_pixels_are_counted_by_class_and_bin():
    score = torch.tensor([[0.5, 0.5, 0.75, 1.0]])
    label = torch.tensor([[0, 0, 1, 1]])
    error = torch.tensor([[True, False, True, True]])
    counts = count_bins(score, label, error, torch.tensor([[True, True, True, False]]), num_classes=3)
    assert counts.sum() == 3
    assert (counts[0, 16].tolist(), counts[1, 32].tolist()) == ([1, 1], [0, 1])


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1.5, -0.5], ids=str)
def test_a_score_that_is_no_number_is_refused_when_counted(odd):
    score, mask = torch.tensor([[0.5, odd]]), torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="not a number from 0 to 1"):
        count_bins(score, torch.zeros(1, 2, dtype=torch.long), mask, mask, num_classes=2)


def test_a_nan_outside_the_valid_pixels_does_not_matter():
    score, valid = torch.tensor([[0.5, float("nan")]]), torch.tensor([[True, False]])
    assert count_bins(score, torch.zeros(1, 2, dtype=torch.long), ~valid, valid, num_classes=2).sum() == 1
