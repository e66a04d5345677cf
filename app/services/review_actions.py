"""From a request to a row in the log: what it means, whether it is allowed, and which pixels it sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.domain.decisions import Delta, delta_from_mask, effective_ids, encode_delta, replay_crop
from app.domain.states import DecisionKind, ImageState, RegionState
from app.services.labels import active_proposal, proposal_planes
from app.services.review_types import (
    ConflictError,
    DecisionRequest,
    LockedPixelsError,
    NotAllowedError,
    NotFoundError,
    ReviewError,
)
from app.storage.database import Store
from app.storage.history import PastDecision, deltas_of, effective_deltas, find_decision, image_history
from app.storage.models import Decision, Image, Model, Proposal, Region
from app.storage.planes import ProposalPlanes
from app.storage.settings import read_review_settings, require_class_set
from datasets.labels import IGNORE_INDEX, LabelArray

MAX_OP_ID = 64
MAX_NAME = 255

_WHOLE_REGION = (DecisionKind.ACCEPT, DecisionKind.RELABEL, DecisionKind.VOID)
_NEEDS_REGION = (*_WHOLE_REGION, DecisionKind.DONT_KNOW, DecisionKind.SKIP)

_FACTS_SHOWN = (
    "image_sha256", "proposal_id", "method", "threshold", "region_kind", "area", "mean_confidence", "predicted_class",
    "top_classes",
)  # fmt: skip
"""What is logged about what was shown; an undo is about the same thing as the action that it takes back."""


@dataclass(frozen=True)
class PreparedRequest:
    """A request that makes sense, with everything it refers to.

    Attributes:
        request: as it came.
        image: its row.
        proposal: the active one.
        region: the region's row, if any.
        delta: the pixels it sets, if any.
        pixels_changed: how many of them get another class id than they have now.
    """

    request: DecisionRequest
    image: Image
    proposal: Proposal
    region: Region | None
    delta: Delta | None
    pixels_changed: int


def check_request(request: DecisionRequest) -> None:
    """Refuse a request that contradicts itself, before anything is read.

    Raises:
        ReviewError: says what is missing or too much.
    """
    kind = request.kind
    if not 1 <= len(request.op_id) <= MAX_OP_ID:
        raise ReviewError(f"op_id must have 1-{MAX_OP_ID} characters, got {len(request.op_id)}")
    if not (1 <= len(request.user) <= MAX_NAME and 1 <= len(request.session) <= MAX_NAME):
        raise ReviewError(f"user and session must have 1-{MAX_NAME} characters")
    if kind is DecisionKind.UNDO:
        raise ReviewError("undo and redo are no decisions about a region; use their own calls")
    if kind in _NEEDS_REGION and request.region_id is None:
        raise ReviewError(f"'{kind}' needs a region_id")
    if (kind is DecisionKind.RELABEL) != (request.class_id is not None):
        raise ReviewError(f"class_id belongs to 'relabel' and to nothing else; got {request.class_id} with '{kind}'")
    if (kind is DecisionKind.DRAW) != (request.delta is not None):
        raise ReviewError(f"drawn pixels belong to 'draw' and to nothing else; the request is '{kind}'")
    if request.closes_region and (kind is not DecisionKind.DRAW or request.region_id is None):
        raise ReviewError("closes_region belongs to 'draw' with a region_id")


def prepare(store: Store, session: Session, request: DecisionRequest) -> PreparedRequest:
    """Find what a request refers to and work out its pixels.

    Raises:
        NotFoundError: no such image or region, or the image has no proposal.
        ConflictError: the region belongs to an older proposal.
        LockedPixelsError: it draws over reliable pixels without asking to.
        ReviewError: an unknown class, pixels outside the image, or nothing left to accept.
    """
    image = session.get(Image, request.image_id)
    if image is None or image.deleted_at is not None:
        raise NotFoundError(f"there is no image {request.image_id}")
    proposal = active_proposal(session, image.id)
    if proposal is None:
        raise NotFoundError(f"{image.sample_id} has no proposal to review; make one with: pixelsieve predict")
    region = None if request.region_id is None else _active_region(session, request, image, proposal)
    if request.kind is DecisionKind.ACCEPT_REST and image.state is ImageState.DONE:
        raise ReviewError(f"nothing is left open in {image.sample_id}")
    planes = proposal_planes(store, proposal)
    delta = _delta(session, request, image, region, planes)
    changed = 0
    if delta is not None:
        before = _current_label(session, image, planes, delta.bbox)
        changed = int(np.count_nonzero(delta.touched_mask & (delta.values != before)))
    return PreparedRequest(request, image, proposal, region, delta, changed)


def check_no_conflict(session: Session, prepared: PreparedRequest) -> None:
    """Refuse a request about pixels or a region that somebody else changed since the sender saw them.

    Raises:
        ConflictError: names who and when.
        ReviewError: a version that this image never had.
    """
    request = prepared.request
    history = image_history(session, prepared.image.id)
    newest = history[-1].id if history else 0
    if not 0 <= request.image_version <= newest:
        raise ReviewError(
            f"image_version must be 0-{newest} for {prepared.image.sample_id}, got {request.image_version}; "
            "reload the page"
        )
    changed = _changed_by_others(history, request)
    clashing = {past.operation.op_id for past in changed if _same_region(past, prepared)}
    if prepared.delta is not None:
        for past in changed:
            deltas = deltas_of(session, prepared.image, [past.operation.op_id], prepared.delta.bbox)
            if any(prepared.delta.conflicts_with(delta) for delta in deltas):
                clashing.add(past.operation.op_id)
    if clashing:
        raise _conflict(session, history, clashing, request)


def decision_row(session: Session, prepared: PreparedRequest) -> Decision:
    """The row that records a request; add it to the session to make it happen."""
    request = prepared.request
    return Decision(
        op_id=request.op_id,
        image_id=prepared.image.id,
        region_id=request.region_id,
        kind=request.kind,
        closes_region=request.closes_region or request.kind in _WHOLE_REGION,
        class_id=request.class_id,
        delta=None if prepared.delta is None else encode_delta(prepared.delta),
        user=request.user,
        session=request.session,
        model_id=prepared.proposal.model_id,
        lock_override=request.lock_override,
        stats=_stats(session, prepared),
    )


def reversal_row(target: Decision, op_id: str, user: str, session_name: str) -> Decision:
    """The row that takes back `target`; taking back an undo is a redo.

    Raises:
        ReviewError: an id or a name of the wrong length.
    """
    if not (1 <= len(op_id) <= MAX_OP_ID and 1 <= len(user) <= MAX_NAME and 1 <= len(session_name) <= MAX_NAME):
        raise ReviewError(f"op_id must have 1-{MAX_OP_ID} characters, user and session 1-{MAX_NAME}")
    return Decision(
        op_id=op_id,
        image_id=target.image_id,
        region_id=target.region_id,
        kind=DecisionKind.UNDO,
        closes_region=False,
        undoes=target.op_id,
        user=user,
        session=session_name,
        model_id=target.model_id,
        lock_override=False,
        stats={name: target.stats[name] for name in _FACTS_SHOWN if name in target.stats},
    )


def _active_region(session: Session, request: DecisionRequest, image: Image, proposal: Proposal) -> Region:
    region = session.get(Region, request.region_id)
    if region is None or region.image_id != image.id:
        raise NotFoundError(f"there is no region {request.region_id} in image {image.id}")
    if region.state is RegionState.SECOND_REVIEW and not request.may_second_review:
        raise NotAllowedError(
            "somebody did not know this region, so a reviewer decides it. Nothing was saved. If it was you, "
            "by mistake, undo it (Ctrl+Z)."
        )
    if region.proposal_id != proposal.id:
        raise ConflictError(
            f"a newer model has proposed other regions for {image.sample_id} since you opened this one. "
            "Nothing was saved; go on with the next region."
        )
    return region


def _delta(
    session: Session, request: DecisionRequest, image: Image, region: Region | None, planes: ProposalPlanes
) -> Delta | None:
    """The pixels that a request sets, spelled out."""
    if request.delta is not None:
        _check_drawing(session, request, request.delta, image, planes)
        if not request.closes_region or region is None:
            return request.delta
        return _with_rest_of_region(session, request.delta, image, region, planes)
    if request.kind not in _WHOLE_REGION or region is None:
        return None
    rows, columns = _box(region.bbox)
    region_mask = planes.region_map[rows, columns] == region.number
    label = _new_label(session, request, image, region, planes)
    return delta_from_mask(region_mask, label, region.x0, region.y0)


def _check_drawing(
    session: Session, request: DecisionRequest, delta: Delta, image: Image, planes: ProposalPlanes
) -> None:
    try:
        delta.check(image.size_hw, len(require_class_set(session)))
    except ValueError as error:
        raise ReviewError(str(error)) from error
    if not delta.touched_mask.any():
        raise ReviewError("the drawing sets no pixel")
    num_locked = int(np.count_nonzero(planes.reliable[delta.rows_columns] & delta.touched_mask))
    if num_locked and not request.lock_override:
        raise LockedPixelsError(
            f"the drawing touches {num_locked} locked pixels, which the model is sure about. Nothing was saved; "
            "unlock them (L) and draw again if they are wrong."
        )


def _with_rest_of_region(session: Session, drawn: Delta, image: Image, region: Region, planes: ProposalPlanes) -> Delta:
    """The drawn pixels and, as they are now, the region's others: finishing a region means having seen all of it."""
    x0, y0 = min(drawn.x0, region.x0), min(drawn.y0, region.y0)
    x1, y1 = max(drawn.bbox[2], region.x1), max(drawn.bbox[3], region.y1)
    label = replay_crop(_current_label(session, image, planes, (x0, y0, x1, y1)), x0, y0, [drawn])
    touched_mask = planes.region_map[y0:y1, x0:x1] == region.number
    touched_mask[drawn.y0 - y0 : drawn.bbox[3] - y0, drawn.x0 - x0 : drawn.bbox[2] - x0] |= drawn.touched_mask
    return delta_from_mask(touched_mask, label, x0, y0)


def _new_label(
    session: Session, request: DecisionRequest, image: Image, region: Region, planes: ProposalPlanes
) -> LabelArray:
    """(h, w) ids for a region's box."""
    if request.kind is DecisionKind.ACCEPT:
        return _current_label(session, image, planes, region.bbox)
    class_id = IGNORE_INDEX
    if request.class_id is not None:
        num_classes = len(require_class_set(session))
        if not 0 <= request.class_id < num_classes:
            raise ReviewError(f"class_id must be 0-{num_classes - 1}, got {request.class_id}")
        class_id = request.class_id
    return np.full((region.y1 - region.y0, region.x1 - region.x0), class_id, np.uint8)


def _current_label(
    session: Session, image: Image, planes: ProposalPlanes, bbox: tuple[int, int, int, int]
) -> LabelArray:
    """(h, w) label inside a box with all decisions that count."""
    return replay_crop(planes.label[_box(bbox)], bbox[0], bbox[1], effective_deltas(session, image, bbox))


def _box(bbox: tuple[int, int, int, int]) -> tuple[slice, slice]:
    return slice(bbox[1], bbox[3]), slice(bbox[0], bbox[2])


def _changed_by_others(history: Sequence[PastDecision], request: DecisionRequest) -> list[PastDecision]:
    """Decisions that count now but did not count for the sender, or the other way round; own actions do not matter."""
    seen = [past for past in history if past.id <= request.image_version or past.session == request.session]
    then = effective_ids([past.operation for past in seen])
    now = effective_ids([past.operation for past in history])
    return [past for past in history if past.operation.op_id in then ^ now]


def _same_region(past: PastDecision, prepared: PreparedRequest) -> bool:
    return past.region_id is not None and past.region_id == prepared.request.region_id


def _conflict(
    session: Session, history: Sequence[PastDecision], clashing: set[str], request: DecisionRequest
) -> ConflictError:
    """The error for the newest decision, or reversal of one, that stands in the way."""
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
        f"{who} changed this region or these pixels at {decision.created_at:%H:%M} UTC. Reload the image before "
        "saving; nothing was overwritten.",
        user=decision.user,
        decided_at=decision.created_at,
    )


def _stats(session: Session, prepared: PreparedRequest) -> dict[str, Any]:
    """What is logged per action: the browser's counts and what the store knows at this moment."""
    settings = read_review_settings(session)
    model = session.get_one(Model, prepared.proposal.model_id)
    logged: dict[str, Any] = prepared.request.stats.model_dump()
    logged.update(
        image_sha256=prepared.image.sha256,
        proposal_id=prepared.proposal.id,
        method=settings.method or model.method,
        threshold=settings.threshold,
        pixels_set=0 if prepared.delta is None else int(np.count_nonzero(prepared.delta.touched_mask)),
        pixels_changed=prepared.pixels_changed,
    )
    if prepared.region is not None:
        region = prepared.region
        logged.update(
            region_kind=region.kind.value,
            area=region.area,
            mean_confidence=region.mean_confidence,
            predicted_class=region.class_id,
            top_classes=region.top_classes,
        )
    return logged
