"""What the store holds, read behind the application's back."""

import hashlib
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from app.config import Workspace
from app.domain.decisions import LabelState
from app.services.labels import active_proposal, label_state, proposal_planes
from app.storage.database import open_store
from app.storage.models import Decision, Image, Region


def stored_state(workspace: Workspace, image_id: int) -> LabelState:
    """Label and provenance of an image, replayed from the log."""
    with closing(open_store(workspace)) as store, store.reader() as session:
        state = label_state(store, session, session.get_one(Image, image_id))
        assert state is not None
        return state


def locked_mask(workspace: Workspace, image_id: int) -> NDArray[np.bool_]:
    """(H, W), the reliable pixels of an image's proposal."""
    with closing(open_store(workspace)) as store, store.reader() as session:
        proposal = active_proposal(session, image_id)
        assert proposal is not None
        return proposal_planes(store, session, proposal).reliable.astype(bool)


def decisions(workspace: Workspace) -> list[Decision]:
    """The whole log, oldest first."""
    with closing(open_store(workspace)) as store, store.reader() as session:
        return list(session.query(Decision).order_by(Decision.id))


def region_row(workspace: Workspace, region_id: int) -> Region:
    """One region."""
    with closing(open_store(workspace)) as store, store.reader() as session:
        return session.get_one(Region, region_id)


def sha1(plane: NDArray[np.uint8]) -> str:
    """Hash of a plane's bytes in row order."""
    return hashlib.sha1(np.ascontiguousarray(plane).tobytes(), usedforsecurity=False).hexdigest()
