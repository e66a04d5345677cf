"""How good the labels are."""

from pathlib import Path
from typing import Any

from app.client.connection import Connection


class QualityCalls:
    """The action log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def actions(self, path: Path, log_format: str = "jsonl", **filters: Any) -> None:  # noqa: ANN401 - query values
        """Save the action log as "jsonl" or "csv"; filters are user, since and until."""
        self._connection.save(path, "/api/actions", {"format": log_format, **filters})
