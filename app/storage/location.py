"""Which database holds a workspace's rows: a SQLite file in its folder, or a PostgreSQL database by URL.

Files always lie in the folder. A PostgreSQL workspace notes there where its rows are, without the password, and which
workspace it is: rows of one and files of another must never meet.
"""

import json
import os
from dataclasses import dataclass

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.config import Workspace
from app.storage.errors import StoreError
from datasets.files import write_atomically

DATABASE_URL_VARIABLE = "PIXELSIEVE_DATABASE_URL"
"""Environment variable with the database's URL: for containers, and where the note must not hold a password."""


@dataclass(frozen=True)
class DatabaseNote:
    """What a PostgreSQL workspace's folder says about its rows.

    Attributes:
        url: without password; libpq finds that in PGPASSFILE (~/.pgpass) or PGPASSWORD.
        workspace_id: the id that the rows carry.
    """

    url: str
    workspace_id: str


def database_url(workspace: Workspace, given: str | None = None) -> URL | None:
    """Where the rows are; None is the SQLite file in the folder.

    Args:
        given: from a flag; otherwise $PIXELSIEVE_DATABASE_URL, otherwise the folder's note.

    Raises:
        StoreError: not a PostgreSQL URL, a damaged note, or a SQLite file lies in the folder already.
    """
    note = read_note(workspace)
    text = given or os.environ.get(DATABASE_URL_VARIABLE) or (None if note is None else note.url)
    if text is None:
        return None
    url = _parse(text)
    if note is None and workspace.database.is_file():
        raise StoreError(
            f"{workspace.root} keeps its rows in {workspace.database.name}, but {shown(url)} was named. "
            f"Leave out --database-url and ${DATABASE_URL_VARIABLE}; or move it: pixelsieve backup FILE -w "
            f"{workspace.root}, then pixelsieve restore FILE --workspace NEW --database-url URL"
        )
    return url


def read_note(workspace: Workspace) -> DatabaseNote | None:
    """The folder's note, or None for a SQLite workspace.

    Raises:
        StoreError: the file is damaged.
    """
    path = workspace.database_note
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return DatabaseNote(str(content["url"]), str(content["workspace_id"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} does not say where the rows are ({error}). It is JSON with url and workspace_id; restore a backup "
            "of it"
        ) from error


def write_note(workspace: Workspace, url: URL, workspace_id: str) -> None:
    """Note in the folder where the rows are."""
    content = {"url": shown(url.set(password=None)), "workspace_id": workspace_id}
    write_atomically(workspace.database_note, json.dumps(content, indent=2).encode())


def shown(url: URL) -> str:
    """A URL for messages: without password."""
    return url.set(drivername="postgresql").render_as_string()


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        raise StoreError(
            "the database's URL cannot be read; write it as postgresql://user@host:5432/database"
        ) from None  # The text may hold a password.
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise StoreError(
            f"the database's URL starts with {url.drivername}://, but must start with postgresql://. Without a URL the "
            "rows are in a SQLite file in the workspace."
        )
    return url.set(drivername="postgresql+psycopg")
