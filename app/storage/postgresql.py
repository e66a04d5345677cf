"""A PostgreSQL database by URL, with the guarantees of the SQLite file."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from app.storage import dump
from app.storage.backends import LOCK_WAIT_S, POOL, WRITE_OPTIONS, to_json
from app.storage.errors import (
    DamagedStoreError,
    DiskFullError,
    StoreBusyError,
    StoreError,
    StoreUnreachableError,
)
from app.storage.location import shown

CONNECT_TIMEOUT_S = 10
FORGOTTEN_WRITER_S = 60
"""A writer that does nothing for so long has been suspended or cut off; the server ends it, so that others go on."""

_SETTINGS = {
    "synchronous_commit": "on",  # Whatever the server's default: a commit that returned is on its disk.
    "lock_timeout": f"{LOCK_WAIT_S:.0f}s",
    "timezone": "UTC",
}
_TAKE_WRITE_LOCK = (
    f"SET LOCAL idle_in_transaction_session_timeout = '{FORGOTTEN_WRITER_S}s'; "
    # Released by commit and rollback. Schemas of one database may hold different workspaces.
    "SELECT pg_advisory_xact_lock(hashtext('pixelsieve'), hashtext(current_schema()))"
)


class PostgresqlBackend:
    """See `Backend`. The write lock is an advisory lock that every writing transaction takes first.

    A writer reads what is committed at the moment of each statement. Nothing is committed while it holds the lock, so
    it sees one moment, too: the present one.
    """

    reading_options: ClassVar[dict[str, Any]] = {"isolation_level": "REPEATABLE READ"}

    def __init__(self, url: URL, folder: Path, is_known: bool) -> None:
        """Args: `folder` of the workspace, for copies; `is_known`: its note names a database already."""
        self._url = url
        self._folder = folder
        self._is_known = is_known
        self.name = shown(url)

    def make_engine(self) -> Engine:
        """An engine that replaces connections which the server has closed."""
        settings = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
        arguments = {
            "application_name": "pixelsieve",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"{self._url.query.get('options', '')} {settings}".strip(),
        }
        engine = create_engine(self._url, connect_args=arguments, pool_pre_ping=True, json_serializer=to_json, **POOL)
        event.listen(engine, "begin", _begin)
        return engine

    def exists(self) -> bool:
        """Whether the workspace has rows there."""
        return self._is_known

    def copy_before_upgrade(self, engine: Engine, found: str) -> None:
        """All rows as text in the workspace's folder."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = self._folder / f"postgresql.before-{stamp}-from-{found}.jsonl.gz"
        with engine.connect() as connection, gzip.open(target, "xb") as file:
            for table in dump.tables_of(connection):
                file.writelines(b"%s\t%s" % (table.name.encode(), line) for line in dump.lines(connection, table))

    @contextmanager
    def upgrading(self, engine: Engine) -> Iterator[Connection]:
        """PostgreSQL checks references itself."""
        with engine.execution_options(**WRITE_OPTIONS).connect() as connection:
            yield connection

    def explain(self, error: DBAPIError) -> StoreError | None:
        """The sentence for a failure of the server, its disk, its locks or the connection to it."""
        if not isinstance(error.orig, psycopg.Error):
            return None
        state = error.orig.sqlstate or ""
        said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        if state in ("55P03", "40001", "40P01", "57014"):  # Lock not available, serialization, deadlock, canceled.
            return StoreBusyError(
                f"the database {self.name} is locked by another program for too long. Nothing was saved. See who "
                "holds the lock (pg_stat_activity) and try again."
            )
        if state == "53100":
            return DiskFullError(
                f"no room left on the disk of the database {self.name}. Nothing was saved. Free some space there and "
                "try again."
            )
        if state.startswith("XX"):
            return DamagedStoreError(f"the database {self.name} is damaged ({said}). Restore a backup of it.")
        if state in ("42501", "25006"):  # Insufficient privilege, read-only.
            return StoreError(f"the database {self.name} cannot be written ({said}). Check what its user may do.")
        if state == "58030":
            return StoreError(f"the database {self.name} failed to read or write its disk ({said}). Nothing was saved.")
        is_cut_off = error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError)
        if is_cut_off or state.startswith(("08", "53", "57P", "28", "3D")):
            return StoreUnreachableError(
                f"the database {self.name} cannot be reached ({said}). Nothing is known to be saved; start it, or "
                "correct the URL, and try again."
            )
        return None


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().keys() >= WRITE_OPTIONS.keys():
        connection.exec_driver_sql(_TAKE_WRITE_LOCK)
