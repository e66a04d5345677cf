"""Work by class and by day or week, from made-up rows of the action log."""

from datetime import date, timedelta

from app.domain.breakdown import work_by_class, work_by_period
from app.domain.intervals import counted_share
from app.domain.states import DecisionKind
from tests.unit.action_cases import START, action, audit, planted


def test_classes_are_those_that_the_model_gave_and_probes_are_left_out():
    rows = [
        action(predicted_class=2, action=DecisionKind.RELABEL, class_id=4, pixels_changed=9, active_ms=4000),
        action(predicted_class=2),
        action(predicted_class=0, active_ms=1000),
        audit(0.1, True, predicted_class=7, pixels_changed=9),
        planted(True, predicted_class=5),
        action(predicted_class=None, region_id=None, region_kind=None),
    ]
    sky, pole = work_by_class(rows)
    assert (sky.class_id, sky.changed, sky.effort.median_s) == (0, counted_share(0, 1), 1.0)
    assert (pole.class_id, pole.changed, pole.effort.median_s) == (2, counted_share(1, 2), 3.0)


def test_days_without_work_are_left_out_and_each_day_has_its_own_numbers():
    rows = [
        action(time=START, active_ms=1_800_000, pixels_changed=5),
        action(time=START + timedelta(hours=1)),
        planted(True, time=START + timedelta(days=3)),
        planted(False, time=START + timedelta(days=3)),
    ]
    first, second = work_by_period(rows)
    assert (first.start, first.days, second.start) == (date(2026, 11, 2), 1, date(2026, 11, 5))
    assert (first.changed, first.caught) == (counted_share(1, 2), counted_share(0, 0))
    assert (second.changed, second.caught) == (counted_share(0, 0), counted_share(1, 2))
    assert first.hours > 0.5 and second.effort.num_regions == 2


def test_a_day_ends_at_midnight_of_utc():
    late = START.replace(hour=23, minute=59)
    assert [
        each.start.day for each in work_by_period([action(time=late), action(time=late + timedelta(minutes=1))])
    ] == [2, 3]


def test_work_over_many_days_is_told_by_week_from_monday_on():
    rows = [action(time=START + timedelta(days=days)) for days in (0, 6, 7, 34)]
    assert [each.days for each in work_by_period(rows)] == [1, 1, 1, 1]
    weeks = work_by_period([*rows, action(time=START + timedelta(days=37))])
    assert [(each.start, each.effort.num_regions) for each in weeks] == [
        (date(2026, 11, 2), 2), (date(2026, 11, 9), 1), (date(2026, 11, 30), 1), (date(2026, 12, 7), 1),
    ]  # fmt: skip
    assert {each.days for each in weeks} == {7}


def test_nobody_worked_in_no_time():
    assert work_by_period([]) == work_by_class([]) == ()
