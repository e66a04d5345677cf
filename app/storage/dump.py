"""Rows as text: the same lines from SQLite and from PostgreSQL, so that backups move between them and can be compared.

A line is one row as JSON: keys sorted, bytes in base64, times in ISO 8601 (UTC). Tables are read as they are in the
database, not as this version's models have them, so a store of an earlier version can be written and read, too.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Connection, DateTime, LargeBinary, MetaData, String, Table, func, null, select

_VERSION_TABLE = "alembic_version"
_ROWS_AT_ONCE = 500


def tables_of(connection: Connection) -> list[Table]:
    """All tables, those that others refer to first."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != _VERSION_TABLE]


def table_named(connection: Connection, name: str) -> Table:
    """One table as it is in the database."""
    return Table(name, MetaData(), autoload_with=connection, resolve_fks=False)


def count_rows(connection: Connection, table: Table) -> int:
    """How many lines `lines` gives."""
    return connection.scalar(select(func.count()).select_from(table)) or 0


def lines(connection: Connection, table: Table) -> Iterator[bytes]:
    """The rows in the order of their primary key, which does not depend on the kind of database."""
    order = [
        column.collate("C") if isinstance(column.type, String) and connection.dialect.name == "postgresql" else column
        for column in table.primary_key
    ]
    statement = select(table).order_by(*order).execution_options(yield_per=_ROWS_AT_ONCE)
    for row in connection.execute(statement).mappings():
        content = {key: _plain(value) for key, value in row.items()}
        yield json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def insert(connection: Connection, table: Table, rows: Iterable[bytes]) -> int:
    """Insert lines that `lines` wrote, in this order; returns how many.

    Raises:
        ValueError: a line is not a row of this table.
    """
    count = 0
    batch: list[dict[str, Any]] = []
    for line in rows:
        batch.append(_row(table, line))
        count += 1
        if len(batch) == _ROWS_AT_ONCE:
            connection.execute(table.insert(), batch)
            batch = []
    if batch:
        connection.execute(table.insert(), batch)
    return count


def continue_ids(connection: Connection, tables: Iterable[Table]) -> None:
    """After rows with ids were inserted: new rows get ids behind them. SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, "id"))) if "id" in table.c else None
        if sequence is not None:
            last = select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()
            connection.execute(select(func.setval(sequence, last, False)))


def _plain(value: Any) -> Any:  # noqa: ANN401 - any column's value
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def _row(table: Table, line: bytes) -> dict[str, Any]:
    content = json.loads(line)
    if not isinstance(content, dict) or content.keys() != {column.name for column in table.columns}:
        raise ValueError(f"a line of table {table.name} does not hold this table's columns: {line[:80]!r}")
    return {column.name: _stored(column.type, column.nullable, content[column.name]) for column in table.columns}


def _stored(kind: Any, nullable: bool | None, value: Any) -> Any:  # noqa: ANN401 - any column's type and value
    if value is None:
        return null() if isinstance(kind, JSON) and nullable else None
    if isinstance(kind, LargeBinary):
        return base64.b64decode(value, validate=True)
    return datetime.fromisoformat(value) if isinstance(kind, DateTime) else value
