"""The threshold of the current model: look, preview, choose and cut the queue anew, and what the next one is asked."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.domain.roles import Permission
from app.services.model_limits import ask_promise
from app.services.threshold_page import threshold_preview, threshold_view
from app.services.thresholds import choose_threshold
from app.web.api_jobs import submit
from app.web.bodies import AskedBody, ThresholdBody
from app.web.context import Context, CurrentActor, requires
from app.web.errors import user_errors

router = APIRouter(prefix="/threshold")

_LOOK = [requires(Permission.RUN_JOBS)]

Share = Annotated[
    float | None, Query(ge=0, le=1, description="Largest probability of being wrong; left out: the model file's own.")
]


@router.get("", dependencies=_LOOK)
def threshold(context: Context) -> dict[str, Any]:
    """Calibration and curve of the current model, who chose which threshold, and how the images stand to it."""
    return threshold_view(context.store, context.leases.held_by_others(""))


@router.get("/preview", dependencies=_LOOK)
def preview(context: Context, at: Share = None) -> dict[str, Any]:
    """How large the queue would be at a threshold, from at most 24 images, and the minutes of work. Changes nothing."""
    with user_errors():
        return threshold_preview(context.store, at, context.leases.held_by_others(""))


@router.post("", dependencies=[requires(Permission.PROMOTE)])
def choose(context: Context, actor: CurrentActor, body: ThresholdBody) -> dict[str, Any]:
    """Choose a threshold for the current model and queue the job that cuts the queue anew at it."""
    with user_errors():
        choose_threshold(context.store, actor, body.threshold, body.seen_model)
    return {"job_id": submit(context, actor, "recut", {})}


@router.post("/asked", dependencies=[requires(Permission.ADMINISTER)])
def ask(context: Context, actor: CurrentActor, body: AskedBody) -> dict[str, Any]:
    """Set what the next calibration is asked to promise, and whether its gold images count one by one."""
    with user_errors():
        return ask_promise(context.store, actor, body.alpha, body.independent).model_dump()
