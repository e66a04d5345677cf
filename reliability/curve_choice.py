"""Which curve is used: the kind with the least log loss on images it was not fitted on, per class where that pays."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reliability.probability_curves import CURVES, check_counts, log_loss

MIN_CLASS_IMAGES = 10
MIN_CLASS_PIXELS = 500
"""A class has a curve of its own when at least so many images predict it, and at least so many right and so many wrong
pixels of it were seen. Ours; neighboring pixels are wrong together, so images count more than pixels."""

MAX_FOLDS = 5


@dataclass(frozen=True)
class FittedCurves:
    """A curve per class.

    Attributes:
        table: (C, NUM_BINS) float32, probability of being wrong by predicted class and bin, falling along the bins.
        kind: a name in `CURVES`.
        per_class: whether classes with enough data have curves of their own.
        own_classes: ids of those that do.
        held_out_loss: candidate -> log loss in nats per pixel of images it was not fitted on; empty with one image.
    """

    table: Tensor
    kind: str
    per_class: bool
    own_classes: tuple[int, ...]
    held_out_loss: dict[str, float]


def choose_curves(counts: Tensor, allow_per_class: bool = True) -> FittedCurves:
    """Fit every candidate in turns on some images, measure it on the others, and fit the best one on all.

    Args:
        counts: (images, C, NUM_BINS, 2), neighboring frames beside each other: folds are runs of images, so that a
            frame and the next one rarely lie in two folds.
        allow_per_class: False leaves the order of all pixels by score as it is.

    Raises:
        ValueError: the counts are wrong; see `check_counts`.
    """
    check_counts(counts)
    candidates = [(kind, False) for kind in CURVES]
    if allow_per_class:
        candidates += [(kind, True) for kind in CURVES if kind != "uncalibrated"]
    losses = {} if len(counts) < 2 else {_name(*each): _held_out_loss(counts, *each) for each in candidates}
    best = min(candidates, key=lambda each: losses[_name(*each)]) if losses else ("temperature", False)
    table, own_classes = fit_table(counts, *best)
    return FittedCurves(table, best[0], best[1], own_classes, losses)


def fit_table(counts: Tensor, kind: str, per_class: bool) -> tuple[Tensor, tuple[int, ...]]:
    """One kind of curve fitted on all images.

    Args:
        counts: (images, C, NUM_BINS, 2).
        kind: a name in `CURVES`.
        per_class: a curve of its own for each class with enough data; the others share one that all classes made.

    Returns:
        (C, NUM_BINS) float32, and the ids of the classes with a curve of their own.
    """
    total = counts.sum(dim=0)
    own_classes = classes_with_enough(counts) if per_class else ()
    table = CURVES[kind](total.sum(dim=0)).repeat(len(total), 1)
    for class_id in own_classes:
        table[class_id] = CURVES[kind](total[class_id])
    return table.float().cummin(dim=1).values, own_classes


def classes_with_enough(counts: Tensor) -> tuple[int, ...]:
    """Ids of the classes that reach MIN_CLASS_IMAGES and MIN_CLASS_PIXELS; counts as in `choose_curves`."""
    pixels = counts.sum(dim=2)  # (images, C, 2)
    images = (pixels.sum(dim=2) > 0).sum(dim=0)
    enough = (images >= MIN_CLASS_IMAGES) & (pixels.sum(dim=0) >= MIN_CLASS_PIXELS).all(dim=1)
    return tuple(enough.nonzero().flatten().tolist())


def _held_out_loss(counts: Tensor, kind: str, per_class: bool) -> float:
    """Nats per pixel, over folds of consecutive images."""
    fold = torch.arange(len(counts)) * min(MAX_FOLDS, len(counts)) // len(counts)
    loss = 0.0
    for number in range(int(fold[-1]) + 1):
        held_out = fold == number
        table, _ = fit_table(counts[~held_out], kind, per_class)
        loss += float(log_loss(counts[held_out].sum(dim=0), table))
    return loss / float(counts.sum())


def _name(kind: str, per_class: bool) -> str:
    return f"{kind} per class" if per_class else kind
