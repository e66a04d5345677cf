"""Refusing what somebody sends about pixels or a region that others changed since the sender saw them."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.domain.decisions import effective_ids
from app.services.review_actions import PreparedRequest
from app.services.review_types import ConflictError, DecisionRequest, ReviewError
from app.storage.history import PastDecision, deltas_of, find_decision


def check_no_conflict(session: Session, prepared: PreparedRequest) -> None:
    """Refuse a request about pixels or a region that somebody else changed since the sender saw them.

    Raises:
        ConflictError: names who and when.
        ReviewError: a version that this image never had.
    """
    request, history = prepared.request, prepared.now.history
    newest = history[-1].id if history else 0
    if not 0 <= request.image_version <= newest:
        raise ReviewError(
            f"image_version must be 0-{newest} for {prepared.now.image.name}, got {request.image_version}; "
            "reload the page"
        )
    changed = _changed_by_others(history, request)
    clashing = {past.operation.op_id for past in changed if _same_region(past, prepared)}
    if prepared.delta is not None:
        for past in changed:
            deltas = deltas_of(session, prepared.now.image, [past.operation.op_id], prepared.delta.bbox)
            if any(prepared.delta.conflicts_with(delta) for delta in deltas):
                clashing.add(past.operation.op_id)
    if clashing:
        raise _conflict(session, prepared, clashing)


def _changed_by_others(history: Sequence[PastDecision], request: DecisionRequest) -> list[PastDecision]:
    """Decisions that count now but did not count for the sender, or the other way round; own actions do not matter."""
    seen = [past for past in history if past.id <= request.image_version or past.session == request.session]
    then = effective_ids([past.operation for past in seen])
    now = effective_ids([past.operation for past in history])
    return [past for past in history if past.operation.op_id in then ^ now]


def _same_region(past: PastDecision, prepared: PreparedRequest) -> bool:
    theirs = {past.region_id, *past.propagated_to} - {None}
    return not theirs.isdisjoint((prepared.request.region_id, *prepared.request.propagate_to))


def _conflict(session: Session, prepared: PreparedRequest, clashing: set[str]) -> ConflictError:
    """The error for the newest decision, or reversal of one, that stands in the way."""
    request, history, name = prepared.request, prepared.now.history, prepared.now.image.name
    undoes = {past.operation.op_id: past.operation.undoes for past in history}

    def root(op_id: str) -> str:
        target = undoes[op_id]
        return op_id if target is None else root(target)

    newest = next(
        past for past in reversed(history) if past.session != request.session and root(past.operation.op_id) in clashing
    )
    decision = find_decision(session, newest.operation.op_id)
    assert decision is not None
    who = "Another tab of yours" if decision.user == request.user else decision.user
    return ConflictError(
        f"{who} changed this region or these pixels of {name} at {decision.created_at:%H:%M} UTC. Open it again "
        "before saving; nothing was overwritten.",
        user=decision.user,
        decided_at=decision.created_at,
    )
