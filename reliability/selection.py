"""The one interface of every method that says which pixels of a prediction can be trusted."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

Normalizer = Literal["valid", "all", "kept", "weight"]
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
        progress: share of the semi-supervised steps that are done, in [0, 1]; 1 outside training.
    """

    probabilities: Tensor
    valid: Tensor
    features: Tensor | None = None
    box_class_mask: Tensor | None = None
    progress: float = 1.0


@dataclass(frozen=True)
class Observation:
    """What one training batch shows to a method or a host that keeps state. Nothing in it carries a gradient.

    Attributes:
        logits: (N, C, H, W) of the student.
        features: (N, D, h, w) decoder features of the same pass, at any stride.
        label: (N, H, W) int64: people's classes, or pseudo-labels. Meaningless outside `valid`.
        valid: (N, H, W) bool.
        is_labeled: whether `label` comes from people.
        confidence: (N, H, W) of the pseudo-label where it was made (the weak view); None for people's labels.
        box_class_mask: (N, C, H, W) bool or None, pixels inside a detected box of that class.
    """

    logits: Tensor
    features: Tensor
    label: Tensor
    valid: Tensor
    is_labeled: bool
    confidence: Tensor | None = None
    box_class_mask: Tensor | None = None


@dataclass(frozen=True)
class PixelSelection:
    """A method's verdict on each pixel.

    Attributes:
        pseudo_label: (N, H, W) int64, arg max over the classes; never IGNORE_INDEX, use `valid` or `reliable`.
        weight: (N, H, W) float32 in [0, 1], exactly 0 outside `valid`.
        reliable: (N, H, W) bool, a subset of `valid`.
        scores: name -> (N, H, W) float32 maps that the method computed on its way, for the app and for tests.
        divisor_weight: (N, H, W) float32, what each pixel adds to the divisor under the normalizer "weight", 0 outside
            `valid`; None: its `weight`. Howlader et al. divide by the weights of dropped pixels too.
    """

    pseudo_label: Tensor
    weight: Tensor
    reliable: Tensor
    scores: dict[str, Tensor] = field(default_factory=dict)
    divisor_weight: Tensor | None = None


class SelectionMethod(nn.Module):
    """Base of all methods: pure, without gradient, one image alone gives what it gives in a batch.

    Learned state (priors, prototypes, thresholds) lives in buffers, so it moves, saves and exports with the module.
    It changes in two steps, so that every process of a run holds the same state: `collect` turns a process's batch into
    rows of a fixed shape, the training loop gathers the rows of all processes, and `absorb` takes them in.

    Attributes:
        needs: the optional inputs that `forward` reads, a subset of {"features", "boxes", "progress"}.
        learns_from: what `collect` reads, a subset of {"labeled", "unlabeled", "boxes"}; empty: it keeps no state.
        normalizer: what a loss weighted by this method is divided by.
    """

    needs: frozenset[str] = frozenset()
    learns_from: frozenset[str] = frozenset()
    normalizer: Normalizer = "valid"

    def prepare(self, num_classes: int, num_features: int) -> None:
        """Make room for learned state once the student is known; methods without state ignore it.

        Args:
            num_classes: C.
            num_features: D, channels of the decoder's features.
        """

    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        raise NotImplementedError

    @torch.no_grad()
    def collect(self, observation: Observation) -> dict[str, Tensor]:
        """What is worth keeping of one batch: name -> tensor whose first dimension is 1 and whose shape never varies.

        Rows that do not count are marked inside the tensors, not left out: all processes must send the same shapes.
        """
        return {}

    @torch.no_grad()
    def absorb(self, rows: dict[str, Tensor]) -> None:
        """Update the buffers from `collect`'s tensors; their first dimension is now the number of processes."""
