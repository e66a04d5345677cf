"""Which model is the current one: promoted when gold allows it, rolled back for a reason, or rejected."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.promotion import RoundComparison, Verdict, checked_reason, is_earlier
from app.domain.roles import Actor
from app.domain.states import ModelStatus
from app.services.audit import record
from app.services.model_comparison import compare
from app.services.predicting import find_model, require_unchanged
from app.services.restoring import restore_proposals
from app.services.rounds import current_of, list_models
from app.storage.audit import AuditEntry
from app.storage.database import Store
from app.storage.models import Model

_ACTIONS = (AuditAction.PROMOTED, AuditAction.ROLLED_BACK, AuditAction.REJECTED)

MAX_REASON = 1000
"""Characters of a reason."""


class PromotionRefusedError(ValueError):
    """The model is worse on gold, or cannot be compared, and no reason was given. Nothing was changed."""


class ModelsChangedError(ValueError):
    """Somebody else chose a model meanwhile, so what was asked for rests on old facts. Nothing was changed."""


@dataclass(frozen=True)
class ModelChange:
    """One line of the history of models.

    Attributes:
        action: promoted, rolled_back or rejected.
        model_id: which one.
        round: of that model.
        previous_round: of the model that was current before; None for the first one and for a rejection.
        user: who decided.
        reason: why; None where gold was reason enough.
        gold: what gold said at that moment, in sentences.
        decided_at: when.
    """

    action: str
    model_id: int
    round: int
    previous_round: int | None
    user: str
    reason: str | None
    gold: tuple[str, ...]
    decided_at: datetime

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API: times in ISO 8601."""
        return {**self.__dict__, "decided_at": self.decided_at.isoformat()}


def promote(
    store: Store, model_id: int, actor: Actor, reason: str | None = None, seen_current: int | None = None
) -> None:
    """Make a model the current one and retire the present one.

    Args:
        actor: who decides.
        reason: why, in spite of a worse or unknown gold result; recorded, and kept as the model's note.
        seen_current: the current model that the user compared with; None does not check.

    Raises:
        PromotionRefusedError: worse on gold or not comparable, and no reason that says something.
        ModelsChangedError: another model became current meanwhile.
        LookupError: no such model.
        ValueError: it is current already, or its file is missing or changed.
    """
    choice = _choose(store, model_id, seen_current)
    said = _spaced(reason)
    if choice.comparison is not None and choice.comparison.verdict is not Verdict.PROMOTE:
        try:
            said = checked_reason(reason)
        except ValueError as error:
            raise PromotionRefusedError(
                f"model {model_id} of round {choice.model.round} was not promoted: "
                f"{' '.join(choice.comparison.reasons)} To promote it nevertheless, {error}."
            ) from error
    _make_current(store, AuditAction.PROMOTED, choice, actor, said)


def roll_back(store: Store, model_id: int, actor: Actor, reason: str, seen_current: int | None = None) -> int:
    """Make an earlier model the current one again, whatever gold says; decisions stay.

    Its proposals become active again where nothing was decided since they were replaced; the other images wait for a
    prediction. The present model is retired and can be promoted again.

    Args:
        actor: who decides.
        reason: why; recorded, and kept as the model's note.
        seen_current: as in `promote`.

    Returns:
        How many images have their old proposal again.

    Raises:
        ModelsChangedError: another model became current meanwhile.
        LookupError: no such model.
        ValueError: it is current already or not an earlier one, no reason that says something, or its file is missing
            or changed.
    """
    choice = _choose(store, model_id, seen_current)
    model, current = choice.model, choice.current
    said = checked_reason(reason)
    if current is None or not is_earlier(model.status, model.round, current.round):
        raise ValueError(
            f"model {model_id} of round {model.round} is {model.status.value}, and neither older than the current one "
            "nor ever in use, so there is nothing to go back to; promote it instead"
        )
    _make_current(store, AuditAction.ROLLED_BACK, choice, actor, said)
    return restore_proposals(store, model_id)


def reject(store: Store, model_id: int, actor: Actor, reason: str | None = None) -> None:
    """Set a candidate aside. Its files stay, so that it can still be promoted later.

    Raises:
        LookupError: no such model.
        ValueError: it is not a candidate.
    """
    said = _spaced(reason)
    with store.session() as session:
        model = session.get(Model, model_id)
        if model is None:
            raise LookupError(f"there is no model {model_id} in {store.workspace.root}")
        if model.status is not ModelStatus.CANDIDATE:
            raise ValueError(
                f"model {model_id} of round {model.round} is {model.status.value}; only a candidate can be rejected"
            )
        model.status = ModelStatus.REJECTED
        model.note = said or model.note
        record(session, actor, AuditAction.REJECTED, f"model {model_id}", _details(model, said))


def list_changes(store: Store, limit: int = 50) -> list[ModelChange]:
    """Who chose or set aside which model and why, latest first."""
    statement = select(AuditEntry).where(AuditEntry.action.in_(_ACTIONS)).order_by(AuditEntry.id.desc()).limit(limit)
    with store.reader() as session:
        return [_change(entry) for entry in session.scalars(statement)]


def _change(entry: AuditEntry) -> ModelChange:
    said = entry.details
    return ModelChange(
        action=entry.action, model_id=said["model_id"], round=said["round"], previous_round=said.get("previous_round"),
        user=entry.actor, reason=said.get("reason"), gold=tuple(said.get("gold", ())), decided_at=entry.created_at,
    )  # fmt: skip


@dataclass(frozen=True)
class _Choice:
    """A model, the one whose place it would take, and what gold says; both None when nothing is current yet."""

    model: Model
    current: Model | None
    comparison: RoundComparison | None


def _choose(store: Store, model_id: int, seen_current: int | None) -> _Choice:
    """Look at everything that a change of models rests on."""
    model, current = find_model(store, model_id), current_of(list_models(store))
    if seen_current is not None and (current is None or current.id != seen_current):
        now = "no model is current" if current is None else f"round {current.round} is the current one"
        raise ModelsChangedError(f"{now} by now, so nothing was changed. Look again and decide anew.")
    if model.status is ModelStatus.CURRENT:
        raise ValueError(f"model {model_id} of round {model.round} is the current one already")
    require_unchanged(store.workspace.absolute(model.onnx_path), model.onnx_sha256)
    return _Choice(model, current, None if current is None else compare(store, current.id, model_id))


def _make_current(store: Store, action: AuditAction, choice: _Choice, actor: Actor, reason: str | None) -> None:
    with store.session() as session:
        _retire(session, choice.current)
        row = session.get_one(Model, choice.model.id)
        if row.gold != choice.model.gold or row.status is not choice.model.status:
            raise ModelsChangedError(
                f"model {row.id} was measured or decided about meanwhile, so nothing was changed. Look again and "
                "decide anew."
            )
        row.status = ModelStatus.CURRENT
        row.note = reason or row.note
        details = _details(row, reason, choice.current, choice.comparison)
        record(session, actor, action, f"model {row.id}", details)


def _retire(session: Session, expected: Model | None) -> None:
    """Retire the current model, if it is the one that was compared with."""
    current = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
    if (current and current.id) != (expected and expected.id):
        raise ModelsChangedError("another model became current meanwhile, so nothing was changed. Look again.")
    if current is not None:
        current.status = ModelStatus.RETIRED
        session.flush()  # Only one row may be current at any moment.


def _spaced(reason: str | None) -> str | None:
    """A reason without surplus spaces; None for an empty one."""
    return " ".join((reason or "").split()) or None


def _details(
    model: Model, reason: str | None, previous: Model | None = None, comparison: RoundComparison | None = None
) -> dict[str, Any]:
    """What the audit log keeps about a change of models."""
    gold = [] if comparison is None else [*comparison.reasons, *comparison.warnings]
    details: dict[str, Any] = {"model_id": model.id, "round": model.round, "reason": reason, "gold": gold}
    if previous is not None:
        details |= {"previous_model_id": previous.id, "previous_round": previous.round}
    if comparison is not None:
        details |= {"verdict": comparison.verdict.value, "miou": [comparison.miou.old, comparison.miou.new]}
    return details
