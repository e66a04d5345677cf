"""Table and pictures of `pixelsieve simulate`: what every arm reaches, and what the same labels cost in each.

    python -m benchmarks.effort_report effort

Writes effort.md and effort.png into the folder. Nothing is simulated: the curves in the JSON files are enough.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from app.domain.simulated_people import CLICK_S, DECIDE_S, KEY_S
from app.services.simulating import ARMS, Arm
from datasets.files import write_atomically

Curve = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Run:
    """One result file.

    Attributes:
        curve: from before the first decision to the end.
        unseen: about pixels that were never shown; see `app.services.simulating.Simulation`.
        is_limited: decisions or minutes were limited, so more could have been reached.
        config: how it was made.
    """

    curve: Curve
    unseen: Mapping[str, Any]
    is_limited: bool
    config: Mapping[str, Any]


Runs = Mapping[str, Sequence[Run]]
"""Arm -> one run per seed."""


OURS = "queue"
_UNSEEN = ("reliable", "reliable_wrong", "other", "other_wrong")
COSTS: Mapping[str, tuple[str, Callable[[Mapping[str, float]], float]]] = {
    "decisions": ("decisions", lambda row: row["decisions"]),
    "inputs": ("clicks and keys", lambda row: row["clicks"] + row["keys"]),
    "minutes": ("simulated minutes", lambda row: row["seconds"] / 60.0),
}


def cost_of(curve: Curve, cost: str, miou: float) -> float | None:
    """What a curve had cost when its label mIoU first reached a value, straight between its points; None if never."""
    return cost_to_reach([COSTS[cost][1](row) for row in curve], [row["label_miou"] for row in curve], miou)


def cost_to_reach(costs: Sequence[float], mious: Sequence[float], miou: float) -> float | None:
    """The same of a curve that is given as its costs and its label mIoUs."""
    reached = np.maximum.accumulate(mious)
    index = int(np.searchsorted(reached, miou))
    if index == len(reached):
        return None
    if index == 0:
        return float(costs[0])
    share = (miou - reached[index - 1]) / (reached[index] - reached[index - 1])
    return float(costs[index - 1] + share * (costs[index] - costs[index - 1]))


def read_runs(folder: Path) -> dict[str, Runs]:
    """Person -> runs by arm.

    Raises:
        ValueError: no results, a damaged one, or results that cannot be compared.
    """
    found: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    settings: set[str] = set()
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_bytes())
            config = content["config"]
            is_limited = config.get("decisions") is not None or config.get("minutes") is not None
            run = Run(content["curve"], content["unseen"], is_limited, config)
            found[config["person"]["name"]][config["arm"]].append(run)
            settings.add(json.dumps([config["models"], config["images"]]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no result of pixelsieve simulate ({error}); remove it") from error
    if not found:
        raise ValueError(f"{folder} holds no result; make some with: pixelsieve simulate --out {folder}")
    if len(settings) > 1:
        raise ValueError(f"{folder} holds results of different models or images, which cannot be compared")
    return {person: dict(runs) for person, runs in found.items()}


def write_report(folder: Path) -> Path:
    """Write effort.md and effort.png; returns the report's path."""
    people = read_runs(folder)
    _plot(people, folder / "effort.png")
    lines = ["# What the same labels cost", "", *_introduction(people), "", "![curves](effort.png)", ""]
    for person, runs in people.items():
        lines += [f"## {person}", "", *_end_table(runs), "", *_cost_table(runs), "", *_unseen_table(runs), ""]
    path = folder / "effort.md"
    write_atomically(path, ("\n".join(lines).rstrip() + "\n").encode())
    return path


def _introduction(people: Mapping[str, Runs]) -> Iterator[str]:
    """What was done, so that the tables can be read alone."""
    every = [run for runs in people.values() for seeds in runs.values() for run in seeds]
    config, first = every[0].config, every[0].curve[0]
    current = [model["round"] for model in config["models"] if model.get("status") == "current"]
    yield (
        f"Made by `python -m benchmarks.effort_report` from what `pixelsieve simulate` stored: {config['images']} pool "
        f"images with known truth, {first['pixels']:,} pixels, of which {first['wrong_pixels']:,} are wrong at first"
        + (f"; proposals of round {current[0]}. " if current else ". ")
        + "A simulated annotator works through a copy of the workspace, over the same queue and decisions as people."
    )
    yield ""
    for person, runs in people.items():
        about = next(iter(runs.values()))[0].config["person"]
        traits = ", ".join(f"{name} {value}" for name, value in about.items() if name != "name" and value)
        yield f"- Person `{person}`" + (f": {traits}." if traits else ".")
    for arm in dict.fromkeys(arm for runs in people.values() for arm in runs):
        yield f"- Arm `{arm}`: {ARMS[Arm(arm)]}."
    yield (
        "- Shown: share of the pixels that the annotator looked at. Changed: share whose label became another one. "
        f"Minutes are simulated: {DECIDE_S:g} s to make up one's mind, {KEY_S:g} s a key, {CLICK_S:g} s a click (Card, "
        "Moran and Newell, 1980)."
    )
    limits = {json.dumps([run.config.get("decisions"), run.config.get("minutes")]) for run in every if run.is_limited}
    for limit in sorted(limits):
        decisions, minutes = json.loads(limit)
        said = [f"{decisions} decisions"] if decisions is not None else []
        said += [f"{minutes:g} minutes"] if minutes is not None else []
        yield (
            f"- Nothing was begun after {' or '.join(said)}; what had been begun was finished, so the arms end at "
            "different costs."
        )
    if all(len(seeds) == 1 for runs in people.values() for seeds in runs.values()):
        yield "- One seed each: how much chance there is in random orders and errors is not shown."


def _end_table(runs: Runs) -> Iterator[str]:
    yield "Where each arm ended, mean over seeds:"
    yield ""
    yield "| arm | seeds | decisions | clicks | keys | minutes | shown | changed | label mIoU, from | to |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for arm, seeds in runs.items():
        ends = [run.curve[-1] for run in seeds]
        mean = {name: float(np.mean([end[name] for end in ends])) for name in ends[0]}
        first = float(np.mean([run.curve[0]["label_miou"] for run in seeds]))
        yield (
            f"| {arm} | {len(seeds)} | {mean['decisions']:.0f} | {mean['clicks']:.0f} | {mean['keys']:.0f} | "
            f"{mean['seconds'] / 60:.1f} | {mean['pixels_shown'] / mean['pixels']:.1%} | "
            f"{mean['pixels_changed'] / mean['pixels']:.2%} | {first:.1%} | {mean['label_miou']:.1%} |"
        )


def _cost_table(runs: Runs) -> Iterator[str]:
    """Costs of the same label mIoU: half way, and nearly, to where our queue ends."""
    if OURS not in runs:
        return
    start = float(np.mean([run.curve[0]["label_miou"] for run in runs[OURS]]))
    end = float(np.mean([max(row["label_miou"] for row in run.curve) for run in runs[OURS]]))
    for share in (0.5, 0.9):
        target = start + share * (end - start)
        yield (
            f"To reach {target:.1%} label mIoU, {share:.0%} of the queue's gain; in brackets, times the queue's cost. "
            "Between two points of a curve costs are taken as a straight line:"
        )
        yield ""
        yield f"| arm | {' | '.join(text for text, _ in COSTS.values())} |"
        yield "|---" * (len(COSTS) + 1) + "|"
        ours = {cost: _mean_cost(runs[OURS], cost, target) for cost in COSTS}
        for arm, seeds in runs.items():
            missing = "not within the limit" if any(run.is_limited for run in seeds) else "never"
            cells = (_cell(_mean_cost(seeds, cost, target), ours[cost], missing) for cost in COSTS)
            yield f"| {arm} | {' | '.join(cells)} |"
        yield ""


def _unseen_table(runs: Runs) -> Iterator[str]:
    """What is wrong in the pixels that nobody looked at, and what was promised about the reliable ones."""
    yield "Pixels that were never shown, at the end, mean over seeds:"
    yield ""
    headings = ("reliable", "wrong of these", "mean over images", "promised at most", "others", "wrong of these")
    yield f"| arm | {' | '.join(headings)} |"
    yield "|---|---|---|---|---|---|---|"
    promises: dict[str, None] = {}
    for arm, seeds in runs.items():
        unseen = [run.unseen for run in seeds]
        promises.update(dict.fromkeys(each["promise"] for each in unseen if each.get("promise")))
        counted = {name: float(np.mean([each[name] for each in unseen])) for name in _UNSEEN}
        by_image = _percent([each.get("reliable_error") for each in unseen])
        yield (
            f"| {arm} | {counted['reliable']:,.0f} | {_share(counted['reliable_wrong'], counted['reliable'])} | "
            f"{by_image} | {_percent([each.get('bound') for each in unseen])} | "
            f"{counted['other']:,.0f} | {_share(counted['other_wrong'], counted['other'])} |"
        )
    yield ""
    yield from promises


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2%}" if whole else "–"


def _percent(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{float(np.mean(known)):.2%}" if known else "–"


def _mean_cost(seeds: Sequence[Run], cost: str, target: float) -> float | None:
    """Mean over seeds; None when one of them never gets there."""
    costs = [cost_of(run.curve, cost, target) for run in seeds]
    known = [value for value in costs if value is not None]
    return float(np.mean(known)) if len(known) == len(costs) else None


def _cell(value: float | None, ours: float | None, missing: str) -> str:
    if value is None:
        return missing
    return f"{value:.0f}" + (f" ({value / ours:.2f})" if ours else "")


def _plot(people: Mapping[str, Runs], path: Path) -> None:
    figure = Figure(figsize=(13, 3.6 * len(people)), dpi=110, layout="constrained")
    axes = figure.subplots(len(people), len(COSTS), squeeze=False, sharey=True)
    for row, (person, runs) in zip(axes, people.items(), strict=True):
        for axis, (text, value) in zip(row, COSTS.values(), strict=True):
            for number, (arm, seeds) in enumerate(runs.items()):
                for place, run in enumerate(seeds):
                    label = None if place else arm
                    costs = [value(each) for each in run.curve]
                    reached = [100 * each["label_miou"] for each in run.curve]
                    axis.plot(costs, reached, color=f"C{number}", linewidth=2.4 if arm == OURS else 1.2, label=label)
            axis.set_xlabel(text)
            axis.grid(alpha=0.25)
        row[0].set_ylabel(f"label mIoU (%), {person}")
        row[-1].legend(frameon=False, fontsize="small")
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.effort_report", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what was given to pixelsieve simulate --out")
    try:
        print(write_report(parser.parse_args(arguments).folder))
    except ValueError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
