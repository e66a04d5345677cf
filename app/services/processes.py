"""Child processes: watched through their progress file, stopped politely first and for certain afterwards."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from datasets.progress import Progress, read_progress

GRACE_S = 30.0
"""Time between the request to stop and the kill: a training step and a checkpoint fit into it on two cores."""

CANCELLED_EXIT_CODE = 130
"""What `python -m training` and every job process exit with after a request to stop (128 + SIGINT)."""

DIVERGED_EXIT_CODE = 3
"""What `python -m training` exits with when the loss is NaN or infinite."""

USER_ERROR_EXIT_CODE = 2
"""Every command line of this project: the input is wrong, and the last line of the output says how."""

CANNOT_CALIBRATE_EXIT_CODE = 5
"""What `python -m training calibrate` exits with when the images do not serve; the last line says why."""

_POLL_S = 0.2
_TAIL_BYTES = 64_000
_ERROR_PREFIX = re.compile(r"^\s*([\w.-]+( [\w.-]+)*: )?error:\s*", re.IGNORECASE)
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class WorkCancelledError(Exception):
    """The work was stopped on request. Nothing was registered."""


class ChildFailedError(RuntimeError):
    """A child process ended badly; the message is a sentence for people."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _ignore(progress: Progress) -> None:
    del progress


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Monitor:
    """How long-running work tells where it is and learns that it should stop.

    Attributes:
        on_progress: called often; must be cheap.
        should_cancel: polled between pieces of work.
        log: file that child processes append their output to; None lets each piece of work choose its own file.
        owns_group: children get a process group of their own, so that Ctrl+C in the terminal reaches them once, through
            us. Job processes share their group with their children instead, so that one kill reaches all of them.
        span: which fractions of the whole this work is from start to end; None reports its own units as they are.
        phase: put before each message when `span` is given.
    """

    on_progress: Callable[[Progress], None] = _ignore
    should_cancel: Callable[[], bool] = _never
    log: Path | None = None
    owns_group: bool = True
    span: tuple[float, float] | None = None
    phase: str = ""

    def part(self, start: float, end: float, phase: str = "") -> "Monitor":
        """A monitor for the piece of this work between two fractions of it; an empty `phase` keeps the present one."""
        first, last = self.span or (0.0, 1.0)
        span = (first + (last - first) * start, first + (last - first) * end)
        return replace(self, span=span, phase=phase or self.phase)

    def progress(self, progress: Progress) -> None:
        """Report a moment of the work; in a part, as a share of the whole with the count in the message."""
        if self.span is not None:
            first, last = self.span
            fraction = first + (last - first) * min(1.0, progress.done / max(progress.total, 1))
            count = f" {progress.done}/{progress.total}" if progress.total > 1 else ""
            message = ": ".join(part for part in (self.phase, progress.message + count) if part)
            progress = Progress(round(1000 * fraction), 1000, message, progress.metrics)
        self.on_progress(progress)

    def stoppable_progress(self, progress: Progress) -> None:
        """Report, for work that knows no other way to be stopped than an exception from here.

        Raises:
            WorkCancelledError: a stop was requested.
        """
        self.raise_if_cancelled()
        self.progress(progress)

    def raise_if_cancelled(self) -> None:
        """Raises: WorkCancelledError: a stop was requested."""
        if self.should_cancel():
            raise WorkCancelledError


def run_child(arguments: Sequence[str], monitor: Monitor, log: Path, progress_file: Path | None = None) -> None:
    """Run a command to its end, reporting what it writes to `progress_file`.

    However this function is left, the child has ended.

    Args:
        log: the child's output is appended here; `monitor.log` takes precedence.

    Raises:
        WorkCancelledError: stopped on request, or the child was.
        ChildFailedError: any other end than success; the message holds the child's last line and the log's path.
    """
    log = monitor.log or log
    log.parent.mkdir(parents=True, exist_ok=True)
    if progress_file is not None:
        progress_file.unlink(missing_ok=True)
    offset = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_environment(),
            start_new_session=monitor.owns_group,
        )
    try:
        was_cancelled = _watch(child, monitor, progress_file)
    finally:
        stop_child(child, monitor.owns_group, grace_s=GRACE_S)
    if child.returncode != 0:
        _raise_for_exit(arguments, child.returncode, was_cancelled, log, offset)


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of children: unbuffered and wide output for the log, and threads that sleep while they wait."""
    settings = {"PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "150"}
    return {**os.environ, **settings, **(extra or {})}


def stop_child(child: "subprocess.Popen[bytes]", owns_group: bool, grace_s: float) -> None:
    """SIGTERM, `grace_s` seconds for a checkpoint, SIGKILL. Returns when the child is gone.

    The request goes to the child alone, which passes it on to its own children: a second SIGTERM means "at once" to
    `python -m training`. The kill goes to the whole group, so that nothing survives.
    """
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    if child.poll() is None:
        child.kill()
        child.wait()
    if owns_group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def read_tail(path: Path, lines: int, offset: int = 0) -> str:
    """The last lines of a log from `offset` on, without terminal codes; empty when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset, size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(_TERMINAL_CODES.sub("", text).splitlines()[-lines:])


def require_training() -> None:
    """Refuse to start a child that cannot work.

    Raises:
        ValueError: the `train` extra is not installed; says how to install it.
    """
    missing = [name for name in ("torch", "segmentation_models_pytorch", "accelerate") if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"training and ONNX export need packages that are not installed here ({', '.join(missing)}). Install them "
            "with: pip install -e '.[train]'  (or run this command where the training worker runs)"
        )


def python_module(module: str, *arguments: str) -> list[str]:
    """The command line of `python -m module arguments` with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def _watch(child: "subprocess.Popen[bytes]", monitor: Monitor, progress_file: Path | None) -> bool:
    """Report progress until the child ends or a stop is requested; returns whether one was."""
    last: Progress | None = None
    while child.poll() is None:
        if monitor.should_cancel():
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_POLL_S)
        current = read_progress(progress_file) if progress_file is not None else None
        if current is not None and current != last:
            monitor.progress(current)
            last = current
    return monitor.should_cancel()


def _raise_for_exit(arguments: Sequence[str], code: int, was_cancelled: bool, log: Path, offset: int) -> None:
    if was_cancelled or code == CANCELLED_EXIT_CODE:
        raise WorkCancelledError
    name = " ".join(arguments[2:4]) if list(arguments[1:2]) == ["-m"] else Path(arguments[0]).name
    last_line = next((line for line in reversed(read_tail(log, 40, offset).splitlines()) if line.strip()), "")
    said = f": {last_line.strip()[:600]}" if last_line else ""
    if code in (USER_ERROR_EXIT_CODE, CANNOT_CALIBRATE_EXIT_CODE) and last_line:
        raise ChildFailedError(_ERROR_PREFIX.sub("", last_line), code)
    if code == DIVERGED_EXIT_CODE:
        raise ChildFailedError(f"the loss became NaN or infinite and {name} stopped{said} (log: {log})", code)
    if code < 0:
        ended = f"was killed by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
        raise ChildFailedError(f"{name} {ended}{said} (log: {log})", code)
    raise ChildFailedError(f"{name} failed with exit code {code}{said} (log: {log})", code)
