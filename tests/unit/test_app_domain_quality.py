"""Reports from made-up rows of the action log."""

import numpy as np
import pytest

from app.domain.intervals import counted_share
from app.domain.quality import (
    audited_error,
    catch_rates,
    caught_by_all,
    change_rate,
    control_error,
    is_low,
    pixels_shown,
    pixels_touched,
)  # fmt: skip
from app.domain.states import DecisionKind, RegionKind
from tests.unit.action_cases import action, audit, planted

# --- audits ---


def test_the_audited_error_is_the_share_of_drawn_pixels_found_wrong():
    rows = [audit(0.1, True), audit(0.2, False), audit(0.3, False), audit(0.4, False)]
    found = audited_error(rows, model_id=1)
    assert found.wrong == counted_share(1, 4)
    assert (found.num_regions, found.num_undecided, found.num_void, found.num_set_aside) == (4, 0, 0, 0)


def test_it_is_told_by_class_and_by_reliability():
    rows = [
        audit(0.1, True, predicted_class=2, mean_reliability=0.85),
        audit(0.2, False, predicted_class=2, mean_reliability=0.97),
        audit(0.3, False, predicted_class=7, mean_reliability=1.0),
    ]
    found = audited_error(rows, model_id=1)
    assert found.by_class == {2: counted_share(1, 2), 7: counted_share(0, 1)}
    bins = [(each.low, each.high, each.wrong.hits, each.wrong.trials) for each in found.by_reliability]
    assert bins == [(0.8, 0.9, 1, 1), (0.95, 0.99, 0, 1), (0.99, 1.0, 0, 1)]


def test_what_one_filling_of_the_queue_gave_says_nothing_about_the_next() -> None:
    clicked = audit(0.2, True, draw_batch=9, was_given=False)
    rows = [audit(0.5, False, draw_batch=4), clicked]
    found = audited_error(rows, model_id=1)
    assert found.wrong == counted_share(0, 1) and found.num_set_aside == 1
    assert audited_error([*rows, audit(0.3, False, draw_batch=9)], model_id=1).wrong == counted_share(1, 3)


def test_only_the_model_asked_for_counts():
    assert audited_error([audit(0.1, True, model_id=2)], model_id=1).wrong.trials == 0


def test_void_and_undecided_audits_are_told_and_do_not_count():
    rows = [
        audit(0.1, False),
        audit(0.2, False, action=DecisionKind.VOID, audited_pixels=0),
        audit(0.3, False, action=DecisionKind.DONT_KNOW, audited_pixels=0),
        audit(0.4, False, action=DecisionKind.SKIP, audited_pixels=0),
    ]
    found = audited_error(rows, model_id=1)
    assert (found.wrong.trials, found.num_void, found.num_undecided) == (1, 1, 2)


def test_the_last_decision_about_an_audit_counts():
    first = audit(0.1, True, region_id=9)
    rows = [first, audit(0.1, False, region_id=9, user="ben"), audit(0.1, False, region_id=9, action=DecisionKind.SKIP)]
    assert audited_error(rows, model_id=1).wrong == counted_share(0, 1)


def test_an_audit_chosen_by_a_person_waits_until_chance_reaches_it():
    clicked = audit(0.5, True, was_given=False)
    before = audited_error([audit(0.2, False), clicked], model_id=1)
    assert (before.wrong, before.num_set_aside) == (counted_share(0, 1), 1)
    after = audited_error([audit(0.2, False), clicked, audit(0.6, False)], model_id=1)
    assert (after.wrong, after.num_set_aside) == (counted_share(1, 3), 0)


def test_several_drawn_pixels_of_one_region_count_each():
    assert audited_error([audit(0.1, True, audited_pixels=3, wrong_pixels=2)], model_id=1).wrong == counted_share(2, 3)


def session(rng: np.random.Generator, wrong: np.ndarray, given: int, clicks: int) -> list:
    """Audits in a random order: chance gives out the first ones, while a person clicks on some that look wrong."""
    order = rng.random(wrong.size)
    by_chance = np.argsort(order)
    suspicious = [index for index in rng.permutation(wrong.size) if wrong[index]][:clicks]
    rows = [audit(order[index], bool(wrong[index]), was_given=False, region_id=int(index)) for index in suspicious]
    taken = set(suspicious)
    for index in by_chance:
        if given == 0:
            break
        if index not in taken:
            rows.append(audit(order[index], bool(wrong[index]), region_id=int(index)))
            given -= 1
    return rows


@pytest.mark.parametrize("clicks", [0, 12], ids=["nobody clicks", "people click on what looks wrong"])
def test_the_estimate_is_unbiased_and_its_interval_holds_the_truth_however_people_choose(clicks):
    rng = np.random.default_rng(1)
    rate, runs = 0.08, 400
    shares, held = [], 0
    for _ in range(runs):
        wrong = rng.random(400) < rate  # The draws themselves are a sample of the pool: another one in every run.
        found = audited_error(session(rng, wrong, given=100, clicks=clicks), model_id=1).wrong
        shares.append(found.share)
        held += found.low <= rate <= found.high
    assert abs(np.mean(shares) - rate) < 4 * np.std(shares) / np.sqrt(runs)
    assert 0.92 <= held / runs <= 0.98


def test_counting_whatever_was_clicked_would_be_biased():
    """The simulation above can tell a wrong estimator from the right one."""
    rng = np.random.default_rng(1)
    rows = [session(rng, rng.random(400) < 0.08, given=100, clicks=12) for _ in range(200)]
    naive = [np.mean([each.wrong_pixels for each in run]) for run in rows]
    without_clicks = [np.mean([each.wrong_pixels for each in run if each.was_given]) for run in rows]
    assert np.mean(naive) > 0.12 and np.mean(without_clicks) < 0.07


# --- planted errors ---


def test_catch_rates_are_told_per_person():
    rows = [planted(True), planted(False), planted(True, user="ben"), planted(None, user="ben")]
    assert catch_rates(rows) == {"ann": counted_share(1, 2), "ben": counted_share(1, 1)}


def test_a_person_who_decides_a_planted_error_again_is_counted_once():
    assert catch_rates([planted(False, region_id=4), planted(True, region_id=4)]) == {"ann": counted_share(1, 1)}


@pytest.mark.parametrize(("caught", "planted_errors", "low"), [(17, 20, True), (18, 20, False), (0, 0, False)])
def test_under_ninety_percent_is_low(caught, planted_errors, low):
    assert is_low(counted_share(caught, planted_errors)) is low


def test_all_people_together_caught_what_each_of_them_did():
    rows = [planted(True), planted(False), planted(True, user="ben"), planted(None, user="ben")]
    assert caught_by_all(rows) == counted_share(2, 3)
    assert caught_by_all([]) == counted_share(0, 0)


# --- control images ---


def control(image: str, wrong: int, checked: int = 1000, **fields: object):
    kind = {"action": DecisionKind.DRAW, "closes_region": True, "region_kind": RegionKind.CONTROL}
    return action(image_sha256=image, wrong_pixels=wrong, audited_pixels=checked, **{**kind, **fields})


def test_the_error_of_control_images_is_over_their_pixels_and_the_last_finish_counts():
    rows = [control("a", 400), control("a", 10), control("b", 50, 3000), control("c", 9, closes_region=False)]
    found = control_error(rows)
    assert (found.num_images, found.reliable_pixels, found.wrong_pixels) == (2, 4000, 60)
    assert found.share == 0.015 and found.interval is None


def test_its_interval_comes_from_images_and_not_from_pixels():
    """Of 10 images two are wrong all over: 10,000 pixels, but the interval is that of about ten draws."""
    found = control_error([control(str(number), 1000 * (number < 2)) for number in range(10)])
    assert found.share == 0.2
    assert found.interval.low == 0.0 and 0.4 <= found.interval.high <= 0.5


def test_without_any_wrong_pixel_there_is_no_interval():
    found = control_error([control(str(number), 0) for number in range(30)])
    assert (found.share, found.interval) == (0.0, None)
    assert control_error([]).share is None


# --- changes and pixels ---


def test_the_change_rate_counts_regions_of_the_queue_and_not_their_strokes():
    rows = [
        action(pixels_changed=50, action=DecisionKind.RELABEL),
        action(),
        action(region_id=7, action=DecisionKind.DRAW, pixels_changed=20, closes_region=False),
        action(region_id=7, action=DecisionKind.DRAW, closes_region=True),
        action(action=DecisionKind.DRAW, pixels_changed=9, closes_region=False),  # Not finished.
        audit(0.1, True, pixels_changed=100),
    ]
    assert change_rate(rows) == counted_share(2, 3)


def test_every_region_is_shown_once_and_planted_errors_touch_no_label():
    rows = [
        action(region_id=1, area=40, pixels_changed=10),
        action(region_id=1, area=40, user="ben", pixels_changed=5),
        planted(True, area=30, pixels_changed=30),
        action(region_kind=RegionKind.CONTROL, area=9000, pixels_changed=8000),
        action(region_id=None, region_kind=None, action=DecisionKind.DRAW, pixels_changed=7),
    ]
    assert pixels_shown(rows) == 70
    assert pixels_touched(rows) == 22
