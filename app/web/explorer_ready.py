"""Whether FiftyOne can be used at all, asked before anything slow is loaded, and how it is kept from calling home."""

import json
import os
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DATABASE_VARIABLE = "FIFTYONE_DATABASE_URI"
"""FiftyOne's own name for the environment variable with the address of its MongoDB."""

_SETTINGS = {
    "FIFTYONE_DO_NOT_TRACK": "1",  # Else its page and its server send usage data to their makers.
    "FIFTYONE_DATABASE_VALIDATION": "false",  # Else it prints a line about old versions of MongoDB every time.
    "FIFTYONE_LOGGING_LEVEL": "WARNING",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
}
"""Read when FiftyOne is imported, by its server, too."""

_SERVER_SETTINGS = {"FIFTYONE_SERVER": "1"}
"""As FiftyOne's own server has it: what one page writes, the next request reads from the database."""

_PING_S = 3.0


class ExplorerUnavailableError(RuntimeError):
    """FiftyOne is not installed, or there is no database for it. Nothing was changed."""


def require_explorer(serves: bool = False) -> None:
    """Refuse to go on without FiftyOne and a database that answers.

    Args:
        serves: this process is going to serve FiftyOne's page; to be said before FiftyOne is loaded.

    Raises:
        ExplorerUnavailableError: says what is missing and how to get it.
    """
    os.environ |= _SETTINGS | (_SERVER_SETTINGS if serves else {})
    if find_spec("fiftyone") is None:
        raise ExplorerUnavailableError("FiftyOne is not installed; install it with: pip install -e '.[explore]'")
    uri = database_uri()
    if uri is not None:
        _ping(uri)
    elif not _has_own_database():
        raise ExplorerUnavailableError(
            f"there is no database for FiftyOne: set {DATABASE_VARIABLE}, for example to mongodb://127.0.0.1:27017. "
            "docs/explore.md says how to run one."
        )


def database_uri() -> str | None:
    """Where FiftyOne's settings say that its database is; None lets it start its own."""
    if os.environ.get(DATABASE_VARIABLE):
        return os.environ[DATABASE_VARIABLE]
    path = Path(os.environ.get("FIFTYONE_CONFIG_PATH") or Path.home() / ".fiftyone" / "config.json")
    try:
        found: str | None = json.loads(path.read_text(encoding="utf-8")).get("database_uri")
        return found
    except (OSError, ValueError, AttributeError):
        return None


def _has_own_database() -> bool:
    """Whether FiftyOne brought a MongoDB; its installation succeeds where the download of one is blocked, too."""
    try:
        files = metadata.files("fiftyone_db") or []
    except metadata.PackageNotFoundError:
        return False
    return any(file.name == "mongod" and Path(str(file.locate())).is_file() for file in files)


def _ping(uri: str) -> None:
    import pymongo  # noqa: PLC0415 - comes with FiftyOne
    from pymongo.errors import PyMongoError  # noqa: PLC0415

    try:
        client: Any = pymongo.MongoClient(uri, serverSelectionTimeoutMS=int(_PING_S * 1000))
        with client:
            client.admin.command("ping")
    except (PyMongoError, ValueError) as error:  # ValueError: an address that is none.
        said = str(error).split(",")[0][:200]
        raise ExplorerUnavailableError(
            f"the MongoDB of {DATABASE_VARIABLE} does not answer ({said}). Start it, or correct the variable."
        ) from error
