"""`pixelsieve backup`: the whole workspace in one file, made while people work, and read back before it counts."""

import hashlib
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.config import Workspace
from app.domain.archive_paths import unsafe_because
from app.domain.audit import AuditAction
from app.domain.roles import Actor
from app.services.archives import CHUNK_BYTES, FILES, MANIFEST, ROWS, open_archive
from app.services.audit import record
from app.services.processes import Monitor
from app.services.round_folder import unfinished_folders
from app.services.saved_content import Manifest, SavedFile, find_problems, save_rows
from app.storage.database import Store
from app.storage.kept_files import files_in_use, kept_files
from app.storage.models import utc_now
from app.storage.schema import version_of
from datasets.files import publish
from datasets.progress import Progress

BACKUP_SUFFIX = ".zip"

_TEXT = frozenset({".json", ".jsonl", ".csv", ".txt", ".log"})
"""Deflated; everything else is kept as it is: pictures and maps are deflated already, trained weights do not shrink."""


@dataclass(frozen=True)
class BackupReport:
    """What a backup holds.

    Attributes:
        path: the archive.
        num_bytes: its size.
        rows: in all tables.
        files: how many.
        rows_sha256: equal for equal rows; see `Manifest`.
        files_sha256: equal for equal files.
        problems: files that were missing or damaged before, and files that were left out, as sentences.
    """

    path: Path
    num_bytes: int
    rows: int
    files: int
    rows_sha256: str
    files_sha256: str
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For the job's row and the HTTP API."""
        return {**self.__dict__, "path": self.path.name, "problems": list(self.problems)}


@dataclass(frozen=True)
class KeptBackup:
    """One file in the workspace's folder of backups; `name` is without its ending."""

    name: str
    num_bytes: int
    created_at: datetime

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API: the time in ISO 8601."""
        return {**self.__dict__, "created_at": self.created_at.isoformat()}


def list_backups(workspace: Workspace) -> list[KeptBackup]:
    """The backups that jobs made, newest first; what a person wrote elsewhere is not among them."""
    found = []
    for path in workspace.backups.glob(f"[!.]*{BACKUP_SUFFIX}"):
        status = path.stat()
        found.append(KeptBackup(path.stem, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
    return sorted(found, key=lambda backup: backup.created_at, reverse=True)


def find_backup(workspace: Workspace, name: str) -> Path:
    """The file of one of `list_backups`.

    Raises:
        LookupError: there is none of this name.
    """
    names = [backup.name for backup in list_backups(workspace)]
    if name not in names:
        raise LookupError(f"there is no backup of this name; backups: {', '.join(names) or 'none yet'}")
    return workspace.backups / f"{name}{BACKUP_SUFFIX}"


def write_backup(store: Store, out: Path, actor: Actor, monitor: Monitor) -> BackupReport:
    """Save everything of a workspace in a new file that only its owner can read (it holds the hashes of passwords).

    Rows are those of one moment. Files that appear while they are read may be in it, too; none that those rows need
    is missing without a word in the report.

    Args:
        out: a file that does not exist yet.
        actor: who; for the audit log.

    Raises:
        FileExistsError: `out` exists.
        StoreError: files are being removed or restored at this moment, or the rows cannot be read.
        OSError: no room or no permission; nothing is left behind.
        WorkCancelledError: stopped on request; nothing is left behind.
    """
    report = save_workspace(store, out, monitor)
    with store.session() as session:
        record(session, actor, AuditAction.BACKUP, out.name, {"rows": report.rows_sha256})
    return report


def save_workspace(store: Store, out: Path, monitor: Monitor) -> BackupReport:
    """What `write_backup` does without an entry in the audit log, for a copy that nobody keeps.

    Raises:
        As `write_backup`.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists and is not overwritten; name another file")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with files_in_use(store.workspace):
            manifest = _write(store, temporary, monitor.part(0.0, 0.6, "saving"))
        with open_archive(temporary) as archive:
            archive.verify(monitor.part(0.6, 1.0, "checking"))
        publish(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return BackupReport(
        path=out, num_bytes=out.stat().st_size, rows=sum(table.rows for table in manifest.tables.values()),
        files=len(manifest.files), rows_sha256=manifest.rows_sha256, files_sha256=manifest.files_sha256,
        problems=manifest.problems,
    )  # fmt: skip


def _write(store: Store, temporary: Path, monitor: Monitor) -> Manifest:
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, store.reader() as session:
            connection = session.connection()
            version = version_of(connection)
            assert version is not None, "an open store has a version"

            def write_lines(table: str, lines: Iterable[bytes]) -> None:
                monitor.raise_if_cancelled()
                with archive.open(f"{ROWS}{table}.jsonl", "w", force_zip64=True) as entry:
                    entry.writelines(lines)

            tables = save_rows(connection, write_lines)
            files, left_out = _write_files(store.workspace, archive, monitor)
            manifest = Manifest(
                schema_version=version, workspace_id=store.workspace_id, created_at=utc_now(), tables=tables,
                files=files, problems=(*find_problems(session, files), *left_out),
            )  # fmt: skip
            archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _write_files(
    workspace: Workspace, archive: zipfile.ZipFile, monitor: Monitor
) -> tuple[dict[str, SavedFile], list[str]]:
    """Hashes of what was written, and sentences about what was not."""
    unfinished = unfinished_folders(workspace)
    left_out = [f"{path.name} is being trained now, so its folder was left out" for path in sorted(unfinished)]
    chosen = []
    for name, path in kept_files(workspace):
        reason = unsafe_because(name)
        if reason is not None:
            left_out.append(f"{name!r} {reason}, so it was left out")
        elif not unfinished & set(path.parents):
            chosen.append((name, path))
    total, done = sum(path.stat().st_size for _, path in chosen), 0
    saved = {}
    for name, path in chosen:
        monitor.stoppable_progress(Progress(done, max(total, 1), name))
        saved[name] = _write_file(archive, name, path)
        done += saved[name].size
    return saved, left_out


def _write_file(archive: zipfile.ZipFile, name: str, path: Path) -> SavedFile:
    info = zipfile.ZipInfo(FILES + name)
    info.compress_type = zipfile.ZIP_DEFLATED if path.suffix.lower() in _TEXT else zipfile.ZIP_STORED
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as entry:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            entry.write(chunk)
    return SavedFile(size=size, sha256=digest.hexdigest())
