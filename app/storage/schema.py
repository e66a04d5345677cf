"""The version of the tables: which one a store has, and how it gets the current one."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from app.storage import audit, cuts, explorer, failures, people, probes, suspects  # noqa: F401 - their tables belong
from app.storage.backends import Backend
from app.storage.errors import DamagedStoreError, NewerSchemaError, NoWorkspaceError

MIGRATIONS = Path(__file__).parent / "migrations"


def bring_up_to_date(engine: Engine, backend: Backend, create: bool) -> None:
    """Run the migrations a store still lacks, all in one transaction, after copying its rows.

    Raises:
        NewerSchemaError: the store's version is none that this program knows.
        DamagedStoreError: a database without a version, that is, of another program.
        NoWorkspaceError: an empty database, and `create` is not set.
    """
    with engine.connect() as connection:
        found = version_of(connection)
        tables = inspect(connection).get_table_names()
    if found == head():
        return
    if found is None and tables:
        raise DamagedStoreError(
            f"{backend.name} is a database, but no Pixelsieve store (its tables: {', '.join(sorted(tables)[:5])}). "
            "Choose another folder or database for the workspace."
        )
    if found is None and not create:
        raise NoWorkspaceError(
            f"{backend.name} is empty, although a workspace had its rows there. Put a backup into a new workspace: "
            "pixelsieve restore FILE --workspace NEW"
        )
    if found is not None:
        require_known(found, backend.name)
        backend.copy_before_upgrade(engine, found)
    with backend.upgrading(engine) as connection, connection.begin():
        upgrade(connection)


def head() -> str:
    """The version that this program works with."""
    return _versions(MIGRATIONS)[0]


@cache
def _versions(folder: Path) -> tuple[str, ...]:
    """All versions in a folder of migrations, the newest first. Reading them takes longer than opening a store."""
    return tuple(revision.revision for revision in ScriptDirectory(str(folder)).walk_revisions())


def version_of(connection: Connection) -> str | None:
    """The version of the tables, None where there are none of ours."""
    return MigrationContext.configure(connection).get_current_revision()


def require_known(version: str, name: str) -> None:
    """Refuse a store or a backup of a later version of the program.

    Raises:
        NewerSchemaError: names the version.
    """
    if version not in _versions(MIGRATIONS):
        raise NewerSchemaError(
            f"{name} has schema {version}, which this version of Pixelsieve does not know: a later version wrote it. "
            "Install that version again; nothing was changed."
        )


def upgrade(connection: Connection, version: str = "head") -> None:
    """Run migrations inside the transaction that is open on `connection`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
