"""S4MC against numbers of the released code (s4mcontext/s4mc at 63905af).

Tolerances: the same float32 operations in the same order, so 1e-6; dropped pixels are compared where the score is not
that close to the threshold.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from reliability.lookup import build_method
from reliability.methods.s4mc import S4MC
from reliability.scores import refine
from reliability.selection import SelectionInputs
from training.losses import Targets, consistency_loss

VECTORS = Path(__file__).parent / "vectors"
CASES = ["s4mc_margin_n4_k1_c21", "s4mc_margin_n8_k2_c19", "s4mc_entropy_n4_k1_c21", "s4mc_confidence_n8_k1_c19"]


@cache
def load(name: str) -> dict[str, np.ndarray]:
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def inputs_of(data: dict[str, np.ndarray]) -> SelectionInputs:
    probabilities = torch.softmax(torch.from_numpy(data["teacher_logits"]), dim=1)
    return SelectionInputs(probabilities, torch.from_numpy(data["target_in"] != 255), progress=0.0)


def released_method(data: dict[str, np.ndarray]) -> S4MC:
    """Batch percentile, and ignored pixels as neighbors, as released."""
    method = build_method(
        "s4mc",
        class_prior=data["class_prior"].tolist(),
        joint="prior",
        score=str(data["indicator"]),
        drop_share=1 - data["percent"].item() / 100,
        percentile_over="batch",
        neighborhood=data["neighborhood"].item(),
        strongest=data["n_neighbors"].item(),
        beta=data["beta"].item(),
        ignored_neighbors=True,
    )
    assert isinstance(method, S4MC)
    return method


@pytest.mark.parametrize("name", CASES)
def test_refined_probabilities_equal_the_released_code(name):
    data = load(name)
    refined = refine(
        inputs_of(data).probabilities,
        torch.from_numpy(data["class_prior"]),
        neighborhood=data["neighborhood"].item(),
        strongest=data["n_neighbors"].item(),
    )
    np.testing.assert_allclose(refined.numpy(), data["refined"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_threshold_equals_the_released_code(name):
    data = load(name)
    np.testing.assert_allclose(released_method(data).thresholds(inputs_of(data)), data["threshold"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_score_after_refinement_equals_the_released_code(name):
    data, score = load(name), str(load(name)["indicator"])
    valid = data["target_in"] != 255
    got = released_method(data)(inputs_of(data)).scores[f"refined_{score}"].numpy()
    np.testing.assert_allclose(got[valid], data[f"{score}_after"][valid], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["s4mc_margin_n4_k1_c21", "s4mc_margin_n8_k2_c19"])
def test_margin_before_refinement_equals_the_released_code(name):
    data = load(name)
    valid = data["target_in"] != 255
    got = released_method(data)(inputs_of(data)).scores["margin"].numpy()
    np.testing.assert_allclose(got[valid], data["margin_before"][valid], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_same_pixels_are_dropped(name):
    data, score = load(name), str(load(name)["indicator"])
    clear = (abs(data[f"{score}_after"] - data["threshold"]) > 1e-6) & (data["target_in"] != 255)
    reliable = released_method(data)(inputs_of(data)).reliable.numpy()
    assert np.array_equal(~reliable[clear], data["dropped"][clear])


@pytest.mark.parametrize("name", CASES)
def test_labels_survive_where_the_released_code_keeps_them(name):
    data = load(name)
    assert np.array_equal(released_method(data)(inputs_of(data)).reliable.numpy(), data["target_out"] != 255)


@pytest.mark.parametrize("name", CASES)
def test_the_loss_equals_the_released_code(name):
    data, inputs = load(name), inputs_of(load(name))
    method = released_method(data)
    label = torch.from_numpy(data["target_in"]).long()
    logits = torch.from_numpy(data["student_logits"])
    weight = method(inputs).weight
    loss = consistency_loss(logits, Targets(label, weight, inputs.valid, weight), method.normalizer)
    assert loss.item() == pytest.approx(data["loss"].item(), rel=1e-5)


def test_the_dropped_share_falls_over_training_as_in_the_released_code():
    data = load("s4mc_schedule")
    ramp = torch.linspace(0.0, 0.5, 1001).reshape(1, 1, 1, -1)  # its quantile at share s is 0.5 * s
    probabilities = torch.cat([0.5 + ramp, 0.5 - ramp], dim=1)  # margin: 0 to 1 in equal steps
    valid = torch.ones(1, 1, 1001, dtype=torch.bool)
    method = build_method("s4mc", drop_share=1 - data["drop_percent"].item() / 100)
    for epoch, percent in zip(data["epoch"], data["percent"], strict=True):
        inputs = SelectionInputs(probabilities, valid, progress=epoch.item() / data["epochs"].item())
        assert method.thresholds(inputs).item() == pytest.approx(1 - percent / 100, abs=1e-6)
