"""The work of people cut into parts: by class of the regions, and by day or week."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from app.domain.actions import Action
from app.domain.effort import RegionEffort, hours_of, region_effort
from app.domain.intervals import CountedShare
from app.domain.quality import caught_by_all, change_rate
from app.domain.states import RegionKind

MOST_DAYS = 35
"""Work that spreads over more days is told by week. Chosen by us: more points do not fit side by side."""

_WEEK = 7


@dataclass(frozen=True)
class ClassWork:
    """Regions of the queue that the model called one class.

    Attributes:
        class_id: that class.
        changed: regions that people changed, of those that they decided.
        effort: seconds per finished region.
    """

    class_id: int
    changed: CountedShare
    effort: RegionEffort


@dataclass(frozen=True)
class PeriodWork:
    """A day, or a week from Monday on, in UTC. A region that took longer counts in each.

    Attributes:
        start: its first day.
        days: 1 or 7.
        hours: of work.
        effort: seconds per finished region.
        changed: queued regions that people changed, of those that they decided.
        caught: planted errors caught, of those decided.
    """

    start: date
    days: int
    hours: float
    effort: RegionEffort
    changed: CountedShare
    caught: CountedShare


def work_by_class(actions: Sequence[Action]) -> tuple[ClassWork, ...]:
    """One entry for each class of which somebody saw a region of the queue, by class id.

    Probes are left out: audits come from where the model is sure, and planted errors are shown with another class.

    Args:
        actions: that count.
    """
    by_class: dict[int, list[Action]] = {}
    for each in actions:
        if each.region_kind is RegionKind.QUEUE and each.predicted_class is not None:
            by_class.setdefault(each.predicted_class, []).append(each)
    return tuple(
        ClassWork(class_id, change_rate(found), region_effort(found)) for class_id, found in sorted(by_class.items())
    )


def work_by_period(actions: Sequence[Action]) -> tuple[PeriodWork, ...]:
    """By day, or by week when the actions spread over more than MOST_DAYS; periods without work are left out.

    Args:
        actions: that count.
    """
    dates = [each.time.astimezone(UTC).date() for each in actions]
    if not dates:
        return ()
    days = 1 if (max(dates) - min(dates)).days < MOST_DAYS else _WEEK
    periods: dict[date, list[Action]] = {}
    for day, each in zip(dates, actions, strict=True):
        periods.setdefault(day if days == 1 else _monday_of(day), []).append(each)
    return tuple(
        PeriodWork(start, days, hours_of(found), region_effort(found), change_rate(found), caught_by_all(found))
        for start, found in sorted(periods.items())
    )


def _monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())
