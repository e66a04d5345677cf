"""The finished cells of a comparison, read from their JSON and put side by side."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.matrix_cells import METHODS, PRESETS, Cell
from benchmarks.matrix_run import FORMAT_VERSION
from benchmarks.matrix_statistics import Counts

_KEYS = (
    *("preset", "method", "split", "seed", "config", "labels_only_steps", "block_frames", "environment", "machine"),
    *("seconds", "seconds_per_step", "pseudo_labels", "detector", "peak_memory", "score_edges", "test", "blocks"),
)
"""What the list and the report read from a cell."""


@dataclass(frozen=True)
class Results:
    """All cells of one folder.

    Attributes:
        preset: its name.
        cells: cell -> its JSON.
    """

    preset: str
    cells: dict[Cell, dict[str, Any]]

    def splits(self) -> tuple[str, ...]:
        """Labeled splits of which at least one cell is there, in the preset's order, others after them."""
        found = {cell.split for cell in self.cells}
        usual = PRESETS[self.preset]().splits
        return (*[name for name in usual if name in found], *sorted(found - set(usual)))

    def of_split(self, split: str) -> dict[str, "MethodResults"]:
        """Method -> its cells on a split, in the order of METHODS."""
        found = {}
        for method in METHODS:
            seeds = sorted(cell.seed for cell in self.cells if (cell.method, cell.split) == (method, split))
            if seeds:
                cells = {seed: self.cells[Cell(method, split, seed)] for seed in seeds}
                found[method] = MethodResults(method, cells)
        return found

    def missing(self) -> tuple[Cell, ...]:
        """Cells of the preset that are not there."""
        return tuple(cell for cell in PRESETS[self.preset]().cells() if cell not in self.cells)


@dataclass(frozen=True)
class MethodResults:
    """One method on one split; `cells`: seed -> JSON, seeds ascending."""

    method: str
    cells: dict[int, dict[str, Any]]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that are there."""
        return tuple(self.cells)

    def confusion(self, seeds: Sequence[int]) -> Counts:
        """(S, B, C, C) int64 of the given seeds."""
        return np.array([self.cells[seed]["blocks"]["confusion"] for seed in seeds], dtype=np.int64)

    def score_counts(self, score: str, seeds: Sequence[int]) -> Counts:
        """(S, B, bins, 2) int64 of the given seeds."""
        return np.array([self.cells[seed]["blocks"]["scores"][score] for seed in seeds], dtype=np.int64)

    def mean(self, number: Callable[[dict[str, Any]], float | None]) -> float | None:
        """Mean over the seeds of a number of a cell; None where it does not exist in one of them."""
        values = [number(cell) for cell in self.cells.values()]
        known = [value for value in values if value is not None]
        return statistics.fmean(known) if len(known) == len(values) else None

    def score(self, score: str, metric: str) -> float | None:
        """Mean over the seeds of a ranking metric on the test frames."""
        return self.mean(lambda cell: cell["test"]["reliability"][score][metric])

    def iou_per_class(self) -> dict[str, float | None]:
        """Class -> mean over the seeds of its test IoU."""
        names = next(iter(self.cells.values()))["test"]["iou_per_class"]
        return {name: self.mean(lambda cell, name=name: cell["test"]["iou_per_class"][name]) for name in names}  # type: ignore[misc]


def read_cell(path: Path) -> dict[str, Any]:
    """A cell's JSON.

    Raises:
        ValueError: damaged, or written in another format; names the file.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = content["format"]
        if found == FORMAT_VERSION:
            _check_content(content)
    except (UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the result of a cell ({error!r}); remove it to run the cell again") from error
    if found != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format {found!r}, this version reads {FORMAT_VERSION}; remove it to run the cell again"
        )
    return content


def _check_content(content: dict[str, Any]) -> None:
    """Refuse a file that lacks something or whose counts do not fit together.

    Raises:
        KeyError, TypeError, ValueError: says what.
    """
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise KeyError(missing[0])
    blocks, classes = content["blocks"], len(content["test"]["iou_per_class"])
    count, bins = len(blocks["names"]), len(content["score_edges"]) + 1
    shapes = {"confusion": (np.shape(blocks["confusion"]), (count, classes, classes))}
    for score in content["test"]["reliability"]:
        shapes[score] = np.shape(blocks["scores"][score]), (count, bins, 2)
    wrong = [f"{name} {found}, not {wanted}" for name, (found, wanted) in shapes.items() if found != wanted]
    if wrong:
        raise ValueError(f"counts of {wrong[0]}")


def read_results(folder: Path) -> Results:
    """All cells in a folder.

    Raises:
        ValueError: no cell, a damaged one, or cells that do not belong into one comparison; names the files.
    """
    paths = sorted(folder.glob("*-seed*.json"))
    if not paths:
        raise ValueError(f"{folder} holds no results; make some with: python -m benchmarks.camvid_matrix --help")
    cells, presets, shared = {}, set(), {}
    for path in paths:
        content = read_cell(path)
        cells[Cell(content["method"], content["split"], content["seed"])] = content
        presets.add(content["preset"])
        shared[path.name] = (content["blocks"]["names"], content["config"]["run"]["steps"], content["config"]["model"])
    first = next(iter(shared.values()))
    different = [name for name, facts in shared.items() if facts != first]
    if different or len(presets) > 1:
        raise ValueError(
            f"{folder} mixes comparisons: {', '.join(different[:3]) or ' and '.join(sorted(presets))} ran with other "
            f"blocks, steps, model or preset than {paths[0].name}. Keep each comparison in a folder of its own"
        )
    return Results(presets.pop(), cells)
