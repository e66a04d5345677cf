"""The numbers of `benchmarks.combined_score` from its counts, and the report in words and tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.matrix_statistics import Interval, draw, percentile_interval
from datasets.files import write_atomically
from reliability.calibrated import COMBINED
from reliability.metrics import ScoreGroups

MEASURES = ("aurc", "auroc", "fpr_at_95_tpr", "errors_found_05", "errors_found_10", "errors_found_20")

RESAMPLES = 1000

CALIBRATED = f"calibrated {COMBINED}"

FILES = {
    "plain": "The picture is predicted once",
    "flip_average": "Probabilities are averaged over picture and mirror image",
}


@dataclass(frozen=True)
class Counted:
    """Test images counted by every score.

    Attributes:
        names: of the scores.
        counts: (images, S, bins, 2) right and wrong pixels, least sure bin first.
        blocks: name of each image's block of frames.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    blocks: tuple[str, ...]

    def by_block(self) -> NDArray[np.int64]:
        """(B, S, bins, 2)."""
        names = list(dict.fromkeys(self.blocks))
        place = np.array([names.index(name) for name in self.blocks])
        return np.stack([self.counts[place == index].sum(axis=0) for index in range(len(names))])


def measures(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(MEASURES,) of one score; counts (bins, 2)."""
    pixels = torch.from_numpy(counts.sum(axis=1))
    groups = ScoreGroups(pixels, torch.from_numpy(np.ascontiguousarray(counts[:, 1])))
    return np.array([groups.aurc(), groups.auroc(), groups.fpr_at_95_tpr(), *groups.errors_found()])


CALIBRATED_SINGLE = "calibrated confidence"
"""What a file holds without a combined score: confidence by predicted class. It is fitted, so it is no single score,
but what the combined one has to beat to be worth anything."""

SINGLES = (
    *("confidence", "margin", "entropy", "residual_variance", "refined_margin", "refined_confidence", "csl_weight"),
    "flip_confidence",
)
"""Scores with nothing fitted."""


def describe(counted: Counted, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Every score's measures, and the combined ones minus every single score, with intervals.

    `aurc_ratio` is the AURC of the combined score over that of the other one, minus 1; the other differences are plain.
    """
    blocks = counted.by_block()
    values = {name: measures(blocks[:, index].sum(axis=0)) for index, name in enumerate(counted.names)}
    draws = draw(len(blocks), 1, resamples).blocks
    resampled: dict[str, NDArray[np.float64]] = {}
    others = [name for name in counted.names if name in (*SINGLES, CALIBRATED_SINGLE)]
    compared = [*others, COMBINED, CALIBRATED]
    for name in compared:
        of_score = np.tensordot(draws, blocks[:, counted.names.index(name)], axes=1)  # (R, bins, 2)
        resampled[name] = np.stack([measures(each) for each in of_score])
    best = min((name for name in others if name in SINGLES), key=lambda name: values[name][0])
    total = blocks[:, 0].sum(axis=(0, 1))
    return {
        "error_rate": float(total[1] / total.sum()),
        "best_single": best,
        "scores": {name: dict(zip(MEASURES, map(float, row), strict=True)) for name, row in values.items()},
        "differences": {
            ours: {
                single: _differences(values[ours], values[single], resampled[ours], resampled[single])
                for single in others
            }
            for ours in (COMBINED, CALIBRATED)
        },
    }


def _differences(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    ours_resampled: NDArray[np.float64],
    theirs_resampled: NDArray[np.float64],
) -> dict[str, dict[str, Any]]:
    found = {"aurc_ratio": _interval(ours[0] / theirs[0] - 1, ours_resampled[:, 0] / theirs_resampled[:, 0] - 1)}
    for index, measure in enumerate(MEASURES[1:], start=1):
        resampled = ours_resampled[:, index] - theirs_resampled[:, index]
        found[measure] = _interval(ours[index] - theirs[index], resampled)
    return found


def _interval(value: float, resampled: NDArray[np.float64]) -> dict[str, Any]:
    interval: Interval = percentile_interval(float(value), resampled)
    return {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "excludes_zero": interval.excludes_zero,
    }


def write_report(path: Path, result: Mapping[str, Any]) -> str:
    """Write the report and return the sentence about the goal."""
    facts = result["facts"]
    verdicts = {file: _verdict(content) for file, content in result["files"].items()}
    lines = [
        f"# Combined score on {facts['name']}",
        "",
        f"Fitted on {facts['fit_images']} of {facts['held_out_images']} held-out images, measured on "
        f"{facts['test_images']} test images in {facts['blocks']} blocks. Intervals: 95 %, bootstrap over blocks. "
        "AURC and FPR: low is good; the others: high is good. Found: share of all errors in the least sure 5, 10 and "
        "20 % of the pixels.",
    ]
    for file, content in result["files"].items():
        lines += ["", f"## {FILES[file]}", "", f"{content['error_rate']:.1%} of the pixels are wrong. {verdicts[file]}"]
        lines += ["", *_score_table(content), "", *_difference_table(content)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
    return " ".join(verdicts.values())


def _verdict(content: Mapping[str, Any]) -> str:
    best = content["best_single"]
    reached, words = _compared(content["differences"][COMBINED][best])
    beaten, more = _compared(content["differences"][CALIBRATED][CALIBRATED_SINGLE])
    return (
        f"Against the best single score ({best}) the combined one has {words}: the goal (3 % less AURC, more errors, "
        f"intervals without zero) is {'' if reached else 'not '}reached. Calibrated, against calibrated confidence, "
        f"it has {more}, which is {'' if beaten else 'not '}as much as that, too."
    )


def _compared(found: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a difference is what the goal asks for, and the difference in words."""
    aurc, errors = found["aurc_ratio"], found["errors_found_10"]
    reached = aurc["value"] <= -0.03 and errors["value"] > 0 and aurc["excludes_zero"] and errors["excludes_zero"]
    return reached, (
        f"{aurc['value']:+.1%} AURC [{aurc['low']:+.1%}, {aurc['high']:+.1%}] and finds {100 * errors['value']:+.1f} "
        f"points [{100 * errors['low']:+.1f}, {100 * errors['high']:+.1f}] of the errors in the least sure 10 %"
    )


def _score_table(content: Mapping[str, Any]) -> list[str]:
    rows = ["| score | AURC | AUROC | FPR95 | found 5 % | 10 % | 20 % |", "|---|---|---|---|---|---|---|"]
    for name, row in content["scores"].items():
        shown = f"**{name}**" if name in (COMBINED, CALIBRATED) else name
        rows.append(f"| {shown} | {_cells(row)} |")
    return rows


def _cells(row: Mapping[str, float]) -> str:
    ranked = [f"{row['aurc']:.4f}", f"{row['auroc']:.4f}", f"{row['fpr_at_95_tpr']:.3f}"]
    return " | ".join([*ranked, *(f"{row[measure]:.1%}" for measure in MEASURES[3:])])


def _difference_table(content: Mapping[str, Any]) -> list[str]:
    rows = ["| minus | AURC | found in 10 %, points |", "|---|---|---|"]
    for ours, singles in content["differences"].items():
        for single, found in singles.items():
            cells = (_shown(found["aurc_ratio"], "%"), _shown(found["errors_found_10"], ""))
            rows.append(f"| {ours} - {single} | {' | '.join(cells)} |")
    return rows


def _shown(found: Mapping[str, Any], unit: str) -> str:
    value, low, high = (100 * found[key] for key in ("value", "low", "high"))
    return f"{value:+.1f}{unit} [{low:+.1f}, {high:+.1f}]"
