"""The report on the quality page: read from the action log, beside what the store knows about images and models."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.actions import Action
from app.domain.agreement import Agreement, agreement_between_people, agreement_with_oneself
from app.domain.breakdown import ClassWork, PeriodWork, work_by_class, work_by_period
from app.domain.effort import (
    EffortSaved,
    ImageEffort,
    RegionEffort,
    RoundGain,
    effort_saved,
    hours_of,
    region_effort,
    round_gains,
)
from app.domain.intervals import CountedShare, counted_share
from app.domain.quality import (
    AuditedError,
    ControlError,
    audited_error,
    catch_rates,
    caught_by_all,
    change_rate,
    control_error,
    is_low,
    pixels_shown,
    pixels_touched,
)
from app.domain.quality_words import (
    FEW_AUDITS,
    GoldMeasure,
    agreement_sentence,
    audited_sentence,
    caught_sentence,
    changed_sentence,
    control_sentence,
    effort_sentence,
    gold_sentence,
    saved_sentence,
)
from app.domain.states import DecisionKind, ImageRole, ImageState, ModelStatus, RegionKind, RegionState
from app.services.action_log import ActionFilter
from app.services.kept_actions import KeptActions
from app.services.thresholds import CutInForce, cuts_in_force
from app.storage.cuts import threshold_in_force
from app.storage.database import Store
from app.storage.models import Image, Model, Proposal, Region
from app.storage.probes import ControlImage, Probe
from app.storage.settings import require_class_set
from app.storage.trust_settings import TrustSettings, read_trust_settings


@dataclass(frozen=True)
class PersonReport:
    """One person's work.

    Attributes:
        user: who.
        hours: of work.
        effort: seconds per finished region.
        changed: queued regions that the person changed.
        shown: pixels of the regions that the person was shown.
        skipped: regions last skipped.
        not_known: regions that the person did not know.
        caught: planted errors caught.
        is_low: that is under the limit.
    """

    user: str
    hours: float
    effort: RegionEffort
    changed: CountedShare
    shown: int
    skipped: int
    not_known: int
    caught: CountedShare
    is_low: bool


@dataclass(frozen=True)
class ModelAudit:
    """Audited error of the reliable area of one model's proposals that were cut at one threshold.

    Attributes:
        threshold: None is what the model file called reliable.
        is_current: the current model, at the threshold in force for it.
    """

    model_id: int
    round: int
    threshold: float | None
    is_current: bool
    audited: AuditedError


@dataclass(frozen=True)
class Apart:
    """What is counted apart from regions of the queue.

    Attributes:
        flagged: reliable areas that somebody pointed at, and parts of labels that were sent to review.
        propagated_regions: regions decided together with a look-alike, after a preview.
        propagated_pixels: their pixels.
    """

    flagged: int
    propagated_regions: int
    propagated_pixels: int


@dataclass(frozen=True)
class QualityReport:
    """Everything on the quality page.

    Everything but `saved`, `control`, `num_controls`, `rounds` and `pool_pixels` is about the actions that the filter
    holds; these are about whole images and the whole life of the workspace.

    Attributes:
        classes: names by id.
        names: everybody who did anything, whatever the filter.
        trust: shares of probes; without the seed.
        audits: by model and threshold, those in force first.
        cuts: what the labels of the pool rest on, with its promise.
        on_gold: how wrong reliable pixels are by the gold images; None where none measured the current model.
        audits_waiting: audits of the active proposals that nobody decided yet.
        caught: planted errors caught by everybody.
        is_low: that is under the limit.
        people: one entry a person, by name.
        hours: of work in all.
        effort: seconds per finished region.
        changed: queued regions that people changed.
        shown: pixels that people were shown.
        touched: pixels that people gave another class.
        pool_pixels: pixels of all pool images.
        between_people: regions that two people decided.
        with_oneself: regions that one person decided twice.
        by_class: queued regions by the class that the model gave them.
        by_period: work by day or by week.
        rounds: gold mIoU and hours of work.
        saved: effort saved against labeling from scratch.
        control: what the finished control images say about the reliable area.
        num_controls: images that were chosen for the control arm.
        apart: flags and propagation.
        num_actions: rows behind it.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    trust: TrustSettings
    audits: tuple[ModelAudit, ...]
    cuts: tuple[CutInForce, ...]
    on_gold: GoldMeasure | None
    audits_waiting: int
    caught: CountedShare
    is_low: bool
    people: tuple[PersonReport, ...]
    hours: float
    effort: RegionEffort
    changed: CountedShare
    shown: int
    touched: int
    pool_pixels: int
    between_people: Agreement
    with_oneself: Agreement
    by_class: tuple[ClassWork, ...]
    by_period: tuple[PeriodWork, ...]
    rounds: tuple[RoundGain, ...]
    saved: EffortSaved
    control: ControlError
    num_controls: int
    apart: Apart
    num_actions: int

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API, the page and the command line."""
        sentences = {
            "audited": audited_sentence(
                self.audits[0].audited if self.audits else None,
                self.audits_waiting,
                sum(each.audited.wrong.trials for each in self.audits[1:]),
            ),
            "on_gold": gold_sentence(self.on_gold),
            "caught": caught_sentence(self.caught),
            "effort": effort_sentence(self.effort),
            "changed": changed_sentence(self.changed),
            "agreement": agreement_sentence(self.between_people, self.with_oneself),
            "saved": saved_sentence(self.saved),
            "control": control_sentence(self.control, self.num_controls),
        }
        trust = self.trust.model_dump(exclude={"seed", "mixed_up_to"})
        told = {"trust": trust, "cuts": [cut.to_json() for cut in self.cuts], "few_audits": FEW_AUDITS}
        return {**asdict(self), **told, "sentences": sentences}


def quality_report(store: Store, filters: ActionFilter | None = None, kept: KeptActions | None = None) -> QualityReport:
    """Everybody's numbers, over the whole life of the workspace or what a filter leaves of it.

    Args:
        kept: what earlier reports read; None reads everything.
    """
    filters = filters or ActionFilter()
    everything = (kept or KeptActions(store)).counting()
    actions = [each for each in everything if filters.holds(each)]
    by_user = _by_user(actions)
    in_time = ActionFilter(since=filters.since, until=filters.until)
    answers = [each for each in everything if in_time.holds(each)]  # A pair takes the other one's answer, too.
    names = tuple(sorted({each.user for each in everything}))
    with store.reader() as session:
        return QualityReport(
            classes=require_class_set(session).names,
            names=names,
            trust=read_trust_settings(session),
            audits=_audits(session, actions),
            cuts=tuple(cuts_in_force(session)),
            on_gold=_on_gold(session),
            audits_waiting=_audits_waiting(session),
            caught=(caught := caught_by_all(actions)),
            is_low=is_low(caught),
            people=tuple(person_report(user, theirs) for user, theirs in sorted(by_user.items())),
            hours=hours_of(actions),
            effort=region_effort(actions),
            changed=change_rate(actions),
            shown=pixels_shown(actions),
            touched=pixels_touched(actions),
            pool_pixels=_pool_pixels(session),
            between_people=agreement_between_people(answers, filters.user),
            with_oneself=agreement_with_oneself(actions),
            by_class=work_by_class(actions),
            by_period=work_by_period(actions),
            rounds=tuple(round_gains(_gold(session), everything)),
            saved=_effort_saved(session, everything),
            control=control_error(everything),
            num_controls=session.scalar(select(func.count()).select_from(ControlImage)) or 0,
            apart=_apart(actions),
            num_actions=len(actions),
        )


def own_report(
    store: Store, user: str, now: datetime, kept: KeptActions | None = None
) -> tuple[PersonReport, datetime]:
    """A person's own numbers up to the last midnight (UTC), and that moment.

    Not up to now: whoever sees the count of planted errors grow after a decision knows what that region was.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    theirs = ActionFilter(user=user, until=midnight)
    actions = [each for each in (kept or KeptActions(store)).counting() if theirs.holds(each)]
    return person_report(user, actions), midnight


def person_report(user: str, theirs: Sequence[Action]) -> PersonReport:
    """One person's numbers.

    Args:
        theirs: the person's actions that count.
    """
    caught = catch_rates(theirs).get(user, counted_share(0, 0))
    last = {each.region_id: each.action for each in theirs if each.region_id is not None}
    return PersonReport(
        user=user,
        hours=hours_of(theirs),
        effort=region_effort(theirs),
        changed=change_rate(theirs),
        shown=pixels_shown(theirs),
        skipped=sum(action is DecisionKind.SKIP for action in last.values()),
        not_known=sum(action is DecisionKind.DONT_KNOW for action in last.values()),
        caught=caught,
        is_low=is_low(caught),
    )


def _by_user(actions: Sequence[Action]) -> dict[str, list[Action]]:
    found: dict[str, list[Action]] = {}
    for each in actions:
        found.setdefault(each.user, []).append(each)
    return found


def _audits(session: Session, actions: Sequence[Action]) -> tuple[ModelAudit, ...]:
    audited = {(each.model_id, each.threshold) for each in actions if each.region_kind is RegionKind.AUDIT}
    models = {model.id: model for model in session.scalars(select(Model))}
    current = next((model.id for model in models.values() if model.status is ModelStatus.CURRENT), None)
    in_force = None if current is None else (current, threshold_in_force(session, current))
    keys = audited if in_force is None else audited | {in_force}
    order = sorted(keys, key=lambda key: (key != in_force, key[0] != current, -key[0], key[1] or -1.0))
    return tuple(
        ModelAudit(
            model_id,
            models[model_id].round,
            threshold,
            (model_id, threshold) == in_force,
            audited_error([each for each in actions if each.threshold == threshold], model_id),
        )
        for model_id, threshold in order
    )


def _on_gold(session: Session) -> GoldMeasure | None:
    model = session.scalar(select(Model).where(Model.status == ModelStatus.CURRENT))
    if model is None or not model.gold:
        return None
    precision = model.gold.get("reliable_precision")
    note = model.gold.get("calibration")
    return GoldMeasure(
        round=model.round,
        images=model.gold["num_images"],
        coverage=model.gold.get("reliable_coverage"),
        error_rate=None if precision is None else 1 - precision,
        is_chosen_there=note is not None and bool(note.get("decides")),
        is_in_force=threshold_in_force(session, model.id) is None,
    )


def _audits_waiting(session: Session) -> int:
    waits = Region.state.in_((RegionState.OPEN, RegionState.SKIPPED, RegionState.SECOND_REVIEW, RegionState.HELD))
    statement = (
        select(func.count())
        .select_from(Probe)
        .join(Region, Region.id == Probe.region_id)
        .join(Proposal, Proposal.id == Region.proposal_id)
        .join(Image, Image.id == Region.image_id)
        .where(Probe.kind == RegionKind.AUDIT, waits, Proposal.active, Image.role == ImageRole.POOL)
    )
    return session.scalar(statement) or 0


def _pool_pixels(session: Session) -> int:
    in_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)
    return session.scalar(select(func.sum(Image.width * Image.height)).where(in_pool)) or 0


def _gold(session: Session) -> dict[int, tuple[float, datetime]]:
    """Gold mIoU and time of each round that was measured; of its latest model."""
    found: dict[int, tuple[float, datetime]] = {}
    for model in session.scalars(select(Model).order_by(Model.id)):
        if model.gold and model.gold["miou"] is not None:
            found[model.round] = model.gold["miou"], model.created_at
    return found


def _effort_saved(session: Session, actions: Sequence[Action]) -> EffortSaved:
    controls = set(session.scalars(select(ControlImage.image_id)))
    finished = Image.state.in_((ImageState.ENOUGH, ImageState.DONE))
    in_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None) & finished
    by_image: dict[str, list[Action]] = {}
    for each in actions:
        by_image.setdefault(each.image_sha256, []).append(each)
    arms: dict[bool, list[ImageEffort]] = {True: [], False: []}
    for image in session.execute(select(Image.id, Image.sha256, Image.width, Image.height).where(in_pool)):
        done = by_image.get(image.sha256, [])
        if done:
            seconds = sum(each.active_ms for each in done) / 1000
            effort = ImageEffort(seconds, image.width * image.height, pixels_shown(done))
            arms[image.id in controls].append(effort)
    return effort_saved(arms[True], arms[False])


def _apart(actions: Sequence[Action]) -> Apart:
    kinds = Counter(each.action for each in actions)
    propagated = [each for each in actions if each.action is DecisionKind.PROPAGATE]
    return Apart(
        flagged=kinds[DecisionKind.FLAG],
        propagated_regions=sum(each.propagated_regions for each in propagated),
        propagated_pixels=sum(each.propagated_pixels for each in propagated),
    )
