"""The step of CSL, confidence separable learning (ICCV 2025, arXiv:2509.16704): three branches, no teacher.

Deviation from the released code: the images mixed in are another member of the same batch instead of a second loader's
batch, so that their pseudo-labels need no forward pass of their own. With the released loaders the second batch holds
the same raw images; UniMatch's author confirms that shuffling the batch works as well.
"""

import torch

from reliability.methods.csl import mask_trusted_pixels
from training.losses import consistency_loss
from training.step import StepBatch, StepContext, StepLosses, coverage_of, mixed, mixed_targets

FACTOR_S, FACTOR_M, FACTOR_FP = 0.25, 0.25, 0.5  # released code: strong, masked and feature-perturbed branch


class Csl:
    """L = (L_x + 0.25 L_s + 0.25 L_m + 0.5 L_fp) / 2."""

    uses_unlabeled = True
    strong_recipes = ("cutmix", "masked")
    ema_decay: float | None = None

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """One pass over labeled and weak crops, selection, one pass over both strong views."""
        x, u = batch.labeled, batch.unlabeled
        assert u is not None
        view_s, view_m = u.strong_views
        num_x, num_u = len(x.image), len(u.weak_view)

        logits = context.student(torch.cat([x.image, u.weak_view]), perturb_last=num_u)
        logits_x, logits_w, logits_fp = logits.split([num_x, num_u, num_u])
        selected = context.select(logits_w, u)

        image_s = mixed(view_s.image, view_s.box_mask, u.partner)
        image_m = mask_trusted_pixels(view_m.image, selected.reliable, view_m.block_mask)
        logits_s, logits_m = context.student(torch.cat([image_s, image_m])).chunk(2)

        target = mixed_targets(selected, u.valid, view_s, u.partner)
        label, weight, normaliser = selected.pseudo_label, selected.weight, context.selection.normaliser
        loss_x = context.supervised_loss(logits_x, x.label, x.weight)
        loss_s = consistency_loss(logits_s, target.pseudo_label, target.weight, target.valid, normaliser)
        loss_m = consistency_loss(logits_m, label, weight, u.valid, normaliser)
        loss_fp = consistency_loss(logits_fp, label, weight, u.valid, normaliser)
        total = (loss_x + FACTOR_S * loss_s + FACTOR_M * loss_m + FACTOR_FP * loss_fp) / 2
        parts = {"loss_x": loss_x, "loss_s": loss_s, "loss_m": loss_m, "loss_fp": loss_fp}
        return StepLosses(total, parts, *coverage_of(selected, u.valid))


def build() -> Csl:
    """The host without options; alpha belongs to the selection method `csl`."""
    return Csl()
