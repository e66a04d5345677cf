"""Reading decisions back: which count, and what they do to pixels."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased

from app.domain.decisions import Delta, Operation, decode_delta, effective_ids, stored_bbox
from app.domain.states import DecisionKind
from app.storage.models import Decision, Image

_UndoneDecision = aliased(Decision)


@dataclass(frozen=True)
class PastDecision:
    """A decision without its pixels.

    Attributes:
        id: its place in the order of all decisions.
        operation: as undo and redo see it.
        region_id: the region it was about, if any.
        closes_region: whether it finished that region.
        user: who.
        session: from which browser tab.
        stats: what was logged with it.
    """

    id: int
    operation: Operation
    region_id: int | None
    closes_region: bool
    user: str
    session: str
    stats: dict[str, Any]


def image_history(session: Session, image_id: int) -> list[PastDecision]:
    """All decisions about an image, undos included, oldest first."""
    return _history(session, Decision.image_id == image_id)


def regions_history(session: Session, region_ids: Collection[int]) -> list[PastDecision]:
    """All decisions about some regions, undos included, oldest first. An undo names the region of what it undoes."""
    return _history(session, Decision.region_id.in_(region_ids))


def _history(session: Session, condition: ColumnElement[bool]) -> list[PastDecision]:
    statement = (
        select(
            Decision.id, Decision.op_id, Decision.kind, Decision.undoes, _UndoneDecision.kind,
            Decision.region_id, Decision.closes_region, Decision.user, Decision.session, Decision.stats,
        )
        .outerjoin(_UndoneDecision, _UndoneDecision.op_id == Decision.undoes)
        .where(condition)
        .order_by(Decision.id)
    )  # fmt: skip
    return [
        PastDecision(row[0], Operation(row[1], row[2], row[3], row[4]), *row[5:]) for row in session.execute(statement)
    ]


def effective(history: Sequence[PastDecision]) -> list[PastDecision]:
    """The decisions of a history that count, oldest first."""
    counting = effective_ids([past.operation for past in history])
    return [past for past in history if past.operation.op_id in counting]


def user_operations(session: Session, user: str) -> Iterator[Operation]:
    """A person's operations, newest first, read only as far as they are asked for."""
    statement = (
        select(Decision.op_id, Decision.kind, Decision.undoes, _UndoneDecision.kind)
        .outerjoin(_UndoneDecision, _UndoneDecision.op_id == Decision.undoes)
        .where(Decision.user == user)
        .order_by(Decision.id.desc())
        .execution_options(yield_per=50)
    )
    for row in session.execute(statement):
        yield Operation(*row)


def deltas_of(
    session: Session, image: Image, op_ids: Sequence[str], bbox: tuple[int, int, int, int] | None = None
) -> list[Delta]:
    """The pixels of some decisions about an image, oldest first; with a box, only of those that reach into it."""
    statement = select(Decision.op_id, Decision.delta).where(Decision.image_id == image.id, Decision.delta.is_not(None))
    wanted = set(op_ids)
    stored = [row.delta for row in session.execute(statement.order_by(Decision.id)) if row.op_id in wanted]
    return [
        decode_delta(content, image.size_hw)
        for content in stored
        if bbox is None or _overlap(stored_bbox(content), bbox)
    ]


def effective_deltas(session: Session, image: Image, bbox: tuple[int, int, int, int] | None = None) -> list[Delta]:
    """The pixels of all decisions about an image that count, oldest first; with a box, only those reaching into it."""
    counting = [past.operation.op_id for past in effective(image_history(session, image.id))]
    return deltas_of(session, image, counting, bbox)


def last_decision_id(session: Session, image_id: int) -> int:
    """Id of the newest decision about an image, 0 before the first: the image's version."""
    statement = select(Decision.id).where(Decision.image_id == image_id).order_by(Decision.id.desc()).limit(1)
    return session.scalar(statement) or 0


def find_decision(session: Session, op_id: str) -> Decision | None:
    """The decision with a client's operation id."""
    return session.scalar(select(Decision).where(Decision.op_id == op_id))


def root_decision(session: Session, decision: Decision) -> Decision:
    """What an undo or redo is about in the end: the decision that set pixels or a state."""
    while decision.kind is DecisionKind.UNDO:
        target = find_decision(session, decision.undoes or "")
        assert target is not None, "the store never holds an undo without its decision"
        decision = target
    return decision


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
