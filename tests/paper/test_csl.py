"""CSL against numbers of the released code (PanLiuCSU/CSL, ICCV 2025); each file's `origin` says how they were made.

Tolerances: features and statistics are float32 in the reference, so 1e-5 relative plus the last digits of numbers near
0. A weight jumps from the exponential to 1 where a z-score crosses 0, so weights are compared where both z-scores are
at least 1e-3 away from it. Where the features of an image have rank one (all pixels equal) the reference's own split is
whatever LAPACK returns, and only weights are compared.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from reliability.lookup import build_method
from reliability.methods.csl import enlarge_cells, mask_trusted_pixels, reliable_half, trusted_block_mask
from reliability.scores import confidence, residual_variance
from reliability.selection import RELIABLE_WEIGHT, PixelSelection, SelectionInputs
from training.losses import consistency_loss
from training.step import targets_of

VECTORS = Path(__file__).parent / "vectors"
ALL = [
    *("csl_random_c2", "csl_random_c5", "csl_random_c21", "csl_random_c150", "csl_overconfident", "csl_ignore_region"),
    *("csl_regions_c11", "csl_constant", "csl_one_pixel", "csl_batch_mixed", "csl_nan"),
]
RANK_ONE_IMAGES = {"csl_constant": [0, 1, 2], "csl_one_pixel": [0, 1, 2], "csl_batch_mixed": [2]}
WITH_LOSS = ["csl_random_c2", "csl_random_c5", "csl_random_c21", "csl_ignore_region"]


@cache
def load(name: str) -> dict[str, np.ndarray]:
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def valid_of(data: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(data["ignore"] != 255)


@cache
def select(name: str, alpha: float = 8.0) -> PixelSelection:
    data = load(name)
    inputs = SelectionInputs(torch.from_numpy(data["probabilities"]), valid_of(data))
    return build_method("csl", alpha=alpha)(inputs)


def defined_pixels(name: str) -> np.ndarray:
    """Valid pixels that are not NaN, of images whose split is defined."""
    data = load(name)
    pixels = np.isfinite(data["confidence"])
    pixels[RANK_ONE_IMAGES.get(name, [])] = False
    return pixels


@pytest.mark.parametrize("name", ALL)
def test_confidence_equals_the_released_code(name):
    data, got = load(name), select(name).scores["confidence"].numpy()
    pixels = np.isfinite(data["confidence"])
    np.testing.assert_allclose(got[pixels], data["confidence"][pixels], rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_residual_variance_equals_the_released_code(name):
    data, got = load(name), select(name).scores["residual_variance"].numpy()
    pixels = np.isfinite(data["residual_variance"])
    np.testing.assert_allclose(got[pixels], data["residual_variance"][pixels], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("csl_constant", "csl_one_pixel")])
def test_every_pixel_falls_in_the_half_that_the_svd_gives(name):
    data, pixels = load(name), defined_pixels(name)
    half = reliable_half_of(name)
    assert np.array_equal(half.is_second.numpy()[pixels], data["assignment_f64"][pixels] == 1)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("csl_constant", "csl_one_pixel")])
def test_the_half_with_the_larger_mean_confidence_is_taken(name):
    data, pixels = load(name), defined_pixels(name)
    images = pixels.any(axis=(1, 2))
    assert np.array_equal(reliable_half_of(name).second_is_reliable.numpy()[images], data["picked_class"][images] == 1)


@pytest.mark.parametrize("name", ALL)
def test_mean_and_variance_of_the_reliable_half_equal_the_released_code(name):
    data, half = load(name), reliable_half_of(name)
    seen = [i for i in range(len(data["mean"])) if i not in RANK_ONE_IMAGES.get(name, [])]
    np.testing.assert_allclose(half.mean.numpy()[seen], data["mean"][seen], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(half.variance.numpy()[seen], data["var"][seen], rtol=1e-5, atol=1e-8)


def reliable_half_of(name):
    data = load(name)
    probabilities = torch.from_numpy(data["probabilities"])
    usable = valid_of(data) & probabilities.isfinite().all(dim=1)
    return reliable_half(confidence(probabilities), residual_variance(probabilities), usable)


@pytest.mark.parametrize("score", ["z_confidence", "z_residual"])
@pytest.mark.parametrize("name", ALL)
def test_z_scores_equal_the_released_code(name, score):
    data, got = load(name), select(name).scores[score].numpy()
    defined, known = defined_pixels(name), np.isfinite(data["confidence"])
    np.testing.assert_allclose(got[defined], data[score][defined], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got[known], data[score][known], rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("alpha", [8, 2])
@pytest.mark.parametrize("name", ALL)
def test_weights_equal_the_released_code(name, alpha):
    data, got = load(name), select(name, alpha).weight.numpy()
    with np.errstate(invalid="ignore"):
        near_the_jump = np.minimum(abs(data["z_confidence"]), abs(data["z_residual"])) < 1e-3
    rank_one = np.zeros_like(near_the_jump)
    rank_one[RANK_ONE_IMAGES.get(name, [])] = True
    compared = np.isfinite(data["confidence"]) & (~near_the_jump | rank_one)
    assert compared.any()
    np.testing.assert_allclose(got[compared], data[f"weight_alpha{alpha}"][compared], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_ignored_and_nan_pixels_weigh_nothing(name):
    data = load(name)
    assert not select(name).weight.numpy()[~np.isfinite(data["confidence"])].any()


@pytest.mark.parametrize("name", ALL)
def test_pseudo_labels_equal_the_released_code(name):
    data = load(name)
    assert np.array_equal(select(name).pseudo_label.numpy(), data["pseudo_label"])


@pytest.mark.parametrize("name", ["csl_constant", "csl_one_pixel"])
def test_equal_pixels_are_all_reliable(name):
    selection = select(name)
    assert (selection.weight > RELIABLE_WEIGHT).all() and selection.reliable.all()


@pytest.mark.parametrize("name", WITH_LOSS)
def test_the_weighted_loss_equals_the_released_code(name):
    data, selection = load(name), select(name)
    logits = torch.from_numpy(data["student_logits"])
    loss = consistency_loss(logits, targets_of(selection, valid_of(data)), "valid")
    assert loss.item() == pytest.approx(data["loss_u_alpha8"].item(), rel=1e-5)


def test_logits_and_probabilities_of_the_same_file_agree():
    data = load("csl_random_c5")
    probabilities = torch.softmax(torch.from_numpy(data["logits"]), dim=1)
    np.testing.assert_allclose(probabilities.numpy(), data["probabilities"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", [0, 1, 2])
def test_block_cells_are_enlarged_as_in_the_released_code(case):
    data = load("csl_block_mask")
    size = data[f"size_{case}"].item()
    mask = enlarge_cells(torch.from_numpy(data[f"coarse_{case}"]), (size, size))
    differing = (mask.numpy() != data[f"mask_{case}"]).mean()
    assert differing <= 0.005  # a border on a whole number may fall on either side of its row


@pytest.mark.parametrize("case", [0, 1, 2])
def test_block_mask_has_as_many_cells_as_in_the_released_code(case):
    data = load("csl_block_mask")
    size, block = data[f"size_{case}"].item(), data[f"block_{case}"].item()
    generator = torch.Generator().manual_seed(case)
    mask = trusted_block_mask((size, size), block, data[f"ratio_{case}"].item(), generator)
    cells = len(data[f"coarse_{case}"])
    center = (2 * torch.arange(cells) + 1) * size // (2 * cells)
    assert torch.equal(enlarge_cells(mask[center][:, center], (size, size)), mask)


def test_trusted_pixels_are_masked_only_inside_the_blocks():
    reliable = select("csl_regions_c11").reliable
    blocks = trusted_block_mask((64, 80), 16, 0.5, torch.Generator().manual_seed(0))
    image = torch.ones(2, 3, 64, 80)
    masked = mask_trusted_pixels(image, reliable, blocks)
    assert torch.equal(masked[:, 0] == 0, reliable & blocks) and image.all()
