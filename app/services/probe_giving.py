"""Giving probes to people: when one is due, which one it is, and how it stands in the list without being noticed.

A probe is in its picture like any region as soon as it is active, so that nothing changes when somebody gets it. The
queue lists it only for the person to whom it was given, at a place that app/domain/mixing.py drew, with a score that
lies between those of its neighbors.
"""

from collections import Counter
from dataclasses import replace
from math import ceil

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from app.domain.mixing import LARGEST_SHARE, ProbeShares, probe_places, probes_before_last, score_between
from app.domain.states import PROBE_KINDS, DecisionKind, ImageState, RegionKind, RegionState
from app.services.review_queue import narrow, open_to, region_rows
from app.services.review_states import refresh_states
from app.services.review_types import QueueCounts, QueueFilter
from app.storage.database import Store
from app.storage.models import Decision, Image, Proposal, Region, utc_now
from app.storage.probes import Probe
from app.storage.trust_settings import TrustSettings, read_trust_settings

LOOK_AHEAD = 40
"""Places of a person's sequence that are filled ahead of time: as many as the reviewer page fetches at once."""

_BY_CHANCE = Probe.draw_order, Probe.region_id

_FINISHING = (
    DecisionKind.ACCEPT, DecisionKind.RELABEL, DecisionKind.VOID, DecisionKind.DONT_KNOW, DecisionKind.SKIP,
)  # fmt: skip


def give_due_probes(session: Session, filters: QueueFilter) -> None:
    """Give `filters.person` the probes that are due in the next places. Needs a session that may write."""
    trust = read_trust_settings(session)
    missing = _missing_places(session, trust, filters)
    if not missing:
        return
    assert filters.person is not None, "probes are due for somebody"
    position = _position(session, filters.person)
    rows = region_rows(session, replace(filters, state=RegionState.OPEN), LOOK_AHEAD, 0)
    scores = [row.score for row in rows]
    for place, kind in missing.items():
        at = place - position
        if at >= len(scores):
            break
        found = _next_probe(session, kind, filters)
        if found is None:
            continue
        region, probe = found
        region.score = score_between(scores[at - 1] if at else None, scores[at], probe.draw_order * 997 % 1)
        scores.insert(at, region.score)
        _give(probe, filters.person)
        probe.place, probe.is_filtered = place, filters.is_narrowed
        probe.is_active = True
        region.state = RegionState.OPEN
        session.flush()


def are_probes_due(session: Session, filters: QueueFilter) -> bool:
    """Whether giving would change anything; asked first, because looking at the queue should not wait for writers."""
    missing = _missing_places(session, read_trust_settings(session), filters)
    return any(_next_probe(session, kind, filters) is not None for kind in set(missing.values()))


def note_found(session: Session, decision: Decision) -> None:
    """A probe that somebody opened in its picture before the queue gave it to anybody is theirs from now on."""
    probe = None if decision.region_id is None else session.get(Probe, decision.region_id)
    if probe is not None and probe.person is None:
        _give(probe, decision.user)


def counts_for(session: Session, counts: QueueCounts, person: str) -> QueueCounts:
    """Counts with a person's probes among them, so that each finished region, probe or not, leaves one less.

    Args:
        counts: without probes.
    """
    trust = read_trust_settings(session)
    position = _position(session, person)
    theirs = (
        select(Probe.kind, Region.state, Probe.place)
        .join(Region, Region.id == Probe.region_id)
        .where(Probe.person == person, Region.state.in_((RegionState.OPEN, RegionState.SKIPPED)))
    )
    waiting = [(row[0], row[1], row[2]) for row in session.execute(theirs)]
    skipped = sum(state is RegionState.SKIPPED for _, state, _ in waiting)
    late = sum(state is RegionState.OPEN and (place is None or place < position) for _, state, place in waiting)
    coming = Counter(kind for kind, state, place in waiting if state is RegionState.OPEN and (place or -1) >= position)
    ahead = coming.total()
    if trust.seed is not None:
        available = {kind: coming[kind] + _supply(session, kind, person) for kind in PROBE_KINDS}
        shares = _shares(session, trust)
        ahead = max(ahead, probes_before_last(shares, trust.seed, person, position, counts.open, available))
    return replace(counts, open=counts.open + late + ahead, skipped=counts.skipped + skipped)


def activate_probes(store: Store) -> None:
    """Put as many audits and planted errors into their pictures as the present queue needs, in the order of drawing."""
    with store.session() as session:
        trust = read_trust_settings(session)
        queued = session.scalar(
            select(func.count())
            .select_from(Region)
            .join(Image, Image.id == Region.image_id)
            .where(Region.kind == RegionKind.QUEUE, Region.state == RegionState.OPEN, Image.state == ImageState.OPEN)
        )
        shares = {RegionKind.AUDIT: trust.audit_share, RegionKind.PLANTED: trust.planted_share}
        for kind, share in shares.items():
            needed = ceil(share / (1 - sum(shares.values())) * (queued or 0))
            waiting = session.scalar(
                select(func.count())
                .select_from(Probe)
                .join(Region, Region.id == Probe.region_id)
                .where(Probe.kind == kind, Probe.person.is_(None), Region.state == RegionState.OPEN)
            )
            _activate(session, kind, needed - (waiting or 0))


def _activate(session: Session, kind: RegionKind, number: int) -> None:
    if number <= 0:
        return
    statement = _ungiven(kind).where(Probe.is_active.is_(False)).order_by(*_BY_CHANCE).limit(number)
    images: dict[int, Image] = {}
    for region, probe in session.execute(statement).all():
        probe.is_active = True
        images[region.image_id] = session.get_one(Image, region.image_id)
    session.flush()
    for image in images.values():
        refresh_states(session, image)


def _missing_places(session: Session, trust: TrustSettings, filters: QueueFilter) -> dict[int, RegionKind]:
    """The next places that should hold a probe and do not, with its kind."""
    if filters.person is None or filters.state is not None or filters.asked or trust.seed is None:
        return {}
    position = _position(session, filters.person)
    places = probe_places(_shares(session, trust), trust.seed, filters.person, position + LOOK_AHEAD)
    given = set(session.scalars(select(Probe.place).where(Probe.person == filters.person, Probe.place >= position)))
    return {place: kind for place, kind in places.items() if place >= position and place not in given}


def _position(session: Session, person: str) -> int:
    """How many regions a person was given and finished: the next place of their sequence."""
    finished = Decision.kind.in_(_FINISHING) | and_(Decision.kind == DecisionKind.DRAW, Decision.closes_region)
    statement = select(func.count(Decision.region_id.distinct())).where(Decision.user == person, finished)
    return session.scalar(statement) or 0


def _shares(session: Session, trust: TrustSettings) -> ProbeShares:
    """Shares of places. Control images come as often among regions as they are among images."""
    kinds = (RegionKind.QUEUE, RegionKind.CONTROL)
    statement = (
        select(Region.kind, func.count())
        .join(Proposal, Proposal.id == Region.proposal_id)
        .where(Region.kind.in_(kinds), Proposal.active)
        .group_by(Region.kind)
    )
    numbers: dict[RegionKind, int] = {row[0]: row[1] for row in session.execute(statement)}
    control = numbers.get(RegionKind.CONTROL, 0) / max(1, numbers.get(RegionKind.QUEUE, 0))
    return ProbeShares(trust.audit_share, trust.planted_share, min(control, LARGEST_SHARE))


def _next_probe(session: Session, kind: RegionKind, filters: QueueFilter) -> tuple[Region, Probe] | None:
    """The probe that chance puts first among those that fit a person's queue."""
    if kind is RegionKind.CONTROL and filters.is_narrowed:
        return None
    assert filters.person is not None, "probes are due for somebody"
    fitting = narrow(_ungiven(kind).where(open_to(filters.person)), filters)
    row = session.execute(fitting.order_by(*_BY_CHANCE).limit(1)).first()
    return None if row is None else (row[0], row[1])


def _supply(session: Session, kind: RegionKind, person: str) -> int:
    """Probes of a kind that a person could still be given."""
    return session.scalar(_ungiven(kind).where(open_to(person)).with_only_columns(func.count())) or 0


def _ungiven(kind: RegionKind) -> Select[Region, Probe]:
    """Probes of a kind that nobody was given and nobody found, in images that still show their proposal."""
    # Held and active means that somebody accepted the rest of the image.
    waits = (Region.state == RegionState.OPEN) | ((Region.state == RegionState.HELD) & Probe.is_active.is_(False))
    return (
        select(Region, Probe)
        .join(Probe, Probe.region_id == Region.id)
        .join(Proposal, Proposal.id == Region.proposal_id)
        .join(Image, Image.id == Region.image_id)
        .where(Probe.kind == kind, Probe.person.is_(None), waits, Proposal.active, Image.deleted_at.is_(None))
    )


def _give(probe: Probe, person: str) -> None:
    probe.person, probe.given_at = person, utc_now()
