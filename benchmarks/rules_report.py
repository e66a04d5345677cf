"""The report of `benchmarks.region_rules`: what every rule is worth against the defaults, for each simulated person."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from app.domain.simulated_people import PEOPLE
from app.services.simulating import Arm
from benchmarks.matrix_statistics import Interval
from benchmarks.rules_cells import FACTORS
from benchmarks.rules_replay import BEST_ORDER, REGION_ARMS
from benchmarks.rules_score import (
    AREA_INPUTS,
    COST,
    COST_INPUTS,
    RESAMPLES,
    VALUES,
    Cells,
    compare,
    cost_ratio,
    measures,
    read_cell,
    value_of,
)
from datasets.files import write_atomically

PRIMARY = "area"
_CELL = re.compile(rf".+-({'|'.join((*REGION_ARMS, BEST_ORDER))})-({'|'.join(PEOPLE)})-seed\d+\.json")


@dataclass(frozen=True)
class Results:
    """All cells of a folder.

    Attributes:
        baseline: name of the setting that the others are compared with.
        cells: (setting, arm, person) -> cells by seed.
        people: for whom there is a baseline.
    """

    baseline: str
    cells: Mapping[tuple[str, str, str], Cells]
    people: tuple[str, ...]

    def queue(self, setting: str, person: str) -> Cells:
        """Cells of one setting in the queue's order."""
        return self.cells[setting, Arm.QUEUE.value, person]

    def base(self, person: str) -> Cells:
        """Cells of the baseline in the queue's order."""
        return self.queue(self.baseline, person)


Compared = dict[str, dict[str, dict[str, Interval]]]
"""Person -> setting -> measure."""


def is_rules(folder: Path) -> bool:
    """Whether a folder holds results of `benchmarks.region_rules`."""
    return any(_CELL.fullmatch(path.name) for path in folder.glob("*.json"))


def read_rules(folder: Path) -> Results:
    """All cells.

    Raises:
        ValueError: a damaged file, cells of other images, models or baselines, or no cell with the baseline.
    """
    found: dict[tuple[str, str, str], Cells] = defaultdict(dict)
    common, baseline = set(), ""
    for path in sorted(path for path in folder.glob("*.json") if _CELL.fullmatch(path.name)):
        cell = read_cell(path)
        config = cell.content["config"]
        found[config["setting"], config["arm"], config["person"]["name"]][config["seed"]] = cell
        common.add(str([config["baseline"], sorted(config["data"].items())]))
        baseline = config["baseline"]
    if len(common) > 1:
        raise ValueError(f"{folder} holds cells of different models, images or baselines, which cannot be compared")
    people = tuple(who for setting, arm, who in found if (setting, arm) == (baseline, Arm.QUEUE.value))
    if not people:
        raise ValueError(f"{folder} has no cell of {baseline}; compute it with: python -m benchmarks.region_rules")
    return Results(baseline, dict(found), people)


def write_rules_report(folder: Path) -> Path:
    """Write report.md and rules.png; returns the report's path.

    Raises:
        ValueError: see `read_rules`.
    """
    results = read_rules(folder)
    compared = {person: _against_baseline(results, person) for person in results.people}
    lines = ["# What the region rules are worth", "", *_introduction(results), ""]
    if any(compared.values()):
        _plot(compared, folder / "rules.png")
        lines += ["![mean label mIoU against the baseline](rules.png)", "", *_verdicts(compared), ""]
    for person in results.people:
        lines += [f"## {person}", "", *_table(results, person, compared[person]), "", *_orders(results, person), ""]
    path = folder / "report.md"
    write_atomically(path, ("\n".join(lines).rstrip() + "\n").encode())
    return path


def _against_baseline(results: Results, person: str) -> dict[str, dict[str, Interval]]:
    base, others = results.base(person), _settings(results, person)[1:]
    return {setting: compare(results.queue(setting, person), base, measures()) for setting in others}


def _settings(results: Results, person: str) -> list[str]:
    """The baseline, then factor by factor, then what else was compared."""
    there = {setting for setting, arm, who in results.cells if arm == Arm.QUEUE.value and who == person}
    ordered = [results.baseline, *(setting for values in FACTORS.values() for setting in values), *sorted(there)]
    return [setting for setting in dict.fromkeys(ordered) if setting in there]


def _introduction(results: Results) -> Iterator[str]:
    first = next(iter(results.base(results.people[0]).values())).content
    data, places = first["config"]["data"], first["places"]
    known = sum(place["pixels"] for place in places.values())
    wrong = sum(place["wrong"] for place in places.values())
    frames = "" if data["frames"] is None else f" (`{data['frames']}`)"
    yield (
        f"Made by `python -m benchmarks.report` from one JSON file per cell. {data['images']} images of the split "
        f"`{data['split']}`{frames} that the student has not seen, in "
        f"{len(first['blocks'])} blocks of about {data['block_frames']} consecutive frames; it learned from "
        f"`{data['labeled']}`. Model {data['model_sha256'][:12]}."
    )
    yield ""
    yield (
        f"Differences are to `{results.baseline}`: points of label mIoU, with 95 % intervals from a paired bootstrap "
        f"over the blocks, {RESAMPLES} resamples, and over the seeds where there are several. Clicks and keys, minutes "
        "and decisions are per image. With so few blocks such intervals are too narrow, and one in twenty excludes "
        "zero by chance. **Bold**: the interval excludes zero (or 1, for the last column)."
    )
    yield ""
    yield f"| under `{results.baseline}` | share of the pixels | wrong | share of all wrong pixels |"
    yield "|---|---|---|---|"
    for name, place in places.items():
        yield (
            f"| {name} | {place['pixels'] / known:.1%} | {place['wrong'] / max(1, place['pixels']):.1%} | "
            f"{place['wrong'] / max(1, wrong):.1%} |"
        )


def _verdicts(compared: Compared) -> Iterator[str]:
    """One sentence per setting that differs for every person, and the rest in one."""
    yield f"Mean label mIoU over the first {AREA_INPUTS:.0f} clicks and keys an image, for every person:"
    yield ""
    settings = next(iter(compared.values()))
    silent = []
    for setting in settings:
        found = [each[setting][PRIMARY] for each in compared.values() if setting in each]
        if len(found) == len(compared) and all(each.low > 0 for each in found):
            yield f"- `{setting}` is better: {', '.join(map(_points, found))}."
        elif len(found) == len(compared) and all(each.high < 0 for each in found):
            yield f"- `{setting}` is worse: {', '.join(map(_points, found))}."
        else:
            silent.append(f"`{setting}`")
    if silent:
        yield f"- Nothing measurable for every person: {', '.join(silent)}."


def _table(results: Results, person: str, compared: Mapping[str, Mapping[str, Interval]]) -> Iterator[str]:
    cost = f"clicks and keys for what the baseline reaches with {COST_INPUTS}"
    headings = [*(text for text, _ in VALUES.values()), cost]
    yield f"| setting | regions | {' | '.join(headings)} |"
    yield "|---" * (len(headings) + 2) + "|"
    for setting in _settings(results, person):
        cells = results.queue(setting, person)
        content = next(iter(cells.values())).content
        start = f"| `{setting}` | {content['regions'] / sum(content['images']):.1f} |"
        if setting == results.baseline:
            own = {name: value_of(cells, value) for name, (_, value) in VALUES.items()}
            columns = [f"{value:.1f}" if name == "end_decisions" else f"{value:.1%}" for name, value in own.items()]
            yield f"{start} {' | '.join(columns)} | {COST_INPUTS} |"
            continue
        columns = []
        for name, interval in compared[setting].items():
            columns.append({COST: _ratio, "end_decisions": _number}.get(name, _points)(interval))
        yield f"{start} {' | '.join(columns)} |"


def _orders(results: Results, person: str) -> Iterator[str]:
    """The goals, with the baseline: gain, decisions to enough, and what other orders cost."""
    base = results.base(person)
    first = value_of(base, lambda curves: curves.miou[:, 0])
    early, end, decisions = (value_of(base, VALUES[name][1]) for name in ("at_10", "end", "end_decisions"))
    inputs = value_of(base, lambda curves: curves.inputs[:, -1])
    minutes = value_of(base, lambda curves: curves.minutes[:, -1])
    yield (
        f"Under `{results.baseline}`, label mIoU begins at {first:.1%}, is {100 * (early - first):+.1f} points higher "
        f'after 10 clicks and keys an image, and {end:.1%} when every image is "enough": after {decisions:.1f} '
        f"decisions, {inputs:.0f} clicks and keys and {minutes:.1f} minutes an image."
    )
    for arm in (Arm.RANDOM_REGIONS, Arm.ENTROPY_REGIONS):
        if (cells := results.cells.get((results.baseline, arm.value, person))) is None:
            continue
        budgets = (10, 50, 100, 300)
        ratios = _cost_ratios(cells, base, budgets)
        told = ", ".join(f"{_ratio(ratios[inputs])} times at {inputs}" for inputs in budgets)
        yield ""
        yield f"`{arm.value}`: clicks and keys for the same labels as the queue's {told}."
    if cells := results.cells.get((results.baseline, BEST_ORDER, person)):
        bound = value_of(cells, VALUES["at_10"][1])
        yield ""
        yield (
            f"An order of these regions that knew every answer beforehand would give this person "
            f"{100 * (bound - first):+.1f} points within 10 clicks and keys an image."
        )


def _cost_ratios(cells: Cells, base: Cells, budgets: tuple[int, ...]) -> dict[int, Interval]:
    """What an order costs, as a multiple of the queue's clicks and keys."""
    queue = base if len(base) > 1 else dict.fromkeys(cells, next(iter(base.values())))  # Without chance: one cell.
    found = compare(cells, queue, {str(inputs): cost_ratio(inputs) for inputs in budgets})
    return {int(name): interval for name, interval in found.items()}


def _points(interval: Interval) -> str:
    return _marked(f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]", interval, 0)


def _number(interval: Interval) -> str:
    return _marked(f"{interval.value:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]", interval, 0)


def _ratio(interval: Interval) -> str:
    if np.isnan(interval.value):
        return "never"
    if np.isinf(interval.high):
        return f"{interval.value:.2f} [not always]"
    return _marked(f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]", interval, 1)


def _marked(text: str, interval: Interval, nothing: float) -> str:
    return f"**{text}**" if interval.low > nothing or interval.high < nothing else text


def _plot(compared: Compared, path: Path) -> None:
    """The primary measure of every setting, one panel per person."""
    rows = max(len(found) for found in compared.values())
    figure = Figure(figsize=(12, 1.5 + 0.26 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(compared), squeeze=False, sharey=True)[0]
    for axis, (person, found) in zip(axes, compared.items(), strict=True):
        for row, intervals in enumerate(found.values()):
            interval = intervals[PRIMARY]
            color = "C7" if not interval.excludes_zero else "C2" if interval.value > 0 else "C3"
            axis.plot([100 * interval.low, 100 * interval.high], [row, row], color=color, linewidth=2)
            axis.plot(100 * interval.value, row, "o", color=color, markersize=4)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(found)), list(found), fontsize="x-small")
        axis.set_title(person)
        axis.set_xlabel(f"points of label mIoU, mean up to {AREA_INPUTS:.0f} clicks and keys")
        axis.grid(alpha=0.25, axis="x")
    axes[0].invert_yaxis()  # Shared by all.
    figure.savefig(path)
