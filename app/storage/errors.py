"""What can go wrong with a store, in sentences that say what to do."""

import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError


class StoreError(RuntimeError):
    """The store cannot be used; the message says why and what to do. Nothing was half written."""


class NoWorkspaceError(StoreError):
    """The folder holds no workspace."""


class NewerSchemaError(StoreError):
    """A later version of the program wrote the store."""


class StoreBusyError(StoreError):
    """Another process holds the write lock for too long."""


class DiskFullError(StoreError):
    """The disk has no room; the transaction was rolled back."""


class DamagedStoreError(StoreError):
    """The file is not a SQLite database, or its pages contradict each other."""


def explain(error: DBAPIError, database: Path) -> StoreError | None:
    """The sentence for a failure of the database itself, or None for a fault in a statement."""
    if not isinstance(error.orig, sqlite3.Error):
        return None
    name = getattr(error.orig, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusyError(
            f"{database} is locked by another program for too long. Nothing was saved. Close other programs that "
            "have it open (a second pixelsieve, a database browser, a sync client) and try again."
        )
    if name.startswith("SQLITE_FULL"):
        return DiskFullError(
            f"no room left on the disk of {database}. Nothing was saved. Free some space and try again."
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return DamagedStoreError(
            f"{database} is damaged or not a Pixelsieve store ({error.orig}). Put a backup in its place; copies made "
            f"before schema changes lie beside it as {database.name}.before-*."
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreError(
            f"{database} cannot be written ({error.orig}). Check the permissions of the file and its folder."
        )
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"reading or writing {database} failed ({error.orig}). Check the disk; nothing was saved.")
    return None
