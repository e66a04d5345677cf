"""What a calibration says about images whose errors are known."""

import numpy as np
import pytest
import torch

from datasets.frames import FrameRule, set_apart
from reliability.probability_curves import uncalibrated_curve
from reliability.risk_control import (
    THRESHOLDS,
    control_risk,
    losses_in_score_order,
    reliable_error_loss,
    reliable_pixels,
)
from reliability.score_bins import NUM_BINS, bin_scores
from training.calibration import (
    MIN_IMAGES,
    CalibrationRequest,
    CannotCalibrateError,
    calibrate_counts,
    class_error_curves,
    percent,
    sentence,
)

INDEPENDENT = FrameRule(independent=True)


def images(number: int, seed: int = 0, sharpness: float = 2.0, num_classes: int = 3) -> torch.Tensor:
    """(number, C, NUM_BINS, 2): the surest half of the scores is hardly ever wrong, and some images are harder."""
    generator = np.random.default_rng(seed)
    rate = 0.5 * (1 - bin_scores().numpy()) ** sharpness * generator.gamma(2, 0.5, (number, 1, 1))
    pixels = generator.poisson(12, (number, num_classes, NUM_BINS))
    wrong = generator.binomial(pixels, np.clip(np.broadcast_to(rate, pixels.shape), 0, 1))
    return torch.from_numpy(np.stack((pixels - wrong, wrong), axis=-1))


def names(number: int, recording: str = "A_") -> list[str]:
    return [f"{recording}{index:04d}" for index in range(number)]


def calibrated(counts: torch.Tensor, rule: FrameRule = INDEPENDENT, **request: object):
    return calibrate_counts(counts, names(len(counts)), CalibrationRequest(rule=rule, **request))


def test_enough_independent_images_give_a_promise_that_a_fresh_world_keeps():
    calibration = calibrated(images(400))
    fresh = reliable_pixels(images(2000, seed=1), calibration.curves.table)
    index = calibration.threshold.index
    assert calibration.threshold.is_promised and calibration.coverage > 0.3
    assert reliable_error_loss(fresh)[:, index].mean() <= 0.011
    assert (calibration.unit, calibration.is_set_apart) == ("image", True)
    assert (calibration.fit_images, calibration.threshold_images) == (100, 300)


def test_frames_count_as_blocks_and_those_are_too_few_for_one_percent():
    calibration = calibrated(images(400), FrameRule())
    assert (calibration.unit, calibration.blocks, calibration.threshold.units) == ("block", 20, 15)
    assert not calibration.threshold.is_promised and not calibration.threshold.is_reachable
    assert calibration.by_unit["image"].is_promised


def test_without_a_promise_the_threshold_keeps_these_images_within_alpha_and_says_so():
    calibration = calibrated(images(400), FrameRule())
    threshold = calibration.threshold
    assert 0 < threshold.mean_loss <= 0.01 and threshold.bound == pytest.approx((15 * threshold.mean_loss + 1) / 16)
    assert "No promise of 1 %: it takes at least 99 blocks of frames" in sentence(calibration)
    assert "the number here is 15, because 100 of the 400 held-out images fit the curves" in sentence(calibration)
    assert percent(threshold.bound) in sentence(calibration)


def test_a_larger_alpha_can_be_promised_with_blocks():
    calibration = calibrated(images(400), FrameRule(), alpha=0.1)
    assert calibration.threshold.is_promised and "Promised for further images like these" in sentence(calibration)


@pytest.mark.parametrize("number", range(MIN_IMAGES))
def test_too_few_images_are_refused(number):
    with pytest.raises(CannotCalibrateError, match=f"at least {MIN_IMAGES} labeled images .* got {number}"):
        calibrated(images(number))


def test_images_without_a_valid_pixel_do_not_count():
    counts = images(MIN_IMAGES + 1)
    counts[2] = 0
    assert calibrated(counts).threshold_images == MIN_IMAGES


def test_few_images_share_one_curve_and_serve_for_both():
    calibration = calibrated(images(9))
    assert not calibration.is_set_apart and not calibration.curves.per_class
    assert (calibration.fit_images, calibration.threshold_images) == (9, 9)


@pytest.mark.parametrize("kind", ["uncalibrated", "fitted"])
def test_a_choice_on_the_images_of_the_curve_is_one_that_the_score_allows(kind):
    """Whatever the curve, the error of its masks is bounded as that of the same masks by score alone."""
    counts = images(40, seed=3)
    curve = uncalibrated_curve().float() if kind == "uncalibrated" else calibrated(counts[:9]).curves.table[0]
    losses = losses_in_score_order(counts, curve, "reliable")
    by_curve = reliable_error_loss(reliable_pixels(counts, curve.expand(3, -1)))
    assert bool((losses >= by_curve - 1e-12).all())
    masks = reliable_pixels(counts, curve.expand(3, -1)).wrong / counts.sum(dim=(1, 2, 3)).double().unsqueeze(1)
    torch.testing.assert_close(losses_in_score_order(counts, curve, "image"), masks)


@pytest.mark.parametrize("n", [5, 9])
def test_with_few_images_the_promise_holds_although_curve_and_threshold_share_them(n):
    pool = images(100, seed=5, sharpness=0.1)
    promised = {5: 0.25, 9: 0.15}[n]
    errors = []
    for trial in range(60):
        members = np.random.default_rng(trial).integers(0, len(pool), n)
        calibration = calibrated(pool[members], alpha=promised)
        index = calibration.threshold.index if calibration.threshold.is_promised else -1
        loss = reliable_error_loss(reliable_pixels(pool, calibration.curves.table)).mean(dim=0)
        errors.append(0.0 if index < 0 else float(loss[index]))
    assert np.mean(errors) <= promised + 3 * np.std(errors) / len(errors) ** 0.5
    assert float(reliable_error_loss(reliable_pixels(pool, calibration.curves.table))[:, -1].mean()) > promised


def test_the_threshold_is_the_one_of_the_paper():
    calibration = calibrated(images(400))
    losses = reliable_error_loss(calibration.pixels)
    assert calibration.threshold.index == control_risk(losses, 0.01).index
    assert calibration.threshold.value == float(THRESHOLDS[calibration.threshold.index])


def test_all_wrong_pixels_leave_nothing_reliable_and_it_is_said():
    counts = images(200)
    counts[..., 1] += counts[..., 0]
    counts[..., 0] = 0
    calibration = calibrated(counts)
    assert (calibration.threshold.value, calibration.coverage, calibration.error_rate) == (-1.0, 0.0, None)
    assert "No threshold keeps even these images" in sentence(calibration)


def test_all_right_pixels_are_all_reliable():
    counts = images(200)
    counts[..., 0] += counts[..., 1]
    counts[..., 1] = 0
    calibration = calibrated(counts)
    assert calibration.coverage == 1.0 and "none of them wrong" in sentence(calibration)


def test_a_class_that_never_occurs_has_no_curve_and_no_error():
    counts = images(200)
    counts[:, 1] = 0
    reliable, wrong, pixels = class_error_curves(calibrated(counts))
    assert not reliable[1].any() and not wrong[1].any() and int(pixels[1]) == 0
    assert int(pixels[0]) == int(counts[:, 0].sum()) - int(counts[_fit_rows(200), 0].sum())


def _fit_rows(number: int) -> list[int]:
    chosen = set(set_apart(names(number), 0.25, 0, INDEPENDENT))
    return [index for index, name in enumerate(names(number)) if name in chosen]


def test_the_risk_over_all_pixels_calls_more_reliable():
    assert calibrated(images(400), risk="image").coverage > calibrated(images(400), risk="reliable").coverage


@pytest.mark.parametrize(
    "change", [{"alpha": 0.0}, {"alpha": float("nan")}, {"gap": -1}, {"block_frames": 0}, {"fit_share": 1.0}]
)
def test_wrong_values_are_refused(change):
    with pytest.raises(ValueError, match="must be"):
        CalibrationRequest(**change)
