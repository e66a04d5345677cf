"""Whose images are whose, and what people say about them."""

from collections.abc import Sequence
from typing import Any

from app.client.connection import Connection, Json


class WorkCalls:
    """Images, assignments and comments."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def images(self, **filters: Any) -> list[Json]:  # noqa: ANN401 - query values
        """Pool images with what is left in them; filters are state, assignee, text, limit and offset."""
        return list(self._connection.get("/api/images", query=filters)["images"])

    def assign(self, image_ids: Sequence[int], assignee: str | None) -> int:
        """Give images to a person, or with None back to everybody; how many changed hands."""
        body = {"image_ids": list(image_ids), "assignee": assignee}
        return int(self._connection.post("/api/assignments", body)["changed"])

    def share(self, people: Sequence[str], image_ids: Sequence[int] | None = None) -> dict[str, int]:
        """Share images out by expected work; how many each person got."""
        body = {"people": list(people), "image_ids": None if image_ids is None else list(image_ids)}
        return dict(self._connection.post("/api/assignments/share", body)["shared"])

    def comments(self, image_id: int) -> list[Json]:
        """What people said about an image, oldest first."""
        return list(self._connection.get("/api/images/{image_id}/comments", image_id=image_id)["comments"])

    def comment(
        self,
        image_id: int,
        text: str,
        region_id: int | None = None,
        is_question: bool = False,
        closes_id: int | None = None,
    ) -> Json:
        """Say something about an image or region, ask, or close a question."""
        body = {"text": text, "region_id": region_id, "is_question": is_question, "closes_id": closes_id}
        return self._connection.post("/api/images/{image_id}/comments", body, image_id=image_id)

    def questions(self) -> list[Json]:
        """Questions that wait for an answer, oldest first."""
        return list(self._connection.get("/api/questions")["questions"])
