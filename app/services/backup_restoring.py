"""`pixelsieve restore`: a new workspace from a backup, after everything in the backup was checked."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, update
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.roles import Actor
from app.domain.states import JobState
from app.services.archives import BackupArchive, BadArchiveError, open_archive
from app.services.audit import record
from app.services.processes import Monitor
from app.services.saved_content import SavedTable, hash_rows
from app.storage import dump
from app.storage.errors import StoreError
from app.storage.models import Job, utc_now
from app.storage.people import SignIn
from app.storage.rebuilding import make_store
from app.storage.schema import require_known
from datasets.files import publish
from datasets.progress import Progress

_INTERRUPTED = "the workspace was restored from a backup that was made while this job waited or ran; repeat it"
_SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class RestoreReport:
    """What was restored; hashes as in `BackupReport`, taken from what was written, not from the backup."""

    rows: int
    files: int
    rows_sha256: str
    files_sha256: str
    problems: tuple[str, ...]


def check_backup(path: Path, monitor: Monitor) -> RestoreReport:
    """Read a backup completely and compare it with its hashes; writes nothing.

    Raises:
        BadArchiveError, NewerSchemaError: it cannot be restored.
    """
    with open_archive(path) as archive:
        require_known(archive.manifest.schema_version, str(path))
        archive.verify(monitor)
        return _report(archive, archive.manifest.tables)


def restore_backup(path: Path, workspace: Workspace, url: str | None, actor: Actor, monitor: Monitor) -> RestoreReport:
    """Make a new workspace from a backup. It has the id of the saved one, so browsers send it what they kept.

    Jobs that waited or ran are cancelled, and everybody has to sign in again: sessions that ended since the backup must
    not come back.

    Args:
        path: what `write_backup` wrote.
        workspace: a folder that is empty or does not exist.
        url: of an empty PostgreSQL database for the rows; see `open_store`.
        actor: who; for the audit log of the new workspace.

    Raises:
        FileExistsError: something is in the folder already.
        BadArchiveError, NewerSchemaError: the backup is damaged, hostile, or of a later version.
        StoreError: the database is not empty or cannot be used.
        OSError: no room; nothing is left behind.
        WorkCancelledError: stopped on request; nothing is left behind.
    """
    if workspace.root.exists() and (not workspace.root.is_dir() or any(workspace.root.iterdir())):
        raise FileExistsError(f"{workspace.root} is not empty and is not overwritten; name a new folder")
    with open_archive(path) as archive:
        manifest = archive.manifest
        require_known(manifest.schema_version, str(path))
        workspace.root.parent.mkdir(parents=True, exist_ok=True)
        _require_room(workspace.root.parent, manifest.num_bytes, archive)
        archive.verify(monitor.part(0.0, 0.4, "checking"))
        made = Path(tempfile.mkdtemp(prefix=f".{workspace.root.name}.restoring-", dir=workspace.root.parent))
        try:
            _write_files(archive, made, monitor.part(0.4, 0.8, "files"))
            written: dict[str, SavedTable] = {}

            def fill(connection: Connection) -> None:
                written.update(_insert_rows(archive, connection, monitor.part(0.8, 1.0, "rows")))

            def finish(connection: Connection) -> None:
                _settle(connection, actor, path.name)

            make_store(Workspace(made), url, manifest.schema_version, manifest.workspace_id, fill, finish)
            os.sync()  # One flush instead of one per file.
            made.chmod(0o755)
            publish(made, workspace.root)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return _report(archive, written)


def _require_room(folder: Path, num_bytes: int, archive: BackupArchive) -> None:
    rows = sum(table.rows for table in archive.manifest.tables.values())
    needed, free = num_bytes + 512 * rows + _SPARE_BYTES, shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{archive.path} needs about {needed:,} bytes, but only {free:,} are free on the disk of {folder}"
        )


def _write_files(archive: BackupArchive, folder: Path, monitor: Monitor) -> None:
    total, done = archive.manifest.num_bytes, 0
    for name, saved in archive.manifest.files.items():
        monitor.stoppable_progress(Progress(done, max(total, 1), name))
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in archive.chunks(name):
                file.write(chunk)
                done += len(chunk)
        assert target.stat().st_size == saved.size, "the archive gave exactly what it claims"


def _insert_rows(archive: BackupArchive, connection: Connection, monitor: Monitor) -> dict[str, SavedTable]:
    """All rows; returns the hashes of what the database holds then."""
    tables = {table.name: table for table in dump.tables_of(connection)}
    if tables.keys() != archive.manifest.tables.keys():
        name = min(tables.keys() ^ archive.manifest.tables.keys())
        raise BadArchiveError(
            f"{archive.path}: table {name} does not belong to its schema version; nothing was written"
        )
    total = sum(saved.rows for saved in archive.manifest.tables.values())
    done = 0
    for name, table in tables.items():
        monitor.stoppable_progress(Progress(done, max(total, 1), name))
        try:
            done += dump.insert(connection, table, archive.lines(name))
        except (ValueError, TypeError) as error:
            raise BadArchiveError(f"{archive.path}: rows of table {name} cannot be read ({error})") from error
        except (IntegrityError, DataError) as error:
            raise BadArchiveError(f"{archive.path}: rows of table {name} cannot be stored ({error.orig})") from error
    found = hash_rows(connection)
    for name, saved in archive.manifest.tables.items():
        if found[name] != saved:
            raise StoreError(f"table {name} was not stored as it was saved; nothing was changed. Please report this.")
    return found


def _settle(connection: Connection, actor: Actor, name: str) -> None:
    """What must not go on as if nothing had happened."""
    now = utc_now()
    pending = Job.state.in_((JobState.QUEUED, JobState.RUNNING))
    stopped = {"state": JobState.CANCELLED, "finished_at": now, "error": _INTERRUPTED}
    with Session(connection) as session:
        session.execute(update(Job).where(pending).values(**stopped))
        session.execute(update(SignIn).where(SignIn.ended_at.is_(None)).values(ended_at=now))
        record(session, actor, AuditAction.BACKUP_RESTORED, name)
        session.commit()  # Of this session; the transaction around it goes on.


def _report(archive: BackupArchive, tables: dict[str, SavedTable]) -> RestoreReport:
    manifest = archive.manifest.model_copy(update={"tables": tables})
    return RestoreReport(
        rows=sum(table.rows for table in tables.values()), files=len(manifest.files),
        rows_sha256=manifest.rows_sha256, files_sha256=manifest.files_sha256, problems=manifest.problems,
    )  # fmt: skip
