"""The version of the tables: which one a file has, and how it gets the current one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event, inspect

from app.storage import audit, people  # noqa: F401 - their tables belong to the metadata, too
from app.storage.errors import DamagedStoreError, NewerSchemaError

MIGRATIONS = Path(__file__).parent / "migrations"


def bring_up_to_date(engine: Engine, database: Path) -> None:
    """Run the migrations a store still lacks, each in one transaction, after copying the file.

    Raises:
        NewerSchemaError: the file's version is none that this program knows.
        DamagedStoreError: a SQLite file without a version, that is, of another program.
    """
    scripts = ScriptDirectory(str(MIGRATIONS))
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        tables = inspect(connection).get_table_names()
    if found == scripts.get_current_head():
        return
    if found is None and tables:
        raise DamagedStoreError(
            f"{database} is a SQLite file, but no Pixelsieve store (its tables: {', '.join(sorted(tables)[:5])}). "
            "Choose another folder for the workspace."
        )
    if found is not None and found not in {revision.revision for revision in scripts.walk_revisions()}:
        raise NewerSchemaError(
            f"{database} has schema {found}, which this version of Pixelsieve does not know: a later version wrote it. "
            "Install that version again; nothing was changed."
        )
    if found is not None:
        back_up(database, database.with_name(f"{database.name}.before-{_stamp()}-from-{found}"))
    _upgrade(engine)


def back_up(database: Path, target: Path) -> None:
    """Copy a store that may be in use, with everything committed so far, including what is still in the WAL file."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def _upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.execution_options(begin="BEGIN IMMEDIATE").connect() as connection, _unchecked_references(connection):
        with connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@contextmanager
def _unchecked_references(connection: Connection) -> Iterator[None]:
    """Migrations may replace tables that others refer to; what refers to nothing afterwards undoes all of them."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute("PRAGMA foreign_keys = OFF")  # Has no effect inside a transaction.
    event.listen(connection, "commit", _check_references)
    try:
        yield
    finally:
        event.remove(connection, "commit", _check_references)
        driver.execute("PRAGMA foreign_keys = ON")


def _check_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise DamagedStoreError(
            f"a row of table {broken[0]} refers to a row of {broken[2]} that is not there; nothing was changed. "
            "Put a backup in the store's place."
        )


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
