"""Opening the store: one SQLite file in WAL mode, brought to the current schema before anything else touches it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from app.config import Workspace
from app.storage.errors import NoWorkspaceError, explain
from app.storage.planes import PlaneCache
from app.storage.schema import bring_up_to_date

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for another one. Ours hold the lock for milliseconds; a longer wait is somebody else's."""


class Store:
    """The open database of one workspace. Safe to share between threads; open one per process (never fork it).

    Attributes:
        workspace: where its files are.
        planes: recently read maps of proposals.
    """

    def __init__(self, workspace: Workspace, engine: Engine) -> None:
        self.workspace = workspace
        self.planes = PlaneCache()
        self._engine = engine
        self._writers = sessionmaker(engine.execution_options(begin="BEGIN IMMEDIATE"), expire_on_commit=False)
        self._readers = sessionmaker(engine, expire_on_commit=False)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction that may write: takes the write lock at once, commits at the end, rolls back on any error.

        When the block has ended without an exception, everything is on disk (synchronous=FULL). Only one writer
        exists at a time, so keep it short: no training, no prediction and no image decoding inside.

        Raises:
            StoreError: locked for too long, disk full, damaged; nothing of the block was saved.
        """
        with self._explained(), self._writers.begin() as session:
            yield session

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """A consistent view for reading; blocks nobody and is blocked by nobody. Changes made in it are discarded."""
        with self._explained(), self._readers() as session:
            yield session

    def close(self) -> None:
        """Give back all connections. The store can be opened again."""
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            explained = explain(error, self.workspace.database)
            if explained is None:
                raise
            raise explained from error


def open_store(workspace: Workspace, create: bool = False) -> Store:
    """Open the store of a workspace; with `create`, make folder and store when they are missing.

    An older schema is brought up to date after a copy of the file was made beside it.

    Raises:
        NoWorkspaceError: there is none at this place and `create` is not set.
        NewerSchemaError: a later version of the program wrote it.
        StoreError: damaged, locked, or not writable.
    """
    database = workspace.database
    if not create and not database.is_file():
        raise NoWorkspaceError(
            f"no Pixelsieve workspace at {workspace.root}; make one with: "
            f"pixelsieve import path/to/dataset --workspace {workspace.root}"
        )
    workspace.root.mkdir(parents=True, exist_ok=True)
    engine = _make_engine(database)
    try:
        bring_up_to_date(engine, database)
    except DBAPIError as error:
        engine.dispose()
        explained = explain(error, database)
        if explained is None:
            raise
        raise explained from error
    except BaseException:
        engine.dispose()
        raise
    return Store(workspace, engine)


def _make_engine(database: Path) -> Engine:
    engine = create_engine(f"sqlite:///{database}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare_connection(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Settings that SQLite keeps per connection."""
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # The driver must not open transactions itself: `_begin` does.
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",  # In WAL mode NORMAL may lose the last commits on power failure.
        "foreign_keys = ON",
        "recursive_triggers = ON",  # Without it INSERT OR REPLACE removes rows behind the append-only triggers.
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
