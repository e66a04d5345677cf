"""The queue and what people do to it. Every action is one transaction that is on disk when the call returns."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from app.domain.decisions import merged
from app.domain.states import DecisionKind, RegionState
from app.services.conflicts import check_no_conflict
from app.services.labels import active_proposal
from app.services.recording import append, find_again, result_of
from app.services.review_actions import check_request, decision_row, prepare
from app.services.review_queue import count_elsewhere, count_regions, next_in_queue, place_of, region_rows, row_of
from app.services.review_types import (
    DecisionRequest,
    DecisionResult,
    Elsewhere,
    ImagePatch,
    ImagePlanes,
    ImageRow,
    NotFoundError,
    QueueCounts,
    QueueFilter,
    RegionRow,
    RegionView,
    ReviewError,
    TopClass,
)
from app.services.showing import shown_image, shown_state
from app.services.undoing import UndoHistory, reversal_image, reverse, undo_history
from app.storage.database import Store
from app.storage.history import effective_deltas, last_decision_id
from app.storage.models import Image, Proposal, Region
from app.storage.settings import ReviewSettings, read_review_settings, require_class_set
from datasets.labels import ClassSet

MAX_PAGE = 500
"""Most lines of the queue in one answer."""


class ReviewService:
    """Everything the reviewer and queue pages ask for. Keeps no state of its own; safe between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def class_set(self) -> ClassSet:
        """The classes of the workspace."""
        with self._store.reader() as session:
            return require_class_set(session)

    def settings(self) -> ReviewSettings:
        """Region rules, the limit of "enough", method and threshold."""
        with self._store.reader() as session:
            return read_review_settings(session)

    def image(self, image_id: int) -> ImageRow:
        """One imported image.

        Raises:
            NotFoundError: there is none.
        """
        with self._store.reader() as session:
            image = _require_image(session, image_id)
            return ImageRow(
                image_id=image.id, sample_id=image.sample_id, sha256=image.sha256,
                path=self._store.workspace.absolute(image.path), size_wh=(image.width, image.height),
                role=image.role, state=image.state, image_version=last_decision_id(session, image_id),
            )  # fmt: skip

    def queue(self, filters: QueueFilter, limit: int = 50, offset: int = 0) -> Sequence[RegionRow]:
        """Regions in queue order, at most MAX_PAGE."""
        if limit < 1 or offset < 0:
            raise ReviewError(f"limit must be at least 1 and offset at least 0, got {limit} and {offset}")
        with self._store.reader() as session:
            return region_rows(session, filters, min(limit, MAX_PAGE), offset)

    def elsewhere(self, filters: QueueFilter, holders: Mapping[int, str]) -> Elsewhere:
        """What a person's queue leaves out because of other people.

        Args:
            filters: of the queue, `not_images` being those that others work on.
            holders: who works on which image.
        """
        with self._store.reader() as session:
            return count_elsewhere(session, filters, holders)

    def counts(self) -> QueueCounts:
        """How much is left, over the whole workspace."""
        with self._store.reader() as session:
            return count_regions(session)

    def next_region(self, after_region_id: int | None = None, filters: QueueFilter | None = None) -> int | None:
        """The region behind another one in the queue, the first again behind the last; None when the queue is empty.

        Raises:
            NotFoundError: there is no region `after_region_id`.
        """
        filters = filters or QueueFilter()
        with self._store.reader() as session:
            after = None
            if after_region_id is not None:
                after = place_of(session, _require_region(session, after_region_id))
            return next_in_queue(session, filters, after)

    def region(self, region_id: int) -> RegionView:
        """What the reviewer page needs to open a region.

        Raises:
            NotFoundError: there is none.
        """
        with self._store.reader() as session:
            region = _require_region(session, region_id)
            image = _require_image(session, region.image_id)
            proposal = active_proposal(session, image.id)
            if proposal is None or proposal.id != region.proposal_id:
                raise NotFoundError(f"region {region_id} belongs to an older proposal; open the next one of the queue")
            if region.state is RegionState.SUPERSEDED:
                raise NotFoundError(
                    f"the flag that made region {region_id} was taken back; open the next one of the queue"
                )
            return RegionView(
                row=row_of(region, image),
                size_wh=(image.width, image.height),
                top_classes=tuple(TopClass(int(entry[0]), float(entry[1])) for entry in region.top_classes),
                proposal_id=proposal.id,
                model_id=proposal.model_id,
                image_version=last_decision_id(session, image.id),
            )

    def region_row(self, region_id: int) -> RegionRow:
        """A region's line of the queue, also when a later proposal replaced it.

        Raises:
            NotFoundError: there is none.
        """
        with self._store.reader() as session:
            region = _require_region(session, region_id)
            return row_of(region, _require_image(session, region.image_id))

    def image_planes(self, image_id: int) -> ImagePlanes:
        """All maps of one image, with every decision applied that counts.

        Raises:
            NotFoundError: no such image, or nothing was predicted for it.
        """
        with self._store.reader() as session:
            image = _require_image(session, image_id)
            proposal = _require_proposal(session, image)
            shown = shown_image(self._store, session, image, proposal)
            version = last_decision_id(session, image_id)
            return ImagePlanes(
                image_id=image_id, sample_id=image.sample_id, image_name=image.name, image_version=version,
                etag=f"{proposal.id}-{version}-{shown.version}", maps_etag=f"{proposal.id}-{shown.version}",
                proposal_id=proposal.id,
                size_wh=(image.width, image.height), planes=shown.planes,
                decided=merged(effective_deltas(session, image)),
            )  # fmt: skip

    def image_patch(self, image_id: int, bbox: tuple[int, int, int, int]) -> ImagePatch:
        """What may have changed in an image since it was loaded, inside a box; much smaller than all maps.

        Raises:
            NotFoundError: no such image, or nothing was predicted for it.
            ReviewError: the box is empty or leaves the image.
        """
        with self._store.reader() as session:
            image = _require_image(session, image_id)
            x0, y0, x1, y1 = bbox
            if not (0 <= x0 < x1 <= image.width and 0 <= y0 < y1 <= image.height):
                raise ReviewError(f"the box {bbox} is empty or leaves {image.name}, {image.width}x{image.height}")
            proposal = _require_proposal(session, image)
            shown = shown_image(self._store, session, image, proposal)
            planes, state = shown.planes, shown_state(session, image, shown, bbox)
            box = slice(y0, y1), slice(x0, x1)
            return ImagePatch(
                image_id=image_id, image_version=last_decision_id(session, image_id), proposal_id=proposal.id,
                bbox=bbox, label=state.label, reliable=planes.reliable[box], region_map=planes.region_map[box],
                provenance=state.provenance,
            )  # fmt: skip

    def decide(self, request: DecisionRequest) -> DecisionResult:
        """Store one action. When this returns, it is on disk; the same `op_id` again changes nothing.

        Raises:
            LockedPixelsError: a drawing touches reliable pixels without `lock_override`.
            ConflictError: somebody else decided the same pixels, or the region was replaced, since `image_version`.
            NotFoundError: no such image or region.
            ReviewError: the request contradicts itself.
            StoreError: the store refused; nothing was saved.
        """
        check_request(request)
        self._warm(request)
        with self._store.session() as session:
            known = find_again(session, request.op_id, request.kind, request.user, request.image_id)
            if known is not None:
                return result_of(session, known, replayed=True)
            prepared = prepare(self._store, session, request)
            check_no_conflict(session, prepared)
            return append(session, decision_row(session, prepared))

    def accept_rest(self, image_id: int, image_version: int, user: str, session: str, op_id: str) -> DecisionResult:
        """Take everything still open in an image as proposed: it leaves the queue. Makes no pixel human.

        Raises:
            As `decide`.
        """
        return self.decide(
            DecisionRequest(op_id, DecisionKind.ACCEPT_REST, image_id, image_version, user=user, session=session)
        )

    def undo(self, user: str, session: str, op_id: str, target_id: str | None = None) -> DecisionResult:
        """Take back the user's last action that still counts, wherever it was, or the one named.

        Raises:
            ReviewError: there is nothing to take back.
            NotFoundError: the user made no action `target_id`.
        """
        return reverse(self._store, user, session, op_id, redo=False, target_id=target_id)

    def redo(self, user: str, session: str, op_id: str, target_id: str | None = None) -> DecisionResult:
        """Put the action in force again that the user's last undo took back, or the one named.

        Raises:
            ReviewError: nothing was taken back, or (without a name) the user has decided something new since.
            NotFoundError: the user made no action `target_id`.
        """
        return reverse(self._store, user, session, op_id, redo=True, target_id=target_id)

    def reversal_image(self, user: str, redo: bool, target_id: str | None = None) -> int | None:
        """The image that the same call of `undo` or `redo` would change; None when it changes none."""
        return reversal_image(self._store, user, redo, target_id)

    def undo_history(self, user: str, limit: int = 100) -> UndoHistory:
        """What undo after undo and redo after redo would reach, also after a reload.

        Raises:
            ReviewError: `limit` is too large.
        """
        return undo_history(self._store, user, limit)

    def _warm(self, request: DecisionRequest) -> None:
        """Decode the planes before the write lock is taken, so that nobody waits for that."""
        with self._store.reader() as session:
            image, proposal = session.get(Image, request.image_id), active_proposal(session, request.image_id)
            if image is None or proposal is None:
                return
            planes = shown_image(self._store, session, image, proposal).planes
        for name in ("label", "region_map") if request.delta is None else ("label", "region_map", "reliable"):
            getattr(planes, name)


def _require_image(session: Session, image_id: int) -> Image:
    image = session.get(Image, image_id)
    if image is None or image.deleted_at is not None:
        raise NotFoundError(f"there is no image {image_id}")
    return image


def _require_proposal(session: Session, image: Image) -> Proposal:
    proposal = active_proposal(session, image.id)
    if proposal is None:
        raise NotFoundError(f"{image.name} has no proposal; make one with: pixelsieve predict")
    return proposal


def _require_region(session: Session, region_id: int) -> Region:
    region = session.get(Region, region_id)
    if region is None or region.state is RegionState.HELD:
        raise NotFoundError(f"there is no region {region_id}")
    return region
