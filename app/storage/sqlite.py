"""The default database: one SQLite file in WAL mode."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from app.storage.backends import LOCK_WAIT_S, POOL, WRITE_OPTIONS, to_json
from app.storage.errors import DamagedStoreError, DiskFullError, StoreBusyError, StoreError


class SqliteBackend:
    """See `Backend`. The write lock is SQLite's own: BEGIN IMMEDIATE."""

    reading_options: ClassVar[dict[str, Any]] = {}

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)

    def make_engine(self) -> Engine:
        """An engine whose connections are durable and check references."""
        engine = create_engine(
            f"sqlite:///{self.path}", connect_args={"timeout": LOCK_WAIT_S}, json_serializer=to_json, **POOL
        )
        event.listen(engine, "connect", _prepare_connection)
        event.listen(engine, "begin", _begin)
        return engine

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.is_file()

    def copy_before_upgrade(self, engine: Engine, found: str) -> None:
        """A copy of the file beside it, with everything committed so far, also what is still in the WAL file."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = self.path.with_name(f"{self.path.name}.before-{stamp}-from-{found}")
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)

    @contextmanager
    def upgrading(self, engine: Engine) -> Iterator[Connection]:
        """Migrations may replace tables that others refer to; what refers to nothing afterwards undoes all of them."""
        with engine.execution_options(**WRITE_OPTIONS).connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute("PRAGMA foreign_keys = OFF")  # Has no effect inside a transaction.
            event.listen(connection, "commit", _check_references)
            try:
                yield connection
            finally:
                event.remove(connection, "commit", _check_references)
                driver.execute("PRAGMA foreign_keys = ON")

    def explain(self, error: DBAPIError) -> StoreError | None:
        """The sentence for a failure of the file, its disk or its lock."""
        if not isinstance(error.orig, sqlite3.Error):
            return None
        name = getattr(error.orig, "sqlite_errorname", None) or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StoreBusyError(
                f"{self.path} is locked by another program for too long. Nothing was saved. Close other programs that "
                "have it open (a second pixelsieve, a database browser, a sync client) and try again."
            )
        if name.startswith("SQLITE_FULL"):
            return DiskFullError(
                f"no room left on the disk of {self.path}. Nothing was saved. Free some space and try again."
            )
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return DamagedStoreError(
                f"{self.path} is damaged or not a Pixelsieve store ({error.orig}). Restore a backup (pixelsieve "
                f"restore), or put a copy in its place: those from before schema changes are {self.path.name}.before-*."
            )
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            return StoreError(
                f"{self.path} cannot be written ({error.orig}). Check the permissions of the file and its folder."
            )
        if name.startswith("SQLITE_IOERR"):
            return _io_error(self.path, error)
        return None


def _io_error(path: Path, error: DBAPIError) -> StoreError:
    return StoreError(f"reading or writing {path} failed ({error.orig}). Check the disk; nothing was saved.")


def _prepare_connection(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Settings that SQLite keeps per connection."""
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # The driver must not open transactions itself: `_begin` does.
    for pragma in (
        f"busy_timeout = {round(1000 * LOCK_WAIT_S)}",
        "journal_mode = WAL",
        "synchronous = FULL",  # In WAL mode NORMAL may lose the last commits on power failure.
        "foreign_keys = ON",
        "recursive_triggers = ON",  # Without it INSERT OR REPLACE removes rows behind the append-only triggers.
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().keys() >= WRITE_OPTIONS.keys()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _check_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise DamagedStoreError(
            f"a row of table {broken[0]} refers to a row of {broken[2]} that is not there; nothing was changed. "
            "Put a backup in the store's place."
        )
