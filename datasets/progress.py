"""How a long-running command tells another process how far it is: one small JSON file, replaced as a whole."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from datasets.files import write_atomically


@dataclass(frozen=True)
class Progress:
    """A moment of a long piece of work.

    Attributes:
        done: finished units, 0 to `total`.
        total: all units, at least 1.
        message: what is going on, for people.
        metrics: latest numbers worth showing, for example {"loss": 0.41}.
    """

    done: int
    total: int
    message: str
    metrics: dict[str, float] = field(default_factory=dict)


class ProgressFile:
    """Writes `Progress` to a file at most twice a second; without a path it does nothing."""

    def __init__(self, path: Path | None, seconds_between_writes: float = 0.5) -> None:
        self._path = path
        self._pause = seconds_between_writes
        self._last_write = float("-inf")

    def write(self, progress: Progress) -> None:
        """Write now if the pause is over or the work is finished."""
        now = time.monotonic()
        if self._path is None or (now - self._last_write < self._pause and progress.done < progress.total):
            return
        self._last_write = now
        write_atomically(self._path, json.dumps(asdict(progress)).encode())


def read_progress(path: Path) -> Progress | None:
    """The last progress written to `path`, or None before the first."""
    try:
        return Progress(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
