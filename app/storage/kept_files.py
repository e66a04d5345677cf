"""Which files of a workspace belong to it and are saved with it, and a lock for those who remove or replace some."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from app.config import Workspace
from app.storage.errors import StoreError

_LEFT_OUT_FOLDERS = frozenset({"exports", "logs", "snapshots", "backups", "explore"})
"""What can be made again, and what is a copy itself."""
_LEFT_OUT_FILES = ("pixelsieve.db", "postgresql.before-", "jobs.db", "database.json", "queue_id", "worker.lock")
"""Rows, which are saved as text, and what belongs to this place and these processes. Also with more behind the name."""
_LOCKS = frozenset({"training.lock", "files.lock"})


def is_kept(relative: PurePosixPath) -> bool:
    """Whether a file at this place below a workspace is saved with it."""
    first, name = relative.parts[0], relative.name
    if any(part.startswith(".") for part in relative.parts) or name.endswith((".tmp", "-wal", "-shm", "-journal")):
        return False
    if len(relative.parts) == 1:
        return name not in _LOCKS and not name.startswith(_LEFT_OUT_FILES)
    return first not in _LEFT_OUT_FOLDERS and name not in _LOCKS


def kept_files(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    """Relative path and place of every file that is saved, in the order of their names. Links are not followed."""
    for folder, folders, names in os.walk(workspace.root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            relative = PurePosixPath(path.relative_to(workspace.root).as_posix())
            if is_kept(relative) and path.is_file() and not path.is_symlink():
                yield relative.as_posix(), path


@contextmanager
def files_in_use(workspace: Workspace) -> Iterator[None]:
    """While files are read for a backup or snapshot: nobody removes or replaces some for good."""
    with _lock(workspace, fcntl.LOCK_SH):
        yield


@contextmanager
def files_alone(workspace: Workspace) -> Iterator[None]:
    """While files are removed or replaced.

    Raises:
        StoreError: a backup or snapshot is being made.
    """
    with _lock(workspace, fcntl.LOCK_EX):
        yield


@contextmanager
def _lock(workspace: Workspace, kind: int) -> Iterator[None]:
    with (workspace.root / "files.lock").open("ab") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"the files of {workspace.root} are being saved, restored or removed by another process; nothing was "
                "changed. Wait for it (pixelsieve jobs) and try again."
            ) from None
        yield
