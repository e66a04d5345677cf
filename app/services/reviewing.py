"""The queue and what people do to it. Every action is one transaction that is on disk when the call returns."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.domain.decisions import merged, redo_target, undo_target
from app.domain.states import DecisionKind
from app.services.labels import active_proposal, proposal_planes
from app.services.review_actions import check_no_conflict, check_request, decision_row, prepare, reversal_row
from app.services.review_queue import QueuePlace, count_regions, next_in_queue, place_of, region_rows, row_of
from app.services.review_states import refresh_states
from app.services.review_types import (
    DecisionRequest,
    DecisionResult,
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
from app.storage.database import Store
from app.storage.history import effective_deltas, find_decision, last_decision_id, root_decision, user_operations
from app.storage.models import Decision, Image, Region
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

    def counts(self) -> QueueCounts:
        """How much is left."""
        with self._store.reader() as session:
            return count_regions(session)

    def next_region(self, after_region_id: int | None = None, filters: QueueFilter | None = None) -> int | None:
        """The region behind another one in the queue, the first again behind the last; None when the queue is empty.

        Raises:
            NotFoundError: there is no region `after_region_id`.
        """
        with self._store.reader() as session:
            after = None
            if after_region_id is not None:
                after = place_of(session, _require_region(session, after_region_id))
            return next_in_queue(session, filters or QueueFilter(), after)

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
            proposal = active_proposal(session, image_id)
            if proposal is None:
                raise NotFoundError(f"{image.sample_id} has no proposal; make one with: pixelsieve predict")
            version = last_decision_id(session, image_id)
            return ImagePlanes(
                image_id=image_id, sample_id=image.sample_id, image_version=version,
                etag=f"{proposal.id}-{version}", proposal_id=proposal.id, size_wh=(image.width, image.height),
                planes=proposal_planes(self._store, proposal), decided=merged(effective_deltas(session, image)),
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
            known = find_decision(session, request.op_id)
            if known is not None:
                _refuse_reused_id(known, request.kind, request.user, request.image_id)
                return _result(session, known, replayed=True)
            prepared = prepare(self._store, session, request)
            check_no_conflict(session, prepared)
            return _append(session, decision_row(session, prepared))

    def accept_rest(self, image_id: int, image_version: int, user: str, session: str, op_id: str) -> DecisionResult:
        """Take everything still open in an image as proposed: it leaves the queue. Makes no pixel human.

        Raises:
            As `decide`.
        """
        return self.decide(
            DecisionRequest(op_id, DecisionKind.ACCEPT_REST, image_id, image_version, user=user, session=session)
        )

    def undo(self, user: str, session: str, op_id: str) -> DecisionResult:
        """Take back the user's last action that still counts, wherever it was, by appending an undo.

        Raises:
            ReviewError: there is nothing to take back.
        """
        return self._reverse(user, session, op_id, redo=False)

    def redo(self, user: str, session: str, op_id: str) -> DecisionResult:
        """Put the action in force again that the user's last undo took back.

        Raises:
            ReviewError: nothing was taken back, or the user has decided something new since.
        """
        return self._reverse(user, session, op_id, redo=True)

    def _reverse(self, user: str, session: str, op_id: str, redo: bool) -> DecisionResult:
        with self._store.session() as database:
            known = find_decision(database, op_id)
            if known is not None:
                _refuse_reused_id(known, DecisionKind.UNDO, user, known.image_id)
                return _result(database, known, replayed=True)
            operations = user_operations(database, user)
            operation = redo_target(operations) if redo else undo_target(operations)
            if operation is None:
                raise ReviewError(f"there is nothing to {'redo' if redo else 'undo'}")
            target = find_decision(database, operation.op_id)
            assert target is not None
            return _append(database, reversal_row(target, op_id, user, session))

    def _warm(self, request: DecisionRequest) -> None:
        """Decode the planes before the write lock is taken, so that nobody waits for that."""
        with self._store.reader() as session:
            proposal = active_proposal(session, request.image_id)
        if proposal is None:
            return
        planes = proposal_planes(self._store, proposal)
        for name in ("label", "region_map") if request.delta is None else ("label", "region_map", "reliable"):
            getattr(planes, name)


def _require_image(session: Session, image_id: int) -> Image:
    image = session.get(Image, image_id)
    if image is None or image.deleted_at is not None:
        raise NotFoundError(f"there is no image {image_id}")
    return image


def _require_region(session: Session, region_id: int) -> Region:
    region = session.get(Region, region_id)
    if region is None:
        raise NotFoundError(f"there is no region {region_id}")
    return region


def _refuse_reused_id(known: Decision, kind: DecisionKind, user: str, image_id: int) -> None:
    """The same id is the same action sent again; anything else under it is a fault of the client."""
    if (known.kind, known.user, known.image_id) != (kind, user, image_id):
        raise ReviewError(f"operation id {known.op_id!r} was used for another action; every action needs its own id")


def _append(session: Session, decision: Decision) -> DecisionResult:
    session.add(decision)
    session.flush()
    refresh_states(session, session.get_one(Image, decision.image_id))
    session.flush()
    return _result(session, decision)


def _result(session: Session, decision: Decision, replayed: bool = False) -> DecisionResult:
    """What the client learns about a stored decision: the state of things now."""
    image = session.get_one(Image, decision.image_id)
    region = None if decision.region_id is None else session.get_one(Region, decision.region_id)
    is_reversal = decision.kind is DecisionKind.UNDO
    return DecisionResult(
        op_id=decision.op_id,
        kind=decision.kind,
        image_id=image.id,
        region_id=decision.region_id,
        region_state=None if region is None else region.state,
        image_state=image.state,
        image_version=last_decision_id(session, image.id),
        next_region_id=_what_next(session, decision, region),
        counts=count_regions(session),
        undone_op_id=root_decision(session, decision).op_id if is_reversal else None,
        replayed=replayed,
    )


def _what_next(session: Session, decision: Decision, region: Region | None) -> int | None:
    """After a decision the region behind it; after a stroke, undo or redo the region itself, to show what happened."""
    theirs = QueueFilter(person=decision.user)
    if region is None:
        return next_in_queue(session, theirs, None)
    proposal = active_proposal(session, region.image_id)
    is_stroke = decision.kind is DecisionKind.DRAW and not decision.closes_region
    if (is_stroke or decision.kind is DecisionKind.UNDO) and proposal is not None and proposal.id == region.proposal_id:
        return region.id
    # The place among the open regions, even when it was skipped just now: going on must not start again at the front.
    return next_in_queue(session, theirs, QueuePlace(region.id, region.score))
