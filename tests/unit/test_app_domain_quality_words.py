"""Every sentence names its number, its interval, how many cases it rests on, and what it does not say."""

from dataclasses import replace

import pytest

from app.domain.agreement import Agreement
from app.domain.bootstrap import Interval
from app.domain.effort import EffortSaved, RegionEffort
from app.domain.intervals import counted_share
from app.domain.quality import AuditedError, ControlError
from app.domain.quality_words import (
    GoldMeasure,
    agreement_sentence,
    audited_sentence,
    caught_sentence,
    changed_sentence,
    control_sentence,
    effort_sentence,
    gold_sentence,
    percent,
    saved_sentence,
)


def audited(hits: int, trials: int, **missing: int) -> AuditedError:
    kinds = {"num_undecided": 0, "num_void": 0, "num_set_aside": 0, **missing}
    return AuditedError(counted_share(hits, trials), {}, (), trials, **kinds)


def test_the_audited_error_is_told_with_its_interval_and_its_number_of_draws():
    said = audited_sentence(audited(3, 120), waiting=5)
    for part in ("2.5 % are wrong", "between 0.9 % and 7.1 %", "120 pixels were drawn by chance", "3 of them wrong"):
        assert part in said
    assert "one pixel was drawn by chance" in audited_sentence(audited(1, 1), waiting=5)
    assert "looks at, between 0.6 % and 16.7 % are wrong with 95 %" in audited_sentence(audited(1, 30), waiting=5)
    assert "That is few" not in said and "That is few" in audited_sentence(audited(1, 30), waiting=5)


def measure(**changed: object) -> GoldMeasure:
    return replace(GoldMeasure(1, 12, 0.593, 0.029, is_chosen_there=False, is_in_force=True), **changed)


def test_gold_answers_the_same_question_and_names_its_source():
    said = gold_sentence(measure())
    assert (
        said.startswith("On 12 gold images") and "round 1 calls 59.3 %" in said and "2.9 % of those are wrong" in said
    )
    assert "believe the audits" not in said and "Another threshold" not in said


@pytest.mark.parametrize(
    ("found", "part"),
    [
        (measure(is_chosen_there=True), "believe the audits"),
        (measure(is_in_force=False), "Another threshold is in force"),
        (measure(error_rate=None, coverage=0.0), "calls no pixel reliable"),
        (measure(error_rate=None, coverage=None), "was not measured on gold"),
        (None, "No gold image says"),
    ],
    ids=["chosen on gold", "cut elsewhere", "nothing reliable", "not measured", "no gold"],
)
def test_gold_says_what_it_does_not_know(found, part):
    assert part in gold_sentence(found)


def test_what_cannot_count_is_named_where_no_audit_counts():
    said = audited_sentence(audited(0, 0, num_void=2, num_set_aside=1), waiting=4)
    assert "2 called void, 1 opened out of turn" in said and "4 are drawn" in said
    assert "predict the pool" in audited_sentence(audited(0, 0), waiting=0)
    assert "at other thresholds: 7." in audited_sentence(audited(0, 0), waiting=4, elsewhere=7)


@pytest.mark.parametrize(
    ("share", "said"), [(0.5625, "56.3 %"), (0.0, "0.0 %"), (0.0004, "0.04 %"), (0.001, "0.1 %"), (1.0, "100.0 %")]
)
def test_shares_are_rounded_as_the_pages_round_them(share, said):
    assert percent(share) == said


@pytest.mark.parametrize(
    ("hits", "trials", "part"),
    [(19, 20, "95.0 %"), (8, 10, "so few may be chance"), (50, 80, "look at how people decide")],
)
def test_a_low_catch_rate_is_told_apart_from_bad_luck(hits, trials, part):
    said = caught_sentence(counted_share(hits, trials))
    assert f"{hits} of {trials}" in said and part in said
    assert ("under 90.0 %" in said) is (hits / trials < 0.9)


def test_seconds_and_changes_say_what_they_rest_on():
    said = effort_sentence(RegionEffort(40, 3.2, 9.0, (2.0, 5.0), Interval(2.8, 3.9)))
    assert said.startswith("Half of 40 finished regions took at most 3.2 s of work, between 2.8 and 3.9 s")
    assert "2.0 to 5.0 s, nine of ten at most 9.0 s" in said
    assert "30 of 60 regions of the queue: 50.0 %, between 37.7 % and 62.3 %" in changed_sentence(counted_share(30, 60))
    nothing = RegionEffort(0, None, None, None, None)
    assert (effort_sentence(nothing), changed_sentence(counted_share(0, 0))) == (
        "No region was finished yet.", "Nobody has decided a region of the queue yet.",
    )  # fmt: skip


def test_agreement_says_what_chance_would_reach_and_what_was_left_out():
    none = Agreement(counted_share(0, 0), None, 0)
    some = Agreement(counted_share(9, 10), 0.82, 2)
    said = agreement_sentence(some, none)
    assert "Two people said the same about 9 of 10 regions: 90.0 %, between 59.6 % and 98.2 %" in said
    assert "kappa 0.82" in said and "2 more were drawn" in said and "The same person decided no region twice" in said
    assert "second review" in agreement_sentence(none, none)


def saved(
    share: float | None, controls: int, interval: Interval | None = None, from_pixels: bool = False
) -> EffortSaved:
    return EffortSaved(share, interval, controls < 20, controls, 30, from_pixels, 900.0, 400.0)


@pytest.mark.parametrize(
    ("found", "parts"),
    [
        (saved(0.6, 20, Interval(0.5, 0.7)), ["spare 60.0 % of the work, between 50.0 % and 70.0 %", "against 20"]),
        (saved(0.6, 19), ["Estimate: proposals spare 60.0 %", "as measured with 20"]),
        (saved(-0.25, 3), ["Estimate: proposals cost 25.0 % more work", "30 reviewed against 3"]),
        (saved(0.8, 0, from_pixels=True), ["Estimate: 80.0 % of the pixels", "nobody knows how long"]),
        (saved(None, 0), ["Nothing can be said"]),
    ],
    ids=["measured", "estimate", "costs", "from pixels", "nothing"],
)  # fmt: skip
def test_effort_saved_says_whether_it_was_measured(found, parts):
    said = saved_sentence(found)
    assert all(part in said for part in parts), said
    assert said.startswith("Estimate") is (found.is_estimate and found.share is not None)


def test_control_images_say_what_they_found_and_on_how_much():
    found = ControlError(12, 90_000, 900, 0.01, Interval(0.004, 0.02))
    said = control_sentence(found, 15)
    assert "12 of 15 control images are finished" in said
    assert "1.0 % (between 0.4 % and 2.0 %) of 90,000 reliable pixels" in said
    assert "No image belongs" in control_sentence(ControlError(0, 0, 0, None, None), 0)
    assert control_sentence(ControlError(0, 0, 0, None, None), 3) == "0 of 3 control images are finished."
