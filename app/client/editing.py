"""What drawing asks for: steps of undo, patches of planes, superpixels, look-alikes and flags."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.client.connection import Connection, Json
from app.client.planes import unpacked_planes
from app.web.wire import unpack_frame


class EditingCalls:
    """What the reviewer's tools need beside decisions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def history(self, limit: int = 100) -> Json:
        """The steps that undo after undo and redo after redo would reach, first step first."""
        return self._connection.get("/api/history", query={"limit": limit})

    def patch(self, image_id: int, bbox: tuple[int, int, int, int]) -> tuple[Json, dict[str, NDArray[np.integer[Any]]]]:
        """Label, reliable, regions and provenance inside a box, as they are now, with their header."""
        query = dict(zip(("x0", "y0", "x1", "y1"), bbox, strict=True))
        body = self._connection.read("/api/images/{image_id}/patch", query=query, image_id=image_id)
        header, rest = unpack_frame(body)
        return header, dict(unpacked_planes(header, rest))

    def superpixels(self, image_id: int, level: int, column: int, row: int) -> tuple[Json, NDArray[np.integer[Any]]]:
        """One tile of superpixel numbers, with a header that says where it lies."""
        query = {"level": level, "column": column, "row": row}
        body = self._connection.read("/api/images/{image_id}/superpixels", query=query, image_id=image_id)
        header, rest = unpack_frame(body)
        return header, dict(unpacked_planes(header, rest))["numbers"]

    def lookalikes(self, region_id: int) -> list[Json]:
        """Waiting regions of the same image that look like a region, most similar first."""
        return list(self._connection.get("/api/regions/{region_id}/lookalikes", region_id=region_id)["rows"])

    def flag(self, image_id: int, x: int, y: int) -> Json:
        """Say that the reliable area around a pixel is wrong: it becomes a region that waits for a decision."""
        body = {"image_id": image_id, "x": x, "y": y, **self._connection.operation()}
        return self._connection.post("/api/flags", body)

    def flags(self) -> list[Json]:
        """Every flag that stands, newest first."""
        return list(self._connection.get("/api/flags")["rows"])
