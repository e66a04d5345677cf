"""How good the labels are."""

from pathlib import Path
from typing import Any

from app.client.connection import Connection


class QualityCalls:
    """Reports, and the action log that they are made of."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def actions(self, path: Path, log_format: str = "jsonl", **filters: Any) -> None:  # noqa: ANN401 - query values
        """Save the action log as "jsonl" or "csv"; filters are user, since and until."""
        self._connection.save(path, "/api/actions", {"format": log_format, **filters})

    def quality(self) -> dict[str, Any]:
        """Everybody's numbers; for leads."""
        return self._connection.get("/api/quality")

    def own_quality(self) -> dict[str, Any]:
        """One's own numbers, up to the last midnight (UTC)."""
        return self._connection.get("/api/quality/mine")
