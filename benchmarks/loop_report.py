"""The loop's report: curves against work, full supervision as a line, and every goal answered from the numbers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.effort_report import COSTS, OURS, cost_of
from benchmarks.loop_cells import ARMS, FORMAT_VERSION, FULL, PRESETS, Cell
from datasets.files import write_atomically

Row = Mapping[str, Any]
Loops = dict[str, dict[str, Any]]
"""Arm -> the JSON of its cell, on one split with one seed, corrected by one simulated person."""

RATIOS = {"random_images": 1.5, "random_regions": 1.5, "entropy_regions": 1.2}
"""Arm -> how many times our clicks and keys it should need for the same labels."""
GAIN_POINTS, GAIN_INPUTS = 15.0, 10.0
MOST_DECISIONS = 40.0
SHARE_OF_FULL, MOST_TOUCHED = 0.95, 0.05
NOBODY = "nobody"
"""Stands for the person where only full supervision has been run."""
_COUNTED = ("decisions", "clicks", "keys", "seconds", "pixels_shown", "pixels_changed")


def is_loop(folder: Path) -> bool:
    """Whether a folder holds results of `benchmarks.camvid_loop`."""
    return any(path.name.split("-")[0] in ARMS for path in folder.glob("*-seed*.json"))


def read_loops(folder: Path) -> dict[tuple[str, int, str], Loops]:
    """(split, seed, person) -> cells by arm. Full supervision, which nobody corrects, stands beside every person.

    Raises:
        ValueError: nothing there, or a damaged file.
    """
    found: dict[tuple[str, int, str], Loops] = {}
    full: dict[tuple[str, int], dict[str, Any]] = {}
    for path in sorted(folder.glob("*-seed*.json")):
        try:
            content = json.loads(path.read_bytes())
            config = content["config"]
            if config["format"] != FORMAT_VERSION:
                raise ValueError(f"format {config['format']!r}, not {FORMAT_VERSION}")
            place = config["split"], config["seed"]
            if config["arm"] == FULL:
                full[place] = content
            else:
                found.setdefault((*place, config["person"]), {})[config["arm"]] = content
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no result of benchmarks.camvid_loop ({error!r}); remove it") from error
    for (split, seed), content in full.items():
        beside = [loops for place, loops in found.items() if place[:2] == (split, seed)]
        for loops in beside or [found.setdefault((split, seed, NOBODY), {})]:
            loops[FULL] = content
    if not found:
        raise ValueError(f"{folder} holds no results; make some with: python -m benchmarks.camvid_loop --help")
    for loops in found.values():
        steps = {arm: [each["steps"] for each in loop["rounds"]] for arm, loop in loops.items()}
        if len(set(map(str, steps.values()))) > 1:
            raise ValueError(f"{folder} holds cells of different steps, which cannot be compared: {steps}")
        rules = {arm: loop["config"].get("region_rules") for arm, loop in loops.items() if arm != FULL}
        if len(set(map(str, rules.values()))) > 1:
            raise ValueError(f"{folder} holds cells of different region rules, which cannot be compared: {rules}")
    return dict(sorted(found.items()))


def whole_curve(loop: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All rounds' curves as one: effort since the beginning; labels step to the new predictions between rounds."""
    rows: list[dict[str, Any]] = []
    spent = dict.fromkeys(_COUNTED, 0.0)
    for each in loop["rounds"]:
        for row in each.get("curve", ()):
            rows.append({**row, **{name: spent[name] + row[name] for name in _COUNTED}})
        if rows:
            spent = {name: rows[-1][name] for name in _COUNTED}
    return rows


def ratio_at_same_labels(ours: Sequence[Row], other: Sequence[Row]) -> tuple[float, float, float] | None:
    """(label mIoU, our clicks and keys, the other's) at the best labels that both reach; None if that is the start."""
    target = min(max(row["label_miou"] for row in curve) for curve in (ours, other))
    costs = [cost_of(curve, "inputs", target) for curve in (ours, other)]
    if None in costs or not costs[0]:
        return None
    return target, float(costs[0]), float(costs[1] or 0.0)


def gain_within(curve: Sequence[Row], inputs: float) -> float:
    """Points of label mIoU above the start with so many clicks and keys."""
    within = [float(row["label_miou"]) for row in curve if COSTS["inputs"][1](row) <= inputs]
    return 100.0 * (max(within) - float(curve[0]["label_miou"]))


def shares_by_people(loop: Mapping[str, Any]) -> tuple[float, float]:
    """Share of the pool's pixels that a person decided, and the same of all training pixels with the first masks."""
    pixels, decided = loop["pixels"], loop["rounds"][-1]["pixels_by_people"]
    given = pixels["labeled"]
    return decided / pixels["pool"], (decided + given) / (pixels["pool"] + given)


def goals(loops: Loops) -> Iterator[str]:
    """One sentence or two per goal, whatever came out."""
    if OURS not in loops:
        yield "- No goal can be answered: the queue has not been run here."
        return
    ours = whole_curve(loops[OURS])
    for arm, wanted in RATIOS.items():
        yield f"- Clicks and keys for the same label mIoU, {arm} against the queue (goal: {wanted} times): " + (
            _ratio(ours, whole_curve(loops[arm]), wanted) if arm in loops else "not run."
        )
    images = loops[OURS]["images"]["pool"]
    gain = gain_within(ours, GAIN_INPUTS * images)
    spent = COSTS["inputs"][1](ours[-1]) / images
    yield (
        f"- Label mIoU within {GAIN_INPUTS:.0f} clicks and keys an image (goal: +{GAIN_POINTS:.0f} points): "
        f"{gain:+.1f} points; {_met(gain >= GAIN_POINTS)}. Spent in all: {spent:.1f} an image."
    )
    yield f"- {_decisions(loops[OURS], ours[-1]['decisions'] / images)}"
    yield f"- {_against_full(loops)}"
    yield from (f"- {sentence}" for sentence in _unseen(loops[OURS]))


def _ratio(ours: Sequence[Row], other: Sequence[Row], wanted: float) -> str:
    found = ratio_at_same_labels(ours, other)
    if found is None:
        return "not to be said, one of them never gets above its start."
    target, mine, theirs = found
    return f"{theirs / mine:.2f} times ({theirs:.0f} to {mine:.0f}) at {target:.1%}; {_met(theirs >= wanted * mine)}."


def _decisions(loop: Mapping[str, Any], per_image: float) -> str:
    last = loop["rounds"][-1]
    row = last["curve"][-1]
    ended = row["clicks"] + row["keys"] < last["budget_inputs"]
    head = f'Decisions an image until all images are "enough" (goal: at most {MOST_DECISIONS:.0f}): '
    if ended:
        return f"{head}{per_image:.1f}; {_met(per_image <= MOST_DECISIONS)}."
    return f"{head}the budget ended first, after {per_image:.1f}; not answered."


def _against_full(loops: Loops) -> str:
    head = (
        f"Test mIoU against full supervision at equal steps (goal: {SHARE_OF_FULL:.0%} with at most "
        f"{MOST_TOUCHED:.0%} of the pixels touched): "
    )
    if FULL not in loops:
        return f"{head}not answered, full supervision has not been run."
    ours, full = (loops[arm]["rounds"][-1]["test"]["miou"] for arm in (OURS, FULL))
    pool, every = shares_by_people(loops[OURS])
    start = loops[OURS]["rounds"][0]["test"]["miou"]
    is_as_good = ours >= SHARE_OF_FULL * full
    on_pool, on_all = (_met(is_as_good and share <= MOST_TOUCHED) for share in (pool, every))
    return (
        f"{head}{ours:.1%} of {full:.1%}, that is {ours / full:.1%} (before any correction {start / full:.1%}), with "
        f"{pool:.1%} of the pool's pixels decided by people: {on_pool}. Counted with the first masks, {every:.1%} of "
        f"all training pixels: {on_all}."
    )


def _unseen(loop: Mapping[str, Any]) -> Iterator[str]:
    for before, each in pairwise(loop["rounds"]):
        unseen = each["unseen"]
        head = f"Reliable pixels never shown, round {each['round']}: "
        if unseen["reliable_error"] is None:
            yield f"{head}there were none."
            continue
        share = unseen["reliable"] / each["curve"][-1]["pixels"]
        measured = f"{head}{share:.1%} of the pool, {unseen['reliable_error']:.2%} of an image's are wrong on average. "
        bound = unseen["bound"]
        if bound is None:
            reason = before.get("not_calibrated")
            yield f"{measured}{unseen['promise']}" + (f" Why: {reason}." if reason else "")
        else:
            yield f"{measured}Promised: at most {bound:.2%}; {_met(unseen['reliable_error'] <= bound)}."


def _met(is_met: bool) -> str:
    return "**met**" if is_met else "**not met**"


def write_loop_report(folder: Path) -> Path:
    """Write report.md and a picture per split, seed and person; returns the report's path.

    Raises:
        ValueError: see `read_loops`.
    """
    found = read_loops(folder)
    lines = ["# Predict, correct, retrain on CamVid", "", *_introduction(folder, found), ""]
    for (split, seed, person), loops in found.items():
        picture = f"curves_{split}_{person}_seed{seed}.png"
        _plot(loops, folder / picture)
        lines += [
            f"## Labeled split {split}, seed {seed}, corrected by `{person}`",
            "",
            f"![curves]({picture})",
            "",
            *goals(loops),
            "",
        ]
        lines += [*_table(loops), ""]
    path = folder / "report.md"
    write_atomically(path, ("\n".join(lines).rstrip() + "\n").encode())
    return path


def _introduction(folder: Path, found: Mapping[tuple[str, int, str], Loops]) -> Iterator[str]:
    first = next(iter(next(iter(found.values())).values()))
    config, machine = first["config"], first["machine"]
    yield (
        f"Made by `python -m benchmarks.report` from one JSON file per cell. First training {config['first_steps']} "
        f"steps, each of {config['rounds']} rounds after it {config['next_steps']}, from the weights before; the same "
        f"in every arm. Budget of a round: {config['inputs_per_image']:g} clicks and keys per image of the pool. "
        f"Test: 233 frames, whole images, last checkpoint. "
        f"Half-size frames: {'yes' if config['half_size'] else 'no'}. "
        f"Device: {first['rounds'][0]['device']} ({machine['cpu']}, {machine['cores']} cores)."
    )
    yield ""
    yield "Nothing says how much another seed would change: differences of a point or two are within what seeds do."
    yield ""
    preset = next((PRESETS[name]() for name in PRESETS if folder.name == f"camvid_loop_{name}"), None)
    if preset is None:
        return
    there = {
        Cell(split, arm, seed, None if arm == FULL else person)
        for (split, seed, person), loops in found.items()
        for arm in loops
    }
    missing = [cell.name for cell in preset.cells() if cell not in there]
    yield f"Missing cells: {', '.join(missing) or 'none'}."


def _table(loops: Loops) -> Iterator[str]:
    yield (
        "| arm | round | steps | test mIoU | label mIoU of the pool, before | after | decisions | clicks | keys "
        "| minutes | shown | decided by people | round, s |"
    )
    yield "|---" * 13 + "|"
    for arm in sorted(loops, key=ARMS.index):
        for each in loops[arm]["rounds"]:
            start = f"| {arm} | {each['round']} | {each['steps']} | {each['test']['miou']:.1%} |"
            if "curve" not in each:
                yield f"{start}{' - |' * 8} {each['round_seconds']:.0f} |"
                continue
            first, last = each["curve"][0], each["curve"][-1]
            yield (
                f"{start} {first['label_miou']:.1%} | {last['label_miou']:.1%} | {last['decisions']} | "
                f"{last['clicks']} | {last['keys']} | {last['seconds'] / 60:.1f} | "
                f"{last['pixels_shown'] / last['pixels']:.1%} | "
                f"{each['pixels_by_people'] / loops[arm]['pixels']['pool']:.1%} | {each['round_seconds']:.0f} |"
            )


def _clicks(row: Row) -> float:
    return float(row["clicks"])


def _plot(loops: Loops, path: Path) -> None:
    costs = {"clicks": ("clicks", _clicks), **COSTS}
    figure = Figure(figsize=(16, 7), dpi=110, layout="constrained")
    axes = figure.subplots(2, len(costs), squeeze=False, sharey="row")
    for number, arm in enumerate(sorted(loops, key=ARMS.index)):
        tested = [100 * each["test"]["miou"] for each in loops[arm]["rounds"]]
        for column, (text, value) in enumerate(costs.values()):
            axes[1][column].set_xlabel(text)
            if arm == FULL:
                axes[0][column].axhline(tested[-1], color="black", linestyle="--", linewidth=1, label=arm)
                continue
            curve = whole_curve(loops[arm])
            ends = [each["curve"][-1] for each in loops[arm]["rounds"] if "curve" in each]
            spent = [0.0]
            for end in ends:
                spent.append(spent[-1] + value(end))
            style = {"color": f"C{number}", "label": arm, "linewidth": 2.4 if arm == OURS else 1.2}
            axes[0][column].plot(spent, tested, marker="o", **style)
            axes[1][column].plot([value(row) for row in curve], [100 * row["label_miou"] for row in curve], **style)
    axes[0][0].set_ylabel("test mIoU (%)")
    axes[1][0].set_ylabel("label mIoU of the pool (%)")
    axes[0][-1].legend(frameon=False, fontsize="small")
    figure.savefig(path)
