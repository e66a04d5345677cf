"""What was said about regions, by whom and when: for lists. Decisions that were taken back do not count."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.decisions import region_state_after
from app.domain.states import DecisionKind
from app.storage.database import Store
from app.storage.history import effective, regions_history
from app.storage.models import Decision, Proposal, Region


@dataclass(frozen=True)
class Verdict:
    """The decision that gave a region its state.

    Attributes:
        kind: accept, relabel, void, draw, propagate, dont_know or skip.
        class_id: the new class of a relabel or propagation, else None.
        user: who.
        decided_at: when, UTC.
    """

    kind: DecisionKind
    class_id: int | None
    user: str
    decided_at: datetime


@dataclass(frozen=True)
class RegionStory:
    """What a list says about a region beside its numbers.

    Attributes:
        verdict: None when nobody decided it.
        is_current: it belongs to the image's present proposal, so the reviewer can open it.
    """

    verdict: Verdict | None
    is_current: bool


def region_stories(store: Store, region_ids: Collection[int]) -> dict[int, RegionStory]:
    """The stories of some regions, by id; unknown ids are left out."""
    with store.reader() as session:
        verdicts = _verdicts(session, region_ids)
        is_active = session.execute(
            select(Region.id, Proposal.active)
            .join(Proposal, Proposal.id == Region.proposal_id)
            .where(Region.id.in_(region_ids))
        )
        return {region_id: RegionStory(verdicts.get(region_id), active) for region_id, active in is_active}


def _verdicts(session: Session, region_ids: Collection[int]) -> dict[int, Verdict]:
    """Verdicts by region; a region that stands for one of an earlier proposal has that one's until it has its own."""
    deciding: dict[int, str] = {}
    for past in effective(regions_history(session, region_ids)):
        if past.region_id is not None and region_state_after(past.operation.kind, past.closes_region) is not None:
            deciding[past.region_id] = past.operation.op_id
        deciding.update(dict.fromkeys(past.propagated_to, past.operation.op_id))
    deciding = {region_id: op_id for region_id, op_id in deciding.items() if region_id in region_ids}
    rows = session.scalars(select(Decision).where(Decision.op_id.in_(deciding.values())))
    verdicts = {row.op_id: Verdict(row.kind, row.class_id, row.user, row.created_at) for row in rows}
    found = {region_id: verdicts[op_id] for region_id, op_id in deciding.items()}
    for region_id, origin_id in _origins(session, set(region_ids) - set(found)).items():
        earlier = _verdicts(session, [origin_id])
        if origin_id in earlier:
            found[region_id] = earlier[origin_id]
    return found


def _origins(session: Session, region_ids: Collection[int]) -> dict[int, int]:
    """The earlier proposal's region for which each of some regions stands; only those that stand for one."""
    rows = session.execute(select(Region.id, Region.origin_id).where(Region.id.in_(region_ids)))
    return {region_id: origin_id for region_id, origin_id in rows if origin_id is not None}
