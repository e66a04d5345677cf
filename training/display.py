"""Progress on the terminal: a bar for people, a few plain lines for log files."""

import logging
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

LINES_PER_RUN = 10  # in a log file, one line per tenth of the work
MOST_SILENT_UNITS = 30  # shorter work gets its last line only


class Display:
    """A bar on a terminal, otherwise a log line per tenth of longer work. Silent when `enabled` is False."""

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("/"),
            TimeRemainingColumn(), TextColumn("{task.fields[numbers]}"), console=console,
            disable=not (enabled and console.is_terminal),
        )  # fmt: skip
        self._plain = enabled and not console.is_terminal
        self._last_tenth = 0

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, what: str, done: int, total: int, metrics: dict[str, float]) -> None:
        """Say how far `what` is; each `what` has a bar of its own."""
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        tasks = {task.description: task.id for task in self._bar.tasks}
        if what not in tasks:
            tasks[what] = self._bar.add_task(what, total=total, numbers="")
            self._last_tenth = 0
        self._bar.update(tasks[what], completed=done, total=total, numbers=numbers)
        tenth = done * LINES_PER_RUN // total
        if self._plain and (done == total or (tenth > self._last_tenth and total >= MOST_SILENT_UNITS)):
            self._last_tenth = tenth
            logger.info("%s %d/%d  %s", what, done, total, numbers)
