"""Whether a new round may replace the current one: both measured on the same frozen gold images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, LabelArray

FEW_GOLD_IMAGES = 20
"""Below this many gold images a comparison carries a warning. Chosen by us, like the control arm's minimum."""


def confusion_matrix(truth: LabelArray, predicted: LabelArray, num_classes: int) -> NDArray[np.int64]:
    """(C, C) pixel counts [truth, predicted] over the pixels whose truth is not IGNORE_INDEX.

    Raises:
        ValueError: sizes differ, or an id is not below `num_classes`.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the label is {truth.shape} and the prediction {predicted.shape} (height, width)")
    valid = truth != IGNORE_INDEX
    codes = truth[valid].astype(np.int64) * num_classes + predicted[valid]
    if codes.size and max(int(truth[valid].max()), int(predicted[valid].max())) >= num_classes:
        raise ValueError(f"a class id is not below {num_classes}; label and model have different class lists")
    return np.bincount(codes, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def iou_per_class(confusion: NDArray[np.int64]) -> list[float | None]:
    """Intersection over union of each class; None for a class in neither truth nor prediction."""
    right = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - right
    return [float(hit / size) if size else None for hit, size in zip(right, union, strict=True)]


def mean_iou(iou: Sequence[float | None]) -> float | None:
    """Mean over the classes that have an IoU; None when no class has one."""
    present = [value for value in iou if value is not None]
    return float(np.mean(present)) if present else None


@dataclass(frozen=True)
class GoldScore:
    """How one model did on the gold images; all IoU values are fractions.

    Attributes:
        miou: mean IoU over classes, counted over all gold pixels; None without valid gold pixels.
        iou_per_class: by class id; None for a class that occurs nowhere.
        per_image: mean IoU by sample id.
        num_images: how many gold images.
        gold_sha256: hash over the gold images and labels.
    """

    miou: float | None
    iou_per_class: Sequence[float | None]
    per_image: Mapping[str, float | None]
    num_images: int
    gold_sha256: str

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "GoldScore":
        """Read what a model's row keeps; other keys are ignored."""
        return cls(
            miou=content["miou"],
            iou_per_class=tuple(content["iou_per_class"]),
            per_image=dict(content.get("per_image", {})),
            num_images=int(content["num_images"]),
            gold_sha256=str(content["gold_sha256"]),
        )


@dataclass(frozen=True)
class PromotionLimits:
    """Largest falls that are still promoted without a reason, as fractions of IoU. Chosen by us.

    Attributes:
        miou_fall: of the mean. Half a point is about what another seed changes.
        class_fall: of any single class.
    """

    miou_fall: float = 0.005
    class_fall: float = 0.05


class Verdict(StrEnum):
    """What the comparison says."""

    PROMOTE = "promote"
    REFUSE = "refuse"
    """It got worse by more than a limit: promoting takes a written reason."""
    UNKNOWN = "unknown"
    """Nothing comparable was measured: promoting takes a written reason."""


@dataclass(frozen=True)
class Change:
    """One number of the old and of the new round.

    Attributes:
        name: class name or sample id.
        old: fraction, or None where it was not measured.
        new: likewise.
    """

    name: str
    old: float | None
    new: float | None

    @property
    def difference(self) -> float | None:
        """new - old, or None unless both were measured."""
        return None if self.old is None or self.new is None else self.new - self.old


@dataclass(frozen=True)
class PromotionComparison:
    """The verdict on a candidate and everything it rests on.

    Attributes:
        verdict: promote, refuse or unknown.
        reasons: sentences for the verdict; never empty.
        warnings: sentences that do not change it.
        miou: of both rounds.
        classes: IoU of every class, in the order of the ids.
        images: mean IoU of every gold image, those that fell furthest first.
        num_images: how many gold images.
        limits: what was applied.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    miou: Change = field(default_factory=lambda: Change("mIoU", None, None))
    classes: tuple[Change, ...] = ()
    images: tuple[Change, ...] = ()
    num_images: int = 0
    limits: PromotionLimits = PromotionLimits()


def compare_rounds(
    old: GoldScore | None,
    new: GoldScore | None,
    class_names: Sequence[str],
    limits: PromotionLimits | None = None,
) -> PromotionComparison:
    """Compare a candidate with the current model.

    Args:
        old: the current model's score, or None when it was never measured.
        new: the candidate's score, or None when it was never measured.
        class_names: by class id.
        limits: largest falls; None for the defaults.
    """
    limits = limits or PromotionLimits()
    unknown = _why_incomparable(old, new)
    if unknown or old is None or new is None:
        return PromotionComparison(Verdict.UNKNOWN, (unknown,), limits=limits)
    miou = Change("mIoU", old.miou, new.miou)
    pairs = zip(class_names, old.iou_per_class, new.iou_per_class, strict=True)
    classes = tuple(Change(name, before, after) for name, before, after in pairs)
    falls = _falls(miou, classes, limits)
    return PromotionComparison(
        verdict=Verdict.REFUSE if falls else Verdict.PROMOTE,
        reasons=falls or (_good_news(miou),),
        warnings=_warnings(new.num_images, classes),
        miou=miou,
        classes=classes,
        images=_images_worst_first(old, new),
        num_images=new.num_images,
        limits=limits,
    )


def _why_incomparable(old: GoldScore | None, new: GoldScore | None) -> str:
    """The reason why nothing can be compared; empty when it can."""
    if new is None or new.num_images == 0:
        return (
            "There are no gold images, so nothing says whether this round is better. "
            "Import labeled images as gold, or promote it with a reason."
        )
    if old is None:
        return "The current model was never measured on gold images. Measure it, or promote this round with a reason."
    if old.gold_sha256 != new.gold_sha256:
        return (
            "The gold images changed between the two rounds, so their numbers cannot be compared. "
            "Measure both on the same gold images, or promote this round with a reason."
        )
    if any(score.miou is None or not isfinite(score.miou) for score in (old, new)):
        return "The gold images hold no valid pixel, or a score is not a number. Check the gold labels."
    return ""


def _falls(miou: Change, classes: Sequence[Change], limits: PromotionLimits) -> tuple[str, ...]:
    """A sentence for every fall beyond its limit."""
    pairs = [(miou, limits.miou_fall), *((change, limits.class_fall) for change in classes)]
    return tuple(
        f"{change.name} falls by {_points(-change.difference)} (from {change.old:.1%} to {change.new:.1%}); "
        f"the limit is {_points(limit)}."
        for change, limit in pairs
        # `not >=`, because a NaN is no improvement either; the margin, because 0.70 - 0.65 is above 0.05 in floats.
        if change.difference is not None and not change.difference >= -limit - 1e-9
    )


def _good_news(miou: Change) -> str:
    difference = miou.difference or 0.0
    if difference == 0:
        return f"mIoU stays at {miou.new:.1%}, and no class falls beyond the limit."
    direction = "rises" if difference > 0 else "falls"
    by = f"by {_points(abs(difference))}"
    return f"mIoU {direction} {by} from {miou.old:.1%} to {miou.new:.1%}, and no class falls beyond the limit."


def _points(difference: float) -> str:
    """A difference of two percentages: 0.007 is 0.7 points, which is not 0.7 % of anything."""
    return f"{100 * difference:.1f} points"


def _warnings(num_images: int, classes: Sequence[Change]) -> tuple[str, ...]:
    warnings = []
    if num_images < FEW_GOLD_IMAGES:
        warnings.append(f"Only {num_images} gold images: small differences may be chance.")
    absent = [change.name for change in classes if change.old is None and change.new is None]
    if absent:
        warnings.append(f"No gold image shows {', '.join(absent)}: nothing is known about these classes.")
    return tuple(warnings)


def _images_worst_first(old: GoldScore, new: GoldScore) -> tuple[Change, ...]:
    changes = [Change(name, old.per_image.get(name), after) for name, after in sorted(new.per_image.items())]
    return tuple(sorted(changes, key=lambda change: 0.0 if change.difference is None else change.difference))
