"""What a run folder tells about its run: metrics.jsonl, TensorBoard scalars, plots, environment.json, summary.json."""

import json
import math
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from datasets.files import write_atomically
from training.step import StepLosses

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


class StepMeter:
    """Sums of the steps since the last log line, kept on the device so that no step waits for them.

    Each number is averaged over the steps that had it: where labels-only steps end, the host's terms are not diluted.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()
        self._count = 0
        self._started = time.monotonic()
        self._sick: Tensor | None = None

    def add(self, losses: StepLosses, gradient_norm: Tensor, is_scaled: bool = False) -> None:
        """Add one step.

        Args:
            losses: of the step.
            gradient_norm: before clipping.
            is_scaled: the loss was scaled for fp16. The scale grows until a gradient overflows; that step is skipped
                and the scale halved, which is how it should be: only the loss says that a run is sick.
        """
        finite = torch.isfinite(gradient_norm)
        values = {"loss": losses.total, **losses.parts, "gradient_norm": gradient_norm}
        if is_scaled:
            values |= {"gradient_norm": torch.where(finite, gradient_norm, 0.0), "skipped_steps": ~finite}
        optional = {"coverage": losses.coverage, "mean_weight": losses.mean_weight}
        values.update({name: value for name, value in optional.items() if value is not None})
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().float()
            self._counts[name] += 1
        self._count += 1
        sick = ~(torch.isfinite(losses.total.detach()) & (finite | is_scaled))
        self._sick = sick.long() if self._sick is None else self._sick + sick

    def sick_steps(self, device: torch.device) -> Tensor:
        """How many steps had a loss or gradient that is not finite, as a 0-dim int64 tensor."""
        return torch.zeros((), dtype=torch.int64, device=device) if self._sick is None else self._sick

    def take(self, accelerator: Accelerator) -> dict[str, float]:
        """Means since the last call over steps and processes, and this process's `seconds_per_step`."""
        sums = accelerator.reduce(torch.stack(list(self._sums.values())), reduction="mean").tolist()
        means = {name: total / self._counts[name] for name, total in zip(self._sums, sums, strict=True)}
        now = time.monotonic()
        means["seconds_per_step"] = (now - self._started) / self._count
        self._sums, self._counts, self._count, self._started = {}, Counter(), 0, now
        return means


def single_numbers(result: dict[str, Any]) -> dict[str, float]:
    """The single numbers of an evaluation, flat."""
    flat: dict[str, float] = {}
    for name, value in result.items():
        if isinstance(value, dict):
            flat.update({f"{name}/{key}": number for key, number in single_numbers(value).items()})
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[name] = float(value)
    return flat


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
