"""Whether a worker serves a workspace: it holds a lock, which the system releases however it ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.config import Workspace


def worker_is_running(workspace: Workspace) -> bool:
    """Whether any worker serves this workspace on a machine that shares its disk."""
    path = _lock_path(workspace)
    if not path.exists():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def announced(workspace: Workspace) -> Iterator[None]:
    """Hold the lock while a worker runs; several may share it."""
    with _lock_path(workspace).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _lock_path(workspace: Workspace) -> Path:
    return workspace.root / "worker.lock"
