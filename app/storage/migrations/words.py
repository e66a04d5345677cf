"""For migrations that add words to a vocabulary: the database checks words, so its check has to know the new ones."""

import re
from collections.abc import Sequence

from alembic import op
from sqlalchemy import Connection


def allow_words(table: str, column: str, words: Sequence[str]) -> None:
    """Let a column hold exactly `words` from now on; rows, keys, indexes and triggers stay as they are.

    Args:
        table: its name.
        column: one whose check is named ck_<table>_<column>.
        words: all of them, old and new.
    """
    connection = op.get_bind()
    check = f"CHECK ({column} IN ({', '.join(repr(word) for word in words)}))"
    if connection.dialect.name == "sqlite":
        _rebuild(connection, table, f"ck_{table}_{column}", check)
        return
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{column} {check}")


def _rebuild(connection: Connection, table: str, name: str, check: str) -> None:
    """SQLite cannot change a check, only a whole table: make a new one, copy the rows, take the old one's name.

    Source: https://sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes". Foreign keys are off
    while migrations run (app/storage/schema.py), or dropping the old table would be refused.
    """
    parts = connection.exec_driver_sql(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL", (table,)
    ).all()
    definition = next(part.sql for part in parts if part.type == "table")
    head, found, rest = definition.partition(f"CONSTRAINT {name} CHECK (")
    if not found:
        raise RuntimeError(f"table {table} has no check {name}; the store was changed by another program")
    # The old list of words ends at the two brackets of "IN (...)" and "CHECK (...)".
    changed = f"{head}CONSTRAINT {name} {check}{rest.partition('))')[2]}"
    # SQLite puts the name of a table that was renamed in quotes, so the second rebuild finds it so.
    named = re.sub(rf'CREATE TABLE "?{table}"?', f"CREATE TABLE {table}_rebuilt", changed, count=1)
    connection.exec_driver_sql(named)
    connection.exec_driver_sql(f"INSERT INTO {table}_rebuilt SELECT * FROM {table}")
    connection.exec_driver_sql(f"DROP TABLE {table}")
    connection.exec_driver_sql(f"ALTER TABLE {table}_rebuilt RENAME TO {table}")
    for part in parts:
        if part.type in ("index", "trigger"):
            connection.exec_driver_sql(part.sql)
