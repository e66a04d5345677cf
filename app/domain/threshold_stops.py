"""The thresholds on offer for a model, and what calibrating measured and promised at each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.promises import Cut, Promise, promise_of

UNCALIBRATED = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""On 1 - confidence, for a model without a calibration. Chosen by us."""

ASSUMED_S, ENOUGH_REGIONS = 5.0, 20
"""Seconds per region until so many were finished. Chosen by us."""

_SAME = 1e-5
"""calibration.json lists thresholds with six digits."""


@dataclass(frozen=True)
class Stop:
    """One threshold.

    Attributes:
        threshold: largest probability of being wrong of a reliable pixel, 0-1.
        index: its place in the curve of calibration.json, or that of the next stricter one; None without one.
        coverage: share of the held-out pixels called reliable; None without a curve.
        error_rate: share of wrong ones among these; None where there are none.
        bound: what could be promised at it by the unit that counts; None without a curve.
        is_own: the model file itself calls reliable what this threshold does.
        promise: whether the model's promise holds at it.
    """

    threshold: float
    index: int | None
    coverage: float | None
    error_rate: float | None
    bound: float | None
    is_own: bool
    promise: Promise


def stops_of(
    note: Mapping[str, Any] | None, curve: Mapping[str, Sequence[float | None]] | None, chosen: float | None = None
) -> tuple[Stop, ...]:
    """The thresholds on offer, strictest first; of neighbors that call the same pixels reliable only the last.

    Args:
        note: the calibration in the model file; None for a file without.
        curve: the entry of the same name in calibration.json; None without that file.
        chosen: the threshold in force, which is always among them; None where the model file says what is reliable.
    """
    if note is None or curve is None:
        thresholds = {*UNCALIBRATED, *([chosen] if chosen is not None else [])}
        if note is not None and note["threshold"] > 0:
            thresholds.add(float(note["threshold"]))
        return tuple(_unmeasured(note, threshold, None) for threshold in sorted(thresholds))
    listed = [_listed(note, curve, index) for index in range(len(curve["threshold"]))]
    called = [stop for stop in listed if stop.coverage]
    stops = {
        stop.threshold: stop
        for stop, after in zip(called, [*called[1:], None], strict=True)
        if after is None or stop.coverage != after.coverage or stop.is_own
    }
    calibrated = float(note["threshold"])
    if calibrated > 0 and calibrated not in stops:
        stops[calibrated] = _calibrated(note, curve)
    if chosen is not None and chosen not in stops:
        stops[chosen] = _unmeasured(note, chosen, _stricter(curve, chosen))
    return tuple(stops[threshold] for threshold in sorted(stops))


def _listed(note: Mapping[str, Any], curve: Mapping[str, Sequence[float | None]], index: int) -> Stop:
    threshold = float(curve["threshold"][index] or 0)
    if abs(threshold - note["threshold"]) <= _SAME * threshold:
        threshold = float(note["threshold"])
    return Stop(
        threshold=threshold,
        index=index,
        coverage=curve["coverage"][index],
        error_rate=curve["error_rate"][index],
        bound=curve[f"promised_by_{note['unit']}s"][index],
        is_own=bool(note["decides"]) and threshold == note["threshold"],
        promise=promise_of([Cut(note, threshold)]),
    )


def _calibrated(note: Mapping[str, Any], curve: Mapping[str, Sequence[float | None]]) -> Stop:
    """The calibrated threshold, which need not be among those that are listed."""
    threshold = float(note["threshold"])
    return Stop(
        threshold=threshold,
        index=_stricter(curve, threshold),
        coverage=note["coverage"],
        error_rate=note["error_rate"],
        bound=note["bound"],
        is_own=bool(note["decides"]),
        promise=promise_of([Cut(note, threshold)]),
    )


def _stricter(curve: Mapping[str, Sequence[float | None]], threshold: float) -> int | None:
    """Place of the last listed threshold that is not above another one; None below all of them."""
    return max((index for index, each in enumerate(curve["threshold"]) if (each or 0) <= threshold), default=None)


def _unmeasured(note: Mapping[str, Any] | None, threshold: float, index: int | None) -> Stop:
    is_own = note is not None and bool(note["decides"]) and threshold == note["threshold"]
    return Stop(threshold, index, None, None, None, is_own, promise_of([Cut(note, threshold)]))


def seconds_per_region(seconds: float, regions: int) -> tuple[float, bool]:
    """Seconds of work per finished region, and whether they are an assumption because too few were finished.

    Args:
        seconds: of work on regions.
        regions: finished meanwhile.
    """
    return (ASSUMED_S, True) if regions < ENOUGH_REGIONS else (seconds / regions, False)
