"""Thresholds on offer: each says what was measured and promised there, and the calibrated one is always among them."""

import pytest

from app.domain.threshold_stops import ASSUMED_S, UNCALIBRATED, seconds_per_region, stops_of

CURVE = {
    "threshold": [0.001, 0.01, 0.1, 1.0],
    "coverage": [0.2, 0.2, 0.6, 1.0],
    "error_rate": [0.0, 0.0, 0.02, 0.2],
    "promised_by_images": [0.01, 0.01, 0.03, 0.21],
    "promised_by_blocks": [0.1, 0.1, 0.12, 0.3],
}


def note(threshold: float, decides: bool = True, promised: bool = True) -> dict[str, object]:
    return {
        "threshold": threshold, "decides": decides, "is_promised": promised, "risk": "reliable", "alpha": 0.03,
        "bound": 0.03, "unit": "image", "units": 40, "sentence": "", "coverage": 0.5, "error_rate": 0.01,
    }  # fmt: skip


def test_of_neighbors_that_call_the_same_pixels_reliable_the_last_is_offered() -> None:
    stops = stops_of(note(0.1), CURVE)
    assert [stop.threshold for stop in stops] == [0.01, 0.1, 1.0]
    assert [stop.bound for stop in stops] == [0.01, 0.03, 0.21]
    assert [stop.is_own for stop in stops] == [False, True, False]


def test_the_calibrated_threshold_is_offered_where_the_curve_does_not_list_it() -> None:
    stops = stops_of(note(0.05), CURVE)
    own = next(stop for stop in stops if stop.is_own)
    assert (own.threshold, own.coverage, own.index) == (0.05, 0.5, 1)
    assert [stop.promise.bound for stop in stops] == [0.03, 0.03, None, None]


def test_a_calibrated_threshold_that_is_listed_with_six_digits_is_the_same_one() -> None:
    stops = stops_of(note(0.10000002), CURVE)
    assert [stop.threshold for stop in stops] == [0.01, 0.10000002, 1.0]
    assert stops[1].is_own and stops[1].promise.bound == 0.03


def test_a_calibration_that_does_not_decide_owns_no_threshold_and_promises_nothing() -> None:
    stops = stops_of(note(0.05, decides=False, promised=False), CURVE)
    assert not any(stop.is_own for stop in stops) and all(stop.promise.bound is None for stop in stops)


def test_the_threshold_in_force_is_on_offer_even_where_nothing_was_measured_at_it() -> None:
    stop = next(stop for stop in stops_of(note(0.1), CURVE, 0.5) if stop.threshold == 0.5)
    assert (stop.coverage, stop.index, stop.promise.bound) == (None, 2, None)
    below_all = next(stop for stop in stops_of(note(0.1), CURVE, 0.0005) if stop.threshold == 0.0005)
    assert below_all.index is None
    assert 0.17 in {stop.threshold for stop in stops_of(None, None, 0.17)}
    assert len(stops_of(note(0.1), CURVE, 0.1)) == len(stops_of(note(0.1), CURVE))


def test_blocks_count_where_they_are_the_unit() -> None:
    stops = stops_of({**note(0.1), "unit": "block"}, CURVE)
    assert stops[0].bound == 0.1


@pytest.mark.parametrize(("given", "more"), [(None, set()), (note(0.123), {0.123})])
def test_without_a_curve_fixed_thresholds_are_offered(given: dict[str, object] | None, more: set[float]) -> None:
    stops = stops_of(given, None)
    assert {stop.threshold for stop in stops} == {*UNCALIBRATED, *more}
    assert all(stop.coverage is None for stop in stops)


def test_the_pace_is_assumed_until_enough_regions_were_finished() -> None:
    assert seconds_per_region(200.0, 19) == (ASSUMED_S, True)
    assert seconds_per_region(200.0, 50) == (4.0, False)
