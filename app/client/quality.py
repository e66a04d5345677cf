"""How good the labels are, and which parts of them may be wrong."""

from pathlib import Path
from typing import Any

from app.client.connection import Connection, Json


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

    def suspects(self, limit: int = 30, offset: int = 0, only_open: bool = False) -> Json:
        """Parts of labels that the latest look found doubtful, likeliest first; `search` is None before one.

        Args:
            only_open: without parts that were answered or have changed.
        """
        query = {"limit": limit, "offset": offset, "only_open": only_open}
        return self._connection.get("/api/suspects", query=query)

    def look_for_suspects(self, model_id: int | None = None, min_area: int = 50) -> int:
        """Queue a look for wrong labels; the job's id. None is the current model."""
        return int(self._connection.post("/api/suspects", {"model_id": model_id, "min_area": min_area})["job_id"])

    def suspect_picture(self, suspect_id: int, width: int = 400) -> bytes:
        """A JPEG of a part with its surroundings, outlined, at most `width` pixels wide."""
        return self._connection.read("/api/suspects/{suspect_id}/picture", {"width": width}, suspect_id=suspect_id)

    def send_suspect(self, suspect_id: int) -> Json:
        """Make a region of a part that people labeled here; somebody decides it in the queue."""
        body = self._connection.operation()
        return self._connection.post("/api/suspects/{suspect_id}/send", body, suspect_id=suspect_id)

    def suspect_is_right(self, suspect_id: int) -> Json:
        """Note that the label is right there; later looks remember it."""
        return self._connection.post("/api/suspects/{suspect_id}/right", None, suspect_id=suspect_id)

    def change_suspect(self, suspect_id: int, class_id: int | None) -> Json:
        """Give a part of an imported label another class; None is void."""
        body = {"class_id": class_id}
        return self._connection.post("/api/suspects/{suspect_id}/change", body, suspect_id=suspect_id)

    def reopen_suspect(self, suspect_id: int) -> Json:
        """Take back that a part is right, or that it was changed."""
        return self._connection.post("/api/suspects/{suspect_id}/reopen", None, suspect_id=suspect_id)
