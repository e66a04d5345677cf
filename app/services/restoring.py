"""Earlier proposals of a model put back into force, where nothing happened since another one took their place."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.domain.cutting import proposal_to_restore
from app.domain.states import ImageRole
from app.services.labels import active_proposal
from app.services.review_states import refresh_states
from app.storage.cuts import threshold_in_force
from app.storage.database import Store
from app.storage.history import last_decision_id
from app.storage.models import Image, Proposal
from app.storage.probes import DecoyImage

_PER_TRANSACTION = 25
"""Images per write: the lock is held for a few milliseconds, and a thousand images take no thousand flushes."""


def restore_proposals(store: Store, model_id: int) -> int:
    """Make a model's earlier proposals active again where another model's are; returns how many of the pool's.

    An image is left out when somebody decided something about it since its proposal was replaced: regions made before
    would ask again what is known now, so that image has to be predicted anew.
    """
    with store.reader() as session:
        # Decoys, too: with new regions among old ones they would be known.
        is_reviewed = or_(Image.role == ImageRole.POOL, Image.id.in_(select(DecoyImage.image_id)))
        waiting = list(
            session.execute(
                select(Image.id, Image.role)
                .join(Proposal, Image.id == Proposal.image_id)
                .where(is_reviewed, Image.deleted_at.is_(None))
                .where(Proposal.model_id == model_id, ~Proposal.active, Proposal.replaced_after.is_not(None))
                .distinct()
                .order_by(Image.id)
            )
        )
    restored = 0
    for start in range(0, len(waiting), _PER_TRANSACTION):
        with store.session() as session:
            for image_id, role in waiting[start : start + _PER_TRANSACTION]:
                restored += _restore(store, session, image_id, model_id) and role is ImageRole.POOL
    return restored


def restore_cut(store: Store, session: Session, image_id: int, model_id: int, threshold: float | None) -> bool:
    """Whether the model's latest proposal for an image that was cut at a threshold is active now and was not before."""
    cut_so = (Proposal.model_id == model_id) & (
        Proposal.threshold.is_(None) if threshold is None else Proposal.threshold == threshold
    )
    statement = select(Proposal).where(Proposal.image_id == image_id, cut_so).order_by(Proposal.id.desc()).limit(1)
    return _activate_again(store, session, session.scalar(statement))


def replace_proposal(session: Session, proposal: Proposal | None) -> None:
    """Take a proposal out of force, remembering after which decision."""
    if proposal is not None:
        proposal.active = False
        proposal.replaced_after = last_decision_id(session, proposal.image_id)
        session.flush()  # Only one proposal of an image may be active at any moment.


def _restore(store: Store, session: Session, image_id: int, model_id: int) -> bool:
    """Whether one of the model's proposals for an image is active now and none was before."""
    kept = session.execute(
        select(Proposal.id, Proposal.threshold, Proposal.active).where(
            Proposal.image_id == image_id, Proposal.model_id == model_id
        )
    ).all()
    if any(row.active for row in kept):  # Another threshold of the same model is for a re-cut.
        return False
    best = proposal_to_restore([(row.id, row.threshold) for row in kept], threshold_in_force(session, model_id))
    return _activate_again(store, session, None if best is None else session.get_one(Proposal, best))


def _activate_again(store: Store, session: Session, proposal: Proposal | None) -> bool:
    """Put a proposal back into force, unless it is or something was decided since it was replaced."""
    if proposal is None or proposal.active:
        return False
    if proposal.replaced_after != last_decision_id(session, proposal.image_id):
        return False
    if not store.workspace.absolute(proposal.folder).is_dir():
        return False
    replace_proposal(session, active_proposal(session, proposal.image_id))
    proposal.active, proposal.replaced_after = True, None
    session.flush()
    refresh_states(session, session.get_one(Image, proposal.image_id))
    return True
