"""Snapshots: the state of a workspace before every import, training round and cut, cheap enough to be made each time.

One folder per snapshot with its rows as text; files are shared objects (see app/storage/objects.py). Which ones stay
says app/domain/snapshots.py.
"""

import fcntl
import gzip
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.snapshots import kept_snapshots
from app.services.processes import Monitor
from app.services.round_folder import unfinished_folders
from app.services.saved_content import Manifest, SavedFile, find_problems, save_rows
from app.storage.database import Store
from app.storage.kept_files import files_in_use, kept_files
from app.storage.models import utc_now
from app.storage.objects import ObjectStore
from app.storage.schema import version_of
from datasets.files import publish, write_atomically
from datasets.progress import Progress

_FILE = "snapshot.json"


class Snapshot(BaseModel):
    """One state of the workspace.

    Attributes:
        number: from 1; the order in which snapshots were made.
        reason: before what: "round", "import", "threshold", "restore", or "asked for".
        made_by: who or what.
        manifest: its content.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=1)
    reason: str
    made_by: str
    manifest: Manifest

    @property
    def created_at(self) -> datetime:
        """When; only for people."""
        return self.manifest.created_at

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API and the page."""
        tables = self.manifest.tables
        return {
            "number": self.number, "reason": self.reason, "made_by": self.made_by,
            "created_at": self.created_at.isoformat(), "decisions": tables["decision"].rows,
            "images": tables["image"].rows, "files": len(self.manifest.files), "problems": len(self.manifest.problems),
        }  # fmt: skip


def take_snapshot(
    store: Store, reason: str, made_by: str, monitor: Monitor | None = None, session: Session | None = None
) -> Snapshot:
    """Save the present state beside the workspace's files, then forget the snapshots that the rule does not keep.

    Args:
        session: a transaction whose view of the rows is saved; None opens one.

    Raises:
        StoreError: files are being removed or replaced at this moment.
        OSError: no room; nothing is left behind.
        WorkCancelledError: stopped on request; nothing is left behind.
    """
    workspace = store.workspace
    with files_in_use(workspace), _alone(workspace):
        number = 1 + max([0, *_numbers(workspace)])
        final = workspace.snapshots / f"{number:04d}"
        temporary = workspace.snapshots / f".{final.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            if session is not None:
                manifest = _save(store, session, temporary, monitor or Monitor())
            else:
                with store.reader() as reading:
                    manifest = _save(store, reading, temporary, monitor or Monitor())
            snapshot = Snapshot(number=number, reason=reason, made_by=made_by, manifest=manifest)
            write_atomically(temporary / _FILE, snapshot.model_dump_json(indent=1).encode())
            publish(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _prune(workspace)
    return snapshot


def list_snapshots(workspace: Workspace) -> list[Snapshot]:
    """All snapshots, newest first."""
    return [read_snapshot(workspace, number) for number in sorted(_numbers(workspace), reverse=True)]


def read_snapshot(workspace: Workspace, number: int) -> Snapshot:
    """One snapshot.

    Raises:
        LookupError: there is none with this number.
        ValueError: its description is damaged.
    """
    path = workspace.snapshots / f"{number:04d}" / _FILE
    try:
        return Snapshot.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        known = ", ".join(map(str, sorted(_numbers(workspace)))) or "none"
        raise LookupError(f"there is no snapshot {number} of {workspace.root}; snapshots: {known}") from None
    except ValidationError as error:
        raise ValueError(f"{path} is damaged ({error.error_count()} errors); use another snapshot") from error


def snapshot_lines(workspace: Workspace, number: int, table: str) -> Iterator[bytes]:
    """The rows of a table in a snapshot, as `dump.lines` gives them."""
    with gzip.open(_rows_file(workspace.snapshots / f"{number:04d}", table), "rb") as lines:
        yield from lines


def forget_files(workspace: Workspace, names: Iterable[str]) -> None:
    """Remove the content of some files from all snapshots, for good; restoring one then says that they are missing.

    Args:
        names: their paths below the workspace.
    """
    if not workspace.snapshots.is_dir():
        return
    gone = set(names)
    with _alone(workspace):
        for snapshot in list_snapshots(workspace):
            files = {name: file for name, file in snapshot.manifest.files.items() if name not in gone}
            if len(files) < len(snapshot.manifest.files):
                manifest = snapshot.manifest.model_copy(update={"files": files})
                changed = snapshot.model_copy(update={"manifest": manifest})
                path = workspace.snapshots / f"{snapshot.number:04d}" / _FILE
                write_atomically(path, changed.model_dump_json(indent=1).encode())
        _sweep(workspace)


def _save(store: Store, session: Session, folder: Path, monitor: Monitor) -> Manifest:
    connection = session.connection()
    version = version_of(connection)
    assert version is not None, "an open store has a version"

    def write_lines(table: str, lines: Iterable[bytes]) -> None:
        monitor.raise_if_cancelled()
        with _rows_file(folder, table).open("wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
                packed.writelines(lines)
            file.flush()
            os.fsync(file.fileno())

    tables = save_rows(connection, write_lines)
    files = _keep_files(store.workspace, monitor)
    return Manifest(
        schema_version=version, workspace_id=store.workspace_id, created_at=utc_now(), tables=tables, files=files,
        problems=find_problems(session, files),
    )  # fmt: skip


def _keep_files(workspace: Workspace, monitor: Monitor) -> dict[str, SavedFile]:
    unfinished = unfinished_folders(workspace)
    chosen = [(name, path) for name, path in kept_files(workspace) if not unfinished & set(path.parents)]
    objects, saved = ObjectStore(workspace), {}
    with objects.hashing() as hashes:
        for index, (name, path) in enumerate(chosen):
            monitor.stoppable_progress(Progress(index, max(len(chosen), 1), "snapshot"))
            sha256, size = objects.keep(name, path, hashes)
            saved[name] = SavedFile(size=size, sha256=sha256)
    return saved


def _prune(workspace: Workspace) -> None:
    snapshots = list_snapshots(workspace)
    kept = kept_snapshots({snapshot.number: snapshot.created_at for snapshot in snapshots})
    forgotten = [snapshot for snapshot in snapshots if snapshot.number not in kept]
    for snapshot in forgotten:
        shutil.rmtree(workspace.snapshots / f"{snapshot.number:04d}")
    if forgotten:
        _sweep(workspace)


def _sweep(workspace: Workspace) -> None:
    needed = {file.sha256 for snapshot in list_snapshots(workspace) for file in snapshot.manifest.files.values()}
    ObjectStore(workspace).remove_all_but(needed)


def _numbers(workspace: Workspace) -> list[int]:
    if not workspace.snapshots.is_dir():
        return []
    return [int(path.name) for path in workspace.snapshots.iterdir() if path.name.isdigit()]


def _rows_file(folder: Path, table: str) -> Path:
    return folder / f"{table}.jsonl.gz"


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """One process at a time makes or forgets snapshots; others wait."""
    workspace.snapshots.mkdir(parents=True, exist_ok=True)
    with (workspace.snapshots / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
