"""Models of all rounds: look, compare, promote, set aside."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from app.domain.roles import Permission
from app.services import rounds
from app.web.bodies import PromoteBody
from app.web.context import Context, requires
from app.web.errors import UserError
from app.web.overview import describe_model

router = APIRouter()

_SEE = [requires(Permission.SEE_MODELS)]
_PROMOTE = [requires(Permission.PROMOTE)]


@router.get("/models", dependencies=_SEE)
def models(context: Context) -> dict[str, Any]:
    """All models, latest round first."""
    return {"models": [describe_model(model) for model in rounds.list_models(context.store)]}


@router.get("/models/{model_id}/comparison", dependencies=_SEE)
def comparison(context: Context, model_id: int) -> dict[str, Any]:
    """A model against the current one on the same gold images."""
    try:
        return asdict(rounds.compare(context.store, model_id))
    except ValueError as error:
        raise UserError(str(error)) from error


@router.post("/models/{model_id}/promote", dependencies=_PROMOTE)
def promote(context: Context, model_id: int, body: PromoteBody) -> dict[str, Any]:
    """Make a model the current one. Worse on gold without a reason: refused with 409."""
    try:
        rounds.promote(context.store, model_id, body.reason)
    except rounds.PromotionRefusedError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error
    return models(context)


@router.post("/models/{model_id}/reject", dependencies=_PROMOTE)
def reject(context: Context, model_id: int) -> dict[str, Any]:
    """Set a candidate aside."""
    try:
        rounds.reject(context.store, model_id)
    except ValueError as error:
        raise UserError(str(error)) from error
    return models(context)
