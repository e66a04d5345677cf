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


@dataclass(frozen=True)
class Cut:
    """At which threshold some proposals of one model were cut.

    Attributes:
        note: the calibration in the model file; None for a file without.
        threshold: largest probability of being wrong of a reliable pixel; None where the model file said what is
            reliable.
    """

    note: Mapping[str, Any] | None
    threshold: float | None = None


def promise_of(cuts: Sequence[Cut]) -> Promise:
    """What is promised about some proposals together: the weakest of their promises."""
    promises = [_promise_of_one(cut) for cut in cuts]
    if not promises:
        return Promise(None, "No model has proposed labels, so nothing is promised.")
    return max(promises, key=lambda promise: float("inf") if promise.bound is None else promise.bound)


def _promise_of_one(cut: Cut) -> Promise:
    note = cut.note
    if note is None:
        return Promise(None, "The model file has no calibration, so nothing is promised about reliable pixels.")
    sentence = str(note["sentence"])
    if cut.threshold is not None:
        return _promise_at(note, cut.threshold)
    if not note["decides"]:
        return Promise(None, f"The calibration does not decide what is reliable, so nothing is promised. {sentence}")
    if note["risk"] != "reliable":
        return Promise(None, f"The promise is about all pixels of an image, not about reliable ones. {sentence}")
    return Promise(float(note["bound"]), sentence)


def _promise_at(note: Mapping[str, Any], threshold: float) -> Promise:
    """At a threshold that somebody chose. A stricter one than the calibrated one keeps its promise, whose loss counts
    an image with the worst rate at its threshold or any stricter one (docs/calibration.md)."""
    chosen, calibrated = _percent(threshold), _percent(float(note["threshold"]))
    if not note["is_promised"]:
        return Promise(
            None,
            f"No promise holds at this threshold ({chosen}): {_percent(note['alpha'])} could not be promised at any.",
        )
    if note["risk"] != "reliable":
        return Promise(
            None, f"The promise is about all pixels of an image, not about reliable ones. {note['sentence']}"
        )
    if threshold > note["threshold"]:
        return Promise(
            None,
            f"No promise holds at this threshold: somebody chose {chosen}, and that of {_percent(note['alpha'])} ends "
            f"at {calibrated}.",
        )
    return Promise(
        float(note["bound"]),
        f"Promised: of an image's pixels called reliable, at most {_percent(note['alpha'])} are wrong, as an average "
        f"over images. Somebody chose {chosen}, which is not above the calibrated threshold of {calibrated}.",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def how_to_reach(note: Mapping[str, Any], thresholds: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What to do when the asked error could not be promised; nothing where it was.

    Args:
        note: the calibration in the model file.
        thresholds: the entry of the same name in calibration.json; None without that file.
    """
    if note["is_promised"]:
        return ()
    unit = "blocks of frames" if note["unit"] == "block" else "images"
    found = (thresholds or {}).get(note["unit"])
    said: list[str] = []
    if found is not None and not found["is_reachable"]:
        said.append(
            f"Have more gold images: {_percent(note['alpha'])} takes at least {found['units_needed']} {unit} without "
            f"one error, and there were {note['units']}."
        )
        if note["unit"] == "block":
            said.append("Take them from many recordings: neighboring frames count as one block.")
            said.append("If no picture comes from a video, say so below: each gold image then counts by itself.")
    else:
        said.append(
            "Make the model better where it is surest: review more of the queue and train another round, which is "
            "calibrated again."
        )
    if found is not None and found["smallest_bound"] is not None and found["smallest_bound"] < 1:
        said.append(f"Or ask for less: the least that these {unit} can promise is {_percent(found['smallest_bound'])}.")
    said.append("Or choose a threshold by what was measured on gold: no promise holds there, and audits measure it.")
    return tuple(said)
