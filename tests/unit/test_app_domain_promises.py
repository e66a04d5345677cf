"""Promises about reliable pixels: only what the calibration in use says about them, and the weakest of several."""

from typing import Any

import pytest

from app.domain.promises import Cut, how_to_reach, promise_of, unchanged, units_needed


def note(bound: float = 0.04, decides: bool = True, risk: str = "reliable", promised: bool = True) -> dict[str, Any]:
    return {
        "bound": bound, "decides": decides, "risk": risk, "sentence": f"at most {bound}", "is_promised": promised,
        "alpha": 0.05, "threshold": 0.2, "unit": "block", "units": 7,
    }  # fmt: skip


def test_a_calibration_that_decides_promises_its_bound() -> None:
    found = promise_of([Cut(note(0.04))])
    assert (found.bound, found.sentence) == (0.05, "at most 0.04")  # what was asked, not the bound on gold


def test_of_several_models_the_weakest_promise_counts() -> None:
    assert promise_of([Cut({**note(), "alpha": alpha}) for alpha in (0.04, 0.09, 0.01)]).bound == 0.09


def test_one_model_without_a_promise_leaves_none() -> None:
    for missing, word in (
        (None, "no calibration"), (note(decides=False), "does not decide"), (note(risk="image"), "all pixels"),
        (note(promised=False), "at most 0.04"),
    ):  # fmt: skip
        found = promise_of([Cut(note()), Cut(missing)])
        assert found.bound is None and word in found.sentence


def test_without_a_model_nothing_is_promised() -> None:
    assert promise_of([]).bound is None


def test_a_stricter_threshold_than_the_calibrated_one_keeps_its_promise() -> None:
    for threshold in (0.1, 0.2):
        found = promise_of([Cut(note(), threshold)])
        assert found.bound == 0.05 and "at most 5 %" in found.sentence and "chose" not in found.sentence


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (Cut(note(), 0.21), "No promise holds at this threshold (21 %): the promise of 5 % ends at 20 %."),
        (Cut(note(promised=False), 0.1), "No promise holds at this threshold (10 %)"),
        (Cut(note(risk="image"), 0.1), "all pixels of an image"),
        (Cut(None, 0.1), "no calibration"),
    ],
    ids=["above", "not promised", "other risk", "not calibrated"],
)
def test_no_promise_holds_above_the_calibrated_threshold_or_without_one(cut: Cut, words: str) -> None:
    found = promise_of([cut, Cut(note())])
    assert found.bound is None and words in found.sentence


def test_an_export_that_changes_nothing_says_what_was_asked_then_and_now() -> None:
    assert "asked then: 5 %, by margin; asked now: 13 %, by confidence" in unchanged(
        {**note(), "score": "margin"}, 0.13, "confidence"
    )
    assert "its file has no calibration (asked now: 13 %" in unchanged(None, 0.13, "confidence")


@pytest.mark.parametrize(("alpha", "units"), [(0.01, 99), (0.05, 19), (0.11, 9), (0.5, 1), (0.9, 1), (1e-5, 99_999)])
def test_how_many_units_an_error_takes(alpha: float, units: int) -> None:
    assert units_needed(alpha) == units and 1 / (units + 1) <= alpha


def test_who_could_not_be_promised_anything_is_told_what_it_takes() -> None:
    assert how_to_reach(note(), None) == ()
    too_few = {"block": {"is_reachable": False, "units_needed": 99, "smallest_bound": 0.125}}
    told = " ".join(how_to_reach(note(promised=False), too_few))
    assert "at least 99 blocks of frames" in told and "there were 7" in told and "promise is 12.5 %" in told
    assert "If no picture comes from a video" in told
    fitted = " ".join(how_to_reach(note(promised=False), too_few, 3))
    assert "there were 7 (3 more gold images fitted the curves, which do not count)" in fitted
    too_wrong = {"block": {"is_reachable": True, "units_needed": 19, "smallest_bound": 0.06}}
    assert "Make the model better" in " ".join(how_to_reach(note(promised=False), too_wrong))
