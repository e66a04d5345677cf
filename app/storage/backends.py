"""What the two kinds of database have in common for the store above them."""

import json
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from app.storage.errors import StoreError

WRITE_OPTIONS = {"pixelsieve_writes": True}
"""Execution options of connections whose transactions take the write lock as they begin."""

LOCK_WAIT_S = 10.0
"""How long a writer waits for another one. Ours hold the lock for milliseconds; a longer wait is somebody else's."""

POOL = {"pool_size": 8, "max_overflow": 40}
"""Connections of one process: more than the web server has threads, so that none waits for a connection."""


class Backend(Protocol):
    """One kind of database.

    Guarantees that the store above relies on: a transaction with `WRITE_OPTIONS` is alone from its first statement to
    its commit, so ids grow in the order of commits and nobody can see a later id before an earlier one; a commit that
    returned survives a power failure; a reading transaction sees one moment.
    """

    name: str
    """For messages: the file, or the URL without password."""

    reading_options: ClassVar[dict[str, Any]]
    """Execution options of transactions that only read."""

    def make_engine(self) -> Engine:
        """An engine whose connections keep the guarantees."""

    def exists(self) -> bool:
        """Whether there is a database to open; making one is allowed otherwise."""

    def explain(self, error: DBAPIError) -> StoreError | None:
        """The sentence for a failure of the database itself, or None for a fault in a statement."""

    def copy_before_upgrade(self, engine: Engine, found: str) -> None:
        """Keep the rows as they are before migrations change schema `found`."""

    def upgrading(self, engine: Engine) -> AbstractContextManager[Connection]:
        """A connection for migrations; what they leave behind is checked before the commit."""


@contextmanager
def explained(backend: Backend) -> Iterator[None]:
    """Failures of the database inside the block become sentences; faults in statements stay as they are.

    Raises:
        StoreError: see `Backend.explain`.
    """
    try:
        yield
    except DBAPIError as error:
        found = backend.explain(error)
        if found is None:
            raise
        raise found from error


def to_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON as every database takes it: NaN and infinities, which a diverged training reports, become null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value))


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
