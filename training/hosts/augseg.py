"""The step of AugSeg (CVPR 2023, arXiv:2212.04976): one strong view, mixed the more the less the teacher knows it.

Deviations from the released code (commit 7ead870):
- The partner is `UnlabeledBatch.partner`, never the image itself; the released permutation may be the identity. Which
  labeled crop is pasted is drawn on its own: both batches need not have the same size.
- Pixels of a labeled crop keep their weight: 1 for people's labels, as published, less for pseudo-labels of a round
  before, none where nobody labeled.
- Padding takes part neither in the score of an image nor in the loss. It stays in the divisor, as "all" says.
"""

import math
from typing import cast, get_args

import torch
from torch import Tensor

from datasets.labels import IGNORE_INDEX
from reliability.checks import checked_choice
from reliability.scores import entropy
from reliability.selection import Normalizer, PixelSelection
from training.hosts._options import decay_option
from training.losses import Targets, consistency_loss
from training.pasting import beta_draw, centered_boxes, pasted
from training.step import (
    Host,
    LabeledBatch,
    StepBatch,
    StepContext,
    StepLosses,
    UnlabeledBatch,
    coverage_of,
    targets_of,
)
from training.teacher import decay_at

LABELED_BETA, PARTNER_BETA = (8, 2), (4, 4)  # released code: a pasted box covers 1 - Beta(a, b) of the crop
FOLLOW_SELECTION = "selection"


class AugSeg(Host):
    """L = L_x + L_u, pseudo-labels from the averaged teacher in eval mode."""

    strong_recipes = ("random_intensity",)

    result = "teacher"  # the released code keeps the checkpoint whose teacher is best

    def __init__(self, ema_decay: float, normalizer: Normalizer | None) -> None:
        super().__init__()
        self.ema_decay = ema_decay
        self.normalizer = normalizer

    def ema_decay_at(self, step: int, epoch_steps: int) -> float:
        """0 in the whole first epoch, in which teacher and student are one (released code)."""
        assert self.ema_decay is not None
        return 0.0 if step < epoch_steps else decay_at(step, self.ema_decay)

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        """Teacher on the weak view, selection, adaptive mixing, then labeled and strong crops in one pass."""
        x, u = batch.labeled, batch.unlabeled
        assert u is not None and context.teacher is not None
        (strong,) = u.strong_views
        num_x = len(x.image)

        out_w = context.teacher(u.weak_view)
        selected = context.select(out_w, u)

        source = adaptive_source(
            image_score(out_w.logits, u.valid), u.partner, num_x, (u.valid.shape[1], u.valid.shape[2])
        )
        image_s = pasted(strong.image, x.image, source)
        target = pasted_targets(selected, u, x, source)

        out_x, out_s = context.student(torch.cat([x.image, image_s])).split([num_x, len(image_s)])

        normalizer = self.normalizer or context.selection.normalizer
        loss_x = context.supervised_loss(out_x.logits, x.label, x.weight)
        loss_u = consistency_loss(out_s.logits, target, normalizer)

        def paste(plane: Tensor) -> Tensor:  # labeled pixels are no unlabeled ones
            return pasted(plane, plane.new_zeros(num_x, *plane.shape[1:]), source)

        observed = (*context.observe_labeled(out_x, x), *context.observe_pasted(out_s, selected, u, paste))
        parts = {"loss_x": loss_x, "loss_u": loss_u}
        return StepLosses(loss_x + loss_u, parts, *coverage_of(selected, u.valid), observed=observed)


@torch.no_grad()
def image_score(logits: Tensor, valid: Tensor) -> Tensor:
    """rho: mean over an image's valid pixels of p_max (1 - H / log C); (N,) in [0, 1], 0 without a valid pixel."""
    probabilities = logits.float().softmax(dim=1)
    score = probabilities.amax(dim=1) * (1 - entropy(probabilities) / math.log(logits.shape[1]))
    count = valid.sum(dim=(1, 2)).clamp(min=1)
    return torch.where(valid, score, 0.0).sum(dim=(1, 2)) / count


def adaptive_source(rho: Tensor, partner: Tensor, num_labeled: int, size_hw: tuple[int, int]) -> Tensor:
    """Where each pixel of the strong view comes from; (N, H, W) int64 as `pasted` reads it.

    With probability 1 - rho an image first gets a box of a labeled crop; then every image gets a box of its partner,
    with what was pasted there. The two areas are drawn once per batch, the boxes' places per image.

    Args:
        rho: (N,) in [0, 1].
        partner: (N,) int64.
        num_labeled: M labeled crops to choose from.
        size_hw: of the crops.

    Source: AugSeg, released code (`cut_mix_label_adaptive`).
    """
    count, device = len(rho), rho.device
    labeled_boxes = centered_boxes(1 - beta_draw(*LABELED_BETA, device), count, size_hw)
    partner_boxes = centered_boxes(1 - beta_draw(*PARTNER_BETA, device), count, size_hw)
    helped = torch.rand(count, device=device) > rho
    labeled = count + torch.randint(num_labeled, (count,), device=device)
    own = torch.arange(count, device=device).view(-1, 1, 1)
    with_labeled = torch.where(labeled_boxes & helped.view(-1, 1, 1), labeled.view(-1, 1, 1), own)
    return torch.where(partner_boxes, with_labeled[partner], own)


def pasted_targets(selected: PixelSelection, u: UnlabeledBatch, x: LabeledBatch, source: Tensor) -> Targets:
    """Targets of the mixed view: pseudo-labels, and people's labels where a labeled crop was pasted."""
    own = targets_of(selected, u.valid)
    labeled = (x.label != IGNORE_INDEX) & (x.weight > 0)
    return Targets(
        pasted(own.pseudo_label, x.label, source),
        pasted(own.weight, x.weight, source),
        pasted(own.valid, labeled, source),
        pasted(own.divisor_weight, x.weight, source),
    )


def build(ema_decay: float = 0.999, normalizer: str = "all") -> AugSeg:
    """AugSeg.

    Args:
        ema_decay: of the teacher, in [0, 1); 0.999 for Pascal VOC, 0.996 for Cityscapes in the released code.
        normalizer: what the loss of unlabeled pixels is divided by: valid, all, kept or weight as in
            training/losses.py, or selection for what the selection method asks for. "all" is AugSeg's own and
            reproduces the paper together with the selection method fixed_threshold.

    Raises:
        ValueError: a decay outside [0, 1) or another normalizer.
    """
    checked_choice("host.options.normalizer", normalizer, (*get_args(Normalizer), FOLLOW_SELECTION))
    own = None if normalizer == FOLLOW_SELECTION else cast(Normalizer, normalizer)
    return AugSeg(decay_option("ema_decay", ema_decay), own)
