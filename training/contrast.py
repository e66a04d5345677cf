"""U2PL's contrastive loss: pixels of a class against its mean and against unreliable pixels that are surely not it.

Source: U2PL (CVPR 2022, arXiv:2203.03884, section 3.3) and its released code (commit ab3d2be,
`compute_contra_memobank_loss`). All classes are computed at once; a class that has nothing to compare adds 0.

Where the released code does not do what the paper says, this follows the paper:
- Anchors and means are looked up there by position among the classes present, in lists that hold all classes, so that
  another class is trained unless exactly the first ids are present (open report in its issue tracker).
- A labeled pixel had to be and not to be of the class to become its negative, so none ever did. Here it is one when it
  is not of the class although the teacher ranks the class among the first `low_rank`.
- An unlabeled pixel had to carry the class as its pseudo-label to become its negative. Here it must not.

Deviations for the sake of speed and memory: percentiles are taken over the pixels at the features' stride; at most
`ContrastRule.kept` random negatives per class, step and process enter the memory; and they enter after the step, in
every process alike, so that negatives come from steps before and the first step has none.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from reliability.feature_memory import FeatureMemory
from reliability.percentile import lower_quantile
from reliability.scores import entropy


@dataclass(frozen=True)
class ContrastRule:
    """Numbers of the loss; defaults: released configurations, except for `kept` (ours).

    Attributes:
        anchors: pixels per class that are pulled, drawn with replacement.
        negatives: pixels that each of them is pushed from.
        temperature: cosines are divided by it.
        low_rank, high_rank: an unreliable pixel is a negative of classes that it ranks from `low_rank` up to, not
            including, `high_rank` (0 is the most probable). `low_rank` is at most C - 1: of two classes the second
            one counts as unlikely.
        entropy_share: share of the pixels, surest and least sure, that are anchors and negatives at the start; it
            falls to 0 with training progress.
        anchor_probability: an anchor's own class has more than this.
        kept: negatives of a class that one step of one process adds to the memory.
    """

    anchors: int = 256
    negatives: int = 50
    temperature: float = 0.5
    low_rank: int = 3
    high_rank: int = 20
    entropy_share: float = 0.2
    anchor_probability: float = 0.3
    kept: int = 256


@dataclass(frozen=True)
class Cells:
    """The pixels of a batch at the features' stride, flattened to M.

    Attributes:
        probabilities: (M, C) of the teacher.
        label: (M,) int64; anything where not `known`.
        known: (M,) bool, whether there is a label or a pseudo-label.
        is_labeled: (M,) bool, whether people gave it.
    """

    probabilities: Tensor
    label: Tensor
    known: Tensor
    is_labeled: Tensor


@dataclass(frozen=True)
class ClassSets:
    """Which cells play which part for which class; each (C, M) bool.

    Attributes:
        members: reliable cells of the class, whose mean is the positive.
        anchors: members whose own class is probable enough.
        negatives: cells to be kept as negatives of the class.
    """

    members: Tensor
    anchors: Tensor
    negatives: Tensor


def cells_of(logits: Tensor, label: Tensor, known: Tensor, num_labeled: int, cells_hw: tuple[int, int]) -> Cells:
    """One pixel per cell of the feature map: the one at which the student's upsampling keeps the cell's own logits.

    Corners are aligned, as in the student's upsampling. Where a crop was padded, its last cells reach into the padding
    and lie up to one cell off.

    Args:
        logits: (N, C, H, W) of the teacher.
        label: (N, H, W) int64.
        known: (N, H, W) bool.
        num_labeled: how many images of the batch, from its start, carry people's labels.
        cells_hw: size of the feature map.
    """
    rows, columns = (
        _pixels(side, count, logits.device) for side, count in zip(logits.shape[-2:], cells_hw, strict=True)
    )

    def sampled(plane: Tensor) -> Tensor:
        return plane.index_select(-2, rows).index_select(-1, columns)

    probabilities = sampled(logits).float().softmax(dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    is_labeled = (torch.arange(len(label), device=label.device) < num_labeled).view(-1, 1, 1).expand(-1, *cells_hw)
    return Cells(probabilities, sampled(label).flatten(), sampled(known).flatten(), is_labeled.flatten())


def _pixels(side: int, count: int, device: torch.device) -> Tensor:
    """(count,) int64: round(cell * (side - 1) / (count - 1)), whatever the stride: that of DPT is 1.75 pixels."""
    last = max(count - 1, 1)
    return (2 * torch.arange(count, device=device) * (side - 1) + last) // (2 * last)


def class_sets(cells: Cells, rule: ContrastRule, progress: float) -> ClassSets:
    """Members, anchors and negatives of each class.

    Args:
        cells: of labeled and mixed images.
        rule: shares, ranks and thresholds.
        progress: t/T in [0, 1].
    """
    num_classes = cells.probabilities.shape[1]
    doubt = entropy(cells.probabilities.unsqueeze(-1)).view(1, -1)
    unlabeled = cells.known & ~cells.is_labeled
    share = rule.entropy_share * (1 - progress)
    lowest = lower_quantile(doubt, unlabeled.view(1, -1), share)
    highest = lower_quantile(doubt, unlabeled.view(1, -1), 1 - share)
    labeled = cells.known & cells.is_labeled
    sure = labeled | (unlabeled & (doubt[0] <= lowest))
    unsure = unlabeled & (doubt[0] >= highest)

    classes = torch.arange(num_classes, device=cells.label.device).view(-1, 1)
    is_own = cells.label == classes  # (C, M)
    rank = cells.probabilities.argsort(dim=1, descending=True).argsort(dim=1).T
    low_rank = min(rule.low_rank, num_classes - 1)
    confused = labeled & (rank < low_rank)
    unlikely = unsure & (rank >= low_rank) & (rank < rule.high_rank)

    members = is_own & sure
    anchors = members & (cells.probabilities.T > rule.anchor_probability)
    return ClassSets(members, anchors, (confused | unlikely) & ~is_own)


@torch.no_grad()
def rows_to_keep(features: Tensor, negatives: Tensor, rule: ContrastRule) -> dict[str, Tensor]:
    """Random negatives of each class for the memory, always in the same shapes.

    Args:
        features: (M, P) of the teacher.
        negatives: (C, M) bool.
        rule: how many.

    Returns:
        "rows" (1, C, R, P) of unit length and "is_row" (1, C, R) bool, False where there were too few.
    """
    keys = torch.where(negatives, torch.rand(negatives.shape, device=negatives.device), -1.0)
    drawn = keys.topk(min(rule.kept, keys.shape[1]), dim=1)
    found = features.index_select(0, drawn.indices.flatten()).view(*drawn.indices.shape, -1)
    return {"rows": functional.normalize(found.float(), dim=2)[None], "is_row": (drawn.values >= 0)[None]}


def contrastive_loss(
    student: Tensor, teacher: Tensor, sets: ClassSets, memory: FeatureMemory, rule: ContrastRule
) -> Tensor:
    """Cross entropy of telling a class's mean from its negatives, averaged over anchors, then over classes present.

    A class without anchors or without stored negatives adds 0; so does a batch with a single class (released code).

    Args:
        student: (M, P), with gradient.
        teacher: (M, P).
        sets: who plays which part.
        memory: negatives of unit length.
        rule: how many of each, temperature.
    """
    num_classes = len(sets.members)
    mean = functional.normalize(sets.members.float() @ teacher.float(), dim=1)  # (C, P); the length does not matter
    index = random_members(sets.anchors, rule.anchors)
    anchor = functional.normalize(student.index_select(0, index.flatten()).float(), dim=1)
    anchor = anchor.view(num_classes, rule.anchors, -1)

    drawn = torch.rand(num_classes, rule.anchors, rule.negatives, device=anchor.device) * memory.count.view(-1, 1, 1)
    to_negatives = (anchor @ memory.rows.transpose(1, 2)).gather(2, drawn.long())  # (C, A, K)
    to_mean = (anchor * mean.unsqueeze(1)).sum(dim=2, keepdim=True)
    logits = torch.cat([to_mean, to_negatives], dim=2) / rule.temperature
    loss = -logits.log_softmax(dim=2)[..., 0].mean(dim=1)  # (C,)

    present = sets.members.any(dim=1)
    usable = sets.anchors.any(dim=1) & (memory.count > 0) & (present.sum() > 1)
    return torch.where(usable, loss, 0.0).sum() / present.sum().clamp(min=1)


def random_members(mask: Tensor, count: int) -> Tensor:
    """`count` random positions per row where the mask is True, with replacement; (C, count) int64.

    A row without one gets positions that mean nothing.

    Args:
        mask: (C, M) bool.
        count: how many.
    """
    reached = mask.cumsum(dim=1)
    total = reached[:, -1:]
    wanted = (torch.rand(len(mask), count, device=mask.device) * total).long()
    wanted = torch.minimum(wanted, (total - 1).clamp(min=0)) + 1  # float32 may round up to the total
    return torch.searchsorted(reached, wanted).clamp(max=mask.shape[1] - 1)
