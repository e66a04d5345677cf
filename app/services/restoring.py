"""Proposals of an earlier model put back into force, where nothing happened since a later model's took their place."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.states import ImageRole
from app.services.labels import active_proposal
from app.services.review_states import refresh_states
from app.storage.database import Store
from app.storage.history import last_decision_id
from app.storage.models import Image, Proposal

_PER_TRANSACTION = 25
"""Images per write: the lock is held for a few milliseconds, and a thousand images take no thousand flushes."""


def restore_proposals(store: Store, model_id: int) -> int:
    """Make a model's earlier proposals active again; returns how many.

    An image is left out when somebody decided something about it since its proposal was replaced: regions made before
    would ask again what is known now, so that image has to be predicted anew.
    """
    with store.reader() as session:
        is_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)
        waiting = list(
            session.scalars(
                select(Proposal.image_id)
                .join(Image, Image.id == Proposal.image_id)
                .where(is_pool, Proposal.model_id == model_id, ~Proposal.active, Proposal.replaced_after.is_not(None))
                .distinct()
                .order_by(Proposal.image_id)
            )
        )
    restored = 0
    for start in range(0, len(waiting), _PER_TRANSACTION):
        with store.session() as session:
            restored += sum(_restore(store, session, i, model_id) for i in waiting[start : start + _PER_TRANSACTION])
    return restored


def replace_proposal(session: Session, proposal: Proposal | None) -> None:
    """Take a proposal out of force, remembering after which decision."""
    if proposal is not None:
        proposal.active = False
        proposal.replaced_after = last_decision_id(session, proposal.image_id)
        session.flush()  # Only one proposal of an image may be active at any moment.


def _restore(store: Store, session: Session, image_id: int, model_id: int) -> bool:
    """Whether the model's latest proposal for an image is active now and was not before."""
    latest = session.scalar(
        select(Proposal)
        .where(Proposal.image_id == image_id, Proposal.model_id == model_id)
        .order_by(Proposal.id.desc())
        .limit(1)
    )
    if latest is None or latest.active or latest.replaced_after != last_decision_id(session, image_id):
        return False
    if not store.workspace.absolute(latest.folder).is_dir():
        return False
    replace_proposal(session, active_proposal(session, image_id))
    latest.active, latest.replaced_after = True, None
    session.flush()
    refresh_states(session, session.get_one(Image, image_id))
    return True
