"""What the numbers on the quality page mean, in plain sentences: the same on the page and on the command line."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from app.domain.agreement import Agreement
from app.domain.effort import ENOUGH_CONTROLS, EffortSaved, RegionEffort
from app.domain.intervals import CountedShare
from app.domain.quality import CATCH_LIMIT, AuditedError, ControlError

FEW_AUDITS = 60
"""Below this many audits the interval of an error rate of 5 % is wider than 10 points. Chosen by us."""


@dataclass(frozen=True)
class GoldMeasure:
    """How wrong the pixels are that a model file calls reliable, measured on the gold images.

    Attributes:
        round: of the current model.
        images: gold images it was measured on.
        coverage: share of their labeled pixels called reliable; None where that was not measured.
        error_rate: share of wrong ones among these; None where none is called reliable.
        is_chosen_there: the file's threshold was chosen on gold images.
        is_in_force: no other threshold was chosen since.
    """

    round: int
    images: int
    coverage: float | None
    error_rate: float | None
    is_chosen_there: bool
    is_in_force: bool


def percent(share: float) -> str:
    """A share with one digit behind the point, or two where one says 0.0 %. Halves go up, as in the pages' scripts."""
    digit = Decimal("0.01") if 0 < share < 0.001 else Decimal("0.1")
    return f"{Decimal(100 * share).quantize(digit, ROUND_HALF_UP)} %"


def between(found: CountedShare) -> str:
    """The interval of a share in words."""
    return f"between {percent(found.low)} and {percent(found.high)}"


def audited_sentence(audited: AuditedError | None, waiting: int, elsewhere: int = 0) -> str:
    """How wrong the pixels are that nobody looked at, and how that is known.

    Args:
        audited: of the current model, at the threshold in force; None without one.
        waiting: audits that could still be decided.
        elsewhere: audits of other models, or at another threshold.
    """
    if audited is None:
        return "There is no model yet, so there are no reliable pixels to audit."
    wrong = audited.wrong
    if wrong.share is None:
        said = _why_unknown(audited, waiting)
        return f"{said} Audits of other models or at other thresholds: {elsewhere}." if elsewhere else said
    is_few = wrong.trials < FEW_AUDITS  # A single number from so few would look like knowledge.
    share = f"{between(wrong)} are wrong" if is_few else f"{percent(wrong.share)} are wrong, {between(wrong)}"
    said = (
        f"Of the reliable pixels, which nobody looks at, {share} with 95 % confidence. How that is known: "
        f"{_drawn(wrong)}."
    )
    if wrong.trials == 1:
        said += f" One audit is too few to say anything: with {FEW_AUDITS} and more the interval becomes useful."
    elif is_few:
        said += f" That is few: with {FEW_AUDITS} audits and more the interval becomes useful."
    return said


def gold_sentence(measure: GoldMeasure | None) -> str:
    """What gold says about the same question, and why it is not the same number.

    Args:
        measure: of the current model; None without gold images, or without a model.
    """
    if measure is None:
        return "No gold image says how wrong the current model's reliable pixels are."
    images = "1 gold image" if measure.images == 1 else f"{measure.images} gold images"
    model = f"the model of round {measure.round}"
    if measure.coverage is None:
        return f"What {model} calls reliable was not measured on gold; measure it again on the page Models."
    if measure.error_rate is None:
        return f"On {images} {model} calls no pixel reliable."
    said = (
        f"On {images}, labeled by people and never trained on, {model} calls {percent(measure.coverage)} of the pixels "
        f"reliable, and {percent(measure.error_rate)} of those are wrong, outlines included."
    )
    if measure.is_chosen_there:
        said += " Its threshold was chosen on these images, which makes the number look good: believe the audits."
    if not measure.is_in_force:
        said += " Another threshold is in force since: the Threshold page says what was measured there."
    return said


def caught_sentence(caught: CountedShare) -> str:
    """How many errors that were planted on purpose people noticed."""
    if caught.share is None:
        return "Nobody has met a planted error yet."
    of_all = f"{caught.hits} of {caught.trials} planted errors were caught"
    if caught.trials == 1:
        of_all = "The only planted error that anybody met was " + ("caught" if caught.hits else "not caught")
    said = f"{of_all}: {percent(caught.share)}, {between(caught)}."
    if caught.share < CATCH_LIMIT <= caught.high:
        said += f" That is under {percent(CATCH_LIMIT)}, but so few may be chance: wait for more of them."
    elif caught.share < CATCH_LIMIT:
        said += f" That is under {percent(CATCH_LIMIT)}: look at how people decide before you trust their labels."
    return said


def effort_sentence(effort: RegionEffort) -> str:
    """How long a region takes."""
    if effort.median_s is None or effort.quartiles_s is None:
        return "No region was finished yet."
    first, third = effort.quartiles_s
    interval = effort.interval
    wide = f", between {interval.low:.1f} and {interval.high:.1f} s with 95 % confidence" if interval else ""
    if effort.num_regions == 1:
        return f"The only finished region took {effort.median_s:.1f} s of work. A pause counts with at most 15 s."
    return (
        f"Half of {effort.num_regions} finished regions took at most {effort.median_s:.1f} s of work{wide}. The middle "
        f"half took {first:.1f} to {third:.1f} s, nine of ten at most {effort.p90_s:.1f} s. A pause counts with at "
        "most 15 s; control images are whole images and not among them."
    )


def changed_sentence(changed: CountedShare) -> str:
    """How often people change what the model doubts."""
    if changed.share is None:
        return "Nobody has decided a region of the queue yet."
    regions = "1 region" if changed.trials == 1 else f"{changed.trials} regions"
    return (
        f"People changed {changed.hits} of {regions} of the queue: {percent(changed.share)}, "
        f"{between(changed)}. That says how often the model is wrong where it is unsure, and nothing about the rest."
    )


def agreement_sentence(people: Agreement, oneself: Agreement) -> str:
    """Whether people say the same."""
    if people.same.share is None and oneself.same.share is None:
        return (
            "Nobody decided a region that somebody had decided before: that happens in second review and when an "
            "earlier region is opened again."
        )
    return f"{_same('Two people', people)} {_same('The same person', oneself)}"


def saved_sentence(saved: EffortSaved) -> str:
    """What the proposals spare, and whether that was measured."""
    if saved.share is None:
        return "Nothing can be said about effort saved yet: no image was finished with proposals."
    if saved.from_pixels:
        return (
            f"Estimate: {percent(saved.share)} of the pixels of {saved.num_assisted} finished images did not have to "
            "be looked at. No control image is finished, so nobody knows how long they would have taken from scratch."
        )
    interval = saved.interval
    wide = f", between {percent(interval.low)} and {percent(interval.high)}" if interval else ""
    spared = f"spare {percent(saved.share)} of the work"
    if saved.share < 0:
        spared = f"cost {percent(-saved.share)} more work than labeling from scratch"
        wide = f" (spared: {percent(interval.low)} to {percent(interval.high)})" if interval else ""
    arms = f"{saved.num_assisted} reviewed against {saved.num_controls} labeled from scratch"
    if saved.is_estimate:
        return (
            f"Estimate: proposals {spared}{wide}, by finished images: {arms}. It counts as measured with "
            f"{ENOUGH_CONTROLS} of these."
        )
    return f"Proposals {spared}{wide}, by finished images: {arms}."


def control_sentence(control: ControlError, num_images: int) -> str:
    """What the control images say about the reliable area, beside the audits.

    Args:
        num_images: chosen for the control arm, finished or not.
    """
    if num_images == 0:
        return "No image belongs to the control arm. Images join it before they are predicted for the first time."
    said = f"{control.num_images} of {num_images} control images are finished."
    if control.share is None:
        return said
    interval = control.interval
    wide = f" (between {percent(interval.low)} and {percent(interval.high)})" if interval else ""
    return (
        f"{said} In them {percent(control.share)}{wide} of {control.reliable_pixels:,} reliable pixels differ from the "
        "label drawn from scratch, outlines included: compare that with the audited error."
    )


def _drawn(wrong: CountedShare) -> str:
    where = "by chance from the whole reliable area of the pool and shown among the regions of the queue"
    if wrong.trials == 1:
        return f"one pixel was drawn {where}; people found it {'wrong' if wrong.hits else 'right'}"
    return f"{wrong.trials} pixels were drawn {where}; people found {wrong.hits} of them wrong"


def _same(who: str, found: Agreement) -> str:
    if found.same.share is None:
        return f"{who} decided no region twice yet."
    kappa = "" if found.kappa is None else f" (kappa {found.kappa:.2f}; 0 is chance, 1 is full agreement)"
    were = "1 more was drawn and has" if found.num_drawn == 1 else f"{found.num_drawn} more were drawn and have"
    drawn = f" {were} no single class." if found.num_drawn else ""
    regions = "1 region" if found.same.trials == 1 else f"{found.same.trials} regions"
    said = f"{who} said the same about {found.same.hits} of {regions}: {percent(found.same.share)}"
    return f"{said}, {between(found.same)}{kappa}.{drawn}"


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
