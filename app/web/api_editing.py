"""What drawing asks for: steps of undo, patches of planes, superpixels, look-alikes and flags."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.domain.roles import Permission
from app.services.flagging import FlagRequest, flag, list_flags
from app.services.undoing import MAX_STEPS
from app.web.api_images import pending_regions
from app.web.bodies import FlagBody
from app.web.context import Context, CurrentActor, requires
from app.web.outbox_owner import OwnDecisions
from app.web.wire import PackedPlane, pack_planes, pack_runs

router = APIRouter(dependencies=[requires(Permission.REVIEW)])

_BINARY = "application/octet-stream"


@router.get("/history")
def history(
    context: Context, actor: CurrentActor, limit: Annotated[int, Query(ge=1, le=MAX_STEPS)] = 100
) -> dict[str, Any]:
    """What undo after undo and redo after redo would reach, first step first, in whichever tab it was done."""
    return asdict(context.review.undo_history(actor.name, limit))


@router.get("/images/{image_id}/patch")
def patch(context: Context, image_id: int, x0: int, y0: int, x1: int, y1: int) -> Response:
    """Label, provenance, lock and region map inside a box, as they are now (see wire.py)."""
    found = context.review.image_patch(image_id, (x0, y0, x1, y1))
    header = {
        "image_id": image_id,
        "image_version": found.image_version,
        "proposal_id": found.proposal_id,
        "x0": x0,
        "y0": y0,
        "width": x1 - x0,
        "height": y1 - y0,
        "regions": pending_regions(context, image_id),
    }
    planes = [
        pack_runs("label", found.label),
        pack_runs("reliable", found.reliable),
        pack_runs("regions", found.region_map),
        pack_runs("provenance", found.provenance),
    ]
    body = pack_planes(header, planes)
    return Response(body, media_type=_BINARY, headers={"Cache-Control": "no-store"})


@router.get("/images/{image_id}/superpixels")
def superpixels(context: Context, image_id: int, level: int, column: int, row: int) -> Response:
    """One tile of superpixel numbers (see wire.py). They depend on the picture alone, so browsers keep them."""
    found = context.superpixels.tile(image_id, level, column, row)
    body = pack_planes(asdict(found.tile), [PackedPlane("numbers", "u16", "rle", found.runs)])
    return Response(body, media_type=_BINARY, headers={"Cache-Control": "private, max-age=86400"})


@router.get("/regions/{region_id}/lookalikes")
def lookalikes(context: Context, region_id: int) -> dict[str, Any]:
    """Waiting regions of the same image and predicted class that look like a region, most similar first."""
    return {"rows": [row.to_json() for row in context.lookalikes.find(region_id)]}


@router.post("/flags", dependencies=[OwnDecisions])
def flag_area(context: Context, actor: CurrentActor, body: FlagBody) -> dict[str, Any]:
    """Turn the reliable area around a pixel into a region that waits for a decision."""
    context.leases.require_free(actor.name, body.image_id, body.op_id)
    request = FlagRequest(body.op_id, body.image_id, body.x, body.y, actor.name, body.session)
    return asdict(flag(context.store, request))


@router.get("/flags", dependencies=[requires(Permission.SECOND_REVIEW)])
def flags(context: Context) -> dict[str, Any]:
    """Every flag that stands, who set it and what became of its region; newest first."""
    return {"rows": [each.to_json() for each in list_flags(context.store)]}
