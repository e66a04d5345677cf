"""What every file in training/backbones/ must keep, with its default options; a new file is tested without a change."""

import inspect
import math
import re
from pathlib import Path

import pytest
import torch

from training.config import ModelConfig
from training.lookup import backbone_module, backbone_names
from training.models import PERTURBED_MAPS, Student, build_student

TRAINING_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
PRINTED_CLASSES = 21
NUM_CLASSES = 5


def options_of(name: str) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(backbone_module(name).build).parameters)
    return {key: value for key, value in parameters.items() if key not in ("num_classes", "pretrained")}


FREEZABLE = [name for name in backbone_names() if "freeze_encoder" in options_of(name)]


@pytest.fixture(scope="module", params=backbone_names())
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def student(name) -> Student:
    torch.manual_seed(0)
    return build_student(ModelConfig(backbone=name), NUM_CLASSES).eval()


def test_logits_have_the_size_of_an_odd_image(student):
    with torch.no_grad():
        assert student(torch.randn(1, 3, 57, 71)).logits.shape == (1, NUM_CLASSES, 57, 71)


def test_decoder_features_have_the_channels_that_the_student_says(student):
    with torch.no_grad():
        assert student(torch.randn(1, 3, 57, 71)).features.shape[:2] == (1, student.num_features)


def test_encoder_maps_begin_with_the_image_and_never_grow(student):
    sides = 2 * student.stride, 3 * student.stride
    image = torch.randn(1, 3, *sides)
    with torch.no_grad():
        maps = student.network.encoder(image)
    assert torch.equal(maps[0], image)
    areas = [feature.shape[2] * feature.shape[3] for feature in maps]
    assert areas == sorted(areas, reverse=True)


def test_encoder_maps_that_get_perturbed_have_channels(student):
    with torch.no_grad():
        maps = student.network.encoder(torch.randn(1, 3, 2 * student.stride, 2 * student.stride))
    assert min(maps[index].shape[1] for index in PERTURBED_MAPS) >= 32


def test_an_image_gets_the_logits_it_gets_in_a_batch(student):
    images = torch.randn(2, 3, 56, 70)
    with torch.no_grad():
        torch.testing.assert_close(student(images).logits[:1], student(images[:1]).logits, rtol=1e-3, atol=1e-4)


def test_logits_depend_on_the_image(student):
    with torch.no_grad():
        first, second = student(torch.randn(1, 3, 56, 70)).logits, student(torch.randn(1, 3, 56, 70)).logits
    assert (first - second).abs().max() > 1e-4


def test_gradient_reaches_every_parameter(student):
    # Processes wait for each other's gradients: a parameter without one stops them all. In eval mode, because batch
    # norm cannot train on the one pixel that DeepLabV3+ pools an image to.
    student.zero_grad(set_to_none=True)
    student(torch.randn(1, 3, 56, 70)).logits.square().mean().backward()
    missed = [key for key, parameter in student.named_parameters() if parameter.grad is None]
    student.zero_grad(set_to_none=True)
    assert missed == []


@pytest.mark.parametrize("name", FREEZABLE)
def test_a_frozen_encoder_gets_no_gradient_and_everything_else_does(name):
    student = build_student(ModelConfig(backbone=name, options={"freeze_encoder": True}), NUM_CLASSES).train()
    student(torch.randn(2, 3, 28, 42)).logits.square().mean().backward()
    with_gradient = {key for key, parameter in student.named_parameters() if parameter.grad is not None}
    assert with_gradient == {key for key, _ in student.named_parameters() if not key.startswith("network.encoder.")}


@pytest.mark.parametrize("name", FREEZABLE)
def test_a_frozen_encoder_stays_in_eval_mode_when_the_student_trains(name):
    student = build_student(ModelConfig(backbone=name, options={"freeze_encoder": True}), NUM_CLASSES).train()
    assert not any(module.training for module in student.network.encoder.modules())
    assert student.network.decoder.training and student.network.segmentation_head.training


def test_every_option_has_a_default(name):
    assert all(option.default is not inspect.Parameter.empty for option in options_of(name).values())


def test_the_training_page_names_every_option(name):
    assert all(f"`{option}`" in TRAINING_PAGE for option in options_of(name))


def test_the_training_page_says_how_many_parameters_there_are(name):
    printed = re.search(rf"^\| `{name}` \| ([\d.]+) M \|", TRAINING_PAGE, re.MULTILINE)
    assert printed is not None
    network = backbone_module(name).build(num_classes=PRINTED_CLASSES, pretrained=False)
    counted = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert math.isclose(float(printed[1]), counted, rel_tol=0.01)


def test_the_docstring_says_where_weights_come_from_and_on_which_terms(name):
    text = backbone_module(name).__doc__ or ""
    assert "Weights" in text and re.search(r"Apache-2\.0|BSD-3-Clause|license", text)
