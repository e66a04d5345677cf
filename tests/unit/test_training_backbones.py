"""What single backbones promise beyond the contract: published sizes and rates, frozen encoders, ONNX per family."""

import pytest
import torch
from torch import nn

from export.onnx_check import check_against_torch
from export.onnx_graph import build_export_module, build_onnx
from reliability.lookup import build_method
from tests.unit.export_models import MEAN, STD, tiny_metadata
from training.backbones import _dpt, deeplabv3plus_resnet50, dpt_dinov2_small, segformer_mit_b2
from training.config import ModelConfig, OptimizerConfig
from training.models import build_student, make_teacher
from training.schedule import build_optimizer
from training.teacher import update_teacher


def dilations(network: nn.Module) -> set[int]:
    return {layer.dilation[0] for layer in network.modules() if isinstance(layer, nn.Conv2d)}


@pytest.fixture(scope="module")
def frozen_student():
    torch.manual_seed(0)
    return build_student(ModelConfig(backbone="dpt_dinov2_small", options={"freeze_encoder": True}), 3)


@pytest.mark.parametrize("stem", ["deep", "plain"])
@pytest.mark.parametrize(("output_stride", "last_hw", "rates"), [(16, (4, 5), {6, 12, 18}), (8, (8, 10), {12, 24, 36})])
def test_deeplabv3plus_has_the_published_stride_and_rates(output_stride, last_hw, rates, stem):
    network = deeplabv3plus_resnet50.build(3, False, output_stride=output_stride, stem=stem).eval()
    with torch.no_grad():
        maps = network.encoder(torch.randn(1, 3, 64, 80))
    assert tuple(maps[-1].shape) == (1, 2048, *last_hw)
    assert dilations(network.decoder) == {1, *rates}


@pytest.mark.parametrize(("output_stride", "expected"), [(16, {1, 2}), (8, {1, 2, 4})])
def test_the_encoder_trades_stride_for_dilation(output_stride, expected):
    assert dilations(deeplabv3plus_resnet50.build(3, False, output_stride=output_stride).encoder) == expected


def test_the_first_block_of_a_dilated_stage_keeps_the_dilation_before_it():
    stages = deeplabv3plus_resnet50.build(3, False, output_stride=8).encoder.model
    assert [block.conv2.dilation[0] for block in stages.layer4] == [
        2,
        4,
        4,
    ]  # as in UniMatch's and torchvision's ResNet


@pytest.mark.parametrize(
    ("stem", "output_stride", "expected"),
    [
        ("deep", 16, [2, 4, 8]),
        ("deep", 8, [4, 8, 16]),
        ("plain", 16, [4, 4, 8]),  # smp's first block has the dilation of its stage
        ("plain", 8, [8, 8, 16]),
    ],
)
def test_multi_grid_multiplies_the_last_dilations_and_keeps_sizes(stem, output_stride, expected):
    options = {"output_stride": output_stride, "stem": stem}
    plain, widened = (deeplabv3plus_resnet50.build(3, False, multi_grid=chosen, **options) for chosen in (False, True))
    stages = widened.encoder if stem == "plain" else widened.encoder.model
    assert [block.conv2.dilation[0] for block in stages.layer4] == expected
    image = torch.randn(1, 3, 64, 80)
    with torch.no_grad():
        shapes = [[each.shape for each in network.eval().encoder(image)] for network in (plain, widened)]
    assert shapes[0] == shapes[1]


def test_the_deep_stem_has_the_names_and_sizes_of_the_papers_weight_files():
    model = deeplabv3plus_resnet50.build(3, False).encoder.model
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items() if key.startswith("conv1")}
    weights = {key: shape for key, shape in shapes.items() if key.endswith("weight")}
    assert weights == {
        "conv1.0.weight": (64, 3, 3, 3),
        "conv1.1.weight": (64,),
        "conv1.3.weight": (64, 64, 3, 3),
        "conv1.4.weight": (64,),
        "conv1.6.weight": (128, 64, 3, 3),
    }


def test_the_plain_stem_is_one_convolution():
    assert deeplabv3plus_resnet50.build(3, False, stem="plain").encoder.conv1.kernel_size == (7, 7)


def test_the_deeplabv3plus_decoder_has_no_separable_convolution():
    decoder = deeplabv3plus_resnet50.build(3, False).decoder
    assert {layer.groups for layer in decoder.modules() if isinstance(layer, nn.Conv2d)} == {1}


def test_the_segformer_b2_decoder_is_as_wide_as_published():
    assert build_student(ModelConfig(backbone="segformer_mit_b2"), 3).num_features == segformer_mit_b2.DECODER_CHANNELS


@pytest.mark.parametrize(
    ("backbone", "option", "value", "message"),
    [
        ("deeplabv3plus_resnet50", "output_stride", 32, r"output_stride: choose 16 \(UniMatch\) or 8 .* got 32"),
        ("deeplabv3plus_resnet101", "output_stride", True, r"output_stride: choose 16 .* got True"),
        ("deeplabv3plus_resnet50", "stem", "wide", r"stem: choose deep .* got 'wide'"),
        ("deeplabv3plus_resnet50", "multi_grid", 1, r"multi_grid: choose true or false, got 1"),
        ("dpt_dinov2_small", "freeze_encoder", "yes", r"freeze_encoder: choose true or false, got 'yes'"),
        ("fpn_resnet10t", "output_stride", 8, r"has no option 'output_stride'; it takes none"),
    ],
)
def test_a_wrong_option_is_refused_with_its_key(backbone, option, value, message):
    with pytest.raises(ValueError, match=rf"model\.options.*{message}"):
        build_student(ModelConfig(backbone=backbone, options={option: value}), 3)


def test_dpt_levels_have_one_size_and_one_width():
    encoder = dpt_dinov2_small.build(3, False).encoder.eval()
    with torch.no_grad():
        levels = encoder(torch.randn(1, 3, 42, 70))[1:]
    assert [tuple(level.shape) for level in levels] == [(1, 384, 3, 5)] * 4


def test_dpt_levels_are_normalized():
    encoder = dpt_dinov2_small.build(3, False).encoder.eval()
    with torch.no_grad():
        level = encoder(torch.randn(1, 3, 42, 70))[1]
    torch.testing.assert_close(level.mean(dim=1), torch.zeros(1, 3, 5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("grid_hw", [(1, 1), (3, 5), (4, 4), (2, 7)], ids=str)
def test_the_dpt_decoder_gives_eight_pixels_per_patch_side_for_odd_and_even_grids(grid_hw):
    torch.manual_seed(0)
    decoder = _dpt.LevelDecoder(width=6, level_channels=(4, 4, 4, 4), fusion_channels=5).eval()
    features = [torch.zeros(1, 3, 1, 1), *(torch.randn(1, 6, *grid_hw) for _ in range(4))]
    with torch.no_grad():
        assert decoder(features).shape == (1, 5, 8 * grid_hw[0], 8 * grid_hw[1])


def test_the_dpt_decoder_reads_every_level():
    decoder = _dpt.LevelDecoder(width=6, level_channels=(4, 4, 4, 4), fusion_channels=5).eval()
    levels = [torch.randn(1, 6, 3, 5, requires_grad=True) for _ in range(4)]
    decoder([torch.zeros(1, 3, 1, 1), *levels]).square().sum().backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in levels)


def test_a_dinov2_encoder_takes_images_larger_and_smaller_than_its_position_grid():
    torch.manual_seed(0)
    student = build_student(ModelConfig(backbone="dpt_dinov2_small"), 3).eval()
    with torch.no_grad():
        assert student(torch.randn(1, 3, 546, 20)).logits.shape == (1, 3, 546, 20)  # 39 of 37 rows, 2 columns


def test_an_optimizer_step_leaves_a_frozen_encoder_as_it_was(frozen_student):
    before = {key: tensor.clone() for key, tensor in frozen_student.network.encoder.state_dict().items()}
    optimizer = build_optimizer(frozen_student, OptimizerConfig(name="adamw", lr=1e-2, weight_decay=0.1))
    frozen_student.train()(torch.randn(2, 3, 28, 42)).logits.square().mean().backward()
    optimizer.step()
    assert all(torch.equal(before[key], t) for key, t in frozen_student.network.encoder.state_dict().items())


def test_a_teacher_of_a_frozen_student_keeps_the_encoder(frozen_student):
    teacher = make_teacher(frozen_student, "train")
    update_teacher(teacher, frozen_student, decay=0.5)
    assert not any(module.training for module in teacher.network.encoder.modules())
    expected = frozen_student.network.encoder.state_dict()
    assert all(torch.equal(expected[key], t) for key, t in teacher.network.encoder.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("deeplabv3plus_resnet50", {"output_stride": 8}),
        ("segformer_mit_b0", {}),
        ("dpt_dinov2_small", {}),
    ],
)
def test_the_onnx_file_says_what_torch_says(backbone, options):
    torch.manual_seed(0)
    student = build_student(ModelConfig(backbone=backbone, options=options), 5).eval()
    if backbone == "dpt_dinov2_small":
        nn.init.normal_(student.network.encoder.model.pos_embed)  # 50 times its start: a wrong grid cannot hide
    module = build_export_module(student, build_method("csl"), MEAN, STD, student.stride)
    content = build_onnx(module, tiny_metadata()).SerializeToString()
    assert check_against_torch(module, content, student.stride).problem() is None
