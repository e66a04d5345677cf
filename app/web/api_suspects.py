"""Parts of labels that may be wrong: look for them, see them, and say what they are."""

import hashlib
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.domain.roles import Permission
from app.domain.states import JobKind
from app.services.suspect_answers import SendRequest, change_imported, say_right, send_to_review, take_back
from app.services.suspect_list import find_row, list_suspects, part_mask
from app.services.suspects import label_version
from app.web.api_images import cache_headers, is_known
from app.web.api_jobs import submit
from app.web.bodies import ChangeLabelBody, SendPartBody, SuspectsBody
from app.web.context import Context, CurrentActor, requires
from app.web.pictures import part_picture, thumbnail

router = APIRouter(prefix="/suspects", dependencies=[requires(Permission.RUN_JOBS)])

_SHAPE = 0.7
"""Height of a part's picture for its width."""


@router.get("")
def suspects(
    context: Context,
    limit: Annotated[int, Query(ge=1, le=200)] = 30,
    offset: Annotated[int, Query(ge=0)] = 0,
    only_open: Annotated[bool, Query(description="Without parts that were answered or have changed.")] = False,
) -> dict[str, Any]:
    """What the latest look found, likeliest first, and what became of each part since; `search` is null before one."""
    found = list_suspects(context.store, limit, offset, only_open)
    if found is None:
        return {"search": None, "rows": []}
    told = found.to_json()
    return {"rows": told.pop("rows"), "search": told}


@router.post("", status_code=201)
def look(context: Context, actor: CurrentActor, body: SuspectsBody) -> dict[str, int]:
    """Queue a look for wrong labels, which predicts every image that people labeled."""
    return {"job_id": submit(context, actor, JobKind.SUSPECTS, body.model_dump())}


@router.get("/{suspect_id}/picture")
def picture(
    context: Context,
    request: Request,
    suspect_id: int,
    width: Annotated[int, Query(ge=64, le=1600, description="Of the answer, in pixels, at most.")] = 400,
) -> Response:
    """A JPEG of the part, outlined, with its surroundings; of its box where the label is another one there by now."""
    with context.store.reader() as session:
        row, image = find_row(session, suspect_id)
        version = f"{context.workspace_id} {row.id} {row.bbox} {image.sha256} {label_version(session, image)} {width}"
        etag = hashlib.sha256(version.encode()).hexdigest()[:32]
        if is_known(request, etag):
            return Response(status_code=304, headers=cache_headers(etag))
        mask = part_mask(context.store, session, row, image)
    path, size_wh = context.workspace.absolute(image.path), (width, round(_SHAPE * width))
    content = thumbnail(path, row.bbox, size_wh) if mask is None else part_picture(path, row.bbox, mask, size_wh)
    return Response(content, media_type="image/jpeg", headers=cache_headers(etag))


@router.post("/{suspect_id}/send")
def send(context: Context, actor: CurrentActor, suspect_id: int, body: SendPartBody) -> dict[str, Any]:
    """Make a region of a part that people labeled here; it waits in the queue for somebody to decide it."""
    with context.store.reader() as session:
        image_id = find_row(session, suspect_id)[0].image_id
    context.leases.require_free(actor.name, image_id, body.op_id)
    return asdict(send_to_review(context.store, SendRequest(body.op_id, suspect_id, actor.name, body.session)))


@router.post("/{suspect_id}/right")
def right(context: Context, actor: CurrentActor, suspect_id: int) -> dict[str, str]:
    """Note that the label is right there."""
    say_right(context.store, actor, suspect_id)
    return {"answer": "right"}


@router.post("/{suspect_id}/change")
def change(context: Context, actor: CurrentActor, suspect_id: int, body: ChangeLabelBody) -> dict[str, str]:
    """Give the part of an imported label another class; null is void."""
    change_imported(context.store, actor, suspect_id, body.class_id)
    return {"answer": "changed"}


@router.post("/{suspect_id}/reopen")
def reopen(context: Context, actor: CurrentActor, suspect_id: int) -> dict[str, str]:
    """Take back that the label is right, or that it was changed."""
    take_back(context.store, actor, suspect_id)
    return {"answer": "open"}
