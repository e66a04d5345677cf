"""Whole rounds, and the models that came of them."""

from sqlalchemy import select

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.processes import Monitor
from app.services.round_steps import RoundCommands, RoundRequest, export_round, train_round
from app.storage.database import Store
from app.storage.models import Model


def start_round(
    store: Store,
    workspace: Workspace,
    request: RoundRequest,
    monitor: Monitor,
    commands: RoundCommands | None = None,
) -> int:
    """Train, export, evaluate and register one round; returns the id of its model.

    An interrupted round with the same plan is continued where it stopped. The model becomes a candidate, or the
    current one when there is none.

    Raises:
        WorkCancelledError: stopped on request.
        ChildFailedError: training or export failed; a loss that became NaN is one of the reasons.
        ValueError: nothing to train on, or a wrong preset or key.
    """
    folder = train_round(store, workspace, request, monitor.part(0.0, 0.85), commands)
    return export_round(store, workspace, folder.number, monitor.part(0.85, 1.0), commands)


def require_decided(store: Store) -> None:
    """Refuse a new round while an earlier one waits: it would start from the old model and double the work.

    Raises:
        ValueError: names the round that waits and both ways out.
    """
    waiting = candidate_of(list_models(store))
    if waiting is not None:
        raise ValueError(
            f"round {waiting.round} waits for a decision, so no new round was started: promote or discard it first, on "
            f"the Models page or with pixelsieve promote {waiting.id} (--reject discards it)"
        )


def list_models(store: Store) -> list[Model]:
    """All models, latest round first."""
    with store.reader() as session:
        return list(session.scalars(select(Model).order_by(Model.round.desc(), Model.id.desc())))


def current_of(models: list[Model]) -> Model | None:
    """The current one of some models."""
    return next((model for model in models if model.status is ModelStatus.CURRENT), None)


def candidate_of(models: list[Model]) -> Model | None:
    """The latest model that waits for a decision."""
    return next((model for model in models if model.status is ModelStatus.CANDIDATE), None)
