"""The queue and what people do to it."""

from collections.abc import Sequence

from app.services.review_types import (
    DecisionRequest,
    DecisionResult,
    ImagePlanes,
    ImageRow,
    QueueCounts,
    QueueFilter,
    RegionRow,
    RegionView,
)
from app.storage.database import Store
from app.storage.settings import ReviewSettings
from datasets.labels import ClassSet


class ReviewService:
    """Everything the reviewer and queue pages ask for. Holds no state but a cache of files that never change."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def class_set(self) -> ClassSet:
        """The classes of the workspace."""
        raise NotImplementedError

    def settings(self) -> ReviewSettings:
        """Region rules, limit of "enough", method and threshold."""
        raise NotImplementedError

    def image(self, image_id: int) -> ImageRow:
        """One imported image."""
        raise NotImplementedError

    def queue(self, filters: QueueFilter, limit: int = 50, offset: int = 0) -> Sequence[RegionRow]:
        """Regions in queue order."""
        raise NotImplementedError

    def counts(self) -> QueueCounts:
        """How much is left."""
        raise NotImplementedError

    def next_region(self, after_region_id: int | None = None, filters: QueueFilter | None = None) -> int | None:
        """The region to show next."""
        raise NotImplementedError

    def region(self, region_id: int) -> RegionView:
        """One region."""
        raise NotImplementedError

    def image_planes(self, image_id: int) -> ImagePlanes:
        """All maps of one image."""
        raise NotImplementedError

    def decide(self, request: DecisionRequest) -> DecisionResult:
        """Store one action."""
        raise NotImplementedError

    def accept_rest(self, image_id: int, image_version: int, user: str, session: str, op_id: str) -> DecisionResult:
        """Take everything still open in an image as proposed."""
        raise NotImplementedError

    def undo(self, user: str, session: str, op_id: str) -> DecisionResult:
        """Take back the user's last decision that still counts."""
        raise NotImplementedError

    def redo(self, user: str, session: str, op_id: str) -> DecisionResult:
        """Put the decision in force again that the user's last undo took back."""
        raise NotImplementedError
