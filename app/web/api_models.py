"""Models of all rounds: look, compare any two, promote, roll back, set aside."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.domain.promotion import PromotionLimits
from app.domain.roles import Permission
from app.services import model_changes
from app.services.model_comparison import compare, compare_with_current
from app.services.model_limits import read_limits, set_limits
from app.services.rounds import list_models
from app.web.bodies import LimitsBody, PromoteBody, RejectBody, RollbackBody
from app.web.context import Context, CurrentActor, requires
from app.web.errors import user_errors
from app.web.overview import describe_models

router = APIRouter(prefix="/models")

_SEE = [requires(Permission.SEE_MODELS)]
_PROMOTE = [requires(Permission.PROMOTE)]

ModelId = Annotated[int, Query(ge=1)]


@router.get("", dependencies=_SEE)
def models(context: Context) -> dict[str, Any]:
    """All models, latest round first."""
    return {"models": describe_models(list_models(context.store))}


@router.get("/compare", dependencies=_SEE)
def comparison(context: Context, old: ModelId, new: ModelId) -> dict[str, Any]:
    """Two models on the same gold images: per class with intervals, and the images that got worse first."""
    with user_errors():
        return asdict(compare(context.store, old, new))


@router.get("/changes", dependencies=_SEE)
def changes(context: Context, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> dict[str, Any]:
    """Who promoted, rolled back or rejected which model and why, latest first."""
    return {"changes": [change.to_json() for change in model_changes.list_changes(context.store, limit)]}


@router.get("/limits", dependencies=_SEE)
def limits(context: Context) -> dict[str, float]:
    """Largest falls of gold IoU that are promoted without a reason, as fractions."""
    return asdict(read_limits(context.store))


@router.post("/limits", dependencies=[requires(Permission.ADMINISTER)])
def change_limits(context: Context, actor: CurrentActor, body: LimitsBody) -> dict[str, float]:
    """Set both limits."""
    set_limits(context.store, actor, PromotionLimits(body.miou_fall, body.class_fall))
    return limits(context)


@router.get("/{model_id}/comparison", dependencies=_SEE)
def comparison_with_current(context: Context, model_id: int) -> dict[str, Any]:
    """A model against the current one."""
    with user_errors():
        return asdict(compare_with_current(context.store, model_id))


@router.post("/{model_id}/promote", dependencies=_PROMOTE)
def promote(context: Context, actor: CurrentActor, model_id: int, body: PromoteBody) -> dict[str, Any]:
    """Make a model the current one. Worse on gold without a reason: refused with 409."""
    with user_errors():
        model_changes.promote(context.store, model_id, actor, body.reason, body.seen_current)
    return {**models(context), **_propose_again(context, actor)}


@router.post("/{model_id}/rollback", dependencies=_PROMOTE)
def roll_back(context: Context, actor: CurrentActor, model_id: int, body: RollbackBody) -> dict[str, Any]:
    """Go back to an earlier model; its proposals are in force again, or predicted again. Decisions stay."""
    with user_errors():
        restored = model_changes.roll_back(context.store, model_id, actor, body.reason, body.seen_current)
    return {**models(context), "restored": restored, **_propose_again(context, actor)}


@router.post("/{model_id}/reject", dependencies=_PROMOTE)
def reject(context: Context, actor: CurrentActor, model_id: int, body: RejectBody | None = None) -> dict[str, Any]:
    """Set a candidate aside."""
    with user_errors():
        model_changes.reject(context.store, model_id, actor, None if body is None else body.reason)
    return models(context)


def _propose_again(context: Context, actor: CurrentActor) -> dict[str, Any]:
    """Queue the prediction of the new current model's proposals; the model is current even if that fails."""
    try:
        return {"job_id": context.jobs.submit("predict", actor=actor), "job_error": None}
    except RuntimeError as error:
        return {"job_id": None, "job_error": str(error)}
