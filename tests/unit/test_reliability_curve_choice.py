"""The kind of curve is chosen by what it says about images it was not fitted on."""

import numpy as np
import pytest
import torch

from reliability.calibration_quality import DIAGRAM_EDGES, calibration_quality
from reliability.curve_choice import MIN_CLASS_IMAGES, MIN_CLASS_PIXELS, choose_curves, classes_with_enough, fit_table
from reliability.probability_curves import uncalibrated_curve
from reliability.score_bins import NUM_BINS, bin_scores


def draw(tables: torch.Tensor, images: int = 30, pixels: float = 40.0, seed: int = 0) -> torch.Tensor:
    """(images, C, NUM_BINS, 2) counts of images whose pixels are wrong with the given (C, NUM_BINS) probabilities."""
    generator = np.random.default_rng(seed)
    total = generator.poisson(pixels, (images, *tables.shape))
    wrong = generator.binomial(total, np.broadcast_to(tables.numpy(), total.shape))
    return torch.from_numpy(np.stack((total - wrong, wrong), axis=-1))


HONEST = uncalibrated_curve()
SURER_THAN_RIGHT = torch.sigmoid(-torch.logit(bin_scores()) / 2)
STEPS = torch.where(bin_scores() < 0.9, 0.4, 0.02).double()

TRUTHS = {
    "temperature": torch.stack([SURER_THAN_RIGHT, SURER_THAN_RIGHT]),
    "isotonic": torch.stack([STEPS, STEPS]),
    "isotonic per class": torch.stack([STEPS, 0.5 * STEPS]),
    "temperature per class": torch.stack([SURER_THAN_RIGHT, HONEST]),
}


@pytest.mark.parametrize("expected", TRUTHS)
def test_the_kind_that_made_the_errors_is_chosen(expected):
    fitted = choose_curves(draw(TRUTHS[expected]))
    assert (f"{fitted.kind} per class" if fitted.per_class else fitted.kind) == expected
    assert min(fitted.held_out_loss, key=fitted.held_out_loss.__getitem__) == expected


@pytest.mark.parametrize("truth", TRUTHS)
def test_calibration_lowers_every_measure_on_images_it_has_not_seen(truth):
    fitted = choose_curves(draw(TRUTHS[truth]))
    fresh = draw(TRUTHS[truth], seed=1).sum(dim=0)
    before = calibration_quality(fresh, HONEST.expand(2, -1))
    after = calibration_quality(fresh, fitted.table)
    assert (after.ece, after.brier, after.log_loss) < (before.ece, before.brier, before.log_loss)
    assert after.ece < 0.01 and after.brier <= before.brier and after.log_loss < before.log_loss


def test_curves_per_class_can_be_forbidden():
    fitted = choose_curves(draw(TRUTHS["isotonic per class"]), allow_per_class=False)
    assert not fitted.per_class and torch.equal(fitted.table[0], fitted.table[1])


def test_a_class_that_never_occurs_uses_the_curve_of_all():
    counts = draw(torch.stack([STEPS, 0.5 * STEPS, STEPS]))
    counts[:, 2] = 0
    table, own = fit_table(counts, "isotonic", per_class=True)
    pooled, _ = fit_table(counts, "isotonic", per_class=False)
    assert own == (0, 1) and torch.equal(table[2], pooled[2])


def class_counts(images: int, right: int, wrong: int) -> torch.Tensor:
    counts = torch.zeros(20, 1, NUM_BINS, 2, dtype=torch.long)
    counts[:images, 0, 50] = torch.tensor([1, 1])
    counts[0, 0, 60] = torch.tensor([right - images, wrong - images])
    return counts


ENOUGH = {
    "just enough": ((MIN_CLASS_IMAGES, MIN_CLASS_PIXELS, MIN_CLASS_PIXELS), (0,)),
    "too few images": ((MIN_CLASS_IMAGES - 1, 10**6, 10**6), ()),
    "too few right pixels": ((20, MIN_CLASS_PIXELS - 1, 10**6), ()),
    "too few wrong pixels": ((20, 10**6, MIN_CLASS_PIXELS - 1), ()),
}


@pytest.mark.parametrize("case", ENOUGH)
def test_a_class_needs_images_and_pixels_for_a_curve_of_its_own(case):
    given, expected = ENOUGH[case]
    assert classes_with_enough(class_counts(*given)) == expected


def test_a_single_image_gets_a_temperature_and_no_comparison():
    fitted = choose_curves(draw(TRUTHS["isotonic"], images=1))
    assert (fitted.kind, fitted.held_out_loss) == ("temperature", {})


def test_quality_is_that_of_single_pixels():
    counts = torch.zeros(1, NUM_BINS, 2, dtype=torch.long)
    counts[0, 10], counts[0, 200] = torch.tensor([6, 4]), torch.tensor([29, 1])
    table = torch.zeros(1, NUM_BINS)
    table[0, 10], table[0, 200] = 0.25, 0.015
    quality = calibration_quality(counts, table)
    assert quality.pixels == 40
    assert quality.ece == pytest.approx((10 * 0.15 + 30 * (1 / 30 - 0.015)) / 40)
    assert quality.brier == pytest.approx((4 * 0.75**2 + 6 * 0.25**2 + 0.985**2 + 29 * 0.015**2) / 40, rel=1e-6)
    assert [entry[2] for entry in quality.diagram] == [30, 10]
    assert [entry[:2] for entry in quality.diagram] == [pytest.approx((0.015, 1 / 30)), pytest.approx((0.25, 0.4))]


@pytest.mark.parametrize("probability", [0.0, 1.0, *DIAGRAM_EDGES])
def test_every_probability_has_a_place_in_the_diagram(probability):
    counts = torch.ones(1, NUM_BINS, 2, dtype=torch.long)
    quality = calibration_quality(counts, torch.full((1, NUM_BINS), probability))
    assert [entry[2] for entry in quality.diagram] == [2 * NUM_BINS]
