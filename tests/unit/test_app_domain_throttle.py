"""Waiting after wrong passwords, whatever the clock does."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.throttle import PER_ADDRESS, PER_NAME, Delays, Failures, one_more, rebased, wait_s

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
RULE = Delays(free=2, first_s=1.0, longest_s=10.0, forgotten_after_s=100.0)


@pytest.mark.parametrize(
    ("number", "expected"), [(1, 0.0), (2, 0.0), (3, 1.0), (4, 2.0), (5, 4.0), (6, 8.0), (7, 10.0), (5000, 10.0)]
)
def test_the_wait_doubles_up_to_its_limit(number, expected):
    assert wait_s(Failures(number, NOW), NOW, RULE) == expected


def test_nobody_waits_before_the_first_failure():
    assert wait_s(None, NOW, RULE) == 0.0


def test_the_wait_runs_down():
    assert wait_s(Failures(6, NOW - timedelta(seconds=5)), NOW, RULE) == 3.0
    assert wait_s(Failures(6, NOW - timedelta(seconds=9)), NOW, RULE) == 0.0


def test_a_clock_that_was_set_back_makes_nobody_wait_longer():
    """Failed at noon; then the clock was set back by a day."""
    failures = rebased(Failures(6, NOW), NOW - timedelta(days=1))
    assert wait_s(failures, NOW - timedelta(days=1), RULE) == 8.0
    assert wait_s(failures, NOW - timedelta(days=1) + timedelta(seconds=8), RULE) == 0.0


def test_a_clock_that_was_set_back_lets_nobody_in_earlier():
    failures = one_more(rebased(Failures(6, NOW), NOW - timedelta(days=1)), NOW - timedelta(days=1), RULE)
    assert failures == Failures(7, NOW - timedelta(days=1))


def test_old_failures_are_forgotten():
    assert one_more(Failures(9, NOW), NOW + timedelta(seconds=101), RULE).number == 1
    assert one_more(Failures(9, NOW), NOW + timedelta(seconds=99), RULE).number == 10


def test_an_address_may_fail_more_often_than_a_name():
    assert PER_ADDRESS.free > PER_NAME.free
