"""Putting earlier rows in the place of the present ones, inside one transaction of the store.

The only way past the triggers of the tables that only grow. Before it the present rows are saved (see
app/services/snapshots.py), and ids go on behind the highest ones ever given, so that no page mistakes a new row for one
that it saw before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table

from app.storage import dump

KEPT_TABLES = frozenset({"account", "sign_in", "api_token", "invitation", "failed_attempts", "audit_entry", "job"})
"""People, what was logged about them, and jobs: going back in time must not undo a lock-out or an entry of the log."""

EMPTIED_TABLES = frozenset({"lease"})
"""Nobody works on an image that has just become another one."""


def replace_rows(connection: Connection, lines_of: Callable[[str], Iterator[bytes]]) -> None:
    """Replace the rows of all tables but the kept ones.

    Args:
        connection: in a writing transaction, so that nobody writes meanwhile.
        lines_of: table name -> lines as `dump.lines` gives them, of the present schema version.
    """
    tables = [table for table in dump.tables_of(connection) if table.name not in KEPT_TABLES]
    with _without_triggers(connection, tables):
        for table in reversed(tables):
            connection.execute(table.delete())
        for table in tables:
            if table.name not in EMPTIED_TABLES:
                dump.insert(connection, table, lines_of(table.name))


@contextmanager
def _without_triggers(connection: Connection, tables: list[Table]) -> Iterator[None]:
    """Both databases undo this with the transaction, should anything fail."""
    if connection.dialect.name == "sqlite":
        triggers = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for name, _ in triggers:
            connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
        yield
        for _, definition in triggers:
            connection.exec_driver_sql(definition)
    else:
        quote = connection.dialect.identifier_preparer.quote
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {quote(table.name)} DISABLE TRIGGER USER")
        yield
        for table in tables:
            connection.exec_driver_sql(f"ALTER TABLE {quote(table.name)} ENABLE TRIGGER USER")
