"""The student: an encoder-decoder of segmentation_models_pytorch that takes any size and can perturb its features."""

import copy
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import ModelConfig
from training.lookup import backbone_module

FEATURE_DROPOUT = 0.5  # share of dropped channels; UniMatch and CSL, released code
PERTURBED_MAPS = (2, -1)  # the encoder's stride-4 and last map; UniMatch and CSL, released code
_CLASSIFIER_KEYS = ("fc.", "head.", "classifier.", "norm_head.")


class StudentOutput(NamedTuple):
    """What one pass yields.

    Attributes:
        logits: (N, C, H, W) at input size.
        features: (N, D, h, w), the decoder's last map before the classifier.
    """

    logits: Tensor
    features: Tensor


class Student(nn.Module):
    """Pads to the stride, runs the network, cuts the padding off again.

    Attributes:
        stride: the network's input sides must be multiples of it; inputs of the student need not.
    """

    def __init__(self, network: nn.Module, stride: int) -> None:
        super().__init__()
        self.network: Any = network
        self.stride = stride

    def forward(self, image: Tensor, perturb_last: int = 0) -> Tensor:
        """Logits of each image, followed by those of feature-perturbed copies of the last images.

        Perturbed copies share the encoder pass: whole channels of two encoder maps are dropped with probability 0.5.

        Args:
            image: (N, 3, H, W) normalised.
            perturb_last: K, how many images from the end of the batch also get a perturbed copy.

        Returns:
            (N + K, C, H, W).
        """
        features = self._encode(image)
        if perturb_last:
            features = _with_perturbed_copies(features, perturb_last)
        return self._classify(self.network.decoder(features), image)

    def logits_and_features(self, image: Tensor) -> StudentOutput:
        """Logits and the decoder features behind them, for methods that compare features."""
        decoded = self.network.decoder(self._encode(image))
        return StudentOutput(self._classify(decoded, image), decoded)

    def _encode(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        padded = functional.pad(image, (0, -width % self.stride, 0, -height % self.stride))  # 0 is the mean colour
        features: list[Tensor] = self.network.encoder(padded)
        return features

    def _classify(self, decoded: Tensor, image: Tensor) -> Tensor:
        logits: Tensor = self.network.segmentation_head(decoded)
        return logits[..., : image.shape[-2], : image.shape[-1]]


def _with_perturbed_copies(features: Sequence[Tensor], count: int) -> list[Tensor]:
    extended = []
    perturbed = {index % len(features) for index in PERTURBED_MAPS}
    for index, feature in enumerate(features):
        copies = feature[-count:]
        if index in perturbed:
            copies = functional.dropout2d(copies, FEATURE_DROPOUT, training=True)
        extended.append(torch.cat([feature, copies]))
    return extended


def build_student(config: ModelConfig, num_classes: int) -> Student:
    """A student with fresh or pretrained encoder weights.

    Raises:
        FileNotFoundError: `config.pretrained` names a file that does not exist.
        ValueError: the weights cannot be downloaded, or the file's weights do not fit the encoder.
    """
    module = backbone_module(config.backbone)
    try:
        network = module.build(num_classes=num_classes, pretrained=config.pretrained == "imagenet")
    except OSError as error:  # no network, no cached copy
        raise ValueError(
            f"model.pretrained: the ImageNet weights of {config.backbone} could not be downloaded ({error}). "
            "Check the connection, give a local weight file, or use none"
        ) from error
    if config.pretrained not in ("none", "imagenet"):
        load_encoder_weights(network.encoder, Path(config.pretrained))
    return Student(network, module.STRIDE)


def student_stride(student: nn.Module) -> int:
    """The multiple that the student pads its input to, pixels."""
    if not isinstance(student, Student):
        raise TypeError(f"expected a Student, got {type(student).__name__}")
    return student.stride


def make_teacher(student: Student) -> Student:
    """A frozen copy in eval mode; training/teacher.py moves it towards the student."""
    teacher = copy.deepcopy(student)
    return teacher.eval().requires_grad_(False)


def load_encoder_weights(encoder: nn.Module, path: Path) -> None:
    """Copy weights from a local .safetensors or torch file into an encoder; a classifier in the file is left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a tensor of the encoder is missing in the file or has another shape.
    """
    if not path.is_file():
        raise FileNotFoundError(f"model.pretrained: no file {path}; give 'none', 'imagenet' or an existing weight file")
    found = _read_tensors(path)
    wanted = encoder.state_dict()
    renamed = {_bare(key): tensor for key, tensor in found.items() if not _bare(key).startswith(_CLASSIFIER_KEYS)}
    state = {key: renamed[_bare(key)] for key in wanted if _bare(key) in renamed}
    missing = [key for key in wanted if key not in state]
    misfits = [key for key in state if state[key].shape != wanted[key].shape]
    if missing or misfits:
        raise ValueError(
            f"{path} does not fit the encoder: {len(missing)} of {len(wanted)} tensors missing (first {missing[:3]}), "
            f"{len(misfits)} of another shape (first {misfits[:3]}). Are they weights of another backbone?"
        )
    encoder.load_state_dict(state)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"{path} holds no plain tensors and is not opened: pickled objects can run code. Save a state dict"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no state dict (names and tensors)")
    return content


def _bare(key: str) -> str:
    """A tensor's name without the wrappers that libraries put before it."""
    for prefix in ("module.", "encoder.", "model.", "backbone."):
        key = key.removeprefix(prefix)
    return key
