"""Promises about reliable pixels: only what the calibration in use says about them, and the weakest of several."""

from typing import Any

from app.domain.promises import promise_of


def note(bound: float = 0.04, decides: bool = True, risk: str = "reliable") -> dict[str, Any]:
    return {"bound": bound, "decides": decides, "risk": risk, "sentence": f"at most {bound}"}


def test_a_calibration_that_decides_promises_its_bound() -> None:
    found = promise_of([note(0.04)])
    assert (found.bound, found.sentence) == (0.04, "at most 0.04")


def test_of_several_models_the_weakest_promise_counts() -> None:
    assert promise_of([note(0.04), note(0.09), note(0.01)]).bound == 0.09


def test_one_model_without_a_promise_leaves_none() -> None:
    for missing, word in (
        (None, "no calibration"), (note(decides=False), "does not decide"), (note(risk="image"), "all pixels"),
    ):  # fmt: skip
        found = promise_of([note(), missing])
        assert found.bound is None and word in found.sentence


def test_without_a_model_nothing_is_promised() -> None:
    assert promise_of([]).bound is None
