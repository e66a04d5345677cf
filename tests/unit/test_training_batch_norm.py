"""Batch-norm layers of a batch that is spread over processes; what two processes do: test_training_processes."""

from types import SimpleNamespace

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from training.batch_norm import share_batch_statistics
from training.config import ModelConfig
from training.models import build_student


def accelerator_of(processes, device):
    return SimpleNamespace(num_processes=processes, device=torch.device(device))


def kinds(module):
    return {type(layer) for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)}


def test_several_gpus_measure_statistics_together():
    student = build_student(ModelConfig(), num_classes=3)
    share_batch_statistics(student, accelerator_of(2, "cuda"))
    assert kinds(student) == {nn.SyncBatchNorm}


@pytest.mark.parametrize(("processes", "device"), [(1, "cuda"), (2, "cpu")], ids=["one-gpu", "two-cpus"])
def test_other_runs_keep_their_layers(processes, device):
    student = build_student(ModelConfig(), num_classes=3)
    share_batch_statistics(student, accelerator_of(processes, device))
    assert kinds(student) == {nn.BatchNorm2d}


def test_sharing_statistics_changes_neither_names_nor_predictions():
    student, image = build_student(ModelConfig(), num_classes=3).eval(), torch.randn(1, 3, 32, 32)
    before, names = student(image).logits, list(student.state_dict())
    share_batch_statistics(student, accelerator_of(2, "cuda"))
    assert list(student.state_dict()) == names and torch.equal(student.eval()(image).logits, before)


def test_sharing_statistics_keeps_the_activation_inside_a_layer():
    network = nn.Sequential(BatchNormAct2d(3, act_layer=nn.ReLU)).eval()
    share_batch_statistics(network, accelerator_of(2, "cuda"))
    assert network.eval()(torch.full((1, 3, 2, 2), -1.0)).max() == 0
