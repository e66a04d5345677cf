"""Putting audits and control images into the queue: how many, which ones, and where they stand.

Planted errors need none of this: they stand where the region would stand if the model had said so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.domain.mixing import number_needed, score_between, spread_places
from app.domain.states import RegionKind, RegionState
from app.services.review_queue import is_asked
from app.services.review_states import refresh_states
from app.storage.database import Store
from app.storage.models import Image, Proposal, Region
from app.storage.people import Lease
from app.storage.probes import Probe
from app.storage.trust_settings import read_trust_settings, write_trust_settings

_IN_ORDER = Probe.draw_order, Probe.region_id
_MIXED = (RegionKind.AUDIT, RegionKind.CONTROL)

MIXED_AT_ONCE = 50
"""Images that get proposals before their probes join the queue: few, so that nobody knows them by then, and enough for
audits to lie among some hundred regions. Chosen by us."""


@dataclass(frozen=True)
class _Waiting:
    """A probe that is in no list yet."""

    region: Region
    probe: Probe


def activate_probes(store: Store) -> None:
    """Put all control images into the queue, and as many audits as it needs, in the order of drawing.

    From then on everybody sees them in picture, list and counts, at a place that never changes. Only proposals that
    came since the last time take part, and no audit joins an image that somebody opened in between: a region that
    appeared in an image that people know would be no region of doubt. Called every `MIXED_AT_ONCE` images, so that such
    images are few.
    """
    with store.session() as session:
        trust = read_trust_settings(session)
        latest = session.scalar(select(func.max(Proposal.id))) or 0
        if trust.seed is None or latest == trust.mixed_up_to:
            return
        is_new = (Proposal.id > trust.mixed_up_to) & Proposal.active
        scores = _scores(session, is_new)
        for kind in _MIXED:
            rng = np.random.default_rng([trust.seed, _MIXED.index(kind), latest])
            is_audit = kind is RegionKind.AUDIT
            number = number_needed(trust.audit_share, len(scores), float(rng.random())) if is_audit else None
            _mix(session, _inactive(session, kind, is_new, number), scores, rng, latest)
        write_trust_settings(session, trust.model_copy(update={"mixed_up_to": latest}))


def _mix(
    session: Session, waiting: Sequence[_Waiting], scores: Sequence[float], rng: np.random.Generator, batch: int
) -> None:
    """Let probes stand among the regions with these scores, which fall."""
    places = spread_places(len(waiting), len(scores), rng)
    for each, place in zip(waiting, places, strict=True):
        above = scores[place - 1] if place else None
        below = scores[place] if place < len(scores) else None
        each.region.score = score_between(above, below, float(rng.random()))
        each.probe.is_active = True
        each.probe.chance = {**each.probe.chance, "batch": batch}
    session.flush()
    for image_id in {each.region.image_id for each in waiting}:
        refresh_states(session, session.get_one(Image, image_id))


def _scores(session: Session, is_new: ColumnElement[bool]) -> list[float]:
    """Scores of all regions in the queue but probes that stand in it by chance, in its order."""
    statement = (
        select(Region.score)
        .join(Image, Image.id == Region.image_id)
        .join(Proposal, Proposal.id == Region.proposal_id)
        .where(is_new, Region.kind.not_in(_MIXED), Region.state == RegionState.OPEN)
        .where(is_asked(), Image.deleted_at.is_(None))
        .order_by(Region.score.desc(), Region.id)
    )
    return list(session.scalars(statement))


def _inactive(session: Session, kind: RegionKind, is_new: ColumnElement[bool], number: int | None) -> list[_Waiting]:
    """At most so many probes that are in no list yet, in the order of drawing.

    Of decoys, too, which would otherwise be the images without audits; their answers are left out of the measurement.
    """
    statement = (
        select(Region, Probe)
        .join(Probe, Probe.region_id == Region.id)
        .join(Proposal, Proposal.id == Region.proposal_id)
        .join(Image, Image.id == Region.image_id)
        .where(is_new, Probe.kind == kind, Probe.is_active.is_(False), Region.state == RegionState.HELD)
        .where(Image.deleted_at.is_(None))
        .order_by(*_IN_ORDER)
        .limit(number)
    )
    if kind is RegionKind.AUDIT:
        opened = select(Lease.image_id).join(Proposal, Proposal.image_id == Lease.image_id)
        statement = statement.where(Image.id.not_in(opened.where(is_new, Lease.taken_at >= Proposal.created_at)))
    return [_Waiting(region, probe) for region, probe in session.execute(statement)]
