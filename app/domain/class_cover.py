"""Classes that no label shows: the model cannot know them, and no number measured on gold speaks of them."""

from collections.abc import Iterable, Sequence

from app.domain.promises import exact_percent, units_needed


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


def gold_warning(gold: int, alpha: float) -> str | None:
    """That the gold images are too few for the error that is asked for; None where they may suffice.

    Args:
        gold: number of gold images.
        alpha: the asked error of reliable pixels, between 0 and 1.
    """
    needed, choosing = units_needed(alpha), _choosing(gold)
    if choosing >= needed:
        return None
    enough = next(number for number in range(needed, 2 * needed + 10) if _choosing(number) >= needed)
    return (
        f"With {gold} gold images no error under {exact_percent(1 / (choosing + 1))} of the reliable pixels can be "
        f"promised, even without a single mistake; the asked {exact_percent(alpha)} takes {enough} of them, and more "
        "where frames count in blocks. Hold out more labels (import --gold-share), or ask for less (threshold ask)."
    )


def _choosing(gold: int) -> int:
    """Of the gold images those that choose the threshold: from 10 on a quarter fits curves (docs/calibration.md)."""
    return gold if gold < 10 else gold - gold // 4


def _without(names: Sequence[str], images: Iterable[Sequence[int]]) -> str:
    totals = [0] * len(names)
    for pixels in images:
        totals = [total + number for total, number in zip(totals, pixels, strict=True)]
    return ", ".join(name for name, total in zip(names, totals, strict=True) if not total)
