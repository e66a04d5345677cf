"""States of regions and images. They follow from the decisions that count, so they are derived anew after each one."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.decisions import PENDING_STATES, region_state_after
from app.domain.queue import expected_errors, is_enough
from app.domain.states import DecisionKind, ImageState, RegionKind, RegionState
from app.services.decoys import is_reviewed
from app.services.labels import active_proposal
from app.storage.history import PastDecision, effective, image_history
from app.storage.models import Image, Proposal, Region
from app.storage.probes import Probe
from app.storage.settings import read_review_settings


def refresh_states(session: Session, image: Image) -> None:
    """Bring the states of an image and of its regions in line with its proposal and decisions."""
    proposal = active_proposal(session, image.id)
    counting = effective(image_history(session, image.id))
    by_region: dict[int, RegionState] = {}
    propagated: set[int] = set()
    flagged = {past.region_id for past in counting if past.operation.kind is DecisionKind.FLAG}
    for past in counting:
        after = region_state_after(past.operation.kind, past.closes_region)
        if past.region_id is not None and after is not None:
            by_region[past.region_id] = after
            propagated.discard(past.region_id)
        by_region.update(dict.fromkeys(past.propagated_to, RegionState.DECIDED))
        propagated.update(past.propagated_to)
    active_id = None if proposal is None else proposal.id
    held = _held(session, image)
    regions = session.scalars(select(Region).where(Region.image_id == image.id).order_by(Region.id)).all()
    for region in regions:
        # What was said about a region holds for the one that took its place, until somebody decides that one.
        untouched = RegionState.HELD if region.id in held else RegionState.OPEN
        state = by_region.setdefault(region.id, by_region.get(region.origin_id or 0, untouched))
        is_taken_back = region.kind is RegionKind.FLAGGED and region.origin_id is None and region.id not in flagged
        if (region.proposal_id != active_id or is_taken_back) and state in PENDING_STATES:
            state = RegionState.SUPERSEDED
        if (region.state, region.propagated) != (state, region.id in propagated):
            region.state, region.propagated = state, region.id in propagated
    if is_reviewed(session, image):
        image.state = _image_state(session, image, proposal, counting)


def _held(session: Session, image: Image) -> set[int]:
    """Probes that nobody is shown."""
    of_image = select(Probe.region_id).join(Region, Region.id == Probe.region_id).where(Region.image_id == image.id)
    return set(session.scalars(of_image.where(Probe.is_active.is_(False))))


def _image_state(session: Session, image: Image, proposal: Proposal | None, counting: list[PastDecision]) -> ImageState:
    if proposal is None:
        return ImageState.WAITING
    session.flush()
    # Whatever a region is for, an image is as far as it looks. A control image waits from the beginning.
    waits = Region.state.in_(PENDING_STATES)
    is_control = (Region.kind == RegionKind.CONTROL) & (Region.state == RegionState.HELD)
    pending = session.execute(
        select(Region.area, Region.mean_confidence).where(Region.proposal_id == proposal.id, waits | is_control)
    ).all()
    if not pending or any(_accepts_rest(past, proposal) for past in counting):
        return ImageState.DONE
    errors = [expected_errors(area, confidence) for area, confidence in pending]
    if image.queue_weight > 1:  # Somebody asked for it, so that little is left is no reason to leave it out.
        return ImageState.OPEN
    share = read_review_settings(session).enough_share
    return ImageState.ENOUGH if is_enough(errors, image.width * image.height, share) else ImageState.OPEN


def _accepts_rest(past: PastDecision, proposal: Proposal) -> bool:
    """Accepting the rest of one proposal says nothing about a later one."""
    return past.operation.kind is DecisionKind.ACCEPT_REST and past.stats.get("proposal_id") == proposal.id
