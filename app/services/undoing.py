"""Taking actions back and putting them in force again, one after another or by name. Nothing is ever removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.decisions import Operation, effective_ids, redo_stack, standing_undo, stored_bbox, undo_stack
from app.domain.states import DecisionKind
from app.services.recording import append, find_again, result_of
from app.services.review_actions import reversal_row
from app.services.review_types import DecisionResult, NotFoundError, ReviewError
from app.storage.database import Store
from app.storage.history import find_decision, image_history, user_operations
from app.storage.models import Decision

MAX_STEPS = 500
"""Most steps that one answer lists."""


@dataclass(frozen=True)
class Step:
    """An action that undo or redo reaches.

    Attributes:
        op_id: its id.
        kind: what it was.
        image_id: its image.
        region_id: its region, if any.
        closes_region: whether it finished that region.
        bbox: box x0, y0, x1, y1 of the pixels that it set; None when it set none.
    """

    op_id: str
    kind: DecisionKind
    image_id: int
    region_id: int | None
    closes_region: bool
    bbox: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class UndoHistory:
    """What undo after undo and redo after redo would reach, first step first."""

    undo: tuple[Step, ...]
    redo: tuple[Step, ...]


def undo_history(store: Store, user: str, limit: int = 100) -> UndoHistory:
    """A person's next steps back and forth, in whichever tab and on whichever image they were made.

    Raises:
        ReviewError: `limit` is not 1-MAX_STEPS.
    """
    if not 1 <= limit <= MAX_STEPS:
        raise ReviewError(f"limit must be 1-{MAX_STEPS}, got {limit}")
    with store.reader() as session:
        back = [operation.op_id for operation in islice(undo_stack(user_operations(session, user)), limit)]
        forth = [operation.undoes for operation in islice(redo_stack(user_operations(session, user)), limit)]
        return UndoHistory(_steps(session, back), _steps(session, [op_id for op_id in forth if op_id is not None]))


def reverse(
    store: Store, user: str, session_name: str, op_id: str, redo: bool, target_id: str | None
) -> DecisionResult:
    """Append an undo, or with `redo` the undo of an undo.

    Args:
        target_id: the action to take back or to put in force again; None takes what the person did (or undid) last.

    Raises:
        ReviewError: there is nothing like that, or the target is in that state already.
        NotFoundError: this person made no action `target_id`.
    """
    with store.session() as session:
        known = find_again(session, op_id, DecisionKind.UNDO, user, None)
        if known is not None:
            return result_of(session, known, replayed=True)
        reversed_id = _last(session, user, redo) if target_id is None else _named(session, user, target_id, redo)
        target = find_decision(session, reversed_id)
        assert target is not None
        return append(session, reversal_row(target, op_id, user, session_name))


def reversal_image(store: Store, user: str, redo: bool, target_id: str | None) -> int | None:
    """The image that `reverse` would change; None when there is nothing to take back."""
    with store.reader() as session:
        try:
            op_id = _last(session, user, redo) if target_id is None else target_id
        except ReviewError:
            return None
        target = find_decision(session, op_id)
        return None if target is None or target.user != user else target.image_id


def _last(session: Session, user: str, redo: bool) -> str:
    operations = user_operations(session, user)
    operation: Operation | None = next((redo_stack if redo else undo_stack)(operations), None)
    if operation is None:
        raise ReviewError(f"there is nothing to {'redo' if redo else 'undo'}")
    return operation.op_id


def _named(session: Session, user: str, target_id: str, redo: bool) -> str:
    """The operation to reverse so that `target_id` stops counting, or counts again."""
    target = find_decision(session, target_id)
    if target is None or target.user != user or target.kind is DecisionKind.UNDO:
        raise NotFoundError(f"there is no action {target_id!r} of yours to {'redo' if redo else 'undo'}")
    operations = [past.operation for past in image_history(session, target.image_id)]
    if not redo:
        if target_id not in effective_ids(operations):
            raise ReviewError("this was taken back already, perhaps in another tab; nothing was changed")
        return target_id
    undo = standing_undo(operations, target_id)
    if undo is None:
        raise ReviewError("this counts already, perhaps another tab put it in force again; nothing was changed")
    return undo.op_id


def _steps(session: Session, op_ids: Sequence[str]) -> tuple[Step, ...]:
    rows = {row.op_id: row for row in session.scalars(select(Decision).where(Decision.op_id.in_(op_ids)))}
    return tuple(_step(rows[op_id]) for op_id in op_ids)


def _step(row: Decision) -> Step:
    bbox = None if row.delta is None else stored_bbox(row.delta)
    return Step(row.op_id, row.kind, row.image_id, row.region_id, row.closes_region, bbox)
