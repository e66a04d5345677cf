"""The step of UniMatch V2 (TPAMI 2025, arXiv:2410.10777): an averaged teacher, two views with complementary dropout.

Deviations from the released code (commit f6afb4d):
- The image mixed in is another member of the batch, `UnlabeledBatch.partner`. The released code takes the batch in
  reverse order, in which a batch of one and the middle of an odd batch are mixed with themselves.
- Labeled and strong crops go through the student in one pass, where the released code takes two. Its students have no
  batch normalization, and without it the numbers are the same; with it, statistics are those of both together, as in
  UniMatch's own passes over labeled and unlabeled crops.
"""

import torch

from training.hosts._options import decay_option
from training.losses import consistency_loss
from training.step import Host, StepBatch, StepContext, StepLosses, coverage_of, mixed, mixed_targets


class UniMatchV2(Host):
    """L = (L_x + (L_s1 + L_s2) / 2) / 2, pseudo-labels from the averaged teacher in eval mode."""

    strong_recipes = ("cutmix", "cutmix")
    result = "teacher"  # its published numbers are the teacher's best in the released training logs, not the student's

    def __init__(self, ema_decay: float) -> None:
        super().__init__()
        self.ema_decay = ema_decay

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """Teacher on the weak view, selection, then labeled crops and both strong views in one pass."""
        x, u = batch.labeled, batch.unlabeled
        assert u is not None and context.teacher is not None
        view_s1, view_s2 = u.strong_views
        num_x, num_u = len(x.image), len(u.weak_view)

        selected = context.select(context.teacher(u.weak_view), u)

        image_s1, image_s2 = (mixed(view.image, view.paste_mask, u.partner) for view in u.strong_views)
        output = context.student(torch.cat([x.image, image_s1, image_s2]), complement_last=2 * num_u)
        out_x, out_s1, out_s2 = output.split([num_x, num_u, num_u])

        target_s1, target_s2 = (mixed_targets(selected, u.valid, view, u.partner) for view in u.strong_views)
        normalizer = context.selection.normalizer
        loss_x = context.supervised_loss(out_x.logits, x.label, x.weight)
        loss_s1 = consistency_loss(out_s1.logits, target_s1, normalizer)
        loss_s2 = consistency_loss(out_s2.logits, target_s2, normalizer)
        total = (loss_x + (loss_s1 + loss_s2) / 2) / 2
        parts = {"loss_x": loss_x, "loss_s1": loss_s1, "loss_s2": loss_s2}
        observed = (
            *context.observe_labeled(out_x, x),
            *context.observe_mixed(out_s1, selected, u, view_s1),
            *context.observe_mixed(out_s2, selected, u, view_s2),
        )
        return StepLosses(total, parts, *coverage_of(selected, u.valid), observed=observed)


def build(ema_decay: float = 0.996) -> UniMatchV2:
    """UniMatch V2.

    Args:
        ema_decay: of the teacher, in [0, 1); 0.996 in the released code.

    Raises:
        ValueError: a decay outside [0, 1).
    """
    return UniMatchV2(decay_option("ema_decay", ema_decay))
