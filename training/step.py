"""What a semi-supervised step gets and gives: batches, the selection call, mixing. The steps are in training/hosts."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import torch
from torch import Tensor, nn

from datasets.labels import IGNORE_INDEX
from reliability.boxes import box_class_mask
from reliability.scores import confidence
from reliability.selection import Observation, PixelSelection, SelectionInputs, SelectionMethod
from training.losses import Targets
from training.models import StudentOutput
from training.step_parts import SELECTION, step_part
from training.teacher import decay_at

SupervisedLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""logits, label, weight -> scalar; see losses.supervised_loss."""


@dataclass(frozen=True)
class LabeledBatch:
    """Crops with labels.

    Attributes:
        image: (N, 3, H, W) normalized.
        label: (N, H, W) int64, IGNORE_INDEX outside the image, on void and on unreviewed pixels.
        weight: (N, H, W) float32 in [0, 1]: 1 people, w pseudo-label, 0 unreviewed or outside.
    """

    image: Tensor
    label: Tensor
    weight: Tensor


@dataclass(frozen=True)
class StrongView:
    """A heavily augmented copy of the weak crops, with what is done to it after normalization.

    Attributes:
        image: (N, 3, H, W) normalized, not mixed yet.
        paste_mask: (N, H, W) bool, the pixels to paste from the partner; all False without mixing.
        block_mask: (N, H, W) bool, the blocks where trusted pixels are hidden; all False without masking.
    """

    image: Tensor
    paste_mask: Tensor
    block_mask: Tensor


@dataclass(frozen=True)
class UnlabeledBatch:
    """Crops without (complete) labels.

    Attributes:
        weak_view: (N, 3, H, W) normalized.
        strong_views: one per recipe that the host asks for, in its order.
        valid: (N, H, W) bool, False outside the image and on pixels that people called void.
        known_label: (N, H, W) int64, the label of pixels that people drew, IGNORE_INDEX elsewhere.
        partner: (N,) int64, whose pixels are pasted into each image; never the image itself.
        boxes: (N, B, 5) float32 or None: what a detector found, as left, top, right, bottom (pixels of the crop, both
            corners inside) and class id; rows beyond an image's boxes have class id -1.
    """

    weak_view: Tensor
    strong_views: tuple[StrongView, ...]
    valid: Tensor
    known_label: Tensor
    partner: Tensor
    boxes: Tensor | None = None


@dataclass(frozen=True)
class StepBatch:
    """Everything one step looks at; `unlabeled` is None for hosts that do not use it."""

    labeled: LabeledBatch
    unlabeled: UnlabeledBatch | None


@dataclass(frozen=True)
class StepContext:
    """What a step computes with.

    Attributes:
        student: image -> StudentOutput, see models.Student.forward; in train mode.
        teacher: frozen average of the student, None unless the host asks for one.
        selection: which pseudo-labels count.
        supervised_loss: with or without hard mining, as configured.
        progress: share of the host's steps that are done, in [0, 1); see Session.progress.
    """

    student: nn.Module
    teacher: Callable[[Tensor], StudentOutput] | None
    selection: SelectionMethod
    supervised_loss: SupervisedLoss
    progress: float

    def select(self, output: StudentOutput, unlabeled: UnlabeledBatch) -> PixelSelection:
        """Pseudo-labels of the weak view with their weights; pixels that people drew keep their label at weight 1."""
        with torch.no_grad(), step_part(SELECTION):
            probabilities = output.logits.detach().float().softmax(dim=1)  # half precision rounds confidence to 1
            needs = self.selection.needs
            inputs = SelectionInputs(
                probabilities,
                unlabeled.valid,
                features=output.features.detach() if "features" in needs else None,
                box_class_mask=_boxes_of(unlabeled, probabilities) if "boxes" in needs else None,
                progress=self.progress,
            )
            selected = self.selection(inputs)
            if self.selection.learns_from and "confidence" not in selected.scores:
                scores = {**selected.scores, "confidence": confidence(probabilities)}
                selected = replace(selected, scores=scores)
            return keep_known_labels(selected, unlabeled)

    @torch.no_grad()
    def student_prediction(self, image: Tensor) -> StudentOutput:
        """The student's own output in eval mode, without gradient: batch-norm statistics stay as they are.

        Source: UniMatch V2, released code. A pass in train mode would move the statistics twice per step.
        """
        self.student.eval()
        output: StudentOutput = self.student(image)
        self.student.train()
        return output

    def observe_labeled(self, output: StudentOutput, labeled: LabeledBatch) -> tuple[Observation, ...]:
        """People's pixels as the selection method may learn from them; empty for a method that does not."""
        if "labeled" not in self.selection.learns_from:
            return ()
        seen = output.detach()
        valid = (labeled.label != IGNORE_INDEX) & (labeled.weight == 1)
        return (Observation(seen.logits, seen.features, labeled.label, valid, is_labeled=True),)

    def observe_mixed(
        self, output: StudentOutput, selection: PixelSelection, unlabeled: UnlabeledBatch, view: StrongView
    ) -> tuple[Observation, ...]:
        """A mixed branch with its pseudo-labels as the selection method may learn from it; empty if it does not.

        Args:
            output: of the mixed strong view.
            selection: of the weak view.
            unlabeled: the batch of both.
            view: whose boxes were pasted.
        """

        def paste(plane: Tensor) -> Tensor:
            return mixed(plane, view.paste_mask, unlabeled.partner)

        return self.observe_pasted(output, selection, unlabeled, paste)

    def observe_pasted(
        self,
        output: StudentOutput,
        selection: PixelSelection,
        unlabeled: UnlabeledBatch,
        paste: Callable[[Tensor], Tensor],
    ) -> tuple[Observation, ...]:
        """The same for a host that mixes in its own way.

        Args:
            output: of the mixed images.
            selection: of the images before.
            unlabeled: the batch of those.
            paste: mixes a plane (N, H, W) or (N, C, H, W) as the images were; foreign pixels must come out False.
        """
        learns_from = self.selection.learns_from
        if "unlabeled" not in learns_from:
            return ()
        seen = output.detach()
        label, valid = paste(selection.pseudo_label), paste(unlabeled.valid)
        pasted_confidence = paste(selection.scores["confidence"])
        boxes = paste(_boxes_of(unlabeled, seen.logits)) if "boxes" in learns_from else None
        return (Observation(seen.logits, seen.features, label, valid, False, pasted_confidence, boxes),)


@dataclass(frozen=True)
class StepLosses:
    """One step's result.

    Attributes:
        total: scalar with gradient.
        parts: the terms of `total` before their factors, for the log.
        coverage: share of valid unlabeled pixels that are reliable; None without unlabeled images.
        mean_weight: mean weight of valid unlabeled pixels.
        observed: what the selection method may learn from this step, see `StepContext.observe_labeled`.
        host_rows: what the host itself wants to keep, see `Host.absorb`.
    """

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    coverage: Tensor | None = None
    mean_weight: Tensor | None = None
    observed: tuple[Observation, ...] = ()
    host_rows: dict[str, Tensor] = field(default_factory=dict)


class Host(nn.Module):
    """Base of all semi-supervised recipes. State that outlives a step (banks, queues) lives in buffers.

    Attributes:
        uses_unlabeled: whether it needs unlabeled images at all.
        strong_recipes: which strong views it wants, each one of draws.RECIPES.
        ema_decay: of the teacher, or None when it has none.
        result: which network is measured, exported and built upon, as in the papers' evaluation.
        teacher_mode: "eval" uses averaged batch-norm statistics; in "train" the teacher normalizes over its own batch
            and only parameters are averaged (U2PL, AEL).
        projection_channels: of the projection head it wants on the student, 0 for none.
    """

    uses_unlabeled: bool = True
    strong_recipes: tuple[str, ...] = ()
    ema_decay: float | None = None
    result: Literal["student", "teacher"] = "student"
    teacher_mode: Literal["eval", "train"] = "eval"
    projection_channels: int = 0

    def prepare(self, num_classes: int, num_features: int) -> None:
        """Make room for state once the student is known; see `SelectionMethod.prepare`."""

    def check_selection(self, name: str, selection: SelectionMethod) -> None:
        """Refuse a selection method that makes no sense with this host.

        Raises:
            ValueError: says why, and what to choose.
        """

    def ema_decay_at(self, step: int, epoch_steps: int) -> float:
        """The teacher's decay after step number `step`; an epoch is one pass over the unlabeled images.

        Step 0 is the host's first step, or the last one with labels only when such steps come first; at a decay of 0
        the teacher becomes a copy of the student.
        """
        assert self.ema_decay is not None
        return decay_at(step, self.ema_decay)

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """The losses of one step, in the order of the paper."""
        raise NotImplementedError

    @torch.no_grad()
    def absorb(self, rows: dict[str, Tensor]) -> None:
        """Take in `StepLosses.host_rows` of all processes, gathered along the first dimension."""


def _boxes_of(unlabeled: UnlabeledBatch, probabilities: Tensor) -> Tensor:
    assert unlabeled.boxes is not None  # training/detector/provide.py provides them
    return box_class_mask(unlabeled.boxes, probabilities.shape[1], (probabilities.shape[2], probabilities.shape[3]))


def keep_known_labels(selection: PixelSelection, unlabeled: UnlabeledBatch) -> PixelSelection:
    """Replace pseudo-labels by people's labels where there are any: a prediction never overrules a decision."""
    known = (unlabeled.known_label != IGNORE_INDEX) & unlabeled.valid
    return replace(
        selection,
        pseudo_label=torch.where(known, unlabeled.known_label, selection.pseudo_label),
        weight=torch.where(known, 1.0, selection.weight),
        reliable=selection.reliable | known,
        divisor_weight=None if selection.divisor_weight is None else torch.where(known, 1.0, selection.divisor_weight),
    )


def mixed(plane: Tensor, paste_mask: Tensor, partner: Tensor) -> Tensor:
    """CutMix (arXiv:1905.04899): each image's box is filled from its partner.

    Args:
        plane: (N, H, W) or (N, C, H, W): image, label, weight, reliable or valid, all with the same box.
        paste_mask: (N, H, W) bool.
        partner: (N,) int64.
    """
    mask = paste_mask if plane.ndim == 3 else paste_mask[:, None]
    return torch.where(mask, plane[partner], plane)


def targets_of(selection: PixelSelection, valid: Tensor) -> Targets:
    """Targets of a view that is not mixed."""
    divisor_weight = selection.weight if selection.divisor_weight is None else selection.divisor_weight
    return Targets(selection.pseudo_label, selection.weight, valid, divisor_weight)


def mixed_targets(selection: PixelSelection, valid: Tensor, view: StrongView, partner: Tensor) -> Targets:
    """Targets of a mixed view: every plane pasted with the view's own box."""
    whole = targets_of(selection, valid)
    return Targets(*(mixed(getattr(whole, plane.name), view.paste_mask, partner) for plane in fields(Targets)))


def coverage_of(selection: PixelSelection, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Share of valid pixels that are reliable, and their mean weight; 0 when no pixel is valid."""
    count = valid.sum().clamp(min=1)
    return (selection.reliable & valid).sum() / count, (selection.weight * valid).sum() / count
