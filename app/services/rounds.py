"""Whole rounds, and which round's model is the current one."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.promotion import GoldScore, PromotionComparison, Verdict, compare_rounds
from app.domain.states import ModelStatus
from app.services.predicting import find_model, require_unchanged
from app.services.processes import Monitor
from app.services.round_steps import RoundCommands, RoundRequest, export_round, train_round
from app.storage.database import Store
from app.storage.models import Model
from app.storage.settings import require_class_set


class PromotionRefusedError(ValueError):
    """The model is worse on gold, or cannot be compared, and no reason was given. Nothing was changed."""


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
    waiting = next((model for model in list_models(store) if model.status is ModelStatus.CANDIDATE), None)
    if waiting is not None:
        raise ValueError(
            f"round {waiting.round} waits for a decision, so no new round was started: promote or discard it first, on "
            f"the Rounds page or with pixelsieve promote {waiting.id} (--reject discards it)"
        )


def compare(store: Store, candidate_id: int) -> PromotionComparison:
    """A model against the current one on the same frozen gold images.

    Raises:
        LookupError: no such model.
        ValueError: it is the current one, or none is current.
    """
    candidate = find_model(store, candidate_id)
    with store.reader() as session:
        current = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
        class_set = require_class_set(session)
    if current is None or current.id == candidate_id:
        raise ValueError(
            f"model {candidate_id} of round {candidate.round} has no other current model to be compared with"
        )
    return compare_rounds(_score(current), _score(candidate), class_set.names)


def promote(store: Store, model_id: int, reason: str | None = None) -> None:
    """Make a model the current one and retire the present one, which can be promoted again: that is a rollback.

    Args:
        reason: why, in spite of a worse or unknown gold result; kept in the model's note.

    Raises:
        PromotionRefusedError: worse on gold or not comparable, and no reason given.
        LookupError: no such model.
        ValueError: it is current already, or its file is missing or changed.
    """
    model = find_model(store, model_id)
    if model.status is ModelStatus.CURRENT:
        raise ValueError(f"model {model_id} of round {model.round} is the current one already")
    require_unchanged(store.workspace.absolute(model.onnx_path), model.onnx_sha256)
    reason = (reason or "").strip() or None
    with store.reader() as session:
        has_current = _current(session) is not None
    if has_current:
        comparison = compare(store, model_id)
        if comparison.verdict is not Verdict.PROMOTE and reason is None:
            raise PromotionRefusedError(
                f"model {model_id} of round {model.round} was not promoted: {' '.join(comparison.reasons)} "
                "To promote it nevertheless, give a reason."
            )
    with store.session() as session:
        current = _current(session)
        if current is not None:
            current.status = ModelStatus.RETIRED
            session.flush()  # Only one row may be current at any moment.
        row = session.get_one(Model, model_id)
        row.status = ModelStatus.CURRENT
        row.note = reason if reason is not None else row.note


def reject(store: Store, model_id: int) -> None:
    """Set a candidate aside. Its files stay, so that it can still be promoted later.

    Raises:
        LookupError: no such model.
        ValueError: it is not a candidate.
    """
    model = find_model(store, model_id)
    if model.status is not ModelStatus.CANDIDATE:
        raise ValueError(
            f"model {model_id} of round {model.round} is {model.status.value}; only a candidate can be rejected"
        )
    with store.session() as session:
        session.get_one(Model, model_id).status = ModelStatus.REJECTED


def list_models(store: Store) -> list[Model]:
    """All models, latest round first."""
    with store.reader() as session:
        return list(session.scalars(select(Model).order_by(Model.round.desc(), Model.id.desc())))


def _current(session: Session) -> Model | None:
    return session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))


def _score(model: Model) -> GoldScore | None:
    return None if model.gold is None else GoldScore.from_json(model.gold)
