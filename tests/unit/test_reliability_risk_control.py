"""The promise: over many calibration sets the expected error of a further image stays within alpha.

Images are drawn from a known world: each has its own share of wrong pixels at every level of the score, so that errors
of one image go together, as in real pictures. All calibration sets of a size are evaluated at once, and the error of a
further image is exact: a mean over the whole world.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reliability.risk_control import (
    LOSSES,
    SMALLEST_SHARE,
    THRESHOLDS,
    ReliablePixels,
    bound_of,
    control_risk,
    reliable_error_loss,
    reliable_pixels,
    threshold_within,
    unit_means,
    units_needed,
    wrong_share_loss,
)
from reliability.score_bins import NUM_BINS

NUM_IMAGES = 1200
TRIALS = 1500


def world(seed: int = 0, hardness: float = 1.0, images: int = NUM_IMAGES) -> ReliablePixels:
    """Pictures of 10,000 pixels: most are easy, some are hard, and a few are wrong where they look sure."""
    generator = np.random.default_rng(seed)
    level = np.linspace(0, 1, len(THRESHOLDS))
    reliable = (10_000 * generator.dirichlet(np.full(len(level), 0.3), images).cumsum(1)).astype(np.int64)
    difficulty = generator.gamma(0.5, 4 * hardness, (images, 1)) * level**3
    traps = 0.4 * (generator.random((images, 1)) < 0.03 * hardness) + 0.002
    new = np.diff(reliable, axis=1, prepend=0)
    wrong = generator.binomial(new, np.clip(difficulty + traps, 0, 1)).cumsum(1)
    return ReliablePixels(torch.from_numpy(reliable), torch.from_numpy(wrong), torch.full((images,), 10_000))


def error_rates(pixels: ReliablePixels) -> np.ndarray:
    """(n, L) wrong among reliable pixels of each image, as promised: without the monotone bound."""
    least = SMALLEST_SHARE * pixels.valid.double().unsqueeze(1)
    return (pixels.wrong / torch.maximum(pixels.reliable.double(), least)).numpy()


def mean_losses(losses: np.ndarray, n: int, seed: int) -> np.ndarray:
    """(TRIALS, L) mean loss of calibration sets of n images, drawn from the world as further images are."""
    chances = np.full(len(losses), 1 / len(losses))
    return np.random.default_rng(seed).multinomial(n, chances, TRIALS) @ losses / n


def within(means: np.ndarray, alpha: float, n: int) -> np.ndarray:
    """(TRIALS,) index into THRESHOLDS per calibration set, -1 for none; as `control_risk`, for all sets at once."""
    return (bound_of(torch.from_numpy(means), n).numpy() <= alpha).sum(axis=1) - 1


def expected_error(rates: np.ndarray, indices: np.ndarray) -> tuple[float, float]:
    """Mean over the sets of the world's mean error at their thresholds, and the standard error of that mean."""
    error = np.append(rates.mean(axis=0), 0.0)[indices]  # index -1: nothing is reliable, nothing is wrong
    return float(error.mean()), float(error.std() / len(error) ** 0.5)


PROMISES = [(5, 0.2), (10, 0.12), (20, 0.06), (100, 0.011), (100, 0.02), (400, 0.01), (5, 0.01)]


@pytest.fixture(scope="module")
def pixels() -> ReliablePixels:
    return world()


def test_the_world_is_hard_enough_to_break_every_promise_without_a_threshold(pixels):
    assert wrong_share_loss(pixels)[:, -1].mean() > max(alpha for _, alpha in PROMISES)


def test_all_sets_at_once_choose_what_control_risk_chooses(pixels):
    losses = reliable_error_loss(pixels)[:20]
    means = losses.mean(dim=0, keepdim=True).numpy()
    assert {alpha: int(within(means, alpha, 20)[0]) for alpha in (0.05, 0.1, 0.2)} == {
        alpha: control_risk(losses, alpha).index for alpha in (0.05, 0.1, 0.2)
    }


@pytest.mark.parametrize(("n", "alpha"), PROMISES)
def test_the_error_among_reliable_pixels_stays_within_the_promise(pixels, n, alpha):
    means = mean_losses(reliable_error_loss(pixels).numpy(), n, seed=n)
    error, deviation = expected_error(error_rates(pixels), within(means, alpha, n))
    assert error <= alpha + 3 * deviation


@pytest.mark.parametrize(("n", "alpha"), PROMISES)
def test_the_share_of_wrong_reliable_pixels_stays_within_the_promise_and_is_not_far_below(pixels, n, alpha):
    shares = wrong_share_loss(pixels).numpy()
    error, deviation = expected_error(shares, within(mean_losses(shares, n, seed=n), alpha, n))
    assert error <= alpha + 3 * deviation
    largest_step = float(np.diff(shares.mean(axis=0)).max())
    assert error >= alpha - 2 / (n + 1) - largest_step - 3 * deviation  # theorem 2 of the paper


def test_the_share_alone_would_break_the_promise_about_reliable_pixels(pixels):
    means = mean_losses(wrong_share_loss(pixels).numpy(), 400, seed=0)
    error, deviation = expected_error(error_rates(pixels), within(means, 0.02, 400))
    assert error > 0.02 + 3 * deviation


def test_without_the_correction_small_sets_break_the_promise(pixels):
    losses = wrong_share_loss(pixels).numpy()
    plugged_in = (mean_losses(losses, 5, seed=1) <= 0.1).sum(axis=1) - 1
    error, deviation = expected_error(losses, plugged_in)
    assert error > 0.1 + 3 * deviation


def test_the_promise_does_not_hold_for_images_of_another_kind(pixels):
    means = mean_losses(reliable_error_loss(pixels).numpy(), 400, seed=2)
    error, deviation = expected_error(error_rates(world(seed=1, hardness=6)), within(means, 0.03, 400))
    assert error > 2 * 0.03 + 3 * deviation


def test_frames_of_few_recordings_break_the_promise_when_each_counts_as_an_image(pixels):
    """All frames of a recording are alike: five recordings of twenty frames are five images that say they were 100."""
    losses = wrong_share_loss(pixels).numpy()
    error, deviation = expected_error(losses, within(mean_losses(losses, 5, seed=3), 0.1, 100))
    assert error > 0.1 + 3 * deviation


def test_recordings_as_units_keep_the_promise(pixels):
    losses = wrong_share_loss(pixels).numpy()
    error, deviation = expected_error(losses, within(mean_losses(losses, 5, seed=3), 0.2, 5))
    assert error <= 0.2 + 3 * deviation


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(5, 0.25), (10, 0.15), (20, 0.08)]), st.floats(0.2, 4))
def test_the_promise_holds_in_any_world(seed, promise, hardness):
    n, alpha = promise
    found = world(seed, hardness, images=300)
    means = mean_losses(reliable_error_loss(found).numpy(), n, seed)
    error, deviation = expected_error(error_rates(found), within(means, alpha, n))
    assert error <= alpha + 4 * deviation


def one(reliable: list[int], wrong: list[int], valid: int = 100) -> ReliablePixels:
    return ReliablePixels(torch.tensor([reliable]), torch.tensor([wrong]), torch.tensor([valid]))


def test_the_loss_is_the_worst_rate_up_to_the_threshold():
    loss = reliable_error_loss(one([0, 10, 20, 40], [0, 2, 2, 3]))
    assert loss.tolist() == [[0, 0.2, 0.2, 0.2]]


def test_a_handful_of_pixels_counts_as_one_percent_of_the_image():
    assert SMALLEST_SHARE == 0.01
    assert reliable_error_loss(one([1, 300], [1, 1], valid=1000)).tolist() == [[0.1, 0.1]]


def test_the_wrong_share_divides_by_all_valid_pixels():
    assert wrong_share_loss(one([10, 40], [2, 3])).tolist() == [[0.02, 0.03]]


def test_blocks_average_their_images():
    losses = torch.tensor([[0.0, 0.2], [0.2, 0.4], [1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(
        unit_means(losses, torch.tensor([1, 1, 0])), torch.tensor([[1.0, 1.0], [0.1, 0.3]], dtype=torch.float64)
    )


def losses_of(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_the_largest_threshold_within_the_bound_is_chosen():
    control = control_risk(losses_of(*[[0.0, 0.1, 0.5]] * 9), alpha=0.2)
    assert control.index == 1 and control.is_reachable
    assert control.bounds.tolist() == pytest.approx([0.1, 0.19, 0.55])


def test_a_bound_of_exactly_alpha_is_within():
    assert control_risk(losses_of(*[[0.0]] * 99), alpha=0.01).index == 0


@pytest.mark.parametrize(("alpha", "needed"), [(0.01, 99), (0.1, 9), (0.05, 19), (0.3, 3)])
def test_too_few_units_reach_no_promise_however_good_they_are(alpha, needed):
    assert units_needed(alpha) == needed
    assert control_risk(losses_of(*[[0.0]] * needed), alpha).index == 0
    control = control_risk(losses_of(*[[0.0]] * (needed - 1)), alpha)
    assert (control.index, control.is_reachable) == (-1, False)


def test_when_every_threshold_is_too_wrong_nothing_is_reliable():
    control = control_risk(losses_of(*[[0.5, 1.0]] * 200), alpha=0.01)
    assert (control.index, control.is_reachable) == (-1, True)


def test_a_measured_threshold_needs_no_bound():
    assert threshold_within(losses_of([0.0, 0.02, 0.2], [0.0, 0.0, 0.2]), 0.01) == 1
    assert threshold_within(losses_of([0.5]), 0.01) == -1


@pytest.mark.parametrize(
    "losses",
    [losses_of([0.0, float("nan")]), losses_of([0.2, 0.1]), losses_of([0.0, 1.1]), losses_of([-0.1, 0.0])],
    ids=["NaN", "falls", "above the bound", "negative"],
)
def test_losses_that_the_theorem_does_not_cover_are_refused(losses):
    with pytest.raises(ValueError, match="never fall"):
        control_risk(losses, 0.1)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_a_promise_that_is_none_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        control_risk(losses_of([0.0]), alpha)


def test_no_units_are_refused():
    with pytest.raises(ValueError, match="no unit"):
        control_risk(torch.zeros(0, 3), 0.1)


def image_counts(right_and_wrong: dict[tuple[int, int], tuple[int, int]]) -> torch.Tensor:
    """(1, 2, NUM_BINS, 2) from (class, bin) -> (right, wrong)."""
    counts = torch.zeros(1, 2, NUM_BINS, 2, dtype=torch.long)
    for (class_id, place), values in right_and_wrong.items():
        counts[0, class_id, place] = torch.tensor(values)
    return counts


def test_pixels_are_counted_as_the_graph_compares_them():
    table = torch.full((2, NUM_BINS), 0.5)
    table[0, 100], table[1, 100] = THRESHOLDS[120], THRESHOLDS[120] * (1 + 1e-6)
    pixels = reliable_pixels(image_counts({(0, 100): (5, 1), (1, 100): (3, 2), (1, 7): (0, 9)}), table)
    for index, threshold in enumerate(THRESHOLDS):
        chosen = (table <= threshold).double()
        assert int(pixels.reliable[0, index]) == int(6 * chosen[0, 100] + 5 * chosen[1, 100] + 9 * chosen[1, 7])
        assert int(pixels.wrong[0, index]) == int(chosen[0, 100] + 2 * chosen[1, 100] + 9 * chosen[1, 7])


def test_pixels_of_equal_scores_pass_together():
    pixels = reliable_pixels(image_counts({(0, 100): (50, 50)}), torch.full((2, NUM_BINS), 0.5))
    assert set(pixels.reliable[0].tolist()) == {0, 100}


@pytest.mark.parametrize("loss", LOSSES)
def test_all_right_makes_everything_reliable_and_all_wrong_nothing(loss):
    table = torch.full((2, NUM_BINS), 0.5)
    right = reliable_pixels(image_counts({(0, 100): (9, 0)}).repeat(120, 1, 1, 1), table)
    wrong = reliable_pixels(image_counts({(0, 100): (0, 9)}).repeat(120, 1, 1, 1), table)
    assert control_risk(LOSSES[loss](right), 0.01).index == len(THRESHOLDS) - 1
    at_most = control_risk(LOSSES[loss](wrong), 0.01).index
    assert wrong.reliable[:, : at_most + 1].sum() == 0


def test_an_image_without_valid_pixels_is_refused():
    with pytest.raises(ValueError, match="no valid pixel"):
        reliable_pixels(image_counts({}), torch.full((2, NUM_BINS), 0.5))


def test_probabilities_that_are_nan_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        reliable_pixels(image_counts({(0, 1): (1, 1)}), torch.full((2, NUM_BINS), float("nan")))
