"""How good the labels are."""

from pathlib import Path
from typing import Any

from app.client.connection import Connection


class QualityCalls:
    """Reports, and the action log that they are made of."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def actions(self, path: Path, log_format: str = "jsonl", **filters: Any) -> None:  # noqa: ANN401 - query values
        """Save the action log as "jsonl", "json" or "csv"; filters are user, since and until."""
        self._connection.save(path, "/api/actions", {"format": log_format, **filters})

    def quality(self, **filters: Any) -> dict[str, Any]:  # noqa: ANN401 - query values
        """Everybody's numbers; for leads. Filters are user, since and until, as ISO 8601 with a time zone."""
        return self._connection.get("/api/quality", filters)

    def own_quality(self) -> dict[str, Any]:
        """One's own numbers, up to the last midnight (UTC)."""
        return self._connection.get("/api/quality/mine")
