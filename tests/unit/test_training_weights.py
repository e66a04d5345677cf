"""Encoder weights from files: every accepted form, what is refused, position embeddings of another grid."""

import logging

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from training.backbones._dpt import TokenEncoder
from training.config import ModelConfig
from training.models import build_student
from training.weights import load_encoder_weights


def fresh_encoder(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_student(ModelConfig(), 3).network.encoder


def tiny_transformer(seed: int, grid: int = 5) -> nn.Module:
    """DINOv2's architecture with 12 blocks of 12 channels, on a grid of positions of any size."""
    torch.manual_seed(seed)
    return TokenEncoder(
        timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=14 * grid, embed_dim=12, num_heads=2)
    )


def assert_same(encoder: nn.Module, expected: nn.Module) -> None:
    tensors = expected.state_dict()
    assert all(torch.equal(tensors[key], tensor) for key, tensor in encoder.state_dict().items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".bin"])
def test_encoder_weights_load_from_a_local_file(tmp_path, suffix):
    source = fresh_encoder(1)
    tensors = {f"module.{key}": tensor for key, tensor in source.state_dict().items()}
    tensors["fc.weight"] = torch.zeros(1000, 512)  # an ImageNet classifier that nobody needs
    path = tmp_path / f"weights{suffix}"
    safetensors.torch.save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    torch.manual_seed(2)
    assert_same(build_student(ModelConfig(pretrained=str(path)), 3).network.encoder, source)


@pytest.mark.parametrize("outer", ["state_dict", "model"])
def test_weights_load_from_a_checkpoint_that_holds_more(tmp_path, outer):
    source, path = fresh_encoder(1), tmp_path / "checkpoint.pth"
    state = {f"module.backbone.{key.removeprefix('model.')}": tensor for key, tensor in source.state_dict().items()}
    torch.save({outer: state, "epoch": 7}, path)
    loaded = fresh_encoder(2)
    load_encoder_weights(loaded, path)
    assert_same(loaded, source)


def test_weights_from_before_batch_norm_counted_its_batches_load(tmp_path):
    source, path = fresh_encoder(1), tmp_path / "old.pth"
    torch.save({key: t for key, t in source.state_dict().items() if "num_batches_tracked" not in key}, path)
    loaded = fresh_encoder(2)
    load_encoder_weights(loaded, path)
    assert_same(loaded, source)


def test_weights_of_another_encoder_are_refused_by_name(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(
        ValueError, match=r"other\.safetensors does not fit the encoder: .*'model\.conv1\.0\.weight'.* another backbone"
    ):
        load_encoder_weights(fresh_encoder(0), path)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path):
    encoder, path = fresh_encoder(0), tmp_path / "wide.pth"
    torch.save({**encoder.state_dict(), "model.bn1.weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"1 of another shape \(first \['model\.bn1\.weight \(3,\) instead of \(64,\)"):
        load_encoder_weights(encoder, path)


def test_an_encoder_that_is_refused_keeps_its_weights(tmp_path):
    encoder, path = fresh_encoder(0), tmp_path / "half.pth"
    half = dict(list(fresh_encoder(1).state_dict().items())[:20])
    torch.save(half, path)
    with pytest.raises(ValueError, match="tensors missing"):
        load_encoder_weights(encoder, path)
    assert_same(encoder, fresh_encoder(0))


def test_tensors_that_the_encoder_does_not_have_are_logged(tmp_path, caplog):
    encoder, path = fresh_encoder(0), tmp_path / "more.pth"
    torch.save({**encoder.state_dict(), "mask_token": torch.zeros(1, 8), "fc.bias": torch.zeros(10)}, path)
    with caplog.at_level(logging.INFO, logger="training.weights"):
        load_encoder_weights(encoder, path)
    assert "1 tensors are not the encoder's and were left out: ['mask_token']" in caplog.text


def test_weights_in_the_form_of_dinov2s_release_load(tmp_path):
    source, path = tiny_transformer(1), tmp_path / "dinov2_vits14_pretrain.pth"
    release = {key.removeprefix("model."): tensor for key, tensor in source.state_dict().items()}
    torch.save({**release, "mask_token": torch.zeros(1, 12)}, path)
    loaded = tiny_transformer(2)
    load_encoder_weights(loaded, path)
    assert_same(loaded, source)


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_base_patch14_dinov2"])
def test_dinov2s_tensor_names_and_shapes_are_the_encoders(name):
    with torch.device("meta"):
        encoder = timm.create_model(name, num_classes=0)
    shapes = {key: tuple(tensor.shape) for key, tensor in encoder.state_dict().items()}
    # What the release files hold besides mask_token, by DINOv2's own code.
    width = {"vit_small_patch14_dinov2": 384, "vit_base_patch14_dinov2": 768}[name]
    block = {
        **{f"{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in ("weight", "bias")},
        **{f"{scale}.gamma": (width,) for scale in ("ls1", "ls2")},
        **{"attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,)},
        **{"attn.proj.weight": (width, width), "attn.proj.bias": (width,)},
        **{"mlp.fc1.weight": (4 * width, width), "mlp.fc1.bias": (4 * width,)},
        **{"mlp.fc2.weight": (width, 4 * width), "mlp.fc2.bias": (width,)},
    }
    assert shapes == {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + 37 * 37, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        **{f"blocks.{index}.{key}": shape for index in range(12) for key, shape in block.items()},
    }


def test_position_embeddings_of_another_grid_are_resampled(tmp_path):
    source, path = tiny_transformer(1, grid=7), tmp_path / "grid7.pth"
    rows = torch.arange(7.0).repeat_interleave(7)  # every channel says which row a position is in
    positions = torch.cat([torch.tensor([100.0]), rows])[None, :, None].expand(1, 50, 12)
    torch.save({**source.state_dict(), "model.pos_embed": positions.clone()}, path)
    loaded = tiny_transformer(2, grid=5)
    load_encoder_weights(loaded, path)
    found = loaded.model.pos_embed[0, :, 0]
    assert found.shape == (26,) and found[0] == 100  # the class token's is not part of the grid
    grid = found[1:].view(5, 5)
    torch.testing.assert_close(grid, grid[:, :1].expand(5, 5))
    torch.testing.assert_close(grid[2, 0], torch.tensor(3.0))  # the middle row stays the middle row
    assert (grid[1:, 0] > grid[:-1, 0]).all()


def test_position_embeddings_with_other_extra_tokens_are_refused(tmp_path):
    source, path = tiny_transformer(1), tmp_path / "registers.pth"
    torch.save({**source.state_dict(), "model.pos_embed": torch.zeros(1, 5 + 25, 12)}, path)  # class and 4 registers
    with pytest.raises(ValueError, match=r"model\.pos_embed \(1, 30, 12\) instead of \(1, 26, 12\)"):
        load_encoder_weights(tiny_transformer(2), path)


def test_a_missing_weight_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.pretrained: no file .*nowhere\.pth"):
        build_student(ModelConfig(pretrained=str(tmp_path / "nowhere.pth")), 3)


def test_a_pickled_object_is_not_executed(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save(build_student(ModelConfig(), 3), path)  # a pickled class instead of tensors
    with pytest.raises(ValueError, match=r"evil\.pth"):
        build_student(ModelConfig(pretrained=str(path)), 3)
