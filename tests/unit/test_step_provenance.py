"""Pixels that nobody reviewed never enter a loss as truth: in no host does their label change a single bit."""

import numpy as np
import pytest
import torch

from datasets.labels import Provenance
from datasets.sample import Sample
from tests.unit.step_cases import context_for, tiny_host
from tests.unit.training_cases import TinyStudent, color_blocks, provenance_halves
from training.batches.loader import BatchLoader, device_mover
from training.config import RunConfig, ViewConfig
from training.data import TrainingData, training_sample
from training.lookup import host_names


class ListPool:
    """A pool over samples in memory."""

    def __init__(self, samples):
        self._samples = samples

    def read(self, item):
        return self._samples[item]


def loss_and_gradient(label, host_name):
    """Total loss and gradient of one step on two half-reviewed images with this label."""
    provenance = provenance_halves()
    image, _ = color_blocks(0)
    weight = np.full(label.shape, 0.5, np.float32)
    samples = [training_sample(Sample(f"s{n}", image, label, provenance, weight)) for n in range(2)]
    data = TrainingData(None, ListPool(samples), (0, 1), (1.0, 1.0), (0, 1), "")
    host = tiny_host(host_name)
    views = ViewConfig(crop_hw=(48, 64), scale_range=(0.9, 1.1))
    recipes = host.strong_recipes if host.uses_unlabeled else None
    batch = BatchLoader(data, recipes, views, RunConfig(labeled_batch=2, unlabeled_batch=2)).batch(3)
    move = device_mover(torch.device("cpu"), (0.5,) * 3, (0.25,) * 3, torch.contiguous_format)
    student = TinyStudent()
    loss = host.losses(context_for(host, student), move(batch)).total
    loss.backward()
    return loss.detach(), student.layer.weight.grad


@pytest.mark.parametrize("host_name", host_names())
def test_labels_of_unreviewed_pixels_change_nothing(host_name):
    _, label = color_blocks(0)
    changed = np.where(provenance_halves() == Provenance.UNREVIEWED, (label + 1) % 3, label).astype(np.uint8)
    assert (changed != label).any()
    loss, gradient = loss_and_gradient(label, host_name)
    other_loss, other_gradient = loss_and_gradient(changed, host_name)
    assert torch.equal(loss, other_loss) and torch.equal(gradient, other_gradient)


@pytest.mark.parametrize("host_name", host_names())
@pytest.mark.parametrize("kind", [Provenance.HUMAN, Provenance.PSEUDO], ids=["human", "pseudo"])
def test_labels_of_human_and_pseudo_pixels_do_change_the_gradient(host_name, kind):
    _, label = color_blocks(0)
    changed = np.where(provenance_halves() == kind, (label + 1) % 3, label).astype(np.uint8)
    _, gradient = loss_and_gradient(label, host_name)
    _, other_gradient = loss_and_gradient(changed, host_name)
    assert not torch.equal(gradient, other_gradient)
