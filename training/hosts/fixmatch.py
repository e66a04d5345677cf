"""FixMatch for segmentation: the weak view teaches one CutMix'ed strong view (arXiv:2001.07685, arXiv:2208.09910).

L = (L_x + L_s) / 2, the step of UniMatch with a single strong view. With an averaged teacher it is the FixMatch that
UniMatch V2's code compares with.

Deviations from UniMatch's `fixmatch.py`, whose student teaches itself (commit 0324f3d):
- The weak view is judged in a pass of its own in eval mode, and labeled and strong crops go through the student
  together. There labeled and weak crops share a pass in train mode, whose gradient the weak crops do not need.
- The image mixed in is another member of the batch, see training/hosts/unimatch.py.
"""

import torch

from reliability.checks import checked_choice
from training.hosts._options import decay_option
from training.losses import consistency_loss
from training.models import StudentOutput
from training.step import (
    Host,
    StepBatch,
    StepContext,
    StepLosses,
    UnlabeledBatch,
    coverage_of,
    mixed,
    mixed_targets,
)


class FixMatch(Host):
    """Pseudo-labels from the student's own weak view, or from an averaged teacher."""

    strong_recipes = ("cutmix",)

    def __init__(self, ema_decay: float | None) -> None:
        super().__init__()
        self.ema_decay = ema_decay
        self.result = "student" if ema_decay is None else "teacher"

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """Weak view, selection, mixing, then labeled and strong crops in one pass."""
        x, u = batch.labeled, batch.unlabeled
        assert u is not None
        (strong,) = u.strong_views

        selected = context.select(self._weak_output(context, u), u)
        target = mixed_targets(selected, u.valid, strong, u.partner)
        strong_image = mixed(strong.image, strong.paste_mask, u.partner)

        output = context.student(torch.cat([x.image, strong_image]))
        out_x, out_s = output.split([len(x.image), len(strong_image)])

        loss_x = context.supervised_loss(out_x.logits, x.label, x.weight)
        loss_s = consistency_loss(out_s.logits, target, context.selection.normalizer)
        total = (loss_x + loss_s) / 2
        observed = (*context.observe_labeled(out_x, x), *context.observe_mixed(out_s, selected, u, strong))
        parts = {"loss_x": loss_x, "loss_s": loss_s}
        return StepLosses(total, parts, *coverage_of(selected, u.valid), observed=observed)

    @staticmethod
    def _weak_output(context: StepContext, u: UnlabeledBatch) -> StudentOutput:
        return context.student_prediction(u.weak_view) if context.teacher is None else context.teacher(u.weak_view)


def build(teacher: str = "none", ema_decay: float = 0.996) -> FixMatch:
    """FixMatch.

    Args:
        teacher: "none" (the student teaches itself) or "ema".
        ema_decay: of the teacher, in [0, 1); 0.996 is UniMatch V2's.

    Raises:
        ValueError: another teacher, or a decay outside [0, 1).
    """
    checked_choice("host.options.teacher", teacher, ("none", "ema"))
    decay = decay_option("ema_decay", ema_decay)
    return FixMatch(decay if teacher == "ema" else None)
