"""A new store whose rows come from elsewhere: filled as a whole or not at all."""

from collections.abc import Callable, Iterator

from sqlalchemy import Connection, inspect

from app.config import Workspace
from app.storage import dump, schema
from app.storage.backends import explained
from app.storage.database import backend_of
from app.storage.errors import StoreError
from app.storage.location import database_url, write_note

Fill = Callable[[Connection], None]


def make_store(
    workspace: Workspace,
    url: str | None,
    version: str,
    workspace_id: str,
    fill: Fill,
    finish: Fill | None = None,
    in_file: bool = False,
) -> None:
    """Make the tables of a version, fill them, and bring them to the present version, in one transaction.

    Args:
        workspace: whose folder exists and holds no rows.
        url: of an empty PostgreSQL database; None for $PIXELSIEVE_DATABASE_URL, else a SQLite file.
        version: of the tables that `fill` expects.
        workspace_id: the id that the rows carry.
        fill: inserts all rows; what it raises undoes everything.
        finish: changes rows of the present version; None changes nothing.
        in_file: a SQLite file, whatever the environment says.

    Raises:
        StoreError: the database is not empty, or the failures of `explained`.
    """
    found = None if in_file else database_url(workspace, url)
    backend = backend_of(workspace, found, is_known=False)
    engine = backend.make_engine()
    try:
        with explained(backend), backend.upgrading(engine) as connection, connection.begin():
            if inspect(connection).get_table_names():
                raise StoreError(f"{backend.name} holds tables already; name an empty database. Nothing was changed.")
            schema.upgrade(connection, version)
            fill(connection)
            dump.continue_ids(connection, dump.tables_of(connection))
            schema.upgrade(connection)
            if finish is not None:
                finish(connection)
            if found is not None:
                write_note(workspace, found, workspace_id)
    finally:
        engine.dispose()


def fill_tables(connection: Connection, lines_of: Callable[[str], Iterator[bytes]]) -> None:
    """Insert all rows; `lines_of` gives those of a table."""
    for table in dump.tables_of(connection):
        dump.insert(connection, table, lines_of(table.name))
