"""Which pixels enter a loss, and what it is divided by."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from training.losses import HardMining, Targets, consistency_loss, supervised_loss

VECTORS = Path(__file__).resolve().parents[1] / "paper" / "vectors"


def two_pixels() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of two pixels with cross entropies log 2 and log 4 against class 0."""
    probabilities = torch.tensor([[0.5, 0.5], [0.25, 0.75]])  # pixel, class
    return probabilities.log().T.reshape(1, 2, 1, 2), torch.zeros(1, 1, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("label", "weight", "expected"),
    [
        pytest.param([0, 0], [1.0, 1.0], np.log(8) / 2, id="two-human-pixels"),
        pytest.param([0, 255], [1.0, 1.0], np.log(2), id="void-leaves-the-divisor"),
        pytest.param(
            [0, 0], [1.0, 0.5], (np.log(2) + 0.5 * np.log(4)) / 2, id="weight-scales-but-stays-in-the-divisor"
        ),
        pytest.param([0, 0], [1.0, 0.0], np.log(2), id="weight-0-leaves-the-divisor"),
        pytest.param([255, 255], [1.0, 1.0], 0.0, id="nothing-labeled"),
        pytest.param([0, 0], [0.0, 0.0], 0.0, id="nothing-reviewed"),
    ],
)
def test_supervised_loss_of_two_pixels(label, weight, expected):
    logits, _ = two_pixels()
    loss = supervised_loss(logits, torch.tensor(label).view(1, 1, 2), torch.tensor(weight).view(1, 1, 2))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("normalizer", "valid", "expected"),
    [
        pytest.param("valid", [1, 1], (np.log(2) + 0.5 * np.log(4)) / 2, id="valid-counts-pixels"),
        pytest.param("valid", [1, 0], np.log(2), id="valid-leaves-padding-out"),
        pytest.param("all", [1, 0], np.log(2) / 2, id="all-counts-padding"),
        pytest.param("kept", [1, 0], np.log(2) * 2, id="kept-mean-times-all-over-kept"),
        pytest.param("weight", [1, 1], (np.log(2) + 0.5 * np.log(4)) / 1.5, id="weight-sum"),
        pytest.param("valid", [0, 0], 0.0, id="valid-nothing"),
        pytest.param("all", [0, 0], 0.0, id="all-nothing"),
        pytest.param("kept", [0, 0], 0.0, id="kept-nothing"),
        pytest.param("weight", [0, 0], 0.0, id="weight-nothing"),
    ],
)
def test_consistency_loss_of_two_pixels(normalizer, valid, expected):
    logits, label = two_pixels()
    weight = torch.tensor([[[1.0, 0.5]]])
    loss = consistency_loss(
        logits, Targets(label, weight, torch.tensor(valid, dtype=torch.bool).view(1, 1, 2), weight), normalizer
    )
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("normalizer", ["valid", "all", "kept", "weight"])
def test_gradient_of_a_batch_with_nothing_in_it_is_zero(normalizer):
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    nothing = torch.zeros(1, 2, 2)
    consistency_loss(logits, Targets(nothing.long(), nothing, nothing.bool(), nothing), normalizer).backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", ["csl_random_c2", "csl_random_c5", "csl_random_c21", "csl_ignore_region"])
def test_branch_loss_equals_the_released_code_of_csl(name):
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as data:
        logits = torch.from_numpy(data["student_logits"])
        label = torch.from_numpy(data["pseudo_label"]).long()
        valid = torch.from_numpy(data["ignore"] != 255)
        weight = torch.where(valid, torch.from_numpy(data["weight_alpha8"]), 0.0)
        expected = float(data["loss_u_alpha8"])
    assert consistency_loss(logits, Targets(label, weight, valid, weight), "valid").item() == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("case", range(4))
def test_hard_mining_equals_the_released_code(case):
    with np.load(VECTORS / "ohem.npz", allow_pickle=False) as data:
        logits = torch.from_numpy(data[f"logits_{case}"]).float()
        label = torch.from_numpy(data[f"label_{case}"]).long()
        rule = HardMining(float(data["thresh"]), int(data[f"min_kept_{case}"]))
        expected = float(data[f"loss_{case}"])
    loss = supervised_loss(logits, label, torch.ones(label.shape), rule)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_hard_mining_never_picks_an_unreviewed_pixel():
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, :, 0, 1] = torch.tensor([-9.0, 9.0])  # very wrong, but nobody reviewed it
    label, weight = torch.zeros(1, 1, 2, dtype=torch.int64), torch.tensor([[[1.0, 0.0]]])
    loss = supervised_loss(logits, label, weight, HardMining(0.7, 1))
    assert loss.item() == pytest.approx(np.log(2), rel=1e-6)


def test_half_precision_logits_are_summed_in_float32():
    torch.manual_seed(0)
    logits, label = torch.randn(1, 4, 64, 64).half(), torch.randint(0, 4, (1, 64, 64))
    assert supervised_loss(logits, label, torch.ones(1, 64, 64)).item() == pytest.approx(
        cross_entropy(logits.float(), label).item(), rel=1e-6
    )
