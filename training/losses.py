"""The two losses of every step, each saying what it averages over."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from datasets.labels import IGNORE_INDEX
from reliability.selection import Normaliser


@dataclass(frozen=True)
class HardMining:
    """Online hard example mining: only pixels the student finds hard enter the supervised loss.

    Attributes:
        threshold: a pixel is hard when its true class has at most this probability.
        min_kept: that many pixels of the batch always stay; with fewer valid ones all of them stay.
    """

    threshold: float
    min_kept: int


def supervised_loss(logits: Tensor, label: Tensor, weight: Tensor, hard_mining: HardMining | None = None) -> Tensor:
    """Cross entropy against labels, each pixel times its weight, divided by the number of pixels that count.

    A pixel counts when it has a class and its weight is above 0. The divisor is the number of pixels, not the sum of
    weights: a weakly trusted pseudo-label adds less loss and is not scaled up again. Without a pixel the loss is 0.

    Args:
        logits: (N, C, H, W).
        label: (N, H, W) int64 with IGNORE_INDEX.
        weight: (N, H, W) in [0, 1]: 1 for people's pixels, the reliability for pseudo-labels, 0 for unreviewed ones.
        hard_mining: keep only hard pixels; the divisor is then the number of kept ones.
    """
    counts = (label != IGNORE_INDEX) & (weight > 0)
    target = torch.where(counts, label, IGNORE_INDEX)
    loss = functional.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="none")  # (N, H, W)
    if hard_mining is not None:
        counts = counts & hard_pixels(loss.detach(), counts, hard_mining)
    return (loss * weight * counts).sum() / counts.sum().clamp(min=1)


def hard_pixels(loss: Tensor, counts: Tensor, rule: HardMining) -> Tensor:
    """Pixels whose true class has at most max(threshold, min_kept-th smallest) probability; (N, H, W) bool.

    Source: ProbOhemCrossEntropy2d as released with UniMatch V2 (commit f6afb4d); ignored pixels sort last there.

    Args:
        loss: (N, H, W) cross entropy, without gradient.
        counts: (N, H, W) bool, the pixels to choose from.
    """
    true_probability = torch.where(counts, torch.exp(-loss), 1.0)
    rank = min(rule.min_kept, true_probability.numel())
    threshold = true_probability.flatten().kthvalue(rank).values.clamp(min=rule.threshold)
    return (true_probability <= threshold) | (counts.sum() < rule.min_kept)


def consistency_loss(
    logits: Tensor, pseudo_label: Tensor, weight: Tensor, valid: Tensor, normaliser: Normaliser
) -> Tensor:
    """Weighted cross entropy of one branch against pseudo-labels; a branch without a pixel gives 0.

    The sum over valid pixels of weight times cross entropy, divided by
    - "valid": the number of valid pixels (UniMatch, CSL);
    - "all": N*H*W, dropped and padded pixels included (AugSeg);
    - "kept": kept^2 / (N*H*W) with kept the number of pixels of weight > 0, that is the mean over kept pixels times
      N*H*W / kept (U2PL, S4MC);
    - "weight": the sum of the weights (AEL).
    Divisors are at least 1: released code divides 0 by 0 on a batch with nothing in it.

    Args:
        logits: (N, C, H, W).
        pseudo_label: (N, H, W) int64, no ignored id.
        weight: (N, H, W) in [0, 1].
        valid: (N, H, W) bool.
    """
    kept = valid & (weight > 0)
    target = torch.where(kept, pseudo_label, IGNORE_INDEX)
    loss = functional.cross_entropy(logits.float(), target, ignore_index=IGNORE_INDEX, reduction="none")
    total = (loss * weight * kept).sum()
    return total / divisor(weight, valid, normaliser)


def divisor(weight: Tensor, valid: Tensor, normaliser: Normaliser) -> Tensor:
    """What the summed loss of one branch is divided by; see `consistency_loss`."""
    if normaliser == "valid":
        return valid.sum().clamp(min=1)
    kept = valid & (weight > 0)
    if normaliser == "kept":
        return kept.sum().clamp(min=1).square() / valid.numel()
    if normaliser == "weight":
        return (weight * valid).sum().clamp(min=1)
    return torch.tensor(valid.numel(), device=valid.device)
