"""Classes that no label shows: the model cannot know them, and no number measured on gold speaks of them."""

from collections.abc import Iterable, Sequence

from app.domain.promises import exact_percent, units_needed
from datasets.calibration_split import CalibrationSplit, SplitRule
from datasets.splits import held_out_number


def class_warnings(
    names: Sequence[str], labeled: Iterable[Sequence[int]], gold: Iterable[Sequence[int]]
) -> tuple[str, ...]:
    """What a lead should know about classes without a labeled or a gold pixel; nothing where every class has both.

    Args:
        names: of the classes, by class id.
        labeled: labeled pixels per class of each image that was imported with a label to train on.
        gold: the same of each gold image; without any, nothing is said about gold.
    """
    gold = list(gold)
    said = []
    without_label = _without(names, labeled)
    if without_label:
        said.append(
            f"No label that was imported to train on shows {without_label}: the model learns that from people's "
            "decisions only. Until then it takes such pixels for other classes, and may call them reliable, so that "
            "they are locked."
        )
    without_gold = _without(names, gold)
    if gold and without_gold:
        said.append(f"No gold image shows {without_gold}: no promise and no number measured on gold speaks of that.")
    return tuple(said)


def gold_warning(split: CalibrationSplit, rule: SplitRule, alpha: float) -> str | None:
    """That the gold images are too few for the error that is asked for; None where they may suffice.

    Args:
        split: of the gold images, as a calibration divides them.
        rule: by which it was made.
        alpha: the asked error of reliable pixels, between 0 and 1.
    """
    needed, choosing = units_needed(alpha), split.threshold_units
    if choosing >= needed:
        return None
    least, asked, images = exact_percent(1 / (choosing + 1)), exact_percent(alpha), len(split.block_of)
    shares = f" ({choosing} count for the promise, {split.units - choosing} fit the curves)" * split.is_set_apart
    enough = _enough(needed, rule)
    counting = f", so that {needed} count" if enough > needed else ""
    if split.unit == "image":
        return (
            f"With {images} gold images{shares} no error under {least} of the reliable pixels can be promised, even "
            f"without a single mistake; the asked {asked} takes {enough} of them{counting}. Hold out more labels "
            "(import --gold-share), or ask for less (threshold ask)."
        )
    blocks = "block" if split.units == 1 else "blocks"
    return (
        f"With {images} gold images, which are {split.units} {blocks} of frames{shares}, no error under {least} of the "
        "reliable pixels can be promised, even without a single mistake; the asked "
        f"{asked} takes about {enough} blocks{counting}. "
        "Take them from more recordings, ask for less (threshold ask), or say that no picture comes from a "
        "video (threshold ask --independent)."
    )


def _enough(needed: int, rule: SplitRule) -> int:
    """Units of which so many choose the threshold, where each is a picture or a block alike."""
    if needed < rule.min_units:
        return needed
    about = int(needed / (1 - rule.fit_share))
    return next(
        units for units in range(about - 2, about + 4) if units - held_out_number(units, rule.fit_share) >= needed
    )


def _without(names: Sequence[str], images: Iterable[Sequence[int]]) -> str:
    totals = [0] * len(names)
    for pixels in images:
        totals = [total + number for total, number in zip(totals, pixels, strict=True)]
    return ", ".join(name for name, total in zip(names, totals, strict=True) if not total)
