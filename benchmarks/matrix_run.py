"""One cell of the comparison in a process of its own: train, measure the last checkpoint on test frames, write JSON.

A process per cell: its peak memory is its own, and a cell that fails takes nothing with it.
"""

import dataclasses
import json
import logging
import multiprocessing
import os
import signal
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.matrix_cells import Cell, config_hash, published_config
from benchmarks.matrix_data import check_protocol
from benchmarks.side_by_side import describe_machine
from datasets.files import write_atomically
from datasets.formats import camvid
from datasets.frames import BLOCK_FRAMES, frame_blocks
from training.checkpoint import load_student, load_trained_method
from training.config import TrainConfig
from training.detector.provide import DETECTOR_FOLDER
from training.display import Display
from training.environment import resident_peak, resolve_device, resolve_memory_format, resolve_precision
from training.evaluate import EvaluationExtras, evaluate_student
from training.evaluation_counts import SCORE_EDGES
from training.loop import DivergedError, FitOptions, fit
from training.records import ENVIRONMENT_NAME, SUMMARY_NAME, read_metrics
from training.session import inference_for
from training.signals import StopFlag, StopRequestedError

FORMAT_VERSION = 1
EXIT_FAILED, EXIT_STOPPED = 2, 130


@dataclass(frozen=True)
class CellJob:
    """What a cell's process is told.

    Attributes:
        cell: which one.
        preset: name of the preset.
        config: of its run.
        labels_only_steps: steps at the start that use labels only in all semi-supervised cells.
        run_dir: run folder; continued if it holds a checkpoint.
        result: the JSON file.
    """

    cell: Cell
    preset: str
    config: TrainConfig
    labels_only_steps: int
    run_dir: Path
    result: Path


def run_in_this_process(job: CellJob) -> None:
    """Run a cell and exit: 0 done, 2 something to correct, 130 stopped with a checkpoint."""
    os.setpgid(0, 0)  # Ctrl+C reaches the parent alone, which asks this process to stop once
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="  %(message)s", stream=sys.stderr)
    try:
        run_cell(job)
    except StopRequestedError:
        sys.exit(EXIT_STOPPED)
    except (ValueError, OSError, DivergedError, torch.OutOfMemoryError) as error:
        print(f"error: {job.cell.name}: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)


def end_with_parent() -> None:
    """Ask this process to stop as soon as the one that started it is gone, however that ended.

    Otherwise a start after a kill would train a second time into the same run folder.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def run_cell(job: CellJob) -> dict[str, Any]:
    """Train (or continue), measure, write the result and return it.

    Raises:
        StopRequestedError: stopped; a later call continues.
        ValueError, OSError, DivergedError: see `training.loop.fit`.
    """
    root = Path(job.config.data.root)
    num_labeled, num_unlabeled = check_protocol(root, job.config.data.labeled_split)
    summary = fit(job.config, FitOptions(job.run_dir, resume=True))
    if summary["labeled_images"] != num_labeled or summary["unlabeled_images"] not in (0, num_unlabeled):
        raise ValueError(
            f"{job.cell.name} saw {summary['labeled_images']} labeled and {summary['unlabeled_images']} unlabeled "
            f"images, but its split lists {num_labeled} and {num_unlabeled}; the result would not be comparable"
        )
    memory = peak_memory()
    started = time.monotonic()
    test = measure_on_test(job.config, job.run_dir, root)
    test_seconds = time.monotonic() - started
    result = {
        **description(job, summary),
        **records_of(job, test_seconds),
        "detector": detector_summary(job.run_dir),
        "peak_memory": memory,
        "score_edges": list(SCORE_EDGES),
        "test": test,
    }
    write_result(job.result, result)
    return result


def description(job: CellJob, summary: dict[str, Any]) -> dict[str, Any]:
    """Which cell it is, with what it ran."""
    published = published_config(job.config)
    environment = json.loads((job.run_dir / ENVIRONMENT_NAME).read_text(encoding="utf-8"))
    return {
        "format": FORMAT_VERSION,
        "preset": job.preset,
        **dataclasses.asdict(job.cell),
        "config_sha256": config_hash(published),
        "config": published,
        "data_sha256": summary["data_sha256"],
        "labeled_images": summary["labeled_images"],
        "unlabeled_images": summary["unlabeled_images"],
        "block_frames": BLOCK_FRAMES,
        "labels_only_steps": job.labels_only_steps,
        "environment": environment,
        "machine": describe_machine(),
    }


def detector_summary(run_dir: Path) -> dict[str, Any] | None:
    """What the run's detector was worth; None for methods without one."""
    path = run_dir / DETECTOR_FOLDER / SUMMARY_NAME
    if not path.is_file():
        return None
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return summary


def records_of(job: CellJob, test_seconds: float) -> dict[str, Any]:
    """Speed, and pseudo-label quality over time, from the run's own records."""
    events = read_metrics(job.run_dir)
    logged = [event for event in events if event["kind"] == "train"]
    pseudo = {event["step"]: event for event in events if event["kind"] == "evaluation" and "pseudo/coverage" in event}
    return {
        "seconds_per_step": seconds_per_step(logged, job.labels_only_steps),
        "seconds": {
            "training": _training_seconds(logged),
            "test": round(test_seconds, 2),
        },
        "pseudo_labels": [
            {"step": step, **{key: event.get(f"pseudo/{key}") for key in ("precision", "coverage", "miou")}}
            for step, event in sorted(pseudo.items())
        ],
    }  # fmt: skip


def seconds_per_step(logged: list[dict[str, Any]], labels_only_steps: int) -> dict[str, float | None]:
    """Median over log windows before and after the labels-only steps.

    A window that also held an evaluation or a checkpoint is longer; the median leaves it out as long as most do not.
    """
    windows = list(zip([0, *(event["step"] for event in logged)], logged, strict=False))
    parts = {
        "labels_only": [event["seconds_per_step"] for _, event in windows if event["step"] <= labels_only_steps],
        "after": [event["seconds_per_step"] for before, event in windows if before >= labels_only_steps],
    }
    return {name: round(statistics.median(times), 6) if times else None for name, times in parts.items()}


def _training_seconds(logged: list[dict[str, Any]]) -> float:
    """All time between log lines, evaluations included."""
    ends = [event["step"] for event in logged]
    lengths = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    times = zip(lengths, logged, strict=True)
    return float(round(sum(length * event["seconds_per_step"] for length, event in times), 2))


def peak_memory() -> dict[str, Any]:
    """The most memory this process has held so far."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        return {"mib": round(torch.cuda.max_memory_allocated() / 2**20, 1), "kind": "CUDA, allocated by tensors"}
    return {"mib": round(resident_peak() / 2**20, 1), "kind": "resident, whole process"}


def measure_on_test(config: TrainConfig, run_dir: Path, root: Path) -> dict[str, Any]:
    """The last checkpoint on all test frames, float32, whole images, with the flip-averaged score and block counts.

    Raises:
        StopRequestedError: asked to stop.
    """
    student, trained = load_student(run_dir)
    device = resolve_device(config.run.device)
    memory_format = resolve_memory_format(config.run.channels_last, device, resolve_precision("no", device))
    selection = load_trained_method(run_dir, student, trained, config.selection.name, config.selection.options).to(
        device
    )
    inference = dataclasses.replace(inference_for(trained, device, memory_format), flip=True)
    dataset = camvid.build(root, "test")
    extras = EvaluationExtras(block_of=frame_blocks(dataset.sample_ids).__getitem__)
    with StopFlag() as stop, Display() as display:

        def on_image(done: int, total: int) -> None:
            display.show("testing", done, total, {})
            if stop.is_set:
                raise StopRequestedError("stopped while testing; the next start tests again")

        student = student.to(device).to(memory_format=memory_format)
        return evaluate_student(student, dataset, inference, selection, on_image, extras)


def write_result(path: Path, result: dict[str, Any]) -> None:
    """JSON that a diff can show: counts of blocks in one line each, everything else indented."""
    test = {name: value for name, value in result["test"].items() if name != "blocks"}
    text = json.dumps({**result, "test": test}, indent=2, allow_nan=False)
    blocks = json.dumps(result["test"]["blocks"], separators=(",", ":"))
    write_atomically(path, f'{text[:-2]},\n  "blocks": {blocks}\n}}\n'.encode())
