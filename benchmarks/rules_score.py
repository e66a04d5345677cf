"""From the counts of `benchmarks.region_rules` to measures with intervals: a paired bootstrap over blocks and seeds.

The queue goes by scores that depend on one image alone, so the work on a resample of blocks is the same work with every
block counted as often as it was drawn. Two settings are compared on the same draws.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.simulated_people import DECIDE_S
from benchmarks.effort_report import cost_to_reach
from benchmarks.matrix_statistics import Counts, Draws, Interval, Numbers, draw, percentile_interval
from benchmarks.rules_cells import FORMAT_VERSION
from benchmarks.rules_run import COUNTED

RESAMPLES = 1000
AREA_INPUTS = 100.0
"""Clicks and keys an image up to which the gain is averaged: about an eighth of all work, where a budget ends."""
_AREA_POINTS = 51
LOOK_SHARE = 0.01
"""The simulated person takes in a region of any size at one look. To see whether a result hangs on that, time is also
counted with one more look for every 1 % of an image; chosen by us."""


Cells = dict[int, "CellCounts"]
"""By seed."""


@dataclass(frozen=True)
class CellCounts:
    """What a cell's file holds, summed up from the beginning; K points, the first before any decision.

    Attributes:
        content: of the file.
        images: (B,) of each block.
        labeled: (B, C) pixels.
        hits: (K, B, C) pixels that are right.
        predicted: (K, B, C) pixels of a known truth that have the class.
        spent: name -> (K, B).
    """

    content: Mapping[str, Any]
    images: Counts
    labeled: Counts
    hits: Counts
    predicted: Counts
    spent: Mapping[str, Numbers]


@dataclass(frozen=True)
class Curves:
    """One cell in R resamples, at K points; costs are per image.

    Attributes:
        inputs: (R, K) clicks and keys.
        decisions: (R, K).
        minutes: (R, K), simulated.
        looking: (R, K) minutes if every `LOOK_SHARE` of an image that is shown costs another look.
        miou: (R, K) label mIoU of all images.
    """

    inputs: Numbers
    decisions: Numbers
    minutes: Numbers
    looking: Numbers
    miou: Numbers

    def at(self, cost: str, value: float) -> Numbers:
        """(R,) label mIoU when so much has been spent; what it ended with where the work ended earlier."""
        costs = getattr(self, cost)
        return np.array([np.interp(value, *pair) for pair in zip(costs, self.miou, strict=True)])

    def area(self) -> Numbers:
        """(R,) label mIoU averaged over the first `AREA_INPUTS` clicks and keys an image."""
        grid = np.linspace(0, AREA_INPUTS, _AREA_POINTS)
        return np.array([np.interp(grid, *pair).mean() for pair in zip(self.inputs, self.miou, strict=True)])

    def cost(self, cost: str, targets: Numbers) -> Numbers:
        """(R,) what a label mIoU had cost, NaN where it is never reached."""
        every = zip(getattr(self, cost), self.miou, targets, strict=True)
        found = [cost_to_reach(costs, reached, float(target)) for costs, reached, target in every]
        return np.array([np.nan if value is None else value for value in found])


Value = Callable[[Curves], Numbers]
Measure = Callable[[Curves, Curves], Numbers]
"""(ours, the defaults') -> (R,) difference or ratio."""

VALUES: dict[str, tuple[str, Value]] = {
    "at_10": ("at 10 clicks and keys", lambda curves: curves.at("inputs", 10)),
    "at_100": ("at 100", lambda curves: curves.at("inputs", 100)),
    "area": ("mean up to 100", lambda curves: curves.area()),
    "at_2_min": ("at 2 minutes", lambda curves: curves.at("minutes", 2)),
    "at_2_min_looking": ("at 2 minutes, if looking takes time by area", lambda curves: curves.at("looking", 2)),
    "at_10_decisions": ("at 10 decisions", lambda curves: curves.at("decisions", 10)),
    "end": ("at the end", lambda curves: curves.miou[:, -1]),
    "end_decisions": ("decisions", lambda curves: curves.decisions[:, -1]),
}
"""Label mIoU, and how many decisions an image took; compared by their differences."""
COST = "cost_300"
COST_INPUTS = 300


def cost_ratio(inputs: float) -> Measure:
    """Clicks and keys for the labels that the defaults reach with so many an image, as a multiple of these."""
    return lambda ours, base: ours.cost("inputs", base.at("inputs", inputs)) / inputs


def measures() -> dict[str, Measure]:
    """All that a setting is compared by."""

    def gap(value: Value) -> Measure:
        return lambda ours, base: value(ours) - value(base)

    return {name: gap(value) for name, (_, value) in VALUES.items()} | {COST: cost_ratio(COST_INPUTS)}


def read_cell(path: Path) -> CellCounts:
    """Raises: ValueError: damaged, or of another format."""
    try:
        content = json.loads(path.read_bytes())
        if content["config"]["format"] != FORMAT_VERSION:
            raise ValueError(f"format {content['config']['format']!r}, not {FORMAT_VERSION}")
        start = {name: np.array(counts, np.int64) for name, counts in content["start"].items()}
        points = content["points"]
        spent = {name: _summed(np.zeros(len(content["images"])), [row[name] for row in points]) for name in COUNTED}
        hits, predicted = (_summed(start[name], [row[name] for row in points]) for name in ("hits", "predicted"))
        images = np.array(content["images"], np.int64)
        return CellCounts(content, images, start["labeled"], hits, predicted, spent)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path} is no result of benchmarks.region_rules ({error!r}); remove it") from error


def draws_for(cells: Cells) -> Draws:
    """Resamples of the blocks and seeds of some cells; the first is no resample but everything once."""
    drawn = draw(next(iter(cells.values())).images.size, len(cells), RESAMPLES)
    return Draws(*(np.vstack([np.ones_like(each[:1]), each]) for each in (drawn.blocks, drawn.seeds)))


def resampled(counts: CellCounts, draws: Draws) -> Curves:
    """A cell's curves in every resample."""
    times = draws.blocks.astype(np.float64)  # (R, B)
    images = (times @ counts.images)[:, None]
    spent = {name: times @ values.T / images for name, values in counts.spent.items()}  # (R, K)
    hits, predicted = (np.einsum("rb,kbc->rkc", times, each) for each in (counts.hits, counts.predicted))
    labeled = (times @ counts.labeled)[:, None]  # (R, 1, C)
    iou = hits / np.maximum(labeled + predicted - hits, 1)
    miou = np.where(labeled > 0, iou, 0.0).sum(axis=-1) / (labeled > 0).sum(axis=-1)
    looks = spent["shown"] * images / (LOOK_SHARE * labeled.sum(axis=-1))  # per image
    minutes = spent["seconds"] / 60
    return Curves(spent["clicks"] + spent["keys"], spent["decisions"], minutes, minutes + DECIDE_S * looks / 60, miou)


def value_of(cells: Cells, value: Value) -> float:
    """A number of all blocks, mean over seeds."""
    draws = draws_for(cells)
    return float(mean_over_seeds([value(resampled(cell, draws)) for _, cell in sorted(cells.items())], draws)[0])


def mean_over_seeds(values: Sequence[Numbers], draws: Draws) -> Numbers:
    """(R,) mean over the seeds that each resample drew."""
    total: Numbers = np.sum([drawn * each for drawn, each in zip(draws.seeds.T, values, strict=True)], axis=0)
    return total / len(values)


def compare(ours: Cells, base: Cells, by: Mapping[str, Measure]) -> dict[str, Interval]:
    """Some measures against the defaults, seed by seed.

    Raises:
        ValueError: the two have other seeds.
    """
    if ours.keys() != base.keys():
        raise ValueError(
            f"seeds {sorted(ours)} cannot be compared with seeds {sorted(base)}; compute the missing cells"
        )
    draws = draws_for(ours)
    pairs = [(resampled(ours[seed], draws), resampled(base[seed], draws)) for seed in sorted(ours)]
    found = {name: mean_over_seeds([each(*pair) for pair in pairs], draws) for name, each in by.items()}
    return {name: _interval(values) for name, values in found.items()}


def _interval(values: Numbers) -> Interval:
    value, *others = values
    if np.isnan(others).any():  # Some resamples never get there, so an interval of the others would look too good.
        return Interval(float(value), float("-inf"), float("inf"))
    return percentile_interval(float(value), np.array(others))


def _summed(start: Numbers | Counts, steps: Sequence[Any]) -> Any:  # noqa: ANN401 - keeps the kind of `start`
    return np.cumsum(np.stack([start, *(np.array(step, start.dtype) for step in steps)]), axis=0)
