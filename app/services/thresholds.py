"""The threshold of a model: which one is in force, who chose it, and where proposals are cut otherwise."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.audit import AuditAction
from app.domain.cutting import Standing, standing_of, threshold_words
from app.domain.promises import Cut, Promise, promise_of
from app.domain.roles import Actor
from app.domain.shift import NUM_SEEN, Shift, judge_shift
from app.domain.states import ImageRole, ModelStatus
from app.services.audit import record
from app.services.model_changes import ModelsChangedError
from app.services.predicting import find_model
from app.storage.cuts import ThresholdChoice, latest_choice, threshold_in_force
from app.storage.database import Store
from app.storage.models import Decision, Image, Model, Proposal
from app.storage.probes import ControlImage

_IN_FORCE = Proposal.active & (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)

_SHIFTS_KEPT = 16


@dataclass(frozen=True)
class Choice:
    """A threshold that somebody chose; None is what the model file calls reliable."""

    threshold: float | None
    chosen_by: str
    chosen_at: datetime

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API: the time in ISO 8601."""
        return {**self.__dict__, "chosen_at": self.chosen_at.isoformat()}


@dataclass(frozen=True)
class CutInForce:
    """Proposals of the pool that one model made and that are cut at one threshold.

    Attributes:
        images: how many of them people review or have reviewed.
        promise: about their reliable pixels.
        shift: how they look beside the gold images, which the promise is about.
    """

    model_id: int
    round: int
    threshold: float | None
    images: int
    promise: Promise
    shift: Shift

    @property
    def words(self) -> str:
        """The model and the threshold, as people read it."""
        return f"round {self.round}: reliable is {threshold_words(self.threshold)}"

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API, exports and reports."""
        return {
            "model_id": self.model_id, "round": self.round, "threshold": self.threshold, "images": self.images,
            "words": self.words, "bound": self.promise.bound, "promise": self.promise.sentence,
            "unlike_gold": self.shift.unlike, "is_shifted": self.shift.is_alarm, "shift": self.shift.sentence,
        }  # fmt: skip


@dataclass(frozen=True)
class CutImage:
    """An image with a proposal of a model, and what becomes of it when the queue is cut anew."""

    image: Image
    threshold: float | None
    standing: Standing


def choose_threshold(store: Store, actor: Actor, threshold: float | None, seen_model: int | None = None) -> Model:
    """Record which threshold the current model's proposals are cut at from now on; cuts nothing anew.

    Args:
        actor: who chooses.
        threshold: largest probability of being wrong of a reliable pixel, 0-1; None is what the model file calls
            reliable.
        seen_model: the current model that the person looked at; None does not check.

    Raises:
        LookupError: no model is current.
        ValueError: a threshold outside 0-1.
        ModelsChangedError: another model became current meanwhile.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"a threshold is a probability of being wrong, 0-1, got {threshold}")
    expected = find_model(store, None)
    with store.session() as session:
        model = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
        if model is None or model.id != expected.id or seen_model not in (None, model.id):
            raise ModelsChangedError("another model is the current one by now, so nothing was changed. Look again.")
        before = threshold_in_force(session, model.id)
        if before != threshold:
            session.add(ThresholdChoice(model_id=model.id, threshold=threshold, chosen_by=actor.name))
            details = {"round": model.round, "before": before, "after": threshold}
            record(session, actor, AuditAction.THRESHOLD_CHOSEN, f"model {model.id}", details)
        return model


def choice_of(session: Session, model_id: int) -> Choice | None:
    """The choice in force for a model; None when nobody ever chose one."""
    row = latest_choice(session, model_id)
    return None if row is None else Choice(row.threshold, row.chosen_by, row.chosen_at)


def cuts_in_force(session: Session) -> list[CutInForce]:
    """What the pool's proposals are cut at: usually one line. The current model first, then by number of images."""
    numbers = (
        func.count(), func.count(Proposal.appearance), func.sum(Proposal.id), func.max(Proposal.created_at),
        func.sum(Proposal.file_coverage), func.sum(Proposal.mean_wrong),
    )  # fmt: skip
    statement = (
        select(Proposal.model_id, Proposal.threshold, *numbers)
        .join(Image, Image.id == Proposal.image_id)
        .where(_IN_FORCE)
        .group_by(Proposal.model_id, Proposal.threshold)
        .order_by(func.min(Image.id))
    )
    models = {model.id: model for model in session.scalars(select(Model))}
    found = [
        _in_force(session, models[model_id], threshold, tuple(mark))
        for model_id, threshold, *mark in session.execute(statement)
    ]
    return sorted(found, key=lambda each: (models[each.model_id].status is not ModelStatus.CURRENT, -each.images))


def _in_force(session: Session, model: Model, threshold: float | None, mark: tuple[Any, ...]) -> CutInForce:
    note = note_of(model)
    shift = _shift(session, model, threshold, mark, note is not None and note["unit"] == "block")
    return CutInForce(model.id, model.round, threshold, mark[0], promise_of([Cut(note, threshold)]), shift)


_shifts: dict[tuple[Any, ...], Shift] = {}
"""By the gold images and a mark of the pool. Every page that speaks of a promise asks again, and to read a large pool
and compare it takes a second."""


def _shift(session: Session, model: Model, threshold: float | None, mark: tuple[Any, ...], are_frames: bool) -> Shift:
    """How proposals that are cut alike look beside gold; `mark` is another one whenever they are others."""
    gold = tuple(tuple(each) for each in (model.gold or {}).get("seen", ()) if len(each) == NUM_SEEN)
    key = (gold, threshold, mark, are_frames)
    if key not in _shifts:
        pool, size = _pool_seen(session, model.id, threshold), (-1, NUM_SEEN)
        while len(_shifts) >= _SHIFTS_KEPT:
            _shifts.pop(next(iter(_shifts)), None)
        _shifts[key] = judge_shift(np.array(gold, float).reshape(size), np.array(pool, float).reshape(size), are_frames)
    return _shifts[key]


def _pool_seen(session: Session, model_id: int, threshold: float | None) -> list[tuple[float, ...]]:
    """What is known of each image, in the order of images; without those from before it was kept."""
    rows = session.execute(
        select(Proposal.file_coverage, Proposal.mean_wrong, Proposal.appearance)
        .join(Image, Image.id == Proposal.image_id)
        .where(_IN_FORCE, Proposal.model_id == model_id, Proposal.threshold.is_not_distinct_from(threshold))
        .order_by(Image.id)
    )
    return [
        (coverage, wrong, *looks)
        for coverage, wrong, looks in rows
        if coverage is not None and wrong is not None and looks is not None
    ]


def note_of(model: Model) -> Mapping[str, Any] | None:
    """The calibration in a model's file."""
    note: Mapping[str, Any] | None = (model.gold or {}).get("calibration")
    return note


def cut_images(session: Session, model_id: int, threshold: float | None, held: frozenset[int]) -> list[CutImage]:
    """Every image with a proposal of a model, labeled ones with planted errors among them, by name.

    Args:
        threshold: at which the queue is to be cut.
        held: images that somebody works on.
    """
    controls = set(session.scalars(select(ControlImage.image_id)))
    decided = set(session.scalars(select(Decision.image_id).distinct()))
    statement = (
        select(Image, Proposal.threshold)
        .join(Proposal, (Proposal.image_id == Image.id) & Proposal.active)
        .where(Proposal.model_id == model_id, Image.deleted_at.is_(None))
        .order_by(Image.sample_id)
    )
    return [
        CutImage(
            image,
            cut_at,
            standing_of(cut_at == threshold, image.id in controls, image.id in decided, image.id in held),
        )
        for image, cut_at in session.execute(statement)
    ]


def standings(session: Session, model_id: int, held: frozenset[int]) -> Counter[Standing]:
    """How many images of the pool stand how to the threshold in force."""
    threshold = threshold_in_force(session, model_id)
    facts = (
        select(
            Proposal.threshold.is_not_distinct_from(threshold).label("as_chosen"),
            Image.id.in_(select(ControlImage.image_id)).label("control"),
            select(Decision.id).where(Decision.image_id == Image.id).exists().label("decided"),
            Image.id.in_(held).label("held"),
        )
        .join(Image, Image.id == Proposal.image_id)
        .where(_IN_FORCE, Proposal.model_id == model_id)
        .subquery()
    )
    found: Counter[Standing] = Counter()
    for *each, number in session.execute(select(facts, func.count()).group_by(*facts.c)):
        found[standing_of(*map(bool, each))] += number
    return found
