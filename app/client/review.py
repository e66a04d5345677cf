"""Looking at regions and images, and deciding."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.client.connection import Connection, Json
from app.client.planes import unpacked_planes
from app.domain.decisions import Delta, LabelState, base_provenance, replay
from app.storage.runs import deflate_runs
from app.web.wire import pack_frame, unpack_frame


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

    def hold(self, image_id: int, take_over: bool = False, opens: bool = False) -> Json:
        """Work on an image, so that nobody else is shown it; to be repeated every `beat_s` seconds."""
        body = {"session": self._connection.session, "take_over": take_over, "opens": opens}
        return self._connection.post("/api/leases/{image_id}", body, image_id=image_id)

    def release(self, image_id: int) -> None:
        """Give an image back."""
        body = {"session": self._connection.session}
        self._connection.post("/api/leases/{image_id}/release", body, image_id=image_id)

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
            Header with image_version, proposal_id and the regions that wait; and label and provenance as people
            left them, proposal, reliable and regions.
        """
        header, body = unpack_frame(self._connection.read("/api/images/{image_id}/planes", image_id=image_id))
        planes = dict(unpacked_planes(header, body))
        boxes = [each["bbox"] for each in header["planes"] if each["name"] == "decided"]
        decided = [Delta(x0, y0, planes.pop("decided").astype(np.uint8)) for x0, y0, _, _ in boxes]
        proposal = LabelState(planes["proposal"].astype(np.uint8), base_provenance(planes["reliable"].astype(bool)))
        state = replay(proposal, decided)
        return header, {**planes, "label": state.label, "provenance": state.provenance}

    def explorer(self, image_id: int) -> str | None:
        """Where FiftyOne shows an image; None when it was not synced."""
        url: str | None = self._connection.get("/api/images/{image_id}/explorer", image_id=image_id)["url"]
        return url

    def unreliability(self, image_id: int) -> NDArray[np.uint8]:
        """(H, W), round(255 * (1 - confidence)) of the model that proposed."""
        content = self._connection.read("/api/images/{image_id}/unreliability", image_id=image_id)
        return dict(unpacked_planes(*unpack_frame(content)))["unreliability"].astype(np.uint8)

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
        return self._connection.post("/api/decisions", pack_frame(header, [deflate_runs(values)]))

    def finish_drawing(self, view: Mapping[str, Any]) -> Json:
        """Close a region after `draw`: all of it is right as it is now."""
        return self._connection.post("/api/decisions", {**self._header(view, "draw"), "closes_region": True})

    def propagate(self, view: Mapping[str, Any], region_ids: Sequence[int], class_id: int | None) -> Json:
        """Give other regions of a region's image a class, None for void, in one decision that is counted apart."""
        body = {**self._header(view, "propagate"), "propagate_to": list(region_ids), "class_id": class_id}
        return self._connection.post("/api/decisions", body)

    def accept_rest(self, view: Mapping[str, Any]) -> Json:
        """Take everything still open in the image of a region as proposed; logged as unseen."""
        body = {**self._header(view, "accept_rest"), "region_id": None}
        return self._connection.post("/api/images/{image_id}/accept-rest", body, image_id=body["image_id"])

    def undo(self, target: str | None = None) -> Json:
        """Take back the person's last decision that counts, or the one with the op_id `target`."""
        return self._connection.post("/api/undo", {**self._connection.operation(), "target": target})

    def redo(self, target: str | None = None) -> Json:
        """Put in force again what the last undo took back, or the decision with the op_id `target`."""
        return self._connection.post("/api/redo", {**self._connection.operation(), "target": target})

    def _header(self, view: Mapping[str, Any], kind: str) -> Json:
        row = view["row"]
        return {
            "kind": kind, "image_id": row["image_id"], "region_id": row["region_id"],
            "image_version": view["image_version"], **self._connection.operation(),
        }  # fmt: skip
