"""Queue, regions and decisions."""

from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from app.domain.roles import Actor, Permission, permits
from app.domain.states import RegionState
from app.domain.superpixels import SIDES_PX, TILE_PX
from app.services.explorer_folder import read_links
from app.services.review_types import NotAllowedError, QueueFilter
from app.web.bodies import DECISION_SCHEMA, OperationBody, RawBody, read_decision
from app.web.context import Context, CurrentActor, WebContext, requires
from app.web.keys import class_keys
from app.web.outbox_owner import OwnDecisions

router = APIRouter(dependencies=[requires(Permission.REVIEW)])

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]
ListedState = Literal["open", "decided", "skipped", "second_review", "superseded"]
"""Of the words in app/domain/states.py those of which people are told."""


@router.get("/session")
def session(context: Context, actor: CurrentActor) -> dict[str, Any]:
    """What a reviewer page needs once: classes with colours and keys, settings, who is asking."""
    class_set = context.review.class_set()
    described = zip(class_set.names, class_set.colors, class_keys(len(class_set)), strict=True)
    return {
        "workspace_id": context.workspace_id,
        "user": actor.name,
        "role": actor.role,
        "permissions": [permission for permission in Permission if permits(actor.role, permission)],
        "classes": [
            {"id": i, "name": name, "color": color, "key": key} for i, (name, color, key) in enumerate(described)
        ],
        "superpixels": {"tile_px": TILE_PX, "levels": len(SIDES_PX)},
        "has_explorer": permits(actor.role, Permission.RUN_JOBS) and read_links(context.workspace) is not None,
        "settings": context.review.settings().model_dump(mode="json"),
        "counts": asdict(context.review.counts()),
    }


@router.get("/queue")
def queue(
    context: Context,
    actor: CurrentActor,
    state: ListedState | None = None,
    class_id: int | None = None,
    image_id: int | None = None,
    assignee: Annotated[str | None, Query(max_length=255)] = None,
    text: Annotated[str, Query(max_length=255)] = "",
    asked: bool = False,
    include_enough: bool = False,
    everybody: bool = False,
    ahead: bool = False,
    limit: Limit = 50,
    offset: Offset = 0,
) -> dict[str, Any]:
    """Regions in queue order, and how many are left in all.

    Without `everybody` only regions of images that are the asking person's or nobody's, and on which nobody else works
    now. With `ahead` these regions will be worked on next: for a minute, renewed by `POST /api/leases/{image_id}`,
    their images are kept from others who ask with `ahead` or for `GET /api/regions/next`, as long as there are more.
    At its end, `elsewhere` says how many regions the list leaves out because of other people, and who works there.
    """
    if everybody and not permits(actor.role, Permission.ASSIGN):
        raise NotAllowedError(
            f"{actor.name} is {actor.role} here; everybody's regions are listed for reviewers and leads"
        )
    person = None if everybody else actor.name
    holders = {} if everybody else context.leases.holders(actor.name)
    wanted, held = None if state is None else RegionState(state), frozenset(holders)
    filters = QueueFilter(wanted, class_id, image_id, include_enough, person, assignee, text, asked, held)
    rows = context.review.queue(_kept_out(context, actor, filters), limit, offset) if ahead else []
    rows = rows or context.review.queue(filters, limit, offset)
    if ahead:
        context.leases.keep_ahead(actor.name, {row.image_id for row in rows})
    is_end = ahead and not everybody and len(rows) < limit
    elsewhere = asdict(context.review.elsewhere(filters, holders)) if is_end else None
    counts = asdict(context.review.counts())
    return {"rows": [row.to_json() for row in rows], "counts": counts, "elsewhere": elsewhere}


@router.get("/regions/next")
def next_region(
    context: Context,
    actor: CurrentActor,
    after: int | None = None,
) -> dict[str, int | None]:
    """The region to show this person after another one; null when nothing is left on which nobody else works.

    Its image is kept from others as with `ahead` of `GET /api/queue`.
    """
    filters = QueueFilter(person=actor.name, not_images=context.leases.held_by_others(actor.name))
    found = context.review.next_region(after, _kept_out(context, actor, filters))
    if found is None:
        found = context.review.next_region(after, filters)
    if found is not None:
        context.leases.keep_ahead(actor.name, {context.review.region_row(found).image_id})
    return {"region_id": found}


def _kept_out(context: WebContext, actor: Actor, filters: QueueFilter) -> QueueFilter:
    """Also without what others will be shown next."""
    return replace(filters, not_images=filters.not_images | context.leases.kept_for_others(actor.name))


@router.get("/regions/{region_id}")
def region(context: Context, region_id: int) -> dict[str, Any]:
    """One region with its likeliest classes."""
    return context.review.region(region_id).to_json()


@router.post("/decisions", dependencies=[OwnDecisions], openapi_extra=DECISION_SCHEMA)
def decide(context: Context, actor: CurrentActor, raw: RawBody) -> dict[str, Any]:
    """Store a decision. When this answers, the decision is on disk; the same op_id again changes nothing."""
    return asdict(context.review.decide(read_decision(context, actor, raw)))


@router.post("/images/{image_id}/accept-rest", dependencies=[OwnDecisions], openapi_extra=DECISION_SCHEMA)
def accept_rest(context: Context, actor: CurrentActor, image_id: int, raw: RawBody) -> dict[str, Any]:
    """Take everything still open in an image as proposed; logged as unseen."""
    request = read_decision(context, actor, raw)
    return asdict(
        context.review.accept_rest(image_id, request.image_version, actor.name, request.session, request.op_id)
    )


@router.post("/undo", dependencies=[OwnDecisions])
def undo(context: Context, actor: CurrentActor, body: OperationBody) -> dict[str, Any]:
    """Take back this user's last decision, in whichever tab and whenever it was made, or the one named."""
    _require_free(context, actor, body, redo=False)
    return asdict(context.review.undo(actor.name, body.session, body.op_id, body.target))


@router.post("/redo", dependencies=[OwnDecisions])
def redo(context: Context, actor: CurrentActor, body: OperationBody) -> dict[str, Any]:
    """Put the decision in force again that the last undo took back, or the one named."""
    _require_free(context, actor, body, redo=True)
    return asdict(context.review.redo(actor.name, body.session, body.op_id, body.target))


def _require_free(context: WebContext, actor: Actor, body: OperationBody, redo: bool) -> None:
    """Refuse to change an image back on which somebody else works now."""
    image_id = context.review.reversal_image(actor.name, redo, body.target)
    if image_id is not None:
        context.leases.require_free(actor.name, image_id, body.op_id)
