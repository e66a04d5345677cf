"""The step of UniMatch (CVPR 2023, arXiv:2208.09910): two strong views and one perturbation of features.

Deviations from the released code (commit 0324f3d):
- The images mixed in are other members of the same batch. The released code draws them from a second loader with the
  same seed, so that CutMix pastes another crop of the same image; its author confirms that shuffling the batch works.
- Pasted regions therefore carry the pseudo-labels of the one weak pass in train mode. The released code labels them in
  a pass of their own in eval mode, whose batch-norm statistics differ from those of the pixels around the box.
- Only unlabeled images get a perturbed copy. The released code decodes copies of the labeled ones as well and drops
  them; they only move the decoder's batch-norm statistics.
"""

import torch

from training.losses import consistency_loss
from training.step import (
    Host,
    StepBatch,
    StepContext,
    StepLosses,
    coverage_of,
    mixed,
    mixed_targets,
    targets_of,
)

FACTOR_S, FACTOR_FP = 0.25, 0.5  # released code: each strong view; the feature-perturbed weak view


class UniMatch(Host):
    """L = (L_x + 0.25 L_s1 + 0.25 L_s2 + 0.5 L_fp) / 2, pseudo-labels from the student's own weak view."""

    strong_recipes = ("cutmix", "cutmix")

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """One pass over labeled and weak crops, selection, one pass over both strong views."""
        x, u = batch.labeled, batch.unlabeled
        assert u is not None
        view_s1, view_s2 = u.strong_views
        num_x, num_u = len(x.image), len(u.weak_view)

        output = context.student(torch.cat([x.image, u.weak_view]), perturb_last=num_u)
        out_x, out_w, out_fp = output.split([num_x, num_u, num_u])
        selected = context.select(out_w, u)

        image_s1, image_s2 = (mixed(view.image, view.paste_mask, u.partner) for view in u.strong_views)
        out_s1, out_s2 = context.student(torch.cat([image_s1, image_s2])).split([num_u, num_u])

        target = targets_of(selected, u.valid)
        target_s1, target_s2 = (mixed_targets(selected, u.valid, view, u.partner) for view in u.strong_views)
        normalizer = context.selection.normalizer
        loss_x = context.supervised_loss(out_x.logits, x.label, x.weight)
        loss_s1 = consistency_loss(out_s1.logits, target_s1, normalizer)
        loss_s2 = consistency_loss(out_s2.logits, target_s2, normalizer)
        loss_fp = consistency_loss(out_fp.logits, target, normalizer)
        total = (loss_x + FACTOR_S * (loss_s1 + loss_s2) + FACTOR_FP * loss_fp) / 2
        parts = {"loss_x": loss_x, "loss_s1": loss_s1, "loss_s2": loss_s2, "loss_fp": loss_fp}
        observed = (
            *context.observe_labeled(out_x, x),
            *context.observe_mixed(out_s1, selected, u, view_s1),
            *context.observe_mixed(out_s2, selected, u, view_s2),
        )
        return StepLosses(total, parts, *coverage_of(selected, u.valid), observed=observed)


def build() -> UniMatch:
    """The host without options; the confidence threshold belongs to the selection method `fixed_threshold`."""
    return UniMatch()
