"""The student: an encoder-decoder of segmentation_models_pytorch that takes any size and can perturb its features."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.batch_norm import batch_norm_layers
from training.config import ModelConfig
from training.lookup import backbone_module, refuse_unknown_options
from training.weights import load_encoder_weights

FEATURE_DROPOUT = 0.5  # share of dropped channels; UniMatch and CSL, released code
PERTURBED_MAPS = (2, -1)  # the encoder's stride-4 and last map; UniMatch and CSL, released code


class StudentOutput(NamedTuple):
    """What one pass yields.

    Attributes:
        logits: (N, C, H, W) at input size.
        features: (N, D, h, w), the decoder's last map before the classifier, as far as it covers the image.
        projection: (N, P, h, w), or None when the host asks for no projection head.
    """

    logits: Tensor
    features: Tensor
    projection: Tensor | None = None

    def split(self, sizes: Sequence[int]) -> "tuple[StudentOutput, ...]":
        """The outputs of parts of the batch, in order."""
        logits, features = torch.split(self.logits, list(sizes)), torch.split(self.features, list(sizes))
        projections = [None] * len(sizes) if self.projection is None else torch.split(self.projection, list(sizes))
        return tuple(map(StudentOutput, logits, features, projections))

    def detach(self) -> "StudentOutput":
        """The same without gradient."""
        projection = None if self.projection is None else self.projection.detach()
        return StudentOutput(self.logits.detach(), self.features.detach(), projection)


class Student(nn.Module):
    """Pads to the stride, runs the network, cuts the padding off again.

    Attributes:
        stride: the network's input sides must be multiples of it; inputs of the student need not.
        num_features: D, channels of the decoder's last map.
        projection: head on that map, or None; a host that compares features asks for it (U2PL).
        freezes_statistics: batch-norm layers normalize by their stored statistics even in train mode.
    """

    def __init__(self, network: nn.Module, stride: int, freezes_statistics: bool = False) -> None:
        super().__init__()
        self.network: Any = network
        self.stride = stride
        self.freezes_statistics = freezes_statistics
        self.num_features = _input_channels(network.get_submodule("segmentation_head"))
        self.projection: nn.Module | None = None

    def add_projection(self, channels: int) -> None:
        """Give the student a projection head: two 3x3 convolutions with batch norm (U2PL, released code)."""
        self.projection = nn.Sequential(
            nn.Conv2d(self.num_features, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def train(self, mode: bool = True) -> "Student":
        """Train or eval mode; frozen batch-norm layers stay in eval mode, their scale and shift still learn.

        Only the encoder's have statistics worth keeping: those of decoder and projection start at mean 0, variance 1.
        """
        super().train(mode)
        if self.freezes_statistics:
            for layer in batch_norm_layers(self.network.encoder):
                layer.eval()
        return self

    def forward(self, image: Tensor, perturb_last: int = 0, complement_last: int = 0) -> StudentOutput:
        """Outputs of each image, followed by those of feature-perturbed copies of the last images.

        Perturbed copies share the encoder pass: whole channels of two encoder maps are dropped with probability 0.5.

        Args:
            image: (N, 3, H, W) normalized.
            perturb_last: K, how many images from the end of the batch also get a perturbed copy (UniMatch, CSL).
            complement_last: 2 K, the last images are K first views followed by K second views of the same crops, whose
                encoder channels are dropped complementarily (UniMatch V2). Not together with `perturb_last`.

        Returns:
            outputs of N + `perturb_last` images.
        """
        features = self._encode(image)
        if perturb_last:
            features = _with_perturbed_copies(features, perturb_last)
        if complement_last:
            features = _with_complementary_dropout(features, complement_last)
        decoded = self.network.decoder(features)
        logits: Tensor = self.network.segmentation_head(decoded)
        projection = None if self.projection is None else self._shown(self.projection(decoded), image)
        return StudentOutput(logits[..., : image.shape[-2], : image.shape[-1]], self._shown(decoded, image), projection)

    def _shown(self, features: Tensor, image: Tensor) -> Tensor:
        """Without the cells that show nothing but padding; what compares features with pixels lays the rest over it."""
        cells = [
            -(-side * count // (side + -side % self.stride))  # rounded up; the padded side is a multiple of the stride
            for side, count in zip(image.shape[-2:], features.shape[-2:], strict=True)
        ]
        return features[..., : cells[0], : cells[1]]

    def _encode(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        padded = functional.pad(image, (0, -width % self.stride, 0, -height % self.stride))  # 0 is the mean colour
        features: list[Tensor] = self.network.encoder(padded)
        return features


def _input_channels(head: nn.Module) -> int:
    """Channels that a segmentation head takes: those of its first convolution."""
    return next(layer.in_channels for layer in head.modules() if isinstance(layer, nn.Conv2d))


def _with_perturbed_copies(features: Sequence[Tensor], count: int) -> list[Tensor]:
    extended = []
    perturbed = {index % len(features) for index in PERTURBED_MAPS}
    for index, feature in enumerate(features):
        copies = feature[-count:]
        if index in perturbed:
            copies = functional.dropout2d(copies, FEATURE_DROPOUT, training=True)
        extended.append(torch.cat([feature, copies]))
    return extended


def _with_complementary_dropout(features: Sequence[Tensor], count: int) -> list[Tensor]:
    """Channels kept in one view are dropped in the other, kept ones times 2; half of the crops keep all.

    Maps with as many channels share one mask (UniMatch V2: all four levels of its transformer); the levels of a
    convolutional encoder have their own. The first map is the image itself and passes.

    Source: UniMatch V2, released code.
    """
    crops, device = count // 2, features[0].device
    kept_whole = torch.randperm(crops, device=device)[: crops // 2]
    masks: dict[int, Tensor] = {}
    dropped = [features[0]]  # the image itself
    for feature in features[1:]:
        channels = feature.shape[1]
        if channels not in masks:
            first = 2 * torch.bernoulli(torch.full((crops, channels), 1 - FEATURE_DROPOUT, device=device))
            first.index_fill_(0, kept_whole, 1.0)
            untouched = torch.ones(len(feature) - count, channels, device=device)
            masks[channels] = torch.cat([untouched, first, 2 - first])[..., None, None]
        dropped.append(feature * masks[channels].to(feature.dtype))
    return dropped


def check_model(config: ModelConfig) -> None:
    """Refuse at once what `build_student` would refuse after all data has been read; nothing is downloaded.

    Raises:
        FileNotFoundError, ValueError: see `build_student`.
    """
    has_file = config.pretrained not in ("none", "imagenet")
    if config.options or has_file:
        build_student(replace(config, pretrained=config.pretrained if has_file else "none"), num_classes=2)


def build_student(config: ModelConfig, num_classes: int) -> Student:
    """A student with fresh or pretrained encoder weights.

    Raises:
        FileNotFoundError: `config.pretrained` names a file that does not exist.
        ValueError: an option the backbone does not have, the weights cannot be downloaded, or the file's weights do not
            fit the encoder.
    """
    module = backbone_module(config.backbone)
    refuse_unknown_options("model", "backbone", config.backbone, module, config.options)
    try:
        network = module.build(num_classes=num_classes, pretrained=config.pretrained == "imagenet", **config.options)
    except OSError as error:  # no network, no cached copy
        raise ValueError(
            f"model.pretrained: the weights of {config.backbone} could not be downloaded ({error}). "
            "Check the connection, give a local weight file, or use none"
        ) from error
    if config.pretrained not in ("none", "imagenet"):
        load_encoder_weights(network.encoder, Path(config.pretrained))
    return Student(network, module.STRIDE, freezes_statistics=config.batch_norm == "frozen")


def student_stride(student: nn.Module) -> int:
    """The multiple that the student pads its input to, pixels."""
    if not isinstance(student, Student):
        raise TypeError(f"expected a Student, got {type(student).__name__}")
    return student.stride


def make_teacher(student: Student, mode: Literal["eval", "train"] = "eval") -> Student:
    """A frozen copy in the given mode; training/teacher.py moves it towards the student."""
    teacher = copy.deepcopy(student)
    return teacher.train(mode == "train").requires_grad_(False)
