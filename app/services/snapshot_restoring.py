"""Going back to a snapshot, in place. The state before is saved as another snapshot, so that can be undone, too."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.roles import Actor
from app.domain.states import JobState
from app.services.audit import record
from app.services.processes import Monitor
from app.services.saved_content import SavedTable, hash_rows
from app.services.snapshots import Snapshot, read_snapshot, snapshot_lines, take_snapshot
from app.storage import dump
from app.storage.database import Store, open_store
from app.storage.kept_files import files_alone
from app.storage.models import Job
from app.storage.objects import ObjectStore
from app.storage.rebuilding import fill_tables, make_store
from app.storage.replacing import replace_rows
from app.storage.schema import require_known


def restore_snapshot(store: Store, number: int, actor: Actor, monitor: Monitor) -> Snapshot:
    """Make the workspace what it was. People, sessions, jobs and the audit log stay as they are.

    Nobody can save a decision while rows are replaced; browsers try again, and the server then refuses what was decided
    about the state before, so that nothing lands on a region that only looks like the one somebody saw.

    Returns:
        The snapshot of the state before.

    Raises:
        LookupError: no such snapshot.
        ValueError: a job waits or runs, or the snapshot is damaged; nothing was changed.
        NewerSchemaError: a later version of the program made it.
        StoreError: the store refused; nothing was changed.
    """
    snapshot = read_snapshot(store.workspace, number)
    require_known(snapshot.manifest.schema_version, f"snapshot {number}")
    scratch = Path(tempfile.mkdtemp(prefix=".restoring-", dir=store.workspace.snapshots))
    try:
        earlier = _rebuilt(store.workspace, snapshot, Workspace(scratch))
        try:
            with store.session() as session:
                session.connection()  # Takes the write lock: from here on nothing is decided that would be lost.
                _require_no_jobs(session)
                before = take_snapshot(store, "restore", actor.name, monitor, session)
                _put_files_back(store.workspace, snapshot)
                with earlier.reader() as reading:
                    source = reading.connection()
                    replace_rows(session.connection(), lambda table: _lines(source, table))
                record(session, actor, AuditAction.BACKUP_RESTORED, f"snapshot {number}", {"before": before.number})
        finally:
            earlier.close()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return before


def _rebuilt(workspace: Workspace, snapshot: Snapshot, scratch: Workspace) -> Store:
    """A store beside the workspace with the snapshot's rows, brought to the present version of the tables."""

    def fill(connection: Connection) -> None:
        fill_tables(connection, lambda table: snapshot_lines(workspace, snapshot.number, table))
        _compare(snapshot, hash_rows(connection))

    manifest = snapshot.manifest
    make_store(scratch, None, manifest.schema_version, manifest.workspace_id, fill, in_file=True)
    return open_store(scratch, in_file=True)


def _compare(snapshot: Snapshot, found: dict[str, SavedTable]) -> None:
    for name, saved in snapshot.manifest.tables.items():
        if found.get(name) != saved:
            raise ValueError(
                f"snapshot {snapshot.number} is damaged: table {name} is not what was saved; nothing was changed. Use "
                "another snapshot."
            )


def _require_no_jobs(session: Session) -> None:
    pending = select(Job.id).where(Job.state.in_((JobState.QUEUED, JobState.RUNNING))).order_by(Job.id).limit(1)
    job_id = session.scalar(pending)
    if job_id is not None:
        raise ValueError(
            f"job {job_id} waits or runs and would go on with what is no more; cancel it or wait for it. Nothing was "
            "changed."
        )


def _put_files_back(workspace: Workspace, snapshot: Snapshot) -> None:
    """Files that were removed or replaced since; newer ones that no row needs now stay where they are."""
    objects = ObjectStore(workspace)
    with files_alone(workspace), objects.hashing() as hashes:
        for name, saved in snapshot.manifest.files.items():
            path = workspace.absolute(name)
            if not path.is_file() or hashes.of(name, path)[0] != saved.sha256:
                objects.put_back(saved.sha256, path)


def _lines(connection: Connection, table: str) -> Iterator[bytes]:
    return dump.lines(connection, dump.table_named(connection, table))
