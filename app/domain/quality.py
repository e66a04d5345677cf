"""How good the labels are, from the action log alone: errors that nobody looks at, planted errors, changes.

Actions that were taken back count in nothing. Regions of earlier proposals count: they were seen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.domain.actions import Action
from app.domain.bootstrap import Interval, draw_images, interval_of
from app.domain.intervals import CountedShare, counted_share
from app.domain.states import RegionKind

CATCH_LIMIT = 0.9
"""Planted errors that people should catch; below this share the report warns. Chosen by us."""

RELIABILITY_BINS = (0.0, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Ends of the bins of mean reliability. Audits come from the reliable area, so the upper ones are narrow."""


@dataclass(frozen=True)
class BinnedShare:
    """Audits of one bin of mean reliability, `low` up to but without `high`; the last bin holds its end."""

    low: float
    high: float
    wrong: CountedShare


@dataclass(frozen=True)
class AuditedError:
    """How wrong the reliable pixels of one model's proposals are that nobody looked at.

    Attributes:
        wrong: drawn pixels found wrong, of all drawn pixels that were decided and have a class.
        by_class: the same by predicted class, for the classes that were drawn.
        by_reliability: the same by mean reliability of the region; empty bins are left out.
        num_regions: audits behind it.
        num_undecided: audits that somebody skipped or did not know, and nobody decided since.
        num_void: audits whose drawn pixel was called void: it has no class, so the model's cannot be wrong.
        num_set_aside: decided audits that a person chose, by a click or a filter, before chance gave them out. They
            count as soon as the order of drawing reaches them.
    """

    wrong: CountedShare
    by_class: dict[int, CountedShare]
    by_reliability: tuple[BinnedShare, ...]
    num_regions: int
    num_undecided: int
    num_void: int
    num_set_aside: int


@dataclass(frozen=True)
class ControlError:
    """What images labeled from scratch say about the model's reliable pixels.

    Attributes:
        num_images: finished control images.
        reliable_pixels: pixels of them that the model calls reliable and the person gave a class.
        wrong_pixels: those of them with another class.
        share: wrong_pixels / reliable_pixels; None without such pixels.
        interval: at 95 %, a bootstrap over images, because errors of an image lie together; None with too few images,
            and without any wrong pixel: resamples of no errors hold none, however few images there are.
    """

    num_images: int
    reliable_pixels: int
    wrong_pixels: int
    share: float | None
    interval: Interval | None


def audited_error(actions: Sequence[Action], model_id: int) -> AuditedError:
    """Measure the reliable area of one model's proposals.

    Which audits a person decides first must not depend on what they show: somebody who clicks on what looks wrong would
    make the sample worse than the rest. So only audits count up to the last one that chance gave out, in the order of
    drawing, whoever opened them and how: a beginning of a random order is a random sample. Every filling of the queue
    has an order of its own.

    Args:
        actions: that count, oldest first.
        model_id: whose proposals.
    """
    audits = [each for each in actions if _measures(each, model_id)]
    reached: dict[int | None, float] = {}
    for each in audits:
        if each.was_given:
            reached[each.draw_batch] = max(reached.get(each.draw_batch, 0.0), each.draw_order or 0.0)
    last = last_by_region(audits)
    decided = [each for each in last.values() if each.closes_region]
    sample = [each for each in decided if (each.draw_order or 0.0) <= reached.get(each.draw_batch, -1.0)]
    with_class = [each for each in sample if each.audited_pixels > 0]
    by_class: dict[int, list[Action]] = {}
    for each in with_class:
        by_class.setdefault(each.predicted_class or 0, []).append(each)
    return AuditedError(
        wrong=_wrong(with_class),
        by_class={class_id: _wrong(found) for class_id, found in sorted(by_class.items())},
        by_reliability=tuple(_binned(with_class)),
        num_regions=len(with_class),
        num_undecided=len(last) - len(decided),
        num_void=len(sample) - len(with_class),
        num_set_aside=len(decided) - len(sample),
    )


def _measures(action: Action, model_id: int) -> bool:
    """Whether it is about an audit of a model's proposals for the pool; those in decoys have no place in the order."""
    is_drawn = action.region_kind is RegionKind.AUDIT and action.draw_order is not None
    return is_drawn and action.model_id == model_id


def catch_rates(actions: Sequence[Action]) -> dict[str, CountedShare]:
    """Planted errors that each person caught, of those that the person decided."""
    decided: dict[tuple[str, int], bool] = {}
    for each in actions:
        if each.region_kind is RegionKind.PLANTED and each.caught is not None and each.region_id is not None:
            decided[each.user, each.region_id] = each.caught
    people = sorted({user for user, _ in decided})
    return {person: _share(caught for (user, _), caught in decided.items() if user == person) for person in people}


def caught_by_all(actions: Sequence[Action]) -> CountedShare:
    """Planted errors that people caught, each person's last answer to each."""
    rates = catch_rates(actions).values()
    return counted_share(sum(rate.hits for rate in rates), sum(rate.trials for rate in rates))


def is_low(rate: CountedShare) -> bool:
    """Whether a catch rate is worth a warning."""
    return rate.share is not None and rate.share < CATCH_LIMIT


def change_rate(actions: Sequence[Action]) -> CountedShare:
    """Queued regions that people changed, of those that they decided."""
    queued = [each for each in actions if each.region_kind is RegionKind.QUEUE and each.region_id is not None]
    closed = {each.region_id for each in queued if each.closes_region}
    changed = {each.region_id for each in queued if each.pixels_changed > 0}
    return counted_share(len(closed & changed), len(closed))


def control_error(actions: Sequence[Action]) -> ControlError:
    """How wrong the reliable pixels are, by the labels drawn from scratch; see `ControlError`.

    Args:
        actions: that count.
    """
    finished = {each.image_sha256: each for each in actions if _finishes_control(each)}
    counts = [(each.wrong_pixels, each.audited_pixels) for each in finished.values()]
    wrong, checked = (np.array([pair[place] for pair in counts], np.float64) for place in (0, 1))
    share, interval = None, None
    if checked.sum() > 0:
        share = float(wrong.sum() / checked.sum())
    if share:
        draws = draw_images(len(counts))  # (R, N)
        drawn = draws @ checked
        resampled = np.divide(draws @ wrong, drawn, out=np.full(drawn.shape, np.nan), where=drawn > 0)
        interval = interval_of(resampled, len(counts))
    return ControlError(len(counts), int(checked.sum()), int(wrong.sum()), share, interval)


def _finishes_control(action: Action) -> bool:
    return action.region_kind is RegionKind.CONTROL and action.closes_region


def pixels_shown(actions: Sequence[Action]) -> int:
    """Pixels of all regions that somebody was shown, each region once, without control images."""
    areas = {
        each.region_id: each.area or 0
        for each in actions
        if each.region_id is not None and each.region_kind is not RegionKind.CONTROL
    }
    return sum(areas.values())


def pixels_touched(actions: Sequence[Action]) -> int:
    """Pixels to which people gave another class where that changes the label; control images are drawn from nothing."""
    apart = (RegionKind.CONTROL, RegionKind.PLANTED)
    return sum(each.pixels_changed for each in actions if each.region_kind not in apart)


def last_by_region(actions: Iterable[Action]) -> dict[int, Action]:
    """The last action about each region that finished it, or else the last one at all."""
    found: dict[int, Action] = {}
    for each in actions:
        if each.region_id is None:
            continue
        before = found.get(each.region_id)
        if each.closes_region or before is None or not before.closes_region:
            found[each.region_id] = each
    return found


def _wrong(audits: Iterable[Action]) -> CountedShare:
    audits = list(audits)
    return counted_share(sum(each.wrong_pixels for each in audits), sum(each.audited_pixels for each in audits))


def _binned(audits: Sequence[Action]) -> Iterable[BinnedShare]:
    for low, high in zip(RELIABILITY_BINS[:-1], RELIABILITY_BINS[1:], strict=True):
        last = high == RELIABILITY_BINS[-1]
        inside = [each for each in audits if low <= (each.mean_reliability or 0.0) < high + last]
        if inside:
            yield BinnedShare(low, high, _wrong(inside))


def _share(values: Iterable[bool]) -> CountedShare:
    values = list(values)
    return counted_share(sum(values), len(values))
