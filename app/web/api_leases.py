"""Who works on which image now."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from app.domain.roles import Permission
from app.web.bodies import LeaseBody
from app.web.context import Context, CurrentActor, requires

router = APIRouter(dependencies=[requires(Permission.REVIEW)])


@router.post("/leases/{image_id}")
def hold(context: Context, actor: CurrentActor, image_id: int, body: LeaseBody) -> dict[str, Any]:
    """Take an image, give a sign of life every `beat_s` seconds, or learn who else works on it."""
    return asdict(context.leases.hold(actor, body.session, image_id, body.take_over, body.opens))


@router.post("/leases/{image_id}/release")
def release(context: Context, actor: CurrentActor, image_id: int, body: LeaseBody) -> dict[str, int]:
    """Give an image back."""
    context.leases.release(actor, body.session, image_id)
    return {"image_id": image_id}
