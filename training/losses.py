"""The two losses of every step, each saying what it averages over."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from datasets.labels import IGNORE_INDEX
from reliability.selection import Normalizer
from training.processes import mean_over_processes


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

    With several processes the divisor is the mean over them, so that the mean of their losses is that of the whole
    batch. Only hard mining looks at each process's own pixels for its k-th smallest probability, as released code does.

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
    return (loss * weight * counts).sum() / mean_over_processes(counts.sum(), at_least=1)


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


@dataclass(frozen=True)
class Targets:
    """What one branch is compared with; each (N, H, W).

    Attributes:
        pseudo_label: int64, no ignored id.
        weight: in [0, 1].
        valid: bool.
        divisor_weight: what each pixel adds to the divisor "weight"; equal to `weight` for most methods.
    """

    pseudo_label: Tensor
    weight: Tensor
    valid: Tensor
    divisor_weight: Tensor


def consistency_loss(logits: Tensor, target: Targets, normalizer: Normalizer) -> Tensor:
    """Weighted cross entropy of one branch against pseudo-labels; a branch without a pixel gives 0.

    The sum over valid pixels of weight times cross entropy, divided by
    - "valid": the number of valid pixels (UniMatch, CSL);
    - "all": N*H*W, dropped and padded pixels included (AugSeg);
    - "kept": kept^2 / (N*H*W) with kept the number of pixels of weight > 0, that is the mean over kept pixels times
      N*H*W / kept (U2PL, S4MC);
    - "weight": the sum of the divisor weights (AEL: of the selected pixels; Howlader et al.: of all valid ones).
    Divisors of a batch are at least 1: released code divides 0 by 0 when there is nothing in it. With several processes
    they are means over the processes, so that the mean of all processes' losses is the loss of the whole batch.

    Args:
        logits: (N, C, H, W).
        target: labels, weights and valid pixels of the same size.
        normalizer: one of the four.
    """
    kept = target.valid & (target.weight > 0)
    wanted = torch.where(kept, target.pseudo_label, IGNORE_INDEX)
    loss = functional.cross_entropy(logits.float(), wanted, ignore_index=IGNORE_INDEX, reduction="none")
    return (loss * target.weight * kept).sum() / divisor(target, normalizer)


def divisor(target: Targets, normalizer: Normalizer) -> Tensor:
    """What the summed loss of one branch is divided by, a 0-dim tensor; see `consistency_loss`."""
    if normalizer == "valid":
        return mean_over_processes(target.valid.sum(), at_least=1)
    if normalizer == "kept":
        kept = mean_over_processes((target.valid & (target.weight > 0)).sum(), at_least=1)
        return kept.square() / target.valid.numel()
    if normalizer == "weight":
        return mean_over_processes((target.divisor_weight * target.valid).sum(), at_least=1)
    return torch.full((), target.valid.numel(), device=target.valid.device)
