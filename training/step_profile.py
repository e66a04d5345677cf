"""Where the time of a configuration's steps goes: real steps on real data, of which nothing is kept.

Most steps run as in training, with a clock that nobody waits for (training/step_parts.py). A few more run under torch's
profiler, which slows everything down and is therefore asked for the most expensive operators only.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn

from training.config import TrainConfig
from training.data import TrainingData, open_training_data
from training.detector.provide import needs_boxes
from training.duration import with_steps
from training.environment import device_name, resident_peak
from training.loop import train_step
from training.models import StudentOutput
from training.processes import process_count
from training.session import Session, build_session, check_before_data
from training.step_parts import RENDERING, STEP_PARTS, STUDENT, WAITING, StepClock, measured_by, step_part

TRACED_STEPS = 3
SHOWN_OPERATORS = 10


@dataclass(frozen=True)
class Operator:
    """One of torch's operators, or a GPU kernel.

    Attributes:
        calls: per step.
        seconds: per step, without what it calls: on the device if it is a GPU.
    """

    name: str
    calls: float
    seconds: float


@dataclass(frozen=True)
class Profile:
    """What was measured.

    Attributes:
        device: its name.
        renderer: "opencv" or "device".
        steps: how many were measured.
        seconds: of all of them together.
        parts: part of the step -> seconds per step; adds up to the whole step.
        images_per_step: of all processes.
        peak_bytes: of device memory that tensors took at once; without a GPU, of the process's main memory.
        operators: the most expensive first.
    """

    device: str
    renderer: str
    steps: int
    seconds: float
    parts: dict[str, float]
    images_per_step: int
    peak_bytes: int
    operators: tuple[Operator, ...]


class TimedStudent(nn.Module):
    """The student with its passes as a part of the step."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, image: Tensor, perturb_last: int = 0, complement_last: int = 0) -> StudentOutput:
        with step_part(STUDENT):
            output: StudentOutput = self.student(image, perturb_last=perturb_last, complement_last=complement_last)
        return output


def profile_steps(config: TrainConfig, steps: int, warmup: int, trace: Path | None = None) -> Profile:
    """Run some steps of a configuration and measure them, all at the place of the schedule where the host begins.

    A method that wants detected boxes gets one stand-in box per image: detectors run before training, not in a step.

    Args:
        config: complete; pretrained weights are not loaded, they do not change the time.
        steps: to measure, at least 1.
        warmup: steps before, for memory, caches and kernels to settle, at least 1.
        trace: where to write the timeline of the traced steps for chrome://tracing or Perfetto; None writes nothing.

    Raises:
        ValueError, FileNotFoundError: as for a training run; or a count below 1.
    """
    if steps < 1 or warmup < 1:
        raise ValueError(f"--steps and --warmup must be at least 1, got {steps} and {warmup}")
    session = _session(config)
    one_step = _stepper(session, warmup + steps + TRACED_STEPS)
    for _ in range(warmup):
        one_step()
    device = session.accelerator.device
    is_gpu = device.type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    clock, started = StepClock(device), time.perf_counter()
    with measured_by(clock):
        for _ in range(steps):
            one_step()
        parts = clock.seconds()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(device) if is_gpu else resident_peak()
    return Profile(
        device=device_name(device),
        renderer="opencv" if session.device_pool is None else "device",
        steps=steps,
        seconds=seconds,
        parts={name: parts[name] / steps for name in STEP_PARTS},
        images_per_step=sum(session.images_per_step().values()),
        peak_bytes=peak,
        operators=_operators(one_step, is_gpu, trace),
    )


def _session(config: TrainConfig) -> Session:
    recipe, data = check_before_data(config), open_training_data(config.data)
    session = build_session(with_steps(config, data, process_count()), recipe, data, None, will_load_weights=True)
    if needs_boxes(session):
        session.data = with_stand_in_boxes(data)
    session.training_student = TimedStudent(session.training_student)
    return session


def with_stand_in_boxes(data: TrainingData) -> TrainingData:
    """The data with one box of class 0 in the middle of every unlabeled image, where a detector's would be."""
    boxes = {}
    for item in data.unlabeled:
        height, width = data.pool.size_hw(item)
        middle = [width // 4, height // 4, 3 * width // 4, 3 * height // 4, 0]
        boxes[data.pool.sample_id(item)] = np.array([middle], np.float32)
    return dataclasses.replace(data, boxes=boxes)


def _stepper(session: Session, count: int) -> Callable[[], None]:
    """One more training step at each call, `count` times at most."""
    start = min(session.supervised_steps(), session.config.run.steps - 1)
    move, pinned = session.mover(), session.accelerator.device.type == "cuda"
    batches: Iterator[Any] = session.loader().batches(start, start + count, pinned)

    def one_step() -> None:
        session.finished = start  # the same place in the schedule every time
        with step_part(WAITING):
            batch = next(batches)
        with step_part(RENDERING):
            ready = move(batch)
        train_step(session, ready)

    return one_step


def _operators(one_step: Callable[[], None], is_gpu: bool, trace: Path | None) -> tuple[Operator, ...]:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if is_gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    else:
        os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # the profiler's library calls it an error to find no GPU
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(TRACED_STEPS):
            one_step()
        if is_gpu:
            torch.cuda.synchronize()
    if trace is not None:
        profiler.export_chrome_trace(str(trace))
    found = [
        Operator(event.key, event.count / TRACED_STEPS, microseconds / TRACED_STEPS / 1e6)
        for event in profiler.key_averages()
        if event.key not in STEP_PARTS
        and (microseconds := event.self_device_time_total if is_gpu else event.self_cpu_time_total) > 0
    ]
    return tuple(sorted(found, key=lambda operator: -operator.seconds)[:SHOWN_OPERATORS])


def parts_table(profile: Profile) -> Table:
    """Milliseconds and share of each part that took any time."""
    table = Table(title=f"one step on {profile.device}, views by {profile.renderer}", title_justify="left")
    table.add_column("part")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    whole = sum(profile.parts.values())
    for name, seconds in profile.parts.items():
        if seconds > 0:
            table.add_row(name, f"{1000 * seconds:.2f}", f"{seconds / whole:.1%}")
    table.add_section()
    table.add_row("whole step", f"{1000 * whole:.2f}", "")
    return table


def operators_table(profile: Profile) -> Table:
    """The most expensive operators of the steps under torch's profiler."""
    table = Table(title="most expensive operators (themselves, under the profiler)", title_justify="left")
    table.add_column("operator", overflow="ellipsis", no_wrap=True)
    table.add_column("calls per step", justify="right")
    table.add_column("ms per step", justify="right")
    for operator in profile.operators:
        table.add_row(operator.name, f"{operator.calls:.0f}", f"{1000 * operator.seconds:.2f}")
    return table


def summary_line(profile: Profile) -> str:
    """Throughput and memory in words."""
    rate = profile.steps / profile.seconds
    return (
        f"{rate:.2f} steps and {rate * profile.images_per_step:.1f} images per second over {profile.steps} steps, "
        f"peak memory {profile.peak_bytes / 2**20:.0f} MiB"
    )
