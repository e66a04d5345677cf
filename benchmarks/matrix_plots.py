"""The report's pictures: mIoU with intervals, IoU per class, risk against coverage, pseudo-labels over time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.matrix_statistics import Counts, Interval, risk_coverage

_LINES = ("-", "--", ":", "-.")


def plot_miou(path: Path, intervals: Mapping[str, Interval], title: str) -> None:
    """One line per method with its interval."""
    figure = Figure(figsize=(7, 0.45 * len(intervals) + 1.3), dpi=110, layout="constrained")
    axes = figure.subplots()
    for row, interval in enumerate(intervals.values()):
        axes.plot([100 * interval.low, 100 * interval.high], [row, row], color="0.5", linewidth=3)
        axes.plot(100 * interval.value, row, "o", color="black")
    axes.set_yticks(range(len(intervals)), list(intervals))
    axes.invert_yaxis()
    axes.set_xlabel("test mIoU in %, 95 % interval over blocks of frames")
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path)


def plot_classes(path: Path, iou: Mapping[str, Sequence[float]], class_names: Sequence[str], title: str) -> None:
    """IoU per class as groups of bars; iou: method -> fractions in the order of the classes."""
    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    width = 0.85 / len(iou)
    places = np.arange(len(class_names))
    for number, (method, values) in enumerate(iou.items()):
        axes.bar(places + number * width, [100 * value for value in values], width, label=method)
    axes.set_xticks(places + 0.425 - width / 2, list(class_names), rotation=30, ha="right")
    axes.set_ylabel("test IoU in %")
    axes.set_title(title)
    axes.legend(fontsize=7, ncols=4)
    figure.savefig(path)


def plot_risk(path: Path, counts: Mapping[str, Mapping[str, Counts]], title: str) -> None:
    """Error rate among the surest pixels, a panel per score; counts: score -> method -> (bins, 2).

    Curves begin at 1 % of the pixels: before, a handful of pixels decides. A score that is equal everywhere is a dot.
    """
    figure = Figure(figsize=(4.2 * len(counts), 3.8), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(counts), squeeze=False, sharey=True)[0]
    for axes, (score, of_score) in zip(panels, counts.items(), strict=True):
        for number, (method, of_method) in enumerate(of_score.items()):
            kept, risk = risk_coverage(of_method)
            shown = kept >= 0.01
            marker = "o" if shown.sum() == 1 else ""
            axes.plot(100 * kept[shown], 100 * risk[shown], _LINES[number % len(_LINES)], marker=marker, label=method)
        axes.set_title(score, fontsize=9)
        axes.set_xlabel("surest pixels kept, %")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("wrong among them, %")
    panels[0].legend(fontsize=7)
    figure.suptitle(title)
    figure.savefig(path)


def plot_pseudo_labels(path: Path, series: Mapping[str, list[dict[str, Any]]], title: str) -> None:
    """Precision and coverage of the selected pseudo-labels over the steps, on images whose labels are withheld."""
    figure = Figure(figsize=(9, 3.8), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, key in zip(panels, ("precision", "coverage"), strict=True):
        for number, (method, points) in enumerate(series.items()):
            known = [(point["step"], 100 * point[key]) for point in points if point[key] is not None]
            if known:
                axes.plot(*zip(*known, strict=True), _LINES[number % len(_LINES)], marker=".", label=method)
        axes.set_xlabel("step")
        axes.set_ylabel(f"{key} of selected pseudo-labels, %")
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=7)
    figure.suptitle(title)
    figure.savefig(path)
