"""What a semi-supervised step gets and gives: batches, the selection call, mixing. The steps are in training/hosts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from datasets.labels import IGNORE_INDEX
from reliability.selection import PixelSelection, SelectionInputs, SelectionMethod

SERVED_INPUTS = frozenset({"progress"})
"""Optional inputs of selection methods that the loop can give; see SelectionMethod.needs."""

SupervisedLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""logits, label, weight -> scalar; see losses.supervised_loss."""


@dataclass(frozen=True)
class LabeledBatch:
    """Crops with labels.

    Attributes:
        image: (N, 3, H, W) normalised.
        label: (N, H, W) int64, IGNORE_INDEX outside the image, on void and on unreviewed pixels.
        weight: (N, H, W) float32 in [0, 1]: 1 people, w pseudo-label, 0 unreviewed or outside.
    """

    image: Tensor
    label: Tensor
    weight: Tensor


@dataclass(frozen=True)
class StrongView:
    """A heavily augmented copy of the weak crops, with what is done to it after normalisation.

    Attributes:
        image: (N, 3, H, W) normalised, not mixed yet.
        box_mask: (N, H, W) bool, the pixels to paste from the partner; all False without mixing.
        block_mask: (N, H, W) bool, the blocks where trusted pixels are hidden; all False without masking.
    """

    image: Tensor
    box_mask: Tensor
    block_mask: Tensor


@dataclass(frozen=True)
class UnlabeledBatch:
    """Crops without (complete) labels.

    Attributes:
        weak_view: (N, 3, H, W) normalised.
        strong_views: one per recipe that the host asks for, in its order.
        valid: (N, H, W) bool, False outside the image and on pixels that people called void.
        known_label: (N, H, W) int64, the label of pixels that people drew, IGNORE_INDEX elsewhere.
        partner: (N,) int64, whose pixels are pasted into each image; never the image itself.
    """

    weak_view: Tensor
    strong_views: tuple[StrongView, ...]
    valid: Tensor
    known_label: Tensor
    partner: Tensor


@dataclass(frozen=True)
class StepBatch:
    """Everything one step looks at; `unlabeled` is None for hosts that do not use it."""

    labeled: LabeledBatch
    unlabeled: UnlabeledBatch | None


@dataclass(frozen=True)
class StepContext:
    """What a step computes with.

    Attributes:
        student: image -> logits, see models.Student.forward.
        teacher: frozen average of the student, None unless the host asks for one.
        selection: which pseudo-labels count.
        supervised_loss: with or without hard mining, as configured.
        progress: step / steps in [0, 1).
    """

    student: nn.Module
    teacher: Callable[[Tensor], Tensor] | None
    selection: SelectionMethod
    supervised_loss: SupervisedLoss
    progress: float

    def select(self, logits: Tensor, unlabeled: UnlabeledBatch) -> PixelSelection:
        """Pseudo-labels of the weak view with their weights; pixels that people drew keep their label at weight 1."""
        with torch.no_grad():
            probabilities = logits.detach().float().softmax(dim=1)  # half precision rounds confidence to 1
            inputs = SelectionInputs(probabilities, unlabeled.valid, progress=self.progress)
            return keep_known_labels(self.selection(inputs), unlabeled)


@dataclass(frozen=True)
class StepLosses:
    """One step's result.

    Attributes:
        total: scalar with gradient.
        parts: the terms of `total` before their factors, for the log.
        coverage: share of valid unlabeled pixels that are reliable; None without unlabeled images.
        mean_weight: mean weight of valid unlabeled pixels.
    """

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    coverage: Tensor | None = None
    mean_weight: Tensor | None = None


class Host(Protocol):
    """One semi-supervised recipe.

    Attributes:
        uses_unlabeled: whether it needs unlabeled images at all.
        strong_recipes: which strong views it wants, each "cutmix", "masked" or "plain" (training/views.py).
        ema_decay: of the teacher, or None when it has none.
    """

    uses_unlabeled: bool
    strong_recipes: tuple[str, ...]
    ema_decay: float | None

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """The losses of one step, in the order of the paper."""
        ...


def keep_known_labels(selection: PixelSelection, unlabeled: UnlabeledBatch) -> PixelSelection:
    """Replace pseudo-labels by people's labels where there are any: a prediction never overrules a decision."""
    known = (unlabeled.known_label != IGNORE_INDEX) & unlabeled.valid
    return replace(
        selection,
        pseudo_label=torch.where(known, unlabeled.known_label, selection.pseudo_label),
        weight=torch.where(known, 1.0, selection.weight),
        reliable=selection.reliable | known,
    )


def mixed(plane: Tensor, box_mask: Tensor, partner: Tensor) -> Tensor:
    """CutMix (arXiv:1905.04899): each image's box is filled from its partner.

    Args:
        plane: (N, H, W) or (N, C, H, W): image, label, weight, reliable or valid, all with the same box.
        box_mask: (N, H, W) bool.
        partner: (N,) int64.
    """
    mask = box_mask if plane.ndim == 3 else box_mask[:, None]
    return torch.where(mask, plane[partner], plane)


@dataclass(frozen=True)
class Targets:
    """What one branch is compared with; each (N, H, W)."""

    pseudo_label: Tensor
    weight: Tensor
    valid: Tensor


def mixed_targets(selection: PixelSelection, valid: Tensor, view: StrongView, partner: Tensor) -> Targets:
    """Targets of a mixed view: label, weight and valid pasted with the view's own box."""
    return Targets(
        mixed(selection.pseudo_label, view.box_mask, partner),
        mixed(selection.weight, view.box_mask, partner),
        mixed(valid, view.box_mask, partner),
    )


def coverage_of(selection: PixelSelection, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Share of valid pixels that are reliable, and their mean weight; 0 when no pixel is valid."""
    count = valid.sum().clamp(min=1)
    return (selection.reliable & valid).sum() / count, (selection.weight * valid).sum() / count


def check_selection_is_served(name: str, method: SelectionMethod) -> None:
    """Refuse a method that needs inputs which the training loop does not have.

    Raises:
        ValueError: says what is missing.
    """
    unserved = sorted(method.needs - SERVED_INPUTS)
    if unserved:
        raise ValueError(
            f"selection.name: method {name!r} needs {', '.join(unserved)}, which training does not provide "
            f"(it provides {', '.join(sorted(SERVED_INPUTS))}); choose another method"
        )
