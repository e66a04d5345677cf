"""What a run folder tells about its run: metrics.jsonl, TensorBoard scalars, plots, environment.json, summary.json."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from datasets.files import write_atomically

METRICS_NAME = "metrics.jsonl"
SUMMARY_NAME = "summary.json"
ENVIRONMENT_NAME = "environment.json"


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write strict JSON (no NaN) so that other programs can read it.

    Raises:
        ValueError: a number is not finite.
    """
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


class RunRecords:
    """Appends one line per event to metrics.jsonl and the same numbers to TensorBoard.

    A resumed run drops what was recorded after its checkpoint, so that every step occurs once.

    Args:
        run_dir: the run folder.
        first_step: finished steps when recording starts; 0 for a new run.
    """

    def __init__(self, run_dir: Path, first_step: int) -> None:
        self._path = run_dir / METRICS_NAME
        kept = [event for event in read_metrics(run_dir) if event["step"] <= first_step] if first_step else []
        write_atomically(self._path, "".join(json.dumps(event) + "\n" for event in kept).encode())
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=first_step + 1)

    def add(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Record finite numbers of one event; `kind` is train or evaluation."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **finite}) + "\n")
        for name, value in finite.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flush TensorBoard's file."""
        self._board.close()


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """All recorded events in order; a last line cut by a crash is left out."""
    path = run_dir / METRICS_NAME
    if not path.is_file():
        return []
    events = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return events


def write_plots(run_dir: Path) -> None:
    """Draw loss, pseudo-label coverage and mIoU over the steps into plots/, each where it was recorded."""
    events = read_metrics(run_dir)
    train = [event for event in events if event["kind"] == "train"]
    evaluation = [event for event in events if event["kind"] == "evaluation"]
    losses = sorted({name for event in train for name in event if name.startswith("loss")})
    _plot(run_dir, "loss", "loss (mean since the last point)", train, losses)
    _plot(run_dir, "pseudo_labels", "share of valid unlabeled pixels", train, ["coverage", "mean_weight"])
    _plot(run_dir, "miou", "mIoU on held-out images", evaluation, ["miou"])
    quality = ["pseudo/precision", "pseudo/coverage"]
    _plot(run_dir, "pseudo_label_quality", "share of pixels with withheld labels", evaluation, quality)


def _plot(run_dir: Path, name: str, y_label: str, events: list[dict[str, Any]], keys: Iterable[str]) -> None:
    curves = {key: [(event["step"], event[key]) for event in events if key in event] for key in keys}
    if not any(curves.values()):
        return
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for key, points in curves.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=key, marker="." if len(points) < 30 else "")
    axes.set_xlabel("step")
    axes.set_ylabel(y_label)
    axes.legend()
    axes.grid(alpha=0.3)
    folder = run_dir / "plots"
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / f"{name}.png")
