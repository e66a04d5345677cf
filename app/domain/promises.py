"""What a calibrated model promises about the pixels that it calls reliable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Promise:
    """How wrong reliable pixels may be.

    Attributes:
        bound: the expected share of wrong ones among an image's reliable pixels is at most this; None: no promise.
        sentence: the promise, or why there is none.
    """

    bound: float | None
    sentence: str


def promise_of(notes: Sequence[Mapping[str, Any] | None]) -> Promise:
    """What the models of some proposals promise together: the weakest of their promises.

    Args:
        notes: the calibration in each model file, None for a file without.
    """
    promises = [_promise_of_one(note) for note in notes]
    if not promises:
        return Promise(None, "No model has proposed labels, so nothing is promised.")
    return max(promises, key=lambda promise: float("inf") if promise.bound is None else promise.bound)


def _promise_of_one(note: Mapping[str, Any] | None) -> Promise:
    if note is None:
        return Promise(None, "The model file has no calibration, so nothing is promised about reliable pixels.")
    sentence = str(note["sentence"])
    if not note["decides"]:
        return Promise(None, f"The calibration does not decide what is reliable, so nothing is promised. {sentence}")
    if note["risk"] != "reliable":
        return Promise(None, f"The promise is about all pixels of an image, not about reliable ones. {sentence}")
    return Promise(float(note["bound"]), sentence)
