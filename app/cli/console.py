"""What all commands share: one-line errors with exit code 2, progress bars, a clean Ctrl+C."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typer.core import TyperGroup

from app.config import Workspace
from app.services.processes import CANCELLED_EXIT_CODE, USER_ERROR_EXIT_CODE, Monitor, WorkCancelledError
from app.storage.database import Store, open_store
from app.storage.location import DATABASE_URL_VARIABLE
from datasets import progress as work

TRACEBACK_VARIABLE = "PIXELSIEVE_TRACEBACK"

_SHOWN_FAILURES = 20

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="Folder of the project: images, labels, models and the store.")
]

DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="Keep the rows in this PostgreSQL database, postgresql://user@host:5432/name. Default: a SQLite file. "
        f"Passwords belong into ${DATABASE_URL_VARIABLE}, PGPASSWORD or ~/.pgpass.",
    ),
]


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 flag", "2 flags"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Commands(TyperGroup):
    """A command group that turns foreseen errors into one line and exit code 2."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's context; its package moved between typer versions
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):  # RuntimeErrors that click uses to leave a command, for example after --help.
            raise
        except (WorkCancelledError, KeyboardInterrupt) as stop:
            said = str(stop) or "stopped"
            errors.print(f"[yellow]{escape(said[:1].upper() + said[1:])}.[/] Run the same command again to continue.")
            raise SystemExit(CANCELLED_EXIT_CODE) from None
        except (ValueError, OSError, LookupError, RuntimeError) as error:
            if isinstance(error, BrokenPipeError):
                raise SystemExit(1) from None
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            errors.print(f"[red]Error:[/] {escape(' '.join(str(text).split()))}")
            raise SystemExit(USER_ERROR_EXIT_CODE) from None


def open_workspace(root: Path) -> tuple[Store, Workspace]:
    """The store of an existing workspace.

    Raises:
        StoreError: there is none, or it cannot be opened; says what to do.
    """
    workspace = Workspace(root)
    return open_store(workspace), workspace


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[work.Progress], None]]:
    """A bar with time left on a terminal; elsewhere a line per tenth, so that logs stay short."""
    if not console.is_terminal:
        yield _LineReporter(title).report
        return
    columns = (TextColumn("[bold]{task.fields[title]}"), BarColumn(24), TaskProgressColumn(), TimeElapsedColumn())
    text = TextColumn("{task.description}", markup=False)
    with Progress(*columns, TimeRemainingColumn(), text, console=console) as bars:
        task = bars.add_task("", title=title, total=None)

        def report(progress: work.Progress) -> None:
            numbers = "  ".join(f"{name} {value:.3f}" for name, value in progress.metrics.items())
            text = f"{progress.message}  {numbers}".rstrip()
            bars.update(task, completed=progress.done, total=max(progress.total, 1), description=text[:100])

        yield report


@contextmanager
def monitored(title: str) -> Iterator[Monitor]:
    """A progress bar plus Ctrl+C (and SIGTERM) as a polite request to stop; a second Ctrl+C stops at once."""
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        errors.print("[yellow]Stopping after the current step; press Ctrl+C again to stop at once.[/]")

    previous = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with progress_bar(title) as report:
            yield Monitor(report, stop.is_set)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _LineReporter:
    """Progress for a log file or a pipe."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last_tenth = -1

    def report(self, progress: work.Progress) -> None:
        """Print when another tenth is done."""
        tenth = 10 * progress.done // max(progress.total, 1)
        if tenth != self._last_tenth:
            self._last_tenth = tenth
            print(f"{self._title}: {10 * tenth:3d} % {progress.message}".rstrip(), file=sys.stdout, flush=True)


def parse_overrides(pairs: list[str]) -> dict[str, str]:
    """`--set key=value` flags as a dictionary; the training command checks keys and values.

    Raises:
        ValueError: one is not key=value.
    """
    for pair in pairs:
        if "=" not in pair or not pair.partition("=")[0].strip():
            raise ValueError(f"--set needs key=value, for example --set run.steps=600, got {pair!r}")
    return {key.strip(): value for key, _, value in (pair.partition("=") for pair in pairs)}


def percent(value: float | None) -> str:
    """A fraction as people read it."""
    return "-" if value is None else f"{100 * value:.1f} %"


def print_failures(failed: Sequence[tuple[str, str]]) -> None:
    """Images that no proposal could be made for: names, and why."""
    for name, reason in failed[:_SHOWN_FAILURES]:
        console.print(f"[yellow]No proposal for {escape(name)}:[/] {escape(reason)}")
    if len(failed) > _SHOWN_FAILURES:
        console.print(f"... and {len(failed) - _SHOWN_FAILURES} more without a proposal")
