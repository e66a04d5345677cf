"""What a calibrated model promises about the pixels that it calls reliable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any


@dataclass(frozen=True)
class Promise:
    """How wrong reliable pixels may be.

    Attributes:
        bound: the expected share of wrong ones among an image's reliable pixels is at most this; None: no promise. It
            is the error that was asked for. The bound that the calibration reached on gold chose the threshold, so it
            promises nothing by itself.
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
    if not note["is_promised"]:
        return Promise(None, sentence)
    if note["risk"] != "reliable":
        return Promise(None, f"The promise is about all pixels of an image, not about reliable ones. {sentence}")
    return Promise(float(note["alpha"]), sentence)


def _promise_at(note: Mapping[str, Any], threshold: float) -> Promise:
    """At a threshold. A stricter one than the calibrated one keeps its promise, whose loss counts an image with the
    worst rate at its threshold or any stricter one (docs/calibration.md)."""
    here, calibrated, asked = (exact_percent(float(each)) for each in (threshold, note["threshold"], note["alpha"]))
    if not note["is_promised"]:
        return Promise(None, f"No promise holds at this threshold ({here}): {asked} could not be promised at any.")
    if note["risk"] != "reliable":
        return Promise(
            None, f"The promise is about all pixels of an image, not about reliable ones. {note['sentence']}"
        )
    if threshold > note["threshold"]:
        return Promise(
            None, f"No promise holds at this threshold ({here}): the promise of {asked} ends at {calibrated}."
        )
    return Promise(
        float(note["alpha"]),
        f"Promised: of an image's pixels called reliable, at most {asked} are wrong, as an average over images. The "
        f"threshold of {here} is not above the calibrated one of {calibrated}.",
    )


def exact_percent(share: float) -> str:
    """A share as people read it, with three digits however small it is."""
    return f"{100 * share:.3g} %"


def units_needed(alpha: float) -> int:
    """Gold images, or blocks of frames, that it takes to promise an error even if none of them holds one.

    Source: n / (n + 1) * 0 + 1 / (n + 1) <= alpha, docs/calibration.md.

    Args:
        alpha: the error, between 0 and 1.
    """
    return max(1, ceil(1 / alpha - 1e-9) - 1)


def unchanged(note: Mapping[str, Any] | None, alpha: float, score: str) -> str:
    """What to say when a round that was exported before is exported once more: its calibration stays as it was.

    Args:
        note: the calibration in its model file.
        alpha: the error of reliable pixels that would be asked now.
        score: what would be calibrated now.
    """
    now = f"asked now: {exact_percent(alpha)}, by {score}"
    if note is None:
        return f"This round was exported before and nothing was changed: its file has no calibration ({now})."
    had = f"asked then: {exact_percent(note['alpha'])}, by {note['score']}"
    return f"This round was exported before and nothing was changed: its file keeps its calibration ({had}; {now})."


def how_to_reach(note: Mapping[str, Any], thresholds: Mapping[str, Any] | None, fit_images: int = 0) -> tuple[str, ...]:
    """What to do when the asked error could not be promised; nothing where it was.

    Args:
        note: the calibration in the model file.
        thresholds: the entry of the same name in calibration.json; None without that file.
        fit_images: gold images that fitted the curves and do not count for the promise.
    """
    if note["is_promised"]:
        return ()
    unit = "blocks of frames" if note["unit"] == "block" else "images"
    found = (thresholds or {}).get(note["unit"])
    fitted = f" ({fit_images} more gold images fitted the curves, which do not count)" if fit_images else ""
    said: list[str] = []
    if found is not None and not found["is_reachable"]:
        said.append(
            f"Have more gold images: {exact_percent(note['alpha'])} takes at least {found['units_needed']} {unit} "
            f"without one error, and there were {note['units']}{fitted}."
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
        said.append(
            f"Or ask for less: the least that these {unit} can promise is {exact_percent(found['smallest_bound'])}."
        )
    said.append("Or choose a threshold by what was measured on gold: no promise holds there, and audits measure it.")
    return tuple(said)
