"""Rank statistics against numbers of the released code (cvlab-stonybrook/Weighting-Pseudo-Labels at b049223).

Overlaps are whole numbers and must be equal. The released weight 1 + s / k carries an epsilon of 1e-8 in both parts of
the fraction, invisible in float32; ours is half of it, so weights agree to 1e-6. The memory is copied, not computed:
equal to the bit.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from reliability.feature_memory import FeatureMemory, prototypes
from reliability.methods.rank_statistics import RankStatistics, build, strongest_channels
from reliability.selection import SelectionInputs

VECTORS = Path(__file__).parent / "vectors"
CASES = ["rank_k3_c5", "rank_k5_c19", "rank_k5_c21_d256"]


@cache
def load(name: str) -> dict[str, np.ndarray]:
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def in_classes(rows: np.ndarray, counts: np.ndarray) -> dict[str, torch.Tensor]:
    """Rows that lie class after class as one batch of fixed shape."""
    filled = torch.zeros(1, len(counts), int(counts.max()), rows.shape[1])
    is_row = torch.arange(int(counts.max())) < torch.from_numpy(counts).unsqueeze(1)
    filled[0, is_row] = torch.from_numpy(rows)
    return {"rows": filled, "is_row": is_row.unsqueeze(0)}


def trained(name: str, form: str = "released", at: str = "pixel") -> RankStatistics:
    """The method with the memories of a case; without a gate."""
    data = load(name)
    method = build(channels=data["k"].item(), threshold=0.0, form=form, at=at)
    method.prepare(len(data["labeled_counts"]), data["features"].shape[1])
    for memory in ("labeled", "unlabeled"):
        batch = in_classes(data[f"{memory}_memory"], data[f"{memory}_counts"])
        method.absorb({f"{memory}_{key}": tensor for key, tensor in batch.items()})
    return method


def inputs_of(name: str) -> SelectionInputs:
    """Probabilities whose arg max is the label of the case."""
    data = load(name)
    label = torch.from_numpy(data["label"]).long()
    probabilities = torch.nn.functional.one_hot(label, len(data["labeled_counts"])).permute(0, 3, 1, 2).float()
    return SelectionInputs(probabilities, torch.ones_like(label, dtype=torch.bool), torch.from_numpy(data["features"]))


@pytest.mark.parametrize("name", CASES)
def test_prototypes_equal_the_released_code(name):
    data, method = load(name), trained(name)
    mean, exists = prototypes(method.labeled, method.unlabeled)
    assert np.array_equal(exists.numpy(), data["prototype_valid"])
    np.testing.assert_allclose(mean[exists].numpy(), data["prototypes"][data["prototype_valid"]], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_strongest_channels_of_each_class_equal_the_released_code(name):
    data, exists = load(name), load(name)["prototype_valid"]
    table = trained(name).class_channels.numpy()
    assert [set(np.flatnonzero(row)) for row in table[exists]] == [set(row) for row in data["prototype_topk"][exists]]
    assert not table[~exists].any()


@pytest.mark.parametrize("name", CASES)
def test_the_strongest_channels_of_each_pixel_equal_the_released_code(name):
    data = load(name)
    channels = strongest_channels(torch.from_numpy(data["features"]), data["k"].item()).numpy()
    assert np.array_equal(np.sort(channels, axis=1), np.sort(data["pixel_topk"], axis=1))


@pytest.mark.parametrize("at", ["pixel", "stride"])
@pytest.mark.parametrize("name", CASES)
def test_the_overlap_equals_the_released_code(name, at):
    method, inputs = trained(name, at=at), inputs_of(name)  # the features have a cell per pixel: both ways are the same
    overlap = method.overlap(inputs.features, torch.from_numpy(load(name)["label"]).long())
    assert np.array_equal(overlap.numpy(), load(name)["overlap"])


@pytest.mark.parametrize("name", CASES)
def test_the_weight_is_half_of_the_released_one(name):
    weight = trained(name)(inputs_of(name)).weight.numpy()
    np.testing.assert_allclose(2 * weight, load(name)["weight_code"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_weight_of_the_paper_is_an_option(name):
    weight = trained(name, form="paper")(inputs_of(name)).weight.numpy()
    np.testing.assert_allclose(weight, load(name)["weight_paper"], rtol=0, atol=1e-6)


def test_the_memory_moves_as_in_the_released_code():
    data = load("rank_memory_update")
    steps, num_classes, length, num_features = data["state"].shape
    memory = FeatureMemory(num_classes, length, num_features)
    ends = np.cumsum(data["step_sizes"])
    for step in range(steps):
        rows = slice(ends[step] - data["step_sizes"][step], ends[step])
        by_class = np.argsort(data["label"][rows], kind="stable")
        counts = np.bincount(data["label"][rows], minlength=num_classes)
        memory.push(*in_classes(data["features"][rows][by_class], counts).values())
        assert np.array_equal(memory.count.numpy(), data["counts"][step])
        assert np.array_equal(memory.rows.numpy(), np.nan_to_num(data["state"][step]))
