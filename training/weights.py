"""Encoder weights from a local file: opened safely, matched by name, position embeddings fitted to the encoder."""

import logging
import math
import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

logger = logging.getLogger(__name__)

_CLASSIFIER_KEYS = ("fc.", "head.", "classifier.", "norm_head.")
_POSITION_KEY = "pos_embed"
_COUNTER_KEY = "num_batches_tracked"  # files from before torch 0.4.1 lack it; batch norm with a momentum never reads it


def load_encoder_weights(encoder: nn.Module, path: Path) -> None:
    """Copy weights from a local file into an encoder.

    Takes .safetensors and whatever torch.load reads as plain tensors (.pth, .pt, .bin), also as "state_dict" or "model"
    of a larger file. Prefixes that libraries put before the names do not matter. A classifier and other tensors that
    the encoder does not have (DINOv2's mask token, for example) are left out and logged. Position embeddings of another
    square grid are resampled, bicubic.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no plain tensors, or a tensor of the encoder is missing in it or has another shape.
    """
    wanted = encoder.state_dict()
    found = {_bare(key): tensor for key, tensor in read_tensors(path, "model.pretrained").items()}
    state = {key: _fitted(_bare(key), found[_bare(key)], wanted[key]) for key in wanted if _bare(key) in found}
    missing = [key for key in wanted if key not in state and not key.endswith(_COUNTER_KEY)]
    misfits = [_misfit(key, state[key], wanted[key]) for key in state if state[key].shape != wanted[key].shape]
    if missing or misfits:
        raise ValueError(
            f"model.pretrained: {path} does not fit the encoder: {len(missing)} of {len(wanted)} tensors missing "
            f"(first {missing[:3]}), {len(misfits)} of another shape (first {misfits[:3]}). "
            "Are they weights of another backbone, or of the same one with other model.options?"
        )
    encoder.load_state_dict({**wanted, **state})
    _report_leftovers(path, found, wanted)


def _misfit(key: str, found: Tensor, wanted: Tensor) -> str:
    """For the error message: name, size in the file, size in the encoder."""
    return f"{key} {tuple(found.shape)} instead of {tuple(wanted.shape)}"


def _report_leftovers(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    used = {_bare(key) for key in wanted}
    leftover = [key for key in found if key not in used and not key.startswith(_CLASSIFIER_KEYS)]
    if leftover:
        logger.info("%s: %d tensors are not the encoder's and were left out: %s", path, len(leftover), leftover[:5])


def _fitted(name: str, tensor: Tensor, wanted: Tensor) -> Tensor:
    """Position embeddings on the encoder's grid; every other tensor as it is.

    Args:
        name: without wrappers.
        tensor: (1, P + h * h, D) if it holds position embeddings, P of them for tokens outside the grid.
        wanted: what the encoder has, (1, P + H * H, D).
    """
    if name != _POSITION_KEY or tensor.ndim != 3 or tensor.shape[1] == wanted.shape[1]:
        return tensor
    side, wanted_side = math.isqrt(tensor.shape[1]), math.isqrt(wanted.shape[1])
    num_prefix = wanted.shape[1] - wanted_side**2
    if tensor.shape[1] - side**2 != num_prefix:  # not the same class and register tokens: reported as another shape
        return tensor
    resampled: Tensor = resample_abs_pos_embed(tensor, [wanted_side] * 2, [side] * 2, num_prefix_tokens=num_prefix)
    return resampled


def read_tensors(path: Path, key: str) -> dict[str, Tensor]:
    """Names and tensors of a weight file, also where they are "state_dict" or "model" of a larger one; nothing runs.

    Args:
        path: .safetensors, or whatever torch.load reads as plain tensors.
        key: of the configuration that names the file, for the error.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no plain tensors.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{key}: no file {path}; give 'none' or an existing weight file")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"{key}: {path} holds no plain tensors and is not opened: pickled objects can run code. Save a state dict"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{key}: {path} holds no state dict (names and tensors)")
    return content


def _bare(key: str) -> str:
    """A tensor's name without the wrappers that libraries put before it."""
    for prefix in ("module.", "encoder.", "model.", "backbone."):
        key = key.removeprefix(prefix)
    return key
