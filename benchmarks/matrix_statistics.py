"""How far a number of the comparison would move with other test frames, and other seeds: a paired block bootstrap.

Neighboring frames of a video are near-duplicates, so frames are not independent draws; blocks of consecutive frames
nearly are. A resample draws as many blocks as there are, with replacement, and, with several seeds, as many seeds. Two
methods are compared on the same draws, so what is hard for both cancels out. Percentile intervals at 95 %.

With a dozen blocks such intervals are too narrow: on made-up counts with a known difference, 12 blocks of very unequal
difficulty and a little interaction of block and method, 89 % of 300 intervals held it with one seed and 93 % with
three, if seeds made no difference; with seeds whose accuracies spread by 2 points (standard deviation), 86 % with three
and 37 % with one, which cannot know. Nothing corrects for looking at many differences: one in twenty excludes zero by
chance alone.

Source: Künsch, Annals of Statistics 17(3), 1989 (block bootstrap); here the blocks are fixed and do not overlap.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]

RESAMPLES = 2000
DRAW_SEED = 0
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A number of the whole test set and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Draws:
    """What is drawn in each resample, the same for every method that is compared.

    Attributes:
        blocks: (R, B) how often each block is drawn; rows sum to B.
        seeds: (R, S) how often each seed is drawn; rows sum to S.
    """

    blocks: Counts
    seeds: Counts


def draw(num_blocks: int, num_seeds: int, resamples: int = RESAMPLES, seed: int = DRAW_SEED) -> Draws:
    """Resamples with replacement; the same numbers for the same arguments."""
    rng = np.random.default_rng(seed)
    blocks = rng.multinomial(num_blocks, np.full(num_blocks, 1 / num_blocks), size=resamples)
    seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=resamples)
    return Draws(blocks, seeds)


def miou(confusion: Counts) -> Numbers:
    """Mean IoU over the classes that have labeled pixels.

    A resample may have lost every frame with a rare class: that class is left out of it, for all methods alike, even
    where one of them predicts it. On CamVid's whole test set all classes are labeled and this is the usual mIoU.

    Args:
        confusion: (..., C, C), labels in rows.

    Returns:
        (...), NaN without a labeled pixel.
    """
    counts = confusion.astype(np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    labeled = counts.sum(axis=-1)
    union = labeled + counts.sum(axis=-2) - hits
    iou = np.where(labeled > 0, hits / np.maximum(union, 1), 0.0)
    present = (labeled > 0).sum(axis=-1)
    return np.where(present > 0, iou.sum(axis=-1) / np.maximum(present, 1), np.nan)


def resampled_miou(confusion: Counts, draws: Draws) -> Numbers:
    """(R,) mIoU of every resample, averaged over the seeds it drew.

    Args:
        confusion: (S, B, C, C) per seed and block.
        draws: for S seeds and B blocks.
    """
    total = np.zeros(len(draws.blocks))
    for of_seed, drawn in zip(confusion, draws.seeds.T, strict=True):
        summed = np.tensordot(draws.blocks, of_seed, axes=1)  # (R, C, C)
        total += drawn * miou(summed)
    return total / len(confusion)


def miou_interval(confusion: Counts, draws: Draws) -> Interval:
    """mIoU, mean over seeds; confusion (S, B, C, C)."""
    return percentile_interval(float(miou(confusion.sum(axis=1)).mean()), resampled_miou(confusion, draws))


def difference(ours: Counts, theirs: Counts, draws: Draws) -> Interval:
    """mIoU of ours minus theirs, both (S, B, C, C) with the same seeds and blocks in the same order.

    Raises:
        ValueError: shapes differ, so the two cannot be paired.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"counts of shape {ours.shape} and {theirs.shape} cannot be paired by seeds and blocks")
    value = miou(ours.sum(axis=1)).mean() - miou(theirs.sum(axis=1)).mean()
    return percentile_interval(float(value), resampled_miou(ours, draws) - resampled_miou(theirs, draws))


def auroc(counts: Counts) -> Numbers:
    """Chance that a random wrong pixel scores below a random right one; ties, here equal bins, count half.

    Args:
        counts: (..., bins, 2) right and wrong pixels, least sure bin first.
    """
    right, wrong = counts[..., 0].astype(np.float64), counts[..., 1].astype(np.float64)
    right_above = right[..., ::-1].cumsum(axis=-1)[..., ::-1] - right
    pairs = right.sum(axis=-1) * wrong.sum(axis=-1)
    won = (wrong * (right_above + right / 2)).sum(axis=-1)
    return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)


def resampled_auroc(counts: Counts, draws: Draws) -> Numbers:
    """(R,) AUROC of every resample, averaged over the seeds it drew; counts (S, B, bins, 2)."""
    total = np.zeros(len(draws.blocks))
    for of_seed, drawn in zip(counts, draws.seeds.T, strict=True):
        total += drawn * auroc(np.tensordot(draws.blocks, of_seed, axes=1))
    return total / len(counts)


def auroc_interval(counts: Counts, draws: Draws) -> Interval:
    """AUROC, mean over seeds; counts (S, B, bins, 2)."""
    return percentile_interval(float(auroc(counts.sum(axis=1)).mean()), resampled_auroc(counts, draws))


def auroc_difference(ours: Counts, theirs: Counts, draws: Draws) -> Interval:
    """AUROC of ours minus theirs, both (S, B, bins, 2) with the same seeds and blocks in the same order."""
    value = auroc(ours.sum(axis=1)).mean() - auroc(theirs.sum(axis=1)).mean()
    return percentile_interval(float(value), resampled_auroc(ours, draws) - resampled_auroc(theirs, draws))


def risk_coverage(counts: Counts) -> tuple[Numbers, Numbers]:
    """Share of pixels kept and error rate among them, from the surest bin on; counts (bins, 2)."""
    filled = counts[counts.sum(axis=1) > 0][::-1]
    kept, wrong = filled.sum(axis=1).cumsum(), filled[:, 1].cumsum()
    return kept / counts.sum(), wrong / kept


def percentile_interval(value: float, resampled: NDArray[Any]) -> Interval:
    """A number with the middle 95 % of its resamples."""
    low, high = np.nanpercentile(resampled, _TAILS)
    return Interval(value, float(low), float(high))
