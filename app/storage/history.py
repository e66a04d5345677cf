"""Reading decisions back: which count, and what they do to pixels."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, func, null, select
from sqlalchemy.orm import Session, aliased

from app.domain.decisions import DELTA_HEAD_BYTES, Delta, Operation, decode_delta, effective_ids, stored_bbox
from app.domain.states import DecisionKind
from app.storage.models import Decision, Image, Region

PROPAGATED_REGIONS = "propagated_regions"
"""Where a propagation's row keeps the ids of the regions that it decided."""

_KINDS_WITH_STATS = (DecisionKind.ACCEPT_REST, DecisionKind.PROPAGATE)
"""Reading the stats of every stroke would take longer than everything else."""

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
        stats: what was logged with it, for the kinds whose effect depends on that; else empty.
    """

    id: int
    operation: Operation
    region_id: int | None
    closes_region: bool
    user: str
    session: str
    stats: dict[str, Any]

    @property
    def propagated_to(self) -> tuple[int, ...]:
        """The regions that a propagation decided."""
        return propagated_regions(self.stats)


def propagated_regions(stats: dict[str, Any]) -> tuple[int, ...]:
    """Ids of the regions that a propagation decided beside the one it was about, out of its row's stats."""
    return tuple(stats.get(PROPAGATED_REGIONS, ()))


def image_history(session: Session, image_id: int) -> list[PastDecision]:
    """All decisions about an image, undos included, oldest first."""
    return _history(session, Decision.image_id == image_id)


def regions_history(session: Session, region_ids: Collection[int]) -> list[PastDecision]:
    """All decisions about some regions, undos included, oldest first. An undo names the region of what it undoes.

    Contains whatever was propagated to them, and with it decisions about the regions from which it came.
    """
    of_their_images = select(Region.image_id).where(Region.id.in_(region_ids))
    propagations = _history(session, (Decision.kind == DecisionKind.PROPAGATE) & Decision.image_id.in_(of_their_images))
    wanted = set(region_ids)
    sources = {past.region_id for past in propagations if wanted.intersection(past.propagated_to)}
    return _history(session, Decision.region_id.in_(wanted | sources))


def _history(session: Session, condition: ColumnElement[bool]) -> list[PastDecision]:
    statement = (
        select(
            Decision.id, Decision.op_id, Decision.kind, Decision.undoes, _UndoneDecision.kind,
            Decision.region_id, Decision.closes_region, Decision.user, Decision.session,
            case((Decision.kind.in_(_KINDS_WITH_STATS), Decision.stats), else_=null()),
        )
        .outerjoin(_UndoneDecision, _UndoneDecision.op_id == Decision.undoes)
        .where(condition)
        .order_by(Decision.id)
    )  # fmt: skip
    return [
        PastDecision(row[0], Operation(row[1], row[2], row[3], row[4]), row[5], row[6], row[7], row[8], row[9] or {})
        for row in session.execute(statement)
    ]


def effective(history: Sequence[PastDecision]) -> list[PastDecision]:
    """The decisions of a history that count, oldest first."""
    counting = effective_ids([past.operation for past in history])
    return [past for past in history if past.operation.op_id in counting]


def user_operations(session: Session, user: str) -> Iterator[Operation]:
    """A person's operations on images that are still there, newest first, read only as far as they are asked for."""
    statement = (
        select(Decision.op_id, Decision.kind, Decision.undoes, _UndoneDecision.kind)
        .outerjoin(_UndoneDecision, _UndoneDecision.op_id == Decision.undoes)
        .join(Image, Image.id == Decision.image_id)
        .where(Decision.user == user, Image.deleted_at.is_(None))
        .order_by(Decision.id.desc())
        .execution_options(yield_per=50)
    )
    for row in session.execute(statement):
        yield Operation(*row)


def deltas_of(
    session: Session, image: Image, op_ids: Sequence[str], bbox: tuple[int, int, int, int] | None = None
) -> list[Delta]:
    """The pixels of some decisions about an image, oldest first; with a box, only of those that reach into it."""
    heads = select(Decision.id, Decision.op_id, func.substr(Decision.delta, 1, DELTA_HEAD_BYTES)).where(
        Decision.image_id == image.id, Decision.delta.is_not(None)
    )
    wanted = set(op_ids)
    ids = [
        decision_id
        for decision_id, op_id, head in session.execute(heads)
        if op_id in wanted and (bbox is None or _overlap(stored_bbox(head), bbox))
    ]
    statement = select(Decision.delta).where(Decision.id.in_(ids)).order_by(Decision.id)
    return [decode_delta(content, image.size_hw) for content in session.scalars(statement) if content is not None]


def effective_deltas(
    session: Session,
    image: Image,
    bbox: tuple[int, int, int, int] | None = None,
    history: Sequence[PastDecision] | None = None,
) -> list[Delta]:
    """The pixels of all decisions about an image that count, oldest first.

    Args:
        bbox: only of those that reach into this box.
        history: the image's, where the caller has read it already.
    """
    counting = effective(image_history(session, image.id) if history is None else history)
    return deltas_of(session, image, [past.operation.op_id for past in counting], bbox)


def last_decision_id(session: Session, image_id: int) -> int:
    """Id of the newest decision about an image, 0 before the first: the image's version."""
    statement = select(Decision.id).where(Decision.image_id == image_id).order_by(Decision.id.desc()).limit(1)
    return session.scalar(statement) or 0


def last_foreign_id(session: Session, image_id: int, session_name: str) -> int:
    """Id of the newest decision about an image that another browser tab, or another person, made; 0 without one."""
    statement = select(Decision.id).where(Decision.image_id == image_id, Decision.session != session_name)
    return session.scalar(statement.order_by(Decision.id.desc()).limit(1)) or 0


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
