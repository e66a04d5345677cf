"""Students: sizes, perturbed copies, teachers."""

import pytest
import torch
from torch import nn

from training.batch_norm import batch_norm_layers
from training.config import ModelConfig
from training.lookup import backbone_names
from training.models import build_student, make_teacher, student_stride


@pytest.fixture(scope="module", params=backbone_names())
def student(request):
    torch.manual_seed(0)
    return build_student(ModelConfig(backbone=request.param), 5).eval()


@pytest.mark.parametrize("size_hw", [(64, 64), (33, 65), (1, 1)], ids=["multiple", "odd", "one-pixel"])
def test_logits_have_the_size_of_the_image(student, size_hw):
    with torch.no_grad():
        assert student(torch.randn(1, 3, *size_hw)).logits.shape == (1, 5, *size_hw)


def test_padding_to_the_stride_by_hand_changes_nothing(student):
    stride = student_stride(student)
    image = torch.randn(1, 3, stride + 5, stride + 1)
    padded = nn.functional.pad(image, (0, stride - 1, 0, stride - 5))
    with torch.no_grad():
        torch.testing.assert_close(student(image).logits, student(padded).logits[..., : stride + 5, : stride + 1])


def test_perturbed_copies_follow_the_unperturbed_logits(student):
    image = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        plain, both = student(image).logits, student(image, perturb_last=2).logits
    assert both.shape[0] == 5
    torch.testing.assert_close(both[:3], plain, rtol=1e-4, atol=1e-4)
    assert ((both[3:] - plain[1:]).abs().amax(dim=(1, 2, 3)) > 1e-4).all()


def test_features_are_the_map_before_the_classifier(student):
    with torch.no_grad():
        features = student(torch.randn(1, 3, 64, 64)).features
    assert features.shape[1] == student.num_features and features.shape[2] < 64


@pytest.mark.parametrize(("size_hw", "cells"), [((64, 64), (16, 16)), ((33, 5), (9, 2))], ids=["multiple", "padded"])
def test_features_end_where_the_image_ends(size_hw, cells):
    student = build_student(ModelConfig(), 3).eval()
    student.add_projection(8)
    with torch.no_grad():
        output = student.eval()(torch.randn(1, 3, *size_hw))
    assert tuple(output.features.shape[2:]) == tuple(output.projection.shape[2:]) == cells


def test_complementary_views_drop_channels_and_leave_the_other_images_alone(student):
    image = torch.randn(2, 3, 64, 64).repeat(2, 1, 1, 1)  # two crops, each as first and as second view
    image = torch.cat([image[:1], image])
    with torch.no_grad():
        plain, dropped = student(image).logits, student(image, complement_last=4).logits
    changed = ((dropped - plain).abs().amax(dim=(1, 2, 3)) > 1e-4).tolist()
    assert not changed[0]
    assert sorted(changed[1:3]) == [False, True] and changed[1:3] == changed[3:]  # half of the crops stay whole


def test_a_teacher_starts_equal_and_frozen(student):
    teacher = make_teacher(student)
    assert not any(parameter.requires_grad for parameter in teacher.parameters()) and not teacher.training
    assert all(
        torch.equal(a, b) for a, b in zip(teacher.state_dict().values(), student.state_dict().values(), strict=True)
    )


def test_weights_that_cannot_be_downloaded_say_what_to_do(monkeypatch):
    def offline(num_classes, pretrained):
        raise OSError("no connection")

    monkeypatch.setattr("training.backbones.fpn_resnet10t.build", offline)
    with pytest.raises(ValueError, match=r"could not be downloaded \(no connection\)\. Check the"):
        build_student(ModelConfig(pretrained="imagenet"), 3)


def test_frozen_batch_norm_never_moves_its_statistics():
    student = build_student(ModelConfig(batch_norm="frozen"), num_classes=3).train()
    before = {name: value.clone() for name, value in student.state_dict().items() if "running" in name}
    student(torch.randn(2, 3, 32, 32))
    after = student.state_dict()
    assert before and all(torch.equal(value, after[name]) for name, value in before.items())


def test_frozen_batch_norm_still_learns_scale_and_shift():
    student = build_student(ModelConfig(batch_norm="frozen"), num_classes=3).train()
    student(torch.randn(2, 3, 32, 32)).logits.square().sum().backward()
    stem = batch_norm_layers(student)[0]
    assert stem.weight.grad.any() and stem.bias.grad.any()
