"""The one interface of every method that says which pixels of a prediction can be trusted."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

Normaliser = Literal["valid", "all", "kept", "weight"]
"""What the summed loss is divided by; methods differ and the four are not interchangeable (training/losses.py)."""

RELIABLE_WEIGHT = 1.0 - 1e-6
"""A weight above this is 1: the exponential of CSL rounds to 1 in float32 before it is exactly 1."""


@dataclass(frozen=True)
class SelectionInputs:
    """What a method may look at.

    Attributes:
        probabilities: (N, C, H, W) float32 after softmax at temperature 1, sums to 1 over C.
        valid: (N, H, W) bool; False for padding and ignored pixels.
        features: (N, D, h, w) or None, decoder features at any stride.
        box_class_mask: (N, C, H, W) bool or None, pixels inside a detected box of that class.
        progress: epoch / epochs in [0, 1]; 1 outside training.
    """

    probabilities: Tensor
    valid: Tensor
    features: Tensor | None = None
    box_class_mask: Tensor | None = None
    progress: float = 1.0


@dataclass(frozen=True)
class PixelSelection:
    """A method's verdict on each pixel.

    Attributes:
        pseudo_label: (N, H, W) int64, arg max over the classes; never IGNORE_INDEX, use `valid` or `reliable`.
        weight: (N, H, W) float32 in [0, 1], exactly 0 outside `valid`.
        reliable: (N, H, W) bool, a subset of `valid`.
        scores: name -> (N, H, W) float32 maps that the method computed on its way, for the app and for tests.
    """

    pseudo_label: Tensor
    weight: Tensor
    reliable: Tensor
    scores: dict[str, Tensor] = field(default_factory=dict)


class SelectionMethod(nn.Module):
    """Base of all methods: pure, without gradient, one image alone gives what it gives in a batch.

    Learned state (priors, prototypes, thresholds) lives in buffers, so it moves, saves and exports with the module.

    Attributes:
        needs: the optional inputs it reads, a subset of {"features", "boxes", "progress"}.
        normaliser: what a loss weighted by this method is divided by.
    """

    needs: frozenset[str] = frozenset()
    normaliser: Normaliser = "valid"

    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        raise NotImplementedError

    @torch.no_grad()
    def observe(self, features: Tensor, label: Tensor, trusted: Tensor) -> None:
        """Update state from a training batch; methods without state ignore it."""
