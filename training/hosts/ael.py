"""The step of AEL (Hu et al., NeurIPS 2021, arXiv:2110.05474): classes the student knows little are shown more often.

Its other half, which pixels count and how much, is the selection method `class_balanced`.

Deviations from the released code (commit 747c797):
- The class confidences start at 1 / C and a class that is absent from a batch keeps its value; see
  reliability/class_confidence.py. They move after the step, the same in every process; the code has moved them before
  it draws the pixels of the step.
- Copy-paste and CutMix take pixels from images of the same batch; see training/class_pasting.py. Copy-paste resizes the
  crop, where the code crops anew from the resized image.
- Every unlabeled image is mixed. The code keeps one mixed image per device and step and drops the others.
- Labeled and mixed crops go through the student in one pass, and labeled and weak ones through the teacher, where the
  code takes two passes each.
- Padding is not valid; the code gives it pseudo-labels. Pixels that nobody labeled are left out of the consistency of
  labeled crops, too.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from datasets.labels import IGNORE_INDEX
from reliability.checks import checked_count, checked_number
from reliability.class_confidence import ClassConfidenceBank
from reliability.selection import SelectionMethod
from training.class_pasting import CopyPaste, boxes_around_classes, with_pasted_classes
from training.hosts._options import decay_option
from training.losses import consistency_loss
from training.step import (
    Host,
    LabeledBatch,
    StepBatch,
    StepContext,
    StepLosses,
    StrongView,
    UnlabeledBatch,
    coverage_of,
    mixed,
    mixed_targets,
    targets_of,
)


class AEL(Host):
    """L = L_x + L_cons(labeled) + L_cons(unlabeled), L_x being the paper's L_s.

    Pseudo-labels come from the averaged teacher in train mode.
    """

    result = "teacher"  # the released code measures and keeps the teacher
    teacher_mode = "train"
    may_paste: Tensor

    def __init__(
        self, ema_decay: float, copy_paste: CopyPaste, least_area: float, never_pasted: frozenset[int]
    ) -> None:
        super().__init__()
        self.ema_decay = ema_decay
        self.copy_paste = copy_paste
        self.least_area = least_area
        self.never_pasted = never_pasted
        self.bank: ClassConfidenceBank

    def prepare(self, num_classes: int, num_features: int) -> None:
        """An untrained bank of class confidences.

        Raises:
            ValueError: `never_pasted` names a class that does not exist, or all that do.
        """
        classes = frozenset(range(num_classes))
        if not self.never_pasted < classes:
            raise ValueError(
                f"host.options.never_pasted: must be some, not all, of the class ids 0 to {num_classes - 1}, "
                f"got {sorted(self.never_pasted)}"
            )
        self.bank = ClassConfidenceBank(num_classes)
        may_paste = torch.tensor([class_id not in self.never_pasted for class_id in range(num_classes)])
        self.register_buffer("may_paste", may_paste, persistent=False)

    def check_selection(self, name: str, selection: SelectionMethod) -> None:
        """Refuse methods that need detected boxes.

        Raises:
            ValueError: the method needs boxes.
        """
        if "boxes" in selection.needs:
            raise ValueError(
                f"selection.name: {name!r} needs detected boxes, but host 'ael' selects pixels of labeled crops, too, "
                "which have none. Use host.name=unimatch, unimatch_v2 or augseg, or selection.name=class_balanced"
            )

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """Copy-paste, teacher on labeled and weak crops, selection, adaptive mixing, student, three losses."""
        x, u = batch.labeled, batch.unlabeled
        assert u is not None and context.teacher is not None
        num_x, num_u = len(x.image), len(u.weak_view)

        confidence = self.bank.confidence
        x = with_pasted_classes(x, confidence, self.may_paste, self.copy_paste)
        as_unlabeled = without_labels(x)

        taught_x, taught_u = context.teacher(torch.cat([x.image, u.weak_view])).split([num_x, num_u])
        selected_x, selected_u = context.select(taught_x, as_unlabeled), context.select(taught_u, u)

        mix = boxes_around_classes(selected_u.pseudo_label, u.valid, u.partner, confidence, self.least_area)
        u = replace(u, partner=mix.partner)
        view = StrongView(u.weak_view, mix.paste_mask, torch.zeros_like(mix.paste_mask))

        output = context.student(torch.cat([x.image, mixed(view.image, view.paste_mask, u.partner)]))
        out_x, out_u = output.split([num_x, num_u])
        normalizer = context.selection.normalizer
        target_u = mixed_targets(selected_u, u.valid, view, u.partner)
        loss_x = context.supervised_loss(out_x.logits, x.label, x.weight)
        loss_cons_x = consistency_loss(out_x.logits, targets_of(selected_x, as_unlabeled.valid), normalizer)
        loss_cons_u = consistency_loss(out_u.logits, target_u, normalizer)

        return StepLosses(
            loss_x + loss_cons_x + loss_cons_u,
            {"loss_x": loss_x, "loss_cons_x": loss_cons_x, "loss_cons_u": loss_cons_u},
            *coverage_of(selected_u, u.valid),
            observed=(*context.observe_labeled(out_x, x), *context.observe_mixed(out_u, selected_u, u, view)),
            host_rows=self.bank.sums(out_x.logits.detach(), x.label, (x.label != IGNORE_INDEX) & (x.weight == 1)),
        )

    @torch.no_grad()
    def absorb(self, rows: dict[str, Tensor]) -> None:
        """How sure the student was of each class, in all processes."""
        self.bank.update(rows)


def without_labels(x: LabeledBatch) -> UnlabeledBatch:
    """Labeled crops as the selection sees unlabeled ones, their labeled pixels being valid.

    AEL compares the student with the teacher there, too. People's labels are not filled in: they are in the loss next
    to it.
    """
    return UnlabeledBatch(
        weak_view=x.image,
        strong_views=(),
        valid=(x.label != IGNORE_INDEX) & (x.weight > 0),
        known_label=torch.full_like(x.label, IGNORE_INDEX),
        partner=torch.arange(len(x.image), device=x.image.device),
    )


def build(
    ema_decay: float = 0.99,
    paste_classes: int = 3,
    paste_probability: float = 0.5,
    least_area: float = 0.005,
    never_pasted: Sequence[int] = (),
) -> AEL:
    """AEL. Its own selection method is `class_balanced`.

    Args:
        ema_decay: of the teacher, in [0, 1); 0.99 in the released code.
        paste_classes: classes drawn for copy-paste per batch; released: 3 for Cityscapes, 1 for Pascal VOC.
        paste_probability: chance of a labeled crop to receive their pixels, in [0, 1].
        least_area: a region must cover this share of an image for a CutMix box around it; released: 0.005 for
            Cityscapes, 0.03 for Pascal VOC.
        never_pasted: class ids that copy-paste leaves alone. The released code leaves out 0, 1, 2, 8 and 10 (road,
            sidewalk, building, vegetation and sky of Cityscapes), also where classes have other ids; here none.

    Raises:
        ValueError: a value out of range.
    """
    if not isinstance(never_pasted, list | tuple) or any(type(class_id) is not int for class_id in never_pasted):
        raise ValueError(f"host.options.never_pasted: must be a list of class ids, got {never_pasted!r}")
    rule = CopyPaste(
        classes=checked_count("host.options.paste_classes", paste_classes, 1),
        probability=checked_number("host.options.paste_probability", paste_probability, 0.0, 1.0),
    )
    least = checked_number("host.options.least_area", least_area, 0.0, 1.0)
    return AEL(decay_option("ema_decay", ema_decay), rule, least, frozenset(never_pasted))
