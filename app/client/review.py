"""Looking at regions and images, and deciding."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.client.connection import Connection, Json
from app.web.wire import decode_varints, encode_plane, inflate, pack_frame, unpack_frame

_LARGEST_NUMBER_BYTES = 5
"""Of the variable-length integers in a plane of runs."""


class ReviewCalls:
    """Queue, regions, images and decisions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def session(self) -> Json:
        """Who is asking, classes with colors and keys, settings and what is left."""
        return self._connection.get("/api/session")

    def queue(self, **filters: Any) -> Json:  # noqa: ANN401 - query values
        """Regions in queue order; filters are those of GET /api/queue."""
        return self._connection.get("/api/queue", query=filters)

    def next_region(self, after: int | None = None) -> int | None:
        """Id of the region to decide after another one; None when nothing is left."""
        found = self._connection.get("/api/regions/next", query={"after": after})
        region_id: int | None = found["region_id"]
        return region_id

    def region(self, region_id: int) -> Json:
        """One region with its likeliest classes and the version of its image."""
        return self._connection.get("/api/regions/{region_id}", region_id=region_id)

    def picture(self, image_id: int) -> bytes:
        """An upright image as the browser shows it: JPEG or PNG bytes."""
        return self._connection.read("/api/images/{image_id}/picture", image_id=image_id)

    def thumbnail(self, region_id: int) -> bytes:
        """A small JPEG of a region with its surroundings."""
        return self._connection.read("/api/regions/{region_id}/thumbnail", region_id=region_id)

    def planes(self, image_id: int) -> tuple[Json, dict[str, NDArray[np.integer[Any]]]]:
        """What is known about an image, and its (H, W) maps by name.

        Returns:
            Header with image_version, proposal_id and the regions that wait; and label, proposal, reliable,
            unreliability, regions and provenance.
        """
        header, body = unpack_frame(self._connection.read("/api/images/{image_id}/planes", image_id=image_id))
        return header, dict(_planes(header, body))

    def decide(
        self, view: Mapping[str, Any], kind: str, class_id: int | None = None, stats: Mapping[str, int] | None = None
    ) -> Json:
        """Decide a whole region: accept, relabel (with `class_id`), void, dont_know or skip.

        Args:
            view: what `region` returned.
        """
        return self._connection.post(
            "/api/decisions", {**self._header(view, kind), "class_id": class_id, "stats": stats or {}}
        )

    def draw(
        self,
        view: Mapping[str, Any],
        x0: int,
        y0: int,
        values: NDArray[np.uint8],
        closes_region: bool = False,
        lock_override: bool = False,
    ) -> Json:
        """Set pixels of a region's image.

        Args:
            view: what `region` returned.
            x0: column of the box's left edge, in pixels of the upright image.
            y0: row of its upper edge.
            values: (h, w) uint8: class ids, 255 for void, 254 for pixels that stay.
            closes_region: the region is finished, and its other pixels are right as they are.
            lock_override: also change reliable pixels; logged.
        """
        height, width = values.shape
        header = {
            **self._header(view, "draw"), "bbox": [x0, y0, x0 + width, y0 + height],
            "closes_region": closes_region, "lock_override": lock_override,
        }  # fmt: skip
        return self._connection.post("/api/decisions", pack_frame(header, [encode_plane(values, "rle")]))

    def accept_rest(self, view: Mapping[str, Any]) -> Json:
        """Take everything still open in the image of a region as proposed; logged as unseen."""
        body = {**self._header(view, "accept_rest"), "region_id": None}
        return self._connection.post("/api/images/{image_id}/accept-rest", body, image_id=body["image_id"])

    def undo(self) -> Json:
        """Take back the person's last decision that counts."""
        return self._connection.post("/api/undo", self._connection.operation())

    def redo(self) -> Json:
        """Put in force again what the last undo took back."""
        return self._connection.post("/api/redo", self._connection.operation())

    def _header(self, view: Mapping[str, Any], kind: str) -> Json:
        row = view["row"]
        return {
            "kind": kind, "image_id": row["image_id"], "region_id": row["region_id"],
            "image_version": view["image_version"], **self._connection.operation(),
        }  # fmt: skip


def _planes(header: Json, body: bytes) -> Iterator[tuple[str, NDArray[np.integer[Any]]]]:
    """The planes of a body as app/web/wire.py packs them."""
    size_hw = header["height"], header["width"]
    pixels = size_hw[0] * size_hw[1]
    for described in header["planes"]:
        part, body = body[: described["length"]], body[described["length"] :]
        dtype = np.uint16 if described["dtype"] == "u16" else np.uint8
        if described["encoding"] == "raw":
            yield described["name"], np.frombuffer(inflate(part, pixels), np.uint8).reshape(size_hw)
            continue
        numbers = decode_varints(inflate(part, 2 * _LARGEST_NUMBER_BYTES * pixels))
        yield described["name"], np.repeat(numbers[0::2].astype(dtype), numbers[1::2].astype(np.int64)).reshape(size_hw)
