"""What the labels cost: seconds per region, hours, and what the model's help saves against labeling from scratch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from app.domain.actions import Action
from app.domain.bootstrap import Interval, draw_images, interval_of
from app.domain.intervals import median_interval
from app.domain.states import RegionKind

ENOUGH_CONTROLS = 20
"""Fewer finished control images make "effort saved" an estimate. Chosen by us."""

_MS = 1000.0
_MILLION = 1e6


@dataclass(frozen=True)
class RegionEffort:
    """Time that people worked on regions that they finished.

    Attributes:
        num_regions: finished regions.
        median_s: seconds of work per region; None without regions.
        p90_s: nine of ten regions took at most this long.
        quartiles_s: the middle half of the regions took between these; None without regions.
        interval: of the median, at 95 %; None with too few regions.
    """

    num_regions: int
    median_s: float | None
    p90_s: float | None
    quartiles_s: tuple[float, float] | None
    interval: Interval | None


@dataclass(frozen=True)
class ImageEffort:
    """What one finished image cost.

    Attributes:
        seconds: of work on it, by everybody.
        pixels: of the image.
        shown: pixels of the regions in it that people were shown.
    """

    seconds: float
    pixels: int
    shown: int


@dataclass(frozen=True)
class EffortSaved:
    """How much less work a pixel takes with proposals than without.

    Attributes:
        share: 1 - work per pixel with proposals / work per pixel from scratch; negative when they cost time; None when
            nothing can be said.
        interval: at 95 %; None with fewer than five images in an arm.
        is_estimate: fewer than ENOUGH_CONTROLS control images are finished.
        num_controls: finished control images.
        num_assisted: finished images with proposals.
        from_pixels: no control image is finished: the share is that of the pixels that nobody had to look at.
        scratch_s: seconds of work per million pixels from scratch; None without a finished control image.
        assisted_s: the same with proposals; None without a finished image.
    """

    share: float | None
    interval: Interval | None
    is_estimate: bool
    num_controls: int
    num_assisted: int
    from_pixels: bool
    scratch_s: float | None
    assisted_s: float | None


@dataclass(frozen=True)
class RoundGain:
    """How a round's model did on gold, and how much work had gone in before it.

    Attributes:
        round: its number.
        gold_miou: fraction.
        hours: of work up to its making.
        gain_per_hour: gold mIoU gained since the first measured round per hour of work since then; None for that round,
            or when nobody worked.
    """

    round: int
    gold_miou: float
    hours: float
    gain_per_hour: float | None


def region_effort(actions: Sequence[Action]) -> RegionEffort:
    """Seconds that finished regions took, all visits of a person to a region together. Control images are no regions.

    Args:
        actions: that count.
    """
    seconds: dict[tuple[str, int], float] = {}
    finished: set[tuple[str, int]] = set()
    for each in actions:
        if each.region_id is None or each.region_kind is RegionKind.CONTROL:
            continue
        visit = each.user, each.region_id
        seconds[visit] = seconds.get(visit, 0.0) + each.active_ms / _MS
        if each.closes_region:
            finished.add(visit)
    took = [seconds[visit] for visit in finished]
    if not took:
        return RegionEffort(0, None, None, None, None)
    first, median, third, p90 = (float(each) for each in np.percentile(took, [25, 50, 75, 90]))
    interval = median_interval(took)
    return RegionEffort(len(took), median, p90, (first, third), None if interval is None else Interval(*interval))


def hours_of(actions: Sequence[Action]) -> float:
    """Hours of work."""
    return sum(each.active_ms for each in actions) / _MS / 3600


def effort_saved(controls: Sequence[ImageEffort], assisted: Sequence[ImageEffort]) -> EffortSaved:
    """Compare images labeled from scratch with images that were reviewed.

    saved = 1 - (seconds of the reviewed images / their pixels) / (seconds of the control images / their pixels)

    over finished images only. Its interval is a bootstrap over the images of both arms (Efron and Tibshirani 1993,
    chapters 8 and 13). Without a finished control image the formula assumes that a pixel would have taken as long as
    one that was shown: saved = 1 - pixels shown / pixels of the reviewed images, which is no measurement.
    """
    share, interval = None, None
    if assisted and controls and _rate(controls) > 0:
        share = 1 - _rate(assisted) / _rate(controls)
        interval = _interval(controls, assisted)
    elif assisted:
        share = 1 - sum(each.shown for each in assisted) / sum(each.pixels for each in assisted)
    return EffortSaved(
        share=share,
        interval=interval,
        is_estimate=len(controls) < ENOUGH_CONTROLS,
        num_controls=len(controls),
        num_assisted=len(assisted),
        from_pixels=not controls and bool(assisted),
        scratch_s=_MILLION * _rate(controls) if controls else None,
        assisted_s=_MILLION * _rate(assisted) if assisted else None,
    )


def round_gains(gold: Mapping[int, tuple[float, datetime]], actions: Sequence[Action]) -> list[RoundGain]:
    """Gold mIoU of each round beside the hours of work that came before it.

    Args:
        gold: (mIoU, when it was made) by round.
        actions: that count.
    """
    gains: list[RoundGain] = []
    for number, (miou, made_at) in sorted(gold.items()):
        hours = hours_of([each for each in actions if each.time <= made_at])
        worked = hours - gains[0].hours if gains else 0.0
        per_hour = (miou - gains[0].gold_miou) / worked if worked > 0 else None
        gains.append(RoundGain(number, miou, hours, per_hour))
    return gains


def _rate(images: Sequence[ImageEffort]) -> float:
    return sum(each.seconds for each in images) / sum(each.pixels for each in images)


def _interval(controls: Sequence[ImageEffort], assisted: Sequence[ImageEffort]) -> Interval | None:
    rates = []
    for seed, images in enumerate((assisted, controls)):
        draws = draw_images(len(images), seed=seed)  # (R, N)
        seconds, pixels = (np.array([getattr(each, name) for each in images]) for name in ("seconds", "pixels"))
        rates.append((draws @ seconds) / (draws @ pixels))
    with_help, from_scratch = rates
    saved = 1 - np.divide(with_help, from_scratch, out=np.full(with_help.shape, np.nan), where=from_scratch > 0)
    return interval_of(saved, min(len(controls), len(assisted)))
