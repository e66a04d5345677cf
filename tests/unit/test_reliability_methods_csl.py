import math

import pytest
import torch

from benchmarks.csl_by_svd import one_hot_features, select_by_svd, split_by_svd
from reliability.lookup import build_method
from reliability.methods.csl import class_band, reliable_half, trusted_block_mask
from reliability.scores import winner_features
from reliability.selection import RELIABLE_WEIGHT, SelectionInputs


def random_probabilities(num_classes: int, scale: float, seed: int, images: int = 2) -> torch.Tensor:
    """Smooth areas and noise, as sure as `scale` is large."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(images, num_classes, 4, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (32, 40), mode="bilinear")
    return torch.softmax(scale * (smooth + 0.3 * torch.randn(smooth.shape, generator=generator)), dim=1)


def random_valid(probabilities: torch.Tensor, seed: int) -> torch.Tensor:
    shape = (probabilities.shape[0], *probabilities.shape[2:])
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.8


def mixed_image() -> torch.Tensor:
    """A good image, 21 classes, sure everywhere but in pixel (0, 0), which has equal probabilities."""
    probabilities = random_probabilities(21, 8.0, seed=3, images=1)
    probabilities[0, :, 0, 0] = 1 / 21
    return probabilities


def select(probabilities, valid=None, **options):
    size = (probabilities.shape[0], *probabilities.shape[2:])
    valid = torch.ones(size, dtype=torch.bool) if valid is None else valid
    return build_method("csl", **options)(SelectionInputs(probabilities, valid))


@pytest.mark.parametrize("scale", [0.3, 2.0, 8.0, 30.0])
@pytest.mark.parametrize("num_classes", [2, 3, 11, 21])
def test_the_polynomial_splits_the_pixels_as_the_svd_does(num_classes, scale):
    probabilities = random_probabilities(num_classes, scale, seed=num_classes)
    valid = random_valid(probabilities, seed=1)
    confidence, _, residual = winner_features(probabilities)
    half = reliable_half(confidence, residual, valid)
    for image in range(2):
        chosen = valid[image]
        points = torch.stack((confidence[image][chosen], residual[image][chosen])).double()
        assert torch.equal(half.is_second[image][chosen], split_by_svd(points))


@pytest.mark.parametrize("scale", [0.3, 2.0, 8.0, 30.0])
@pytest.mark.parametrize("num_classes", [2, 3, 11, 21])
def test_weights_equal_those_by_svd(num_classes, scale):
    probabilities = random_probabilities(num_classes, scale, seed=num_classes)
    valid = random_valid(probabilities, seed=1)
    selection = select(probabilities, valid)
    expected, _ = select_by_svd(probabilities, valid, dtype=torch.float64)
    scores = selection.scores
    away_from_the_jump = torch.minimum(scores["z_confidence"].abs(), scores["z_residual"].abs()) >= 1e-3
    difference = (selection.weight - expected).abs()[away_from_the_jump]
    assert difference.max() < 1e-4


def test_features_equal_those_with_one_hot_tensors():
    probabilities = random_probabilities(11, 4.0, seed=0)
    confidence, residual = one_hot_features(probabilities)
    got_confidence, _, got_residual = winner_features(probabilities)
    assert torch.equal(got_confidence, confidence) and torch.equal(got_residual, residual)


@pytest.mark.parametrize("scale", [0.3, 2.0, 8.0])
def test_the_band_describes_the_same_split(scale):
    probabilities = random_probabilities(11, scale, seed=5)
    valid = random_valid(probabilities, seed=2)
    confidence, _, residual = winner_features(probabilities)
    low, high = class_band(confidence, residual, valid).view(2, 2, 1, 1).unbind(1)
    ratio = residual.double() / confidence.double()
    outside = valid & ((ratio < low) | (ratio > high))
    assert torch.equal(outside, reliable_half(confidence, residual, valid).is_second)


def test_the_band_of_an_image_without_valid_pixels_is_nan():
    confidence, _, residual = winner_features(random_probabilities(3, 1.0, seed=0, images=1))
    assert class_band(confidence, residual, torch.zeros_like(confidence, dtype=torch.bool)).isnan().all()


def test_an_image_without_valid_pixels_has_mean_one_zero_and_variance_one():
    confidence, _, residual = winner_features(random_probabilities(3, 1.0, seed=0, images=1))
    half = reliable_half(confidence, residual, torch.zeros_like(confidence, dtype=torch.bool))
    assert (half.mean.tolist(), half.variance.tolist()) == ([[1.0, 0.0]], [[1.0, 1.0]])


def test_a_pixel_with_equal_probabilities_in_a_good_image_has_weight_one_as_published():
    assert select(mixed_image()).weight[0, 0, 0].item() == 1


def test_require_confidence_takes_that_weight_away():
    assert select(mixed_image(), require_confidence=True).weight[0, 0, 0].item() < 0.01


def test_with_require_confidence_reliable_pixels_are_as_sure_as_the_mean_of_the_reliable_half():
    selection = select(random_probabilities(11, 3.0, seed=9), require_confidence=True)
    z_confidence = selection.scores["z_confidence"][selection.reliable]
    assert len(z_confidence) > 0 and z_confidence.min() > -math.sqrt(8 * 1e-6)


def test_require_confidence_only_ever_takes_pixels_away():
    probabilities = random_probabilities(11, 3.0, seed=9)
    floored, published = select(probabilities, require_confidence=True), select(probabilities)
    assert not (floored.reliable & ~published.reliable).any()
    assert floored.reliable.sum() < published.reliable.sum()


def test_require_confidence_changes_no_weight_of_the_pixels_that_stay_unreliable():
    probabilities = random_probabilities(11, 3.0, seed=9)
    floored, published = select(probabilities, require_confidence=True), select(probabilities)
    assert torch.equal(floored.weight[~published.reliable], published.weight[~published.reliable])


@pytest.mark.parametrize("require_confidence", [False, True])
def test_reliable_means_weight_above_the_limit(require_confidence):
    selection = select(random_probabilities(11, 3.0, seed=9), require_confidence=require_confidence)
    assert torch.equal(selection.reliable, selection.weight > RELIABLE_WEIGHT)


def test_of_two_pixels_only_the_surer_one_is_reliable():
    probabilities = torch.tensor([[0.9, 0.5], [0.06, 0.3], [0.04, 0.2]]).view(1, 3, 1, 2)
    assert select(probabilities).reliable.tolist() == [[[True, False]]]


def test_an_image_of_sure_pixels_is_reliable_with_require_confidence_too():
    one_hot = torch.zeros(1, 5, 6, 6)
    one_hot[:, 2] = 1
    assert select(one_hot, require_confidence=True).reliable.all()


def test_a_larger_alpha_forgives_more():
    probabilities = random_probabilities(11, 3.0, seed=9)
    narrow, wide = select(probabilities, alpha=2.0), select(probabilities, alpha=8.0)
    assert (narrow.weight <= wide.weight).all() and (narrow.weight < wide.weight).any()


def test_a_nan_pixel_has_no_weight_and_changes_no_other():
    probabilities = random_probabilities(5, 3.0, seed=4, images=1)
    valid = torch.ones(1, 32, 40, dtype=torch.bool)
    valid[0, 3, 4] = False
    expected = select(probabilities, valid).weight
    probabilities[0, :, 3, 4] = float("nan")
    assert torch.equal(select(probabilities).weight, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_selected_in_float32(dtype):
    probabilities = random_probabilities(5, 3.0, seed=4).to(dtype)
    selection = select(probabilities)
    assert torch.equal(selection.weight, select(probabilities.float()).weight)


@pytest.mark.parametrize(("size_hw", "cells"), [((64, 96), 6), ((40, 50), 2), ((10, 10), 1)], ids=str)
def test_block_mask_has_one_draw_per_block(size_hw, cells):
    masks = torch.stack(
        [trusted_block_mask(size_hw, 32, 0.5, torch.Generator().manual_seed(seed)) for seed in range(200)]
    )
    assert masks.shape[1:] == size_hw
    assert len(torch.unique(masks.flatten(1), dim=0)) <= 2**cells
    assert len(torch.unique(masks.flatten(1).float().T, dim=0)) == cells


def test_block_mask_covers_the_wanted_share():
    generator = torch.Generator().manual_seed(0)
    share = torch.stack([trusted_block_mask((321, 321), generator=generator).float().mean() for _ in range(50)]).mean()
    assert share.item() == pytest.approx(0.7, abs=0.02)


def test_block_mask_repeats_with_its_seed():
    first, second = (trusted_block_mask((64, 64), generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
