"""What the numbers on the quality page mean, in plain sentences: the same on the page and on the command line."""

from app.domain.effort import ENOUGH_CONTROLS, EffortSaved
from app.domain.intervals import CountedShare
from app.domain.quality import CATCH_LIMIT, AuditedError

FEW_AUDITS = 60
"""Below this many audits the interval of an error rate of 5 % is wider than 10 points. Chosen by us."""


def percent(share: float) -> str:
    """A share with one digit behind the point, or two where one says 0.0 %."""
    return f"{100 * share:.2f} %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def between(found: CountedShare) -> str:
    """The interval of a share in words."""
    return f"between {percent(found.low)} and {percent(found.high)}"


def audited_sentence(audited: AuditedError | None, waiting: int) -> str:
    """How wrong the pixels are that nobody looked at, and how that is known.

    Args:
        audited: of the current model; None without one.
        waiting: audits that could still be decided.
    """
    if audited is None:
        return "There is no model yet, so there are no reliable pixels to audit."
    wrong = audited.wrong
    if wrong.share is None:
        return _why_unknown(audited, waiting)
    said = (
        f"Of the reliable pixels, which nobody looks at, {percent(wrong.share)} are wrong, {between(wrong)} with 95 % "
        f"confidence. How that is known: {wrong.trials} pixels were drawn by chance from the whole reliable area of "
        f"the pool and shown among the regions of the queue; people found {wrong.hits} of them wrong."
    )
    if wrong.trials < FEW_AUDITS:
        said += f" That is few: with {FEW_AUDITS} audits and more the interval becomes useful."
    return said


def caught_sentence(caught: CountedShare) -> str:
    """How many errors that were planted on purpose people noticed."""
    if caught.share is None:
        return "Nobody has met a planted error yet."
    said = f"{caught.hits} of {caught.trials} planted errors were caught: {percent(caught.share)}, {between(caught)}."
    if caught.share < CATCH_LIMIT:
        said += f" That is under {percent(CATCH_LIMIT)}: look at how people decide before you trust their labels."
    return said


def saved_sentence(saved: EffortSaved) -> str:
    """What the proposals spare, and whether that was measured."""
    if saved.share is None:
        return "Nothing can be said about effort saved yet: no image was finished with proposals."
    interval = saved.interval
    wide = f", between {percent(interval.low)} and {percent(interval.high)}" if interval else ""
    if saved.from_pixels:
        return (
            f"Estimate: {percent(saved.share)} of the pixels of {saved.num_assisted} finished images did not have to "
            "be looked at. No control image is finished, so nobody knows how long they would have taken from scratch."
        )
    if saved.is_estimate:
        return (
            f"Estimate: proposals spare {percent(saved.share)} of the work{wide}, from {saved.num_controls} control "
            f"images. It counts as measured with {ENOUGH_CONTROLS} of them."
        )
    return (
        f"Proposals spare {percent(saved.share)} of the work{wide}: {saved.num_assisted} images reviewed against "
        f"{saved.num_controls} labeled from scratch."
    )


def control_sentence(num_finished: int, num_images: int, error: float | None) -> str:
    """What the control images say about the reliable area, beside the audits."""
    if num_images == 0:
        return "No image belongs to the control arm. Images join it before they are predicted for the first time."
    said = f"{num_finished} of {num_images} control images are finished."
    if error is not None:
        said += f" In them {percent(error)} of the reliable pixels differ from the label drawn from scratch."
    return said


def _why_unknown(audited: AuditedError, waiting: int) -> str:
    missing = [
        f"{number} {what}"
        for number, what in (
            (audited.num_undecided, "skipped or not known"),
            (audited.num_void, "called void"),
            (audited.num_set_aside, "opened out of turn"),
        )
        if number
    ]
    said = "How wrong the pixels are that nobody looks at is not known yet: no audit was decided."
    if missing:
        said += f" There are {', '.join(missing)}."
    if waiting:
        return f"{said} {waiting} are drawn and come one by one among the regions of the queue."
    return f"{said} None is drawn: predict the pool, with an audit share above 0."
