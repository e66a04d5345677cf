"""Table and pictures of `pixelsieve simulate`: what every arm reaches, and what the same labels cost in each.

    python -m benchmarks.effort_report effort

Writes effort.md and effort.png into the folder. Nothing is simulated: the curves in the JSON files are enough.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from datasets.files import write_atomically

Curve = Sequence[Mapping[str, float]]
Curves = Mapping[str, Sequence[Curve]]
"""Arm -> one curve per seed."""

OURS = "queue"
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


def read_curves(folder: Path) -> dict[str, Curves]:
    """Person -> curves by arm.

    Raises:
        ValueError: no results, a damaged one, or results that cannot be compared.
    """
    found: dict[str, dict[str, list[Curve]]] = defaultdict(lambda: defaultdict(list))
    settings: set[str] = set()
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_bytes())
            config = content["config"]
            found[config["person"]["name"]][config["arm"]].append(content["curve"])
            settings.add(json.dumps([config["models"], config["images"]]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no result of pixelsieve simulate ({error}); remove it") from error
    if not found:
        raise ValueError(f"{folder} holds no result; make some with: pixelsieve simulate --out {folder}")
    if len(settings) > 1:
        raise ValueError(f"{folder} holds results of different models or images, which cannot be compared")
    return {person: dict(curves) for person, curves in found.items()}


def write_report(folder: Path) -> Path:
    """Write effort.md and effort.png; returns the report's path."""
    people = read_curves(folder)
    _plot(people, folder / "effort.png")
    lines = ["# What the same labels cost", "", "![curves](effort.png)", ""]
    for person, curves in people.items():
        lines += [f"## {person}", "", *_end_table(curves), "", *_cost_table(curves), ""]
    path = folder / "effort.md"
    write_atomically(path, "\n".join(lines).encode())
    return path


def _end_table(curves: Curves) -> Iterator[str]:
    yield "| arm | seeds | decisions | clicks | keys | minutes | shown | changed | label mIoU, from | to |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for arm, seeds in curves.items():
        mean = {name: float(np.mean([curve[-1][name] for curve in seeds])) for name in seeds[0][-1]}
        first = float(np.mean([curve[0]["label_miou"] for curve in seeds]))
        yield (
            f"| {arm} | {len(seeds)} | {mean['decisions']:.0f} | {mean['clicks']:.0f} | {mean['keys']:.0f} | "
            f"{mean['seconds'] / 60:.1f} | {mean['pixels_shown'] / mean['pixels']:.1%} | "
            f"{mean['pixels_changed'] / mean['pixels']:.2%} | {first:.1%} | {mean['label_miou']:.1%} |"
        )


def _cost_table(curves: Curves) -> Iterator[str]:
    """Costs of the same label mIoU: half way, and nearly, to where our queue ends."""
    if OURS not in curves:
        return
    start = float(np.mean([curve[0]["label_miou"] for curve in curves[OURS]]))
    end = float(np.mean([max(row["label_miou"] for row in curve) for curve in curves[OURS]]))
    for share in (0.5, 0.9):
        target = start + share * (end - start)
        yield f"To reach {target:.1%} label mIoU, {share:.0%} of the queue's gain; in brackets, times the queue's cost:"
        yield ""
        yield f"| arm | {' | '.join(text for text, _ in COSTS.values())} |"
        yield "|---" * (len(COSTS) + 1) + "|"
        ours = {cost: _mean_cost(curves[OURS], cost, target) for cost in COSTS}
        for arm, seeds in curves.items():
            yield f"| {arm} | {' | '.join(_cell(_mean_cost(seeds, cost, target), ours[cost]) for cost in COSTS)} |"
        yield ""


def _mean_cost(seeds: Sequence[Curve], cost: str, target: float) -> float | None:
    """Mean over seeds; None when one of them never gets there."""
    costs = [cost_of(curve, cost, target) for curve in seeds]
    known = [value for value in costs if value is not None]
    return float(np.mean(known)) if len(known) == len(costs) else None


def _cell(value: float | None, ours: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:.0f}" + (f" ({value / ours:.2f})" if ours else "")


def _plot(people: Mapping[str, Curves], path: Path) -> None:
    figure = Figure(figsize=(13, 3.6 * len(people)), dpi=110, layout="constrained")
    axes = figure.subplots(len(people), len(COSTS), squeeze=False, sharey=True)
    for row, (person, curves) in zip(axes, people.items(), strict=True):
        for axis, (text, value) in zip(row, COSTS.values(), strict=True):
            for number, (arm, seeds) in enumerate(curves.items()):
                for curve in seeds:
                    label = arm if curve is seeds[0] else None
                    costs, reached = [value(each) for each in curve], [100 * each["label_miou"] for each in curve]
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
