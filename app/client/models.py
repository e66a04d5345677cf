"""Models of all rounds."""

from app.client.connection import Connection, Json


class ModelCalls:
    """Look, compare, promote, set aside."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def models(self) -> list[Json]:
        """All models, latest round first."""
        return list(self._connection.get("/api/models")["models"])

    def compare(self, model_id: int) -> Json:
        """A model against the current one on the same gold images."""
        return self._connection.get("/api/models/{model_id}/comparison", model_id=model_id)

    def promote(self, model_id: int, reason: str | None = None) -> list[Json]:
        """Make a model the current one; `reason` is needed when gold got worse."""
        return list(
            self._connection.post("/api/models/{model_id}/promote", {"reason": reason}, model_id=model_id)["models"]
        )

    def reject(self, model_id: int) -> list[Json]:
        """Set a candidate aside."""
        return list(self._connection.post("/api/models/{model_id}/reject", None, model_id=model_id)["models"])
