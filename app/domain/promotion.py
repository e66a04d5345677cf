"""Whether one round may replace another: both measured on the same frozen gold images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from app.domain.bootstrap import MIN_INTERVAL_IMAGES, Interval, draw_images, interval_of, resampled_iou, resampled_miou
from app.domain.gold_scores import GoldImage, GoldScore
from app.domain.pixel_counts import PixelCounts, iou_per_class
from app.domain.states import ModelStatus

FEW_GOLD_IMAGES = 20
"""Below this many gold images a comparison carries a warning. Chosen by us, like the control arm's minimum."""

MIN_REASON_WORDS = 3
"""Shorter reasons ("ok", "as told") say nothing to whoever asks later."""

_SMALLEST_FALL = 0.005
"""Of a class's IoU in one image; what is shown is rounded to points, and less would be "-0". Chosen by us."""
_NAMED_CLASSES = 3
_NAMED_IMAGES = 5


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
        name: class name or "mIoU".
        old: fraction, or None where it was not measured.
        new: likewise.
        old_interval: 95 % over gold images, or None with too few of them.
        new_interval: likewise.
        interval: of new - old, both on the same draws.
        num_images: gold images that show it.
    """

    name: str
    old: float | None
    new: float | None
    old_interval: Interval | None = None
    new_interval: Interval | None = None
    interval: Interval | None = None
    num_images: int = 0

    @property
    def difference(self) -> float | None:
        """new - old, or None unless both were measured."""
        return None if self.old is None or self.new is None else self.new - self.old


@dataclass(frozen=True)
class ImageChange:
    """Mean IoU of one gold image in both rounds.

    Attributes:
        name: sample id.
        old: fraction, or None for an image without valid pixels.
        new: likewise.
        image_id: its row in the store; None when only numbers were kept.
        worst_classes: (class name, change of its IoU) of the classes that fell most in this image.
    """

    name: str
    old: float | None
    new: float | None
    image_id: int | None = None
    worst_classes: tuple[tuple[str, float], ...] = ()

    @property
    def difference(self) -> float | None:
        """new - old, or None unless both were measured."""
        return None if self.old is None or self.new is None else self.new - self.old


@dataclass(frozen=True)
class RoundComparison:
    """The verdict on a round against another one, and everything it rests on.

    Attributes:
        verdict: promote, refuse or unknown.
        reasons: sentences for the verdict; never empty.
        warnings: sentences that do not change it.
        miou: of both rounds.
        classes: IoU of every class, in the order of the ids.
        images: mean IoU of every gold image, those that fell furthest first.
        num_images: how many gold images.
        has_pictures: whether the predictions of both rounds on these images were kept.
        limits: what was applied.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    miou: Change = Change("mIoU", None, None)
    classes: tuple[Change, ...] = ()
    images: tuple[ImageChange, ...] = ()
    num_images: int = 0
    has_pictures: bool = False
    limits: PromotionLimits = PromotionLimits()


def checked_reason(reason: str | None) -> str:
    """A reason that says something, without surrounding spaces.

    Raises:
        ValueError: fewer than MIN_REASON_WORDS words.
    """
    said = " ".join((reason or "").split())
    if len(said.split()) < MIN_REASON_WORDS:
        given = f"; {said!r} is too short" if said else ""
        raise ValueError(f"give a reason of at least {MIN_REASON_WORDS} words, it is kept with the model{given}")
    return said


def is_earlier(status: ModelStatus, number: int, current_number: int) -> bool:
    """Whether a model can be gone back to: it was in use before, or its round came before the current one."""
    return status is ModelStatus.RETIRED or (status is not ModelStatus.CURRENT and number < current_number)


def compare_rounds(
    old: GoldScore | None,
    new: GoldScore | None,
    class_names: Sequence[str],
    limits: PromotionLimits | None = None,
) -> RoundComparison:
    """Compare a round with an earlier or the current one.

    Args:
        old: what it would replace, or None when that was never measured.
        new: the round in question, or None when it was never measured.
        class_names: by class id.
        limits: largest falls; None for the defaults.
    """
    limits = limits or PromotionLimits()
    unknown = _why_incomparable(old, new)
    if unknown or old is None or new is None:
        return RoundComparison(Verdict.UNKNOWN, (unknown,), limits=limits)
    paired = _paired(old, new)
    miou, classes = _changes(old, new, class_names, paired)
    falls = _falls((miou, *classes), limits)
    return RoundComparison(
        verdict=Verdict.REFUSE if falls else Verdict.PROMOTE,
        reasons=falls or (_good_news(miou),),
        warnings=(*_warnings(miou, classes, new.num_images), *_missing_pictures(old, new)),
        miou=miou,
        classes=classes,
        images=_images_worst_first(old, new, class_names, paired),
        num_images=new.num_images,
        has_pictures=paired is not None,
        limits=limits,
    )


def _why_incomparable(old: GoldScore | None, new: GoldScore | None) -> str:
    """The reason why nothing can be compared; empty when it can."""
    if new is None or new.num_images == 0:
        return (
            "The new round was never measured on gold images, so nothing says whether it is better. Import labeled "
            "images as gold, and measure it on them."
        )
    if old is None or old.num_images == 0:
        return "The old round was never measured on gold images, so there is nothing to compare with. Measure it."
    if old.gold_sha256 != new.gold_sha256:
        return (
            f"The gold images changed between the two measurements: {_gold_difference(old, new)}. Numbers on "
            "different images cannot be compared; measure both rounds again."
        )
    if any(score.miou is None or not isfinite(score.miou) for score in (old, new)):
        return "The gold images hold no valid pixel, or a score is not a number. Check the gold labels."
    return ""


def _gold_difference(old: GoldScore, new: GoldScore) -> str:
    """What differs between two sets of gold images, in words."""
    before, after = set(old.per_image), set(new.per_image)
    parts = [
        f"{len(names)} {what} ({_listed(names)})"
        for what, names in (("were added", after - before), ("are gone", before - after))
        if names
    ]
    if old.pixels is not None and new.pixels is not None:
        known = {image.sample_id: image for image in old.pixels.images}
        pairs = [(known[image.sample_id], image) for image in new.pixels.images if image.sample_id in known]
        pictures = {now.sample_id for then, now in pairs if then.sha256 != now.sha256}
        labels = {now.sample_id for then, now in pairs if then.label_sha256 != now.label_sha256}
        parts += [f"{len(pictures)} have another picture ({_listed(pictures)})"] if pictures else []
        parts += [f"{len(labels)} have another label ({_listed(labels)})"] if labels else []
    return ", ".join(parts) or "the same images, but another picture or label of at least one of them"


def _listed(names: set[str]) -> str:
    shown = sorted(names)[:_NAMED_IMAGES]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")


@dataclass(frozen=True)
class _Paired:
    """Counts of both rounds, (N, C) each, line by line of the same images."""

    images: tuple[GoldImage, ...]
    before: PixelCounts
    after: PixelCounts


def _paired(old: GoldScore, new: GoldScore) -> _Paired | None:
    """None unless both rounds' pixels were kept."""
    if old.pixels is None or new.pixels is None or old.pixels.images != new.pixels.images:
        return None
    return _Paired(new.pixels.images, old.pixels.counts, new.pixels.counts)


def _changes(
    old: GoldScore, new: GoldScore, class_names: Sequence[str], paired: _Paired | None
) -> tuple[Change, tuple[Change, ...]]:
    """mIoU and each class, with intervals where the pixels were kept."""
    plain = list(zip(class_names, old.iou_per_class, new.iou_per_class, strict=True))
    if paired is None:
        classes = tuple(Change(name, before, after) for name, before, after in plain)
        return Change("mIoU", old.miou, new.miou, num_images=new.num_images), classes
    draws = draw_images(len(paired.images))
    iou_before, iou_after = resampled_iou(paired.before, draws), resampled_iou(paired.after, draws)
    shown_in = (paired.after.labeled > 0).sum(axis=0)  # (C,)
    classes = tuple(
        _with_intervals(*plain[index], iou_before[:, index], iou_after[:, index], int(shown_in[index]))
        for index in range(len(plain))
    )
    means = resampled_miou(iou_before), resampled_miou(iou_after)
    return _with_intervals("mIoU", old.miou, new.miou, *means, new.num_images), classes


def _with_intervals(
    name: str,
    old: float | None,
    new: float | None,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    num_images: int,
) -> Change:
    return Change(
        name,
        old,
        new,
        old_interval=interval_of(before, num_images),
        new_interval=interval_of(after, num_images),
        interval=interval_of(after - before, num_images),
        num_images=num_images,
    )


def _falls(changes: Sequence[Change], limits: PromotionLimits) -> tuple[str, ...]:
    """A sentence for every fall beyond its limit; the first change is that of the mean."""
    pairs = [(change, limits.class_fall if index else limits.miou_fall) for index, change in enumerate(changes)]
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


def _warnings(miou: Change, classes: Sequence[Change], num_images: int) -> list[str]:
    warnings = []
    if num_images < FEW_GOLD_IMAGES:
        no_interval = num_images < MIN_INTERVAL_IMAGES
        more = f", and fewer than {MIN_INTERVAL_IMAGES} give no interval" if no_interval else ""
        plural = "image" if num_images == 1 else "images"
        warnings.append(f"Only {num_images} gold {plural}: small differences may be chance{more}.")
    if miou.interval is not None and not miou.interval.excludes_zero:
        low, high = 100 * miou.interval.low, 100 * miou.interval.high
        warnings.append(
            f"The difference in mIoU may be chance: its 95 % interval over gold images, {low:+.1f} to {high:+.1f} "
            "points, includes 0."
        )
    absent = [change.name for change in classes if change.old is None and change.new is None]
    if absent:
        warnings.append(f"No gold image shows {', '.join(absent)}: nothing is known about these classes.")
    return warnings


def _missing_pictures(old: GoldScore, new: GoldScore) -> list[str]:
    rounds = [name for name, score in (("old", old), ("new", new)) if score.pixels is None]
    if not rounds:
        return []
    return [
        f"The predictions of the {' and the '.join(rounds)} round on the gold images were not kept, so there are no "
        "intervals and no pictures; measure it again."
    ]


def _images_worst_first(
    old: GoldScore, new: GoldScore, class_names: Sequence[str], paired: _Paired | None
) -> tuple[ImageChange, ...]:
    kept = {} if paired is None else {image.sample_id: n for n, image in enumerate(paired.images)}
    changes = []
    for name, after in sorted(new.per_image.items()):
        change = ImageChange(name, old.per_image.get(name), after)
        if paired is not None and name in kept:
            line = kept[name]
            worst = _worst_classes(_line(paired.before, line), _line(paired.after, line), class_names)
            change = replace(change, image_id=paired.images[line].image_id, worst_classes=worst)
        changes.append(change)
    return tuple(sorted(changes, key=lambda change: 0.0 if change.difference is None else change.difference))


def _line(counts: PixelCounts, line: int) -> PixelCounts:
    return PixelCounts(counts.hits[line], counts.labeled[line], counts.predicted[line])


def _worst_classes(
    before: PixelCounts, after: PixelCounts, class_names: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """The classes of one image whose IoU fell by half a point and more, furthest first, at most three."""
    pairs = zip(class_names, iou_per_class(before), iou_per_class(after), strict=True)
    # A class that is neither labeled nor predicted was told apart perfectly.
    falls = [(name, (1.0 if new is None else new) - (1.0 if old is None else old)) for name, old, new in pairs]
    return tuple(
        sorted((fall for fall in falls if fall[1] < -_SMALLEST_FALL), key=lambda fall: fall[1])[:_NAMED_CLASSES]
    )
