"""Opening the store: a SQLite file or a PostgreSQL database, brought to the current schema before anything else."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session, sessionmaker

from app.config import Workspace
from app.storage.backends import LOCK_WAIT_S, WRITE_OPTIONS, Backend, explained
from app.storage.errors import NoWorkspaceError, StoreError
from app.storage.location import DatabaseNote, database_url, read_note, write_note
from app.storage.models import Setting
from app.storage.planes import PlaneCache
from app.storage.postgresql import PostgresqlBackend
from app.storage.schema import bring_up_to_date
from app.storage.settings import WORKSPACE_ID_KEY
from app.storage.sqlite import SqliteBackend


class Store:
    """The open database of one workspace. Safe to share between threads; open one per process (never fork it).

    Attributes:
        workspace: where its files are.
        workspace_id: tells workspaces apart, also after one was moved.
        planes: recently read maps of proposals.
    """

    def __init__(self, workspace: Workspace, engine: Engine, backend: Backend) -> None:
        self.workspace = workspace
        self.workspace_id = ""
        self.planes = PlaneCache()
        self._turn = threading.Lock()
        self._engine = engine
        self._backend = backend
        self._writers = sessionmaker(engine.execution_options(**WRITE_OPTIONS), expire_on_commit=False)
        self._readers = sessionmaker(engine.execution_options(**backend.reading_options), expire_on_commit=False)

    @property
    def database_name(self) -> str:
        """The database in messages: a file, or a URL without password."""
        return self._backend.name

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction that may write: takes the write lock at once, commits at the end, rolls back on any error.

        When the block has ended without an exception, everything is on disk (see `Backend`). Only one writer
        exists at a time, so keep it short: no training, no prediction and no image decoding inside.

        Raises:
            StoreError: locked for too long, disk full, damaged, unreachable; nothing of the block was saved.
        """
        with self._in_turn(), explained(self._backend), self._writers.begin() as session:
            yield session

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Let threads of this process write one after the other.

        The database's own lock would do the same, but SQLite asks for it again only after ever longer pauses, and the
        next writer should begin as soon as the last one has ended. Whoever waited too long meets the database's lock,
        which knows whether that is a failure.
        """
        is_taken = self._turn.acquire(timeout=LOCK_WAIT_S)
        try:
            yield
        finally:
            if is_taken:
                self._turn.release()

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """A consistent view for reading; blocks nobody and is blocked by nobody. Changes made in it are discarded."""
        with explained(self._backend), self._readers() as session:
            yield session

    def close(self) -> None:
        """Give back all connections. The store can be opened again."""
        self._engine.dispose()


def open_store(workspace: Workspace, create: bool = False, url: str | None = None, in_file: bool = False) -> Store:
    """Open the store of a workspace; with `create`, make folder and store when they are missing.

    An older schema is brought up to date after a copy of the rows was made in the workspace's folder.

    Args:
        url: of a PostgreSQL database; None for $PIXELSIEVE_DATABASE_URL, else what the workspace was made with.
        in_file: a SQLite file, whatever the environment says.

    Raises:
        NoWorkspaceError: there is none at this place and `create` is not set.
        NewerSchemaError: a later version of the program wrote it.
        StoreError: damaged, locked, unreachable, not writable, or the database belongs to another workspace.
    """
    found = None if in_file else database_url(workspace, url)
    note = read_note(workspace)
    backend = backend_of(workspace, found, is_known=note is not None)
    if not create and not backend.exists():
        raise NoWorkspaceError(
            f"no Pixelsieve workspace at {workspace.root}; make one with: "
            f"pixelsieve import path/to/dataset --workspace {workspace.root}"
        )
    workspace.root.mkdir(parents=True, exist_ok=True)
    store = Store(workspace, backend.make_engine(), backend)
    try:
        with explained(backend):
            bring_up_to_date(store._engine, backend, create)
        store.workspace_id = _identify(store, found, note)
    except BaseException:
        store.close()
        raise
    return store


def is_workspace(workspace: Workspace) -> bool:
    """Whether a folder holds a workspace's rows, or the note where they are."""
    return workspace.database.is_file() or workspace.database_note.is_file()


def backend_of(workspace: Workspace, url: URL | None, is_known: bool) -> Backend:
    """The kind of database at a URL; None is the file in the folder. `is_known`: the folder's note names it."""
    return SqliteBackend(workspace.database) if url is None else PostgresqlBackend(url, workspace.root, is_known)


def _identify(store: Store, url: URL | None, note: DatabaseNote | None) -> str:
    """The id that the rows carry, given to them when they have none. The folder's note is written before that.

    Raises:
        StoreError: the rows belong to another folder.
    """
    present = _stored_id(store)
    expected = present if url is None else None if note is None else note.workspace_id
    if present is not None and present != expected:
        raise StoreError(
            f"the database {store.database_name} holds the rows of another workspace than {store.workspace.root}. Name "
            "an empty database, or the folder that belongs to it; nothing was changed."
        )
    if present is not None:
        return present
    made = expected or uuid.uuid4().hex
    if url is not None and note is None:
        write_note(store.workspace, url, made)
    with store.session() as session:
        if session.get(Setting, WORKSPACE_ID_KEY) is None:  # Another process may have been faster.
            session.add(Setting(key=WORKSPACE_ID_KEY, value=made))
    return _stored_id(store) or made


def _stored_id(store: Store) -> str | None:
    with store.reader() as session:
        row = session.get(Setting, WORKSPACE_ID_KEY)
        return None if row is None else str(row.value)
