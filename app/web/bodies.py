"""What browsers send, checked before any service sees it."""

from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.domain.decisions import Delta
from app.domain.roles import Actor, Permission, permits
from app.domain.states import DecisionKind
from app.domain.suspects import MAX_AREA, MIN_AREA
from app.services.model_changes import MAX_REASON
from app.services.review_types import ActionStats, DecisionRequest
from app.storage.runs import inflate_runs
from app.web.context import WebContext
from app.web.errors import UserError, validation_sentence
from app.web.wire import WireError, unpack_frame

Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
_BINARY = "application/octet-stream"
MAX_PROPAGATED = 1000
"""Most regions that one decision may decide."""


class Body(BaseModel):
    """Base of all bodies: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DecisionBody(Body):
    """A decision without its drawing. `bbox` is x0, y0, x1, y1 of the drawing, x1 and y1 exclusive."""

    op_id: Identifier
    kind: Annotated[DecisionKind, Field(strict=False)]
    image_id: int
    image_version: int = Field(ge=0)
    region_id: int | None = None
    class_id: int | None = Field(None, ge=0, le=255)
    session: Identifier
    lock_override: bool = False
    closes_region: bool = False
    propagate_to: Annotated[tuple[int, ...], Field(strict=False, max_length=MAX_PROPAGATED)] = ()
    bbox: Annotated[tuple[int, int, int, int] | None, Field(strict=False)] = None
    stats: ActionStats = Field(default_factory=ActionStats)


class OperationBody(Body):
    """An undo or a redo; `target` names the action to take back or to put in force again, None takes the last one."""

    op_id: Identifier
    session: Identifier
    target: Identifier | None = None


class LeaseBody(Body):
    """A tab that works on an image, has just opened it, or with `take_over` wants to go on instead of another one."""

    session: Identifier
    take_over: bool = False
    opens: bool = False


class FlagBody(Body):
    """A reliable pixel that is wrong; x and y are its column and row in the upright image."""

    op_id: Identifier
    session: Identifier
    image_id: int
    x: int
    y: int


class JobBody(Body):
    """A job to start; see app/services/jobs.py for the arguments of each kind."""

    kind: str = Field(max_length=16)
    arguments: dict[str, Any] = Field(default_factory=dict)


class AssignBody(Body):
    """Images for a person; None gives them back to everybody."""

    image_ids: list[int] = Field(min_length=1, max_length=100_000)
    assignee: str | None = Field(None, min_length=1, max_length=255)


class ShareBody(Body):
    """Images to share out between people; None takes all unfinished ones that are nobody's."""

    people: list[str] = Field(min_length=1, max_length=200)
    image_ids: list[int] | None = Field(None, min_length=1, max_length=100_000)


class CommentBody(Body):
    """A comment about an image or one of its regions; `closes_id` is the question that it answers."""

    text: str = Field(max_length=4000)
    region_id: int | None = None
    is_question: bool = False
    closes_id: int | None = None


class PromoteBody(Body):
    """Why a model is promoted although gold says otherwise; None when gold agrees.

    `seen_current` is the model that was current when this was decided: the server refuses if another one is by now.
    """

    reason: str | None = Field(None, max_length=MAX_REASON)
    seen_current: int | None = None


class ThresholdBody(Body):
    """Largest probability of being wrong of a reliable pixel; None is what the model file calls reliable.

    `seen_model` is the current model that the person looked at: refused if another one is by now.
    """

    threshold: float | None = Field(None, ge=0, le=1)
    seen_model: int | None = None


class AskedBody(Body):
    """The share of wrong pixels among reliable ones that is to be promised, and whether the pictures do not come from
    videos; None stays as it is."""

    alpha: float | None = Field(None, gt=0, lt=1)
    independent: bool | None = None


class RollbackBody(Body):
    """Why an earlier model becomes the current one again; `seen_current` as in `PromoteBody`."""

    reason: str = Field(max_length=MAX_REASON)
    seen_current: int | None = None


class RejectBody(Body):
    """Why a candidate is set aside, if somebody wants to say so."""

    reason: str | None = Field(None, max_length=MAX_REASON)


class LimitsBody(Body):
    """Largest falls of gold IoU that are promoted without a reason, as fractions."""

    miou_fall: float = Field(ge=0, le=1, strict=False)
    class_fall: float = Field(ge=0, le=1, strict=False)


class SuspectsBody(Body):
    """A look for wrong labels: by which model (None is the current one), and from how many pixels on."""

    model_id: int | None = Field(None, ge=1)
    min_area: int = Field(MIN_AREA, ge=1, le=MAX_AREA)


class SendPartBody(Body):
    """A part of a label that somebody should decide."""

    op_id: Identifier
    session: Identifier


class ChangeLabelBody(Body):
    """The class that a part of an imported label gets; None is void."""

    class_id: int | None = Field(ge=0, le=255)


class ExportBody(Body):
    """A COCO export: `which` is "reviewed", "gold" or "all"."""

    name: str = Field(max_length=64)
    which: str = Field(max_length=16)


async def raw_body(request: Request) -> tuple[bytes, bool]:
    """The body, and whether it is a binary frame."""
    return await request.body(), request.headers.get("content-type", "").partition(";")[0] == _BINARY


DECISION_SCHEMA: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": DecisionBody.model_json_schema()}}}
}
"""For the description of endpoints that take a decision, which read their body themselves because it may be a frame."""

RawBody = Annotated[tuple[bytes, bool], Depends(raw_body)]


def read_decision(context: WebContext, actor: Actor, raw: tuple[bytes, bool]) -> DecisionRequest:
    """A decision from JSON, or from a frame of JSON header and deflated drawing.

    Raises:
        UserError: a field is missing, unknown or out of range.
        WireError: the frame or the drawing is damaged, too large, or leaves its image.
        NotFoundError: there is no such image.
        HeldError: another person or tab works on it.
    """
    body, drawing = _parse(raw)
    context.leases.require_free(actor.name, body.image_id, body.op_id)
    delta = None
    if body.bbox is not None:
        width, height = context.review.image(body.image_id).size_wh
        delta = _read_delta(body.bbox, drawing, (height, width))
    elif drawing:
        raise WireError("a drawing needs its bbox")
    return DecisionRequest(
        op_id=body.op_id,
        kind=body.kind,
        image_id=body.image_id,
        image_version=body.image_version,
        user=actor.name,
        session=body.session,
        region_id=body.region_id,
        class_id=body.class_id,
        delta=delta,
        lock_override=body.lock_override,
        closes_region=body.closes_region,
        propagate_to=body.propagate_to,
        stats=body.stats,
        may_second_review=permits(actor.role, Permission.SECOND_REVIEW),
    )


def _parse(raw: tuple[bytes, bool]) -> tuple[DecisionBody, bytes]:
    content, is_binary = raw
    try:
        if not is_binary:
            return DecisionBody.model_validate_json(content), b""
        header, rest = unpack_frame(content)
        return DecisionBody.model_validate(header), rest
    except ValidationError as error:
        raise UserError(validation_sentence(error.errors())) from error


def _read_delta(bbox: tuple[int, int, int, int], drawing: bytes, size_hw: tuple[int, int]) -> Delta:
    x0, y0, x1, y1 = bbox
    if not (0 <= x0 < x1 <= size_hw[1] and 0 <= y0 < y1 <= size_hw[0]):
        raise WireError(f"the drawing's box {bbox} leaves its image of {size_hw[1]}x{size_hw[0]} pixels")
    return Delta(x0, y0, inflate_runs(drawing, (y1 - y0, x1 - x0)))
