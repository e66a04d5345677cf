"""Names of the parts of a step, in profiles of any kind, and a clock that adds up where its time goes.

Without a clock a part costs a few microseconds. With one, the end of every part is noted and nothing waits for it: on a
GPU as an event in its queue, so that the device's own time is measured, elsewhere as the time of day.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

WAITING, RENDERING = "waiting for data", "moving and rendering"
STUDENT, TEACHER, SELECTION = "student forward", "teacher forward", "selection"
LOSSES, BACKWARD, OPTIMIZER, AVERAGES = "losses and mixing", "backward", "optimizer", "teacher and banks"
OTHER = "other"
STEP_PARTS = (WAITING, RENDERING, STUDENT, TEACHER, SELECTION, LOSSES, BACKWARD, OPTIMIZER, AVERAGES, OTHER)
"""In the order of a step. A part inside another one is counted once, as itself: losses are what is left of the host's
own lines without its forward passes and its selection."""

_Mark = float | torch.cuda.Event


class StepClock:
    """Adds up the time of each part over many steps.

    Args:
        device: where the steps run.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._stack: list[str] = []
        self._marks: list[tuple[_Mark, str]] = []

    def start(self) -> None:
        """Begin measuring; what follows belongs to no part yet."""
        self._marks = [(self._mark(), OTHER)]

    def enter(self, name: str) -> None:
        """From here on time belongs to `name`."""
        self._stack.append(name)
        self._marks.append((self._mark(), name))

    def leave(self) -> None:
        """From here on time belongs to the part around the last one."""
        self._stack.pop()
        self._marks.append((self._mark(), self._stack[-1] if self._stack else OTHER))

    def seconds(self) -> dict[str, float]:
        """Time of each part since `start`; waits for the device."""
        self._marks.append((self._mark(), OTHER))
        if self._on_gpu:
            torch.cuda.synchronize()
        total = dict.fromkeys(STEP_PARTS, 0.0)
        for (begin, name), (end, _) in zip(self._marks, self._marks[1:], strict=False):
            total[name] += _between(begin, end)
        return total

    def _mark(self) -> _Mark:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


def _between(begin: _Mark, end: _Mark) -> float:
    if isinstance(begin, float) or isinstance(end, float):
        assert isinstance(begin, float) and isinstance(end, float)  # a clock has marks of one kind
        return end - begin
    return float(begin.elapsed_time(end)) / 1000


_clock: ContextVar[StepClock | None] = ContextVar("clock", default=None)


@contextmanager
def measured_by(clock: StepClock) -> Iterator[None]:
    """Let a clock see the parts of all steps inside."""
    token = _clock.set(clock)
    clock.start()
    try:
        yield
    finally:
        _clock.reset(token)


@contextmanager
def step_part(name: str) -> Iterator[None]:
    """One of STEP_PARTS."""
    clock = _clock.get()
    with torch.profiler.record_function(name):
        if clock is None:
            yield
            return
        clock.enter(name)
        try:
            yield
        finally:
            clock.leave()
