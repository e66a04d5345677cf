"""From a request to a row in the log: what it means, whether it is allowed, and which pixels it sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.domain.decisions import (
    Delta,
    LabelState,
    delta_from_mask,
    encode_delta,
    replay,
)
from app.domain.states import DecisionKind, ImageState, RegionState
from app.services.labels import active_proposal
from app.services.lookalikes import propagated_delta
from app.services.probe_outcomes import probe_facts, probe_outcome
from app.services.review_types import (
    ConflictError,
    DecisionRequest,
    LockedPixelsError,
    NotAllowedError,
    NotFoundError,
    ReviewError,
)
from app.services.showing import ShownImage, is_from_scratch, shown_image, shown_state
from app.storage.database import Store
from app.storage.history import (
    PROPAGATED_REGIONS,
    PastDecision,
    image_history,
)
from app.storage.models import Decision, Image, Model, Proposal, Region
from app.storage.settings import read_review_settings, require_class_set
from datasets.labels import IGNORE_INDEX, LabelArray

MAX_OP_ID = 64
MAX_NAME = 255

_WHOLE_REGION = (DecisionKind.ACCEPT, DecisionKind.RELABEL, DecisionKind.VOID)
_NOT_FROM_SCRATCH = (*_WHOLE_REGION, DecisionKind.PROPAGATE, DecisionKind.ACCEPT_REST)
"""What would finish an image that people label from scratch without labeling it."""

_NEEDS_REGION = (*_WHOLE_REGION, DecisionKind.DONT_KNOW, DecisionKind.SKIP, DecisionKind.PROPAGATE)


@dataclass(frozen=True)
class ImageNow:
    """An image as it is in this transaction.

    Attributes:
        image: its row.
        proposal: the active one.
        shown: what people see of it before their decisions.
        history: all decisions about the image, oldest first.
    """

    image: Image
    proposal: Proposal
    shown: ShownImage
    history: Sequence[PastDecision]


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
        now: the image that it is about.
        region: the region's row, if any.
        delta: the pixels it sets, if any.
        pixels_changed: how many of them get another class id than they have now.
        outcome: what it says about a probe that it decides; empty for other regions.
    """

    request: DecisionRequest
    now: ImageNow
    region: Region | None
    delta: Delta | None
    pixels_changed: int
    outcome: Mapping[str, Any]


def check_names(op_id: str, user: str, session_name: str) -> None:
    """Refuse ids and names of the wrong length.

    Raises:
        ReviewError: says which.
    """
    if not 1 <= len(op_id) <= MAX_OP_ID:
        raise ReviewError(f"op_id must have 1-{MAX_OP_ID} characters, got {len(op_id)}")
    if not (1 <= len(user) <= MAX_NAME and 1 <= len(session_name) <= MAX_NAME):
        raise ReviewError(f"user and session must have 1-{MAX_NAME} characters")


def check_request(request: DecisionRequest) -> None:
    """Refuse a request that contradicts itself, before anything is read.

    Raises:
        ReviewError: says what is missing or too much.
    """
    kind = request.kind
    check_names(request.op_id, request.user, request.session)
    if kind in (DecisionKind.UNDO, DecisionKind.FLAG):
        raise ReviewError("undo, redo and flags are no decisions about a region; use their own calls")
    if kind in _NEEDS_REGION and request.region_id is None:
        raise ReviewError(f"'{kind}' needs a region_id")
    _check_fields(request)


def _check_fields(request: DecisionRequest) -> None:
    """Refuse fields that belong to another kind of action, or that this kind lacks."""
    kind = request.kind
    with_class = request.class_id is not None
    if with_class != (kind is DecisionKind.RELABEL) and kind is not DecisionKind.PROPAGATE:
        raise ReviewError(f"class_id belongs to 'relabel' and 'propagate' only; got {request.class_id} with '{kind}'")
    is_drawing = request.delta is not None or (kind is DecisionKind.DRAW and request.closes_region)
    if (kind is DecisionKind.DRAW) != is_drawing:
        raise ReviewError(f"drawn pixels belong to 'draw' and to nothing else; the request is '{kind}'")
    if request.closes_region and (kind is not DecisionKind.DRAW or request.region_id is None):
        raise ReviewError("closes_region belongs to 'draw' with a region_id")
    if (kind is DecisionKind.PROPAGATE) != bool(request.propagate_to):
        raise ReviewError("propagate_to belongs to 'propagate', which needs at least one region, and to nothing else")


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
        raise NotFoundError(f"{image.name} has no proposal to review; make one with: pixelsieve predict")
    region = None if request.region_id is None else _active_region(session, request, image, proposal)
    if request.kind in _NOT_FROM_SCRATCH and is_from_scratch(session, proposal):
        raise ReviewError("this image is labeled from scratch: draw it, then finish it with Enter. Nothing was saved.")
    if request.kind is DecisionKind.ACCEPT_REST and image.state is ImageState.DONE:
        raise ReviewError(f"nothing is left open in {image.name}; an area that was flagged is decided by itself")
    now = ImageNow(image, proposal, shown_image(store, session, image, proposal), image_history(session, image.id))
    delta = _delta(session, request, now, region)
    changed = 0
    if delta is not None:
        before = _current_state(session, now, delta.bbox).label
        changed = int(np.count_nonzero(delta.touched_mask & (delta.values != before)))
    outcome: Mapping[str, Any] = {}
    if region is not None and delta is not None and _closes_region(request):
        before_region = _current_state(session, now, region.bbox)
        outcome = probe_outcome(store, session, proposal, now.shown, before_region, region, delta)
    return PreparedRequest(request, now, region, delta, changed, outcome)


def decision_row(session: Session, prepared: PreparedRequest) -> Decision:
    """The row that records a request; add it to the session to make it happen."""
    request = prepared.request
    return Decision(
        op_id=request.op_id,
        image_id=prepared.now.image.id,
        region_id=request.region_id,
        kind=request.kind,
        closes_region=_closes_region(request),
        class_id=request.class_id,
        delta=None if prepared.delta is None else encode_delta(prepared.delta),
        user=request.user,
        session=request.session,
        model_id=prepared.now.proposal.model_id,
        lock_override=request.lock_override,
        stats=_stats(session, prepared),
    )


def reversal_row(target: Decision, op_id: str, user: str, session_name: str) -> Decision:
    """The row that takes back `target`; taking back an undo is a redo.

    Raises:
        ReviewError: an id or a name of the wrong length.
    """
    check_names(op_id, user, session_name)
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


def _closes_region(request: DecisionRequest) -> bool:
    return request.closes_region or request.kind in _WHOLE_REGION


def _active_region(session: Session, request: DecisionRequest, image: Image, proposal: Proposal) -> Region:
    region = session.get(Region, request.region_id)
    if region is None or region.image_id != image.id or region.state is RegionState.HELD:
        raise NotFoundError(f"there is no region {request.region_id} in image {image.id}")
    if region.state is RegionState.SECOND_REVIEW and not request.may_second_review:
        raise NotAllowedError(
            "somebody did not know this region, so a reviewer decides it. Nothing was saved. If it was you, "
            "by mistake, undo it (Ctrl+Z)."
        )
    if region.proposal_id != proposal.id:
        raise ConflictError(
            f"a newer model has proposed other regions for {image.name} since you opened this one. "
            "Nothing was saved; go on with the next region."
        )
    return region


def _delta(session: Session, request: DecisionRequest, now: ImageNow, region: Region | None) -> Delta | None:
    """The pixels that a request sets, spelled out."""
    if request.delta is not None:
        _check_drawing(session, request, request.delta, now)
        if not request.closes_region or region is None:
            return request.delta
        return _with_rest_of_region(session, request.delta, now, region)
    if region is None or not (request.closes_region or request.kind in (*_WHOLE_REGION, DecisionKind.PROPAGATE)):
        return None
    if request.kind is DecisionKind.PROPAGATE:
        return propagated_delta(
            session, region, request.propagate_to, now.shown.planes, _class_or_void(session, request)
        )
    region_mask = now.shown.planes.region_map[_box(region.bbox)] == region.number
    if not region_mask.any():  # All of its pixels were sent to review as a part of a label that may be wrong.
        return None
    return delta_from_mask(region_mask, _new_label(session, request, now, region), region.x0, region.y0)


def _check_drawing(session: Session, request: DecisionRequest, delta: Delta, now: ImageNow) -> None:
    try:
        delta.check(now.image.size_hw, len(require_class_set(session)))
    except ValueError as error:
        raise ReviewError(str(error)) from error
    if not delta.touched_mask.any():
        raise ReviewError("the drawing sets no pixel")
    num_locked = int(np.count_nonzero(now.shown.planes.reliable[delta.rows_columns] & delta.touched_mask))
    if num_locked and not request.lock_override:
        raise LockedPixelsError(
            f"the drawing touches {num_locked} locked pixels, which the model is sure about. Nothing was saved; "
            "unlock them (L) and draw again if they are wrong."
        )


def _with_rest_of_region(session: Session, drawn: Delta, now: ImageNow, region: Region) -> Delta:
    """The drawn pixels and, as they are now, the region's others: finishing a region means having seen all of it."""
    x0, y0 = min(drawn.x0, region.x0), min(drawn.y0, region.y0)
    x1, y1 = max(drawn.bbox[2], region.x1), max(drawn.bbox[3], region.y1)
    label = replay(_current_state(session, now, (x0, y0, x1, y1)), [drawn], x0, y0).label
    touched_mask = now.shown.planes.region_map[y0:y1, x0:x1] == region.number
    touched_mask[drawn.y0 - y0 : drawn.bbox[3] - y0, drawn.x0 - x0 : drawn.bbox[2] - x0] |= drawn.touched_mask
    return delta_from_mask(touched_mask, label, x0, y0)


def _new_label(session: Session, request: DecisionRequest, now: ImageNow, region: Region) -> LabelArray:
    """(h, w) ids for a region's box."""
    if request.kind in (DecisionKind.ACCEPT, DecisionKind.DRAW):
        return _current_state(session, now, region.bbox).label
    return np.full((region.y1 - region.y0, region.x1 - region.x0), _class_or_void(session, request), np.uint8)


def _class_or_void(session: Session, request: DecisionRequest) -> int:
    if request.class_id is None:
        return IGNORE_INDEX
    num_classes = len(require_class_set(session))
    if not 0 <= request.class_id < num_classes:
        raise ReviewError(f"class_id must be 0-{num_classes - 1}, got {request.class_id}")
    return request.class_id


def _current_state(session: Session, now: ImageNow, bbox: tuple[int, int, int, int]) -> LabelState:
    """What people see in a box now, with all decisions that count."""
    return shown_state(session, now.image, now.shown, bbox, now.history)


def _box(bbox: tuple[int, int, int, int]) -> tuple[slice, slice]:
    return slice(bbox[1], bbox[3]), slice(bbox[0], bbox[2])


def _stats(session: Session, prepared: PreparedRequest) -> dict[str, Any]:
    """What is logged per action: the browser's counts and what the store knows at this moment."""
    settings = read_review_settings(session)
    model = session.get_one(Model, prepared.now.proposal.model_id)
    num_set = 0 if prepared.delta is None else int(np.count_nonzero(prepared.delta.touched_mask))
    is_propagation = prepared.request.kind is DecisionKind.PROPAGATE
    logged: dict[str, Any] = prepared.request.stats.model_dump()
    logged.update(
        image_sha256=prepared.now.image.sha256,
        proposal_id=prepared.now.proposal.id,
        method=settings.method or model.method,
        threshold=settings.threshold if (cut_at := prepared.now.proposal.threshold) is None else cut_at,
        pixels_set=num_set,
        pixels_changed=prepared.pixels_changed,
        propagated_pixels=num_set if is_propagation else 0,
    )
    if is_propagation:
        logged[PROPAGATED_REGIONS] = sorted(prepared.request.propagate_to)
    if prepared.region is not None:
        region = prepared.region
        logged.update(
            region_kind=region.kind.value,
            area=region.area,
            mean_confidence=region.mean_confidence,
            predicted_class=region.class_id,
            top_classes=region.top_classes,
        )
        logged.update(probe_facts(session, region, prepared.request.user))
        logged.update(prepared.outcome)
    return logged
