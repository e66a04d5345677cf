"""Seconds, hours and what the model's help saves."""

from datetime import timedelta

import numpy as np
import pytest

from app.domain.bootstrap import Interval
from app.domain.effort import ImageEffort, RegionEffort, effort_saved, hours_of, region_effort, round_gains
from app.domain.states import DecisionKind, RegionKind
from tests.unit.action_cases import START, action


def test_all_work_of_a_person_on_a_region_counts_together():
    rows = [
        action(region_id=1, action=DecisionKind.DRAW, closes_region=False, active_ms=4000),
        action(region_id=1, action=DecisionKind.DRAW, closes_region=True, active_ms=1000),
        action(region_id=2, active_ms=2000),
        action(region_id=2, user="ben", active_ms=3000),
        action(region_id=3, action=DecisionKind.SKIP, active_ms=90_000),
        action(region_id=4, region_kind=RegionKind.CONTROL, active_ms=600_000),
    ]
    effort = region_effort(rows)
    assert (effort.num_regions, effort.median_s) == (3, 3.0)
    assert effort.p90_s == pytest.approx(4.6)
    assert effort.quartiles_s == (2.5, 4.0) and effort.interval is None


def test_the_median_of_many_regions_has_an_interval():
    effort = region_effort([action(region_id=number, active_ms=1000 * number) for number in range(1, 101)])
    assert (effort.median_s, effort.interval) == (50.5, Interval(40.0, 61.0))


def test_no_finished_region_has_no_seconds():
    effort = region_effort([action(action=DecisionKind.SKIP)])
    assert effort == RegionEffort(0, None, None, None, None)


def test_hours_are_all_work():
    assert hours_of([action(active_ms=1_800_000), action(active_ms=900_000, action=DecisionKind.SKIP)]) == 0.75


def images(seconds: list[float], pixels: int = 1000, shown: int = 250) -> list[ImageEffort]:
    return [ImageEffort(each, pixels, shown) for each in seconds]


def test_effort_saved_is_the_work_per_pixel_that_proposals_spare():
    saved = effort_saved(images([100.0] * 20), images([20.0, 30.0]))
    assert saved.share == pytest.approx(0.75)
    assert (saved.is_estimate, saved.num_controls, saved.num_assisted, saved.from_pixels) == (False, 20, 2, False)


def test_larger_images_weigh_as_much_as_their_pixels():
    saved = effort_saved([ImageEffort(100, 1000, 0), ImageEffort(300, 3000, 0)], [ImageEffort(50, 1000, 0)])
    assert saved.share == pytest.approx(0.5)
    assert (saved.scratch_s, saved.assisted_s) == (pytest.approx(100_000), pytest.approx(50_000))


@pytest.mark.parametrize("number", [1, 19])
def test_with_fewer_than_twenty_control_images_it_is_an_estimate(number):
    assert effort_saved(images([100.0] * number), images([25.0])).is_estimate


def test_without_control_images_it_is_the_share_of_pixels_that_nobody_had_to_look_at():
    saved = effort_saved([], images([20.0, 30.0]))
    assert (saved.share, saved.is_estimate, saved.from_pixels, saved.interval) == (0.75, True, True, None)


def test_without_finished_images_nothing_can_be_said():
    assert effort_saved(images([100.0] * 20), []).share is None
    nothing = effort_saved([], [])
    assert (nothing.share, nothing.scratch_s, nothing.assisted_s) == (None, None, None)


def test_help_that_costs_time_is_told_as_such():
    assert effort_saved(images([10.0]), images([30.0])).share == pytest.approx(-2.0)


def test_the_interval_of_effort_saved_holds_the_truth_in_about_95_of_100_runs():
    rng = np.random.default_rng(0)
    held, runs = 0, 200
    for _ in range(runs):
        controls = images(rng.gamma(8, 600 / 8, 25).tolist())
        assisted = images(rng.gamma(4, 150 / 4, 80).tolist())
        interval = effort_saved(controls, assisted).interval
        held += interval.low <= 0.75 <= interval.high
    assert 0.88 <= held / runs <= 0.99  # Percentile bootstraps of 25 images are a little narrow.


def test_rounds_gain_gold_per_hour_of_work():
    rows = [action(active_ms=3_600_000, time=START), action(active_ms=7_200_000, time=START + timedelta(days=2))]
    gold = {1: (0.50, START - timedelta(days=1)), 2: (0.54, START + timedelta(days=1)),
            3: (0.53, START + timedelta(days=3))}  # fmt: skip
    found = [(each.round, each.hours, each.gain_per_hour) for each in round_gains(gold, rows)]
    assert found[0] == (1, 0.0, None)
    assert found[1] == (2, 1.0, pytest.approx(0.04))
    assert found[2] == (3, 3.0, pytest.approx(0.01))
