"""Models of all rounds, the gold images on which they are compared, and the threshold of the one in use."""

from app.client.connection import Connection, Json


class ModelCalls:
    """Look, compare any two, promote, go back, set aside."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def models(self) -> list[Json]:
        """All models, latest round first."""
        return list(self._connection.get("/api/models")["models"])

    def compare(self, old: int, new: int) -> Json:
        """Two models on the same gold images: classes with intervals, and the images that got worse first."""
        return self._connection.get("/api/models/compare", query={"old": old, "new": new})

    def compare_with_current(self, model_id: int) -> Json:
        """A model against the current one on the same gold images."""
        return self._connection.get("/api/models/{model_id}/comparison", model_id=model_id)

    def changes(self, limit: int = 50) -> list[Json]:
        """Who promoted, rolled back or rejected which model and why, latest first."""
        return list(self._connection.get("/api/models/changes", query={"limit": limit})["changes"])

    def limits(self) -> Json:
        """Largest falls of gold IoU that are promoted without a reason, as fractions."""
        return self._connection.get("/api/models/limits")

    def set_limits(self, miou_fall: float, class_fall: float) -> Json:
        """Set both limits, as fractions."""
        return self._connection.post("/api/models/limits", {"miou_fall": miou_fall, "class_fall": class_fall})

    def promote(self, model_id: int, reason: str | None = None, seen_current: int | None = None) -> Json:
        """Make a model the current one; `reason` is needed when gold got worse.

        Args:
            seen_current: the model that was compared with: refused if another one is current by now.
        """
        body = {"reason": reason, "seen_current": seen_current}
        return self._connection.post("/api/models/{model_id}/promote", body, model_id=model_id)

    def roll_back(self, model_id: int, reason: str, seen_current: int | None = None) -> Json:
        """Go back to an earlier model; the answer says how many images have its proposals again."""
        body = {"reason": reason, "seen_current": seen_current}
        return self._connection.post("/api/models/{model_id}/rollback", body, model_id=model_id)

    def reject(self, model_id: int, reason: str | None = None) -> list[Json]:
        """Set a candidate aside."""
        body = {"reason": reason}
        return list(self._connection.post("/api/models/{model_id}/reject", body, model_id=model_id)["models"])

    def threshold(self) -> Json:
        """Calibration and curve of the current model, who chose which threshold, and how images stand to it."""
        return self._connection.get("/api/threshold")

    def preview_threshold(self, at: float | None = None) -> Json:
        """How large the queue would be at a threshold, and the minutes of work; None is the model file's own."""
        return self._connection.get("/api/threshold/preview", query={} if at is None else {"at": at})

    def set_threshold(self, threshold: float | None, seen_model: int | None = None) -> int:
        """Choose a threshold (None goes back to the model file's own) and cut the queue anew; the id of that job.

        Args:
            seen_model: the current model that was looked at: refused if another one is by now.
        """
        body = {"threshold": threshold, "seen_model": seen_model}
        return int(self._connection.post("/api/threshold", body)["job_id"])

    def ask_promise(self, alpha: float | None = None, independent: bool | None = None) -> Json:
        """Which error of reliable pixels the next calibration is asked to promise, as a share, and whether the pictures
        do not come from videos; None stays as it is."""
        return self._connection.post("/api/threshold/asked", {"alpha": alpha, "independent": independent})

    def gold_picture(self, image_id: int, width: int = 480) -> bytes:
        """A gold image as a PNG of at most `width` pixels."""
        return self._connection.read("/api/gold/{image_id}/picture", {"width": width}, image_id=image_id)

    def gold_label(self, image_id: int, width: int = 480) -> bytes:
        """Its label in class colors, as a PNG."""
        return self._connection.read("/api/gold/{image_id}/label", {"width": width}, image_id=image_id)

    def gold_prediction(self, image_id: int, model_id: int, width: int = 480) -> bytes:
        """What a model predicted for it, in class colors, as a PNG."""
        query = {"model": model_id, "width": width}
        return self._connection.read("/api/gold/{image_id}/prediction", query, image_id=image_id)

    def gold_difference(self, image_id: int, old: int, new: int, width: int = 480) -> bytes:
        """What became wrong and what became right from one model to another, as a PNG."""
        query = {"old": old, "new": new, "width": width}
        return self._connection.read("/api/gold/{image_id}/difference", query, image_id=image_id)
