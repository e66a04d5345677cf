"""Every metric against a definition that loops over pixels, on sets small enough for it."""

import itertools
import math

import pytest
import torch
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from reliability.metrics import (
    ReliabilityMeter,
    SelectionMeter,
    aupr_error,
    aurc,
    auroc,
    errors_found,
    excess_aurc,
    fpr_at_95_tpr,
    group_by_score,
    precision_and_coverage,
)

CASES = {
    "distinct scores": lambda g: torch.rand(60, generator=g),
    "many ties": lambda g: torch.randint(0, 6, (60,), generator=g) / 5,
    "most are 1": lambda g: torch.rand(60, generator=g).add(0.5).clamp_max(1.0),
    "all equal": lambda g: torch.full((60,), 0.25),
}


@pytest.fixture(params=CASES, ids=str)
def case(request):
    generator = torch.Generator().manual_seed(3)
    score = CASES[request.param](generator)
    return score, torch.rand(60, generator=generator) < 0.7 - 0.5 * score


def everywhere(score: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(score, dtype=torch.bool)


def test_auroc_is_the_share_of_pairs_in_the_right_order(case):
    score, error = case
    pairs = list(itertools.product(score[error].tolist(), score[~error].tolist()))
    expected = sum((wrong < right) + 0.5 * (wrong == right) for wrong, right in pairs) / len(pairs)
    assert auroc(score, error) == pytest.approx(expected)


def test_auroc_equals_torchmetrics(case):
    score, error = case
    assert auroc(score, error) == pytest.approx(binary_auroc(1 - score, error.long()).item(), abs=1e-5)


def test_aupr_error_equals_torchmetrics(case):
    score, error = case
    assert aupr_error(score, error) == pytest.approx(binary_average_precision(1 - score, error.long()).item(), abs=1e-5)


def test_aurc_is_the_mean_error_rate_over_all_coverages_and_orders_of_ties(case):
    score, error = case
    risks = []
    for covered in range(1, len(score) + 1):
        limit = score.sort(descending=True).values[covered - 1]
        above, tied = score > limit, score == limit
        of_ties = (covered - above.sum()) * error[tied].float().mean()
        risks.append(((error & above).sum() + of_ties) / covered)
    assert aurc(score, error) == pytest.approx(torch.stack(risks).mean().item(), abs=1e-6)


def test_excess_aurc_is_the_distance_to_a_perfect_ranking(case):
    score, error = case
    perfect = -error.float() - 0.001 * torch.arange(len(error)) / len(error)
    assert excess_aurc(score, error) == pytest.approx(aurc(score, error) - aurc(perfect, error), abs=1e-9)


def test_excess_aurc_of_a_perfect_ranking_is_zero():
    error = torch.tensor([True, False, True, False, False])
    assert excess_aurc(1 - error.float(), error) == pytest.approx(0, abs=1e-12)


def test_fpr_is_the_share_of_errors_above_the_threshold_that_passes_95_percent(case):
    score, error = case
    passing = [limit for limit in score.unique() if (score[~error] >= limit).float().mean() >= 0.95 - 1e-6]
    expected = (score[error] >= max(passing)).float().mean().item()
    assert fpr_at_95_tpr(score, error) == pytest.approx(expected)


def test_exactly_95_percent_is_enough():
    score, error = torch.arange(21) / 20, torch.tensor([False, True, *[False] * 19])  # 19 of 20 right ones lie above
    assert fpr_at_95_tpr(score, error) == 0


def test_errors_found_averages_over_all_orders_of_ties(case):
    score, error = case
    for share, found in zip((0.05, 0.1, 0.2), errors_found(score, error), strict=True):
        looked_at = int(60 * share)
        limit = score.sort().values[looked_at - 1]
        below, tied = score < limit, score == limit
        of_ties = (looked_at - below.sum()) * error[tied].float().mean()
        assert found == pytest.approx((((error & below).sum() + of_ties) / error.sum()).item(), abs=1e-6)


def test_all_errors_are_found_in_all_pixels(case):
    assert errors_found(*case, shares=(1.0,)) == (pytest.approx(1.0),)


def test_a_constant_score_is_chance():
    error = torch.arange(100) < 30
    values = group_by_score(torch.zeros(100), error).summary()
    expected = {"auroc": 0.5, "aupr_error": 0.3, "aurc": 0.3, "fpr_at_95_tpr": 1.0, "errors_found_10": 0.1}
    assert {name: values[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", ["auroc", "aupr_error", "fpr_at_95_tpr", "errors_found_05"])
def test_without_an_error_there_is_no_number(name):
    assert math.isnan(group_by_score(torch.rand(9), torch.zeros(9, dtype=torch.bool)).summary()[name])


def test_without_a_pixel_there_is_no_number():
    values = group_by_score(torch.zeros(0), torch.zeros(0, dtype=torch.bool)).summary()
    assert all(math.isnan(value) for value in values.values())


def test_a_nan_score_is_refused():
    with pytest.raises(ValueError, match="a score is NaN"):
        auroc(torch.tensor([0.1, float("nan")]), torch.tensor([True, False]))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\) beside the score but got torch.bool \(2,\)"):
        auroc(torch.rand(3), torch.tensor([True, False]))


def test_precision_and_coverage_count_valid_pixels_only():
    selected = torch.tensor([True, True, True, False, True])
    correct = torch.tensor([True, False, True, True, True])
    valid = torch.tensor([True, True, True, True, False])
    assert precision_and_coverage(selected, correct, valid) == pytest.approx((2 / 3, 3 / 4))


def test_nothing_selected_has_no_precision_and_no_coverage():
    nothing = torch.zeros(4, dtype=torch.bool)
    quality = precision_and_coverage(nothing, nothing, ~nothing)
    assert math.isnan(quality.precision) and quality.coverage == 0


def test_selection_meters_add_up():
    generator = torch.Generator().manual_seed(0)
    selected, error, valid = (torch.rand(40, generator=generator) < 0.5 for _ in range(3))
    first, second = SelectionMeter(), SelectionMeter()
    first.update(selected[:10], error[:10], valid[:10])
    second.update(selected[10:], error[10:], valid[10:])
    first.merge(second)
    assert first.quality() == precision_and_coverage(selected, ~error, valid)


def metered(score: torch.Tensor, error: torch.Tensor) -> ReliabilityMeter:
    meter = ReliabilityMeter()
    meter.update(score, error, everywhere(score))
    return meter


def test_the_meter_is_exact_while_no_bin_holds_two_scores(case):
    score, error = (case[0] * 256).round() / 256, case[1]
    assert metered(score, error).compute() == pytest.approx(group_by_score(score, error).summary())


@pytest.mark.parametrize("score_of", ["confidence", "minus entropy", "z-score"])
def test_the_meter_is_close_on_many_scores(score_of):
    generator = torch.Generator().manual_seed(0)
    confidence = torch.softmax(6 * torch.randn(40_000, 11, generator=generator), dim=1).amax(dim=1)
    error = torch.rand(40_000, generator=generator) > confidence
    mapped = {"confidence": confidence, "minus entropy": confidence.log(), "z-score": 40 * (confidence - 0.8)}
    exact = group_by_score(confidence, error).summary()
    assert metered(mapped[score_of], error).compute() == pytest.approx(exact, abs=3e-3)


def test_the_meter_keeps_the_order_of_all_scores():
    ends = torch.tensor([-1e30, -7.0, -1.0, -1e-6, 0.0, 1e-6, 0.25, 0.4999, 0.5, 0.75, 1 - 1e-6, 1.0, 1.5, 1e30])
    meter = ReliabilityMeter()
    bins = meter._bin(torch.cat([ends, torch.linspace(-2, 3, 999)]).sort().values)
    assert (bins.diff() >= 0).all() and len(meter._bin(ends).unique()) == len(ends)


def test_the_meter_keeps_confidences_close_to_one_apart():
    score = torch.tensor([0.9999, 0.99999, 0.999999])
    assert metered(score, torch.tensor([True, False, False])).compute()["auroc"] == 1


@pytest.mark.parametrize("extreme", [3.4028235e38, -3.4028235e38], ids=str)
def test_the_meter_takes_every_finite_score(extreme):
    assert metered(torch.tensor([extreme]), torch.tensor([True])).groups().pixels.sum() == 1


def test_the_meter_counts_valid_pixels_only():
    score, error = torch.tensor([0.2, float("nan"), 0.9]), torch.tensor([True, True, False])
    meter = ReliabilityMeter()
    meter.update(score, error, ~score.isnan())
    assert meter.groups().pixels.sum() == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")], ids=str)
def test_the_meter_refuses_a_valid_score_that_is_not_finite(bad):
    with pytest.raises(ValueError, match="NaN or infinite; mark such pixels as not valid"):
        metered(torch.tensor([bad]), torch.tensor([True]))


def test_meters_merge_to_that_of_all_pixels(case):
    score, error = case
    first, second = metered(score[:20], error[:20]), metered(score[20:], error[20:])
    first.merge(second)
    assert torch.equal(first.counts, metered(score, error).counts)


def test_an_empty_meter_has_no_numbers():
    assert all(math.isnan(value) for value in ReliabilityMeter().compute().values())
