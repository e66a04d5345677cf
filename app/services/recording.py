"""Appending an action to the log, and what its sender learns: the state of things after it."""

from sqlalchemy.orm import Session

from app.domain.decisions import stored_bbox
from app.domain.states import DecisionKind, RegionState
from app.services.labels import active_proposal
from app.services.review_queue import QueuePlace, count_regions, next_in_queue
from app.services.review_states import refresh_states
from app.services.review_types import DecisionResult, QueueFilter, RegionNow, ReviewError
from app.storage.history import find_decision, last_decision_id, last_foreign_id, propagated_regions, root_decision
from app.storage.models import Decision, Image, Region


def find_again(session: Session, op_id: str, kind: DecisionKind, user: str, image_id: int | None) -> Decision | None:
    """The row of an action that was sent before; None when it is new. `image_id` None fits every image.

    Raises:
        ReviewError: the id belongs to another action, which is a fault of the client.
    """
    known = find_decision(session, op_id)
    if known is None:
        return None
    if (known.kind, known.user) != (kind, user) or image_id not in (None, known.image_id):
        raise ReviewError(f"operation id {op_id!r} was used for another action; every action needs its own id")
    return known


def append(session: Session, decision: Decision) -> DecisionResult:
    """Add a row to the log and bring all states in line with it."""
    session.add(decision)
    session.flush()
    root = root_decision(session, decision)
    if root.kind is not DecisionKind.DRAW or root.closes_region:  # A stroke leaves all states as they were.
        refresh_states(session, session.get_one(Image, decision.image_id))
        session.flush()
    return result_of(session, decision)


def result_of(session: Session, decision: Decision, replayed: bool = False) -> DecisionResult:
    """What the client learns about a stored decision."""
    image = session.get_one(Image, decision.image_id)
    region = None if decision.region_id is None else session.get_one(Region, decision.region_id)
    root = root_decision(session, decision)
    return DecisionResult(
        op_id=decision.op_id,
        kind=decision.kind,
        image_id=image.id,
        region_id=decision.region_id,
        region_state=None if region is None else region.state,
        image_state=image.state,
        image_version=last_decision_id(session, image.id),
        foreign_version=last_foreign_id(session, image.id, decision.session),
        next_region_id=_what_next(session, decision, region),
        counts=count_regions(session),
        bbox=_bbox(root, region),
        regions=tuple(_regions(session, root, region)),
        undone_op_id=root.op_id if decision.kind is DecisionKind.UNDO else None,
        replayed=replayed,
    )


def _bbox(root: Decision, region: Region | None) -> tuple[int, int, int, int] | None:
    """Where pixels changed, at most."""
    if root.delta is not None:
        return stored_bbox(root.delta)
    return region.bbox if root.kind is DecisionKind.FLAG and region is not None else None


def _regions(session: Session, root: Decision, region: Region | None) -> list[RegionNow]:
    """The states of all regions that the decision is about."""
    found = [] if region is None else [region]
    found += [session.get_one(Region, region_id) for region_id in propagated_regions(root.stats)]
    return [RegionNow(each.id, each.number, each.state) for each in found]


def _what_next(session: Session, decision: Decision, region: Region | None) -> int | None:
    """After a decision the region behind it; after a stroke, flag, undo or redo the region itself, to show it."""
    theirs = QueueFilter(person=decision.user)
    if region is None:
        return next_in_queue(session, theirs, None)
    proposal = active_proposal(session, region.image_id)
    is_stroke = decision.kind is DecisionKind.DRAW and not decision.closes_region
    stays = is_stroke or decision.kind in (DecisionKind.UNDO, DecisionKind.FLAG)
    if (
        stays
        and region.state is not RegionState.SUPERSEDED
        and proposal is not None
        and proposal.id == region.proposal_id
    ):
        return region.id
    # The place among the open regions, even when it was skipped just now: going on must not start again at the front.
    return next_in_queue(session, theirs, QueuePlace(region.id, region.score))
