"""The step of CSL, confidence separable learning (ICCV 2025, arXiv:2509.16704): three branches, no teacher.

Deviation from the released code: the images mixed in are another member of the same batch instead of a second loader's
batch, so that their pseudo-labels need no forward pass of their own. With the released loaders the second batch holds
the same raw images; UniMatch's author confirms that shuffling the batch works as well.
"""

import torch

from reliability.methods.csl import mask_trusted_pixels
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

FACTOR_S, FACTOR_M, FACTOR_FP = 0.25, 0.25, 0.5  # released code: strong, masked and feature-perturbed branch


class Csl(Host):
    """L = (L_x + 0.25 L_s + 0.25 L_m + 0.5 L_fp) / 2."""

    strong_recipes = ("cutmix", "masked")

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """One pass over labeled and weak crops, selection, one pass over both strong views."""
        x, u = batch.labeled, batch.unlabeled
        assert u is not None
        view_s, view_m = u.strong_views
        num_x, num_u = len(x.image), len(u.weak_view)

        output = context.student(torch.cat([x.image, u.weak_view]), perturb_last=num_u)
        out_x, out_w, out_fp = output.split([num_x, num_u, num_u])
        selected = context.select(out_w, u)

        image_s = mixed(view_s.image, view_s.paste_mask, u.partner)
        image_m = mask_trusted_pixels(view_m.image, selected.reliable, view_m.block_mask)
        out_s, out_m = context.student(torch.cat([image_s, image_m])).split([num_u, num_u])

        target, target_s = targets_of(selected, u.valid), mixed_targets(selected, u.valid, view_s, u.partner)
        normalizer = context.selection.normalizer
        loss_x = context.supervised_loss(out_x.logits, x.label, x.weight)
        loss_s = consistency_loss(out_s.logits, target_s, normalizer)
        loss_m = consistency_loss(out_m.logits, target, normalizer)
        loss_fp = consistency_loss(out_fp.logits, target, normalizer)
        total = (loss_x + FACTOR_S * loss_s + FACTOR_M * loss_m + FACTOR_FP * loss_fp) / 2
        parts = {"loss_x": loss_x, "loss_s": loss_s, "loss_m": loss_m, "loss_fp": loss_fp}
        observed = (*context.observe_labeled(out_x, x), *context.observe_mixed(out_s, selected, u, view_s))
        return StepLosses(total, parts, *coverage_of(selected, u.valid), observed=observed)


def build() -> Csl:
    """The host without options; alpha belongs to the selection method `csl`."""
    return Csl()
