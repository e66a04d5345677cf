"""Images that a model could not propose a label for: they wait for their file, and no other prediction helps."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.decoys import is_listed
from app.storage.database import Store
from app.storage.failures import FailedPrediction
from app.storage.models import Image, Model, Proposal


@dataclass(frozen=True)
class FailedImage:
    """An image that the current model cannot propose a label for, and why."""

    image_id: int
    name: str
    reason: str


def note_failure(store: Store, image: Image, model_id: int, reason: str) -> None:
    """Remember that a model could not propose a label for an image as its file is now."""
    mark = _mark_of(store.workspace.absolute(image.path))
    with store.session() as session:
        session.merge(FailedPrediction(image_id=image.id, model_id=model_id, reason=reason, file_mark=mark))


def forget_failure(store: Store, image_id: int) -> None:
    """An attempt at an image succeeded."""
    with store.session() as session:
        session.execute(delete(FailedPrediction).where(FailedPrediction.image_id == image_id))


def ever_failed(session: Session) -> frozenset[int]:
    """Ids of images whose last prediction failed, by whichever model."""
    return frozenset(session.scalars(select(FailedPrediction.image_id)))


def failed_images(store: Store) -> list[FailedImage]:
    """What people are told about images that the current model fails on, by name."""
    with store.reader() as session:
        return failing(session, store.workspace, is_listed(session))


def failing(session: Session, workspace: Workspace, among: ColumnElement[bool]) -> list[FailedImage]:
    """Images that the current model failed on at the last attempt and would fail on again: their file is the same.

    Args:
        among: a condition on `Image`.
    """
    current = select(Model.id).where(Model.status == ModelStatus.CURRENT)
    proposed = select(Proposal.image_id).where(Proposal.active, Proposal.model_id.in_(current))
    rows = session.execute(
        select(Image.id, Image.name, Image.path, FailedPrediction.reason, FailedPrediction.file_mark)
        .join(FailedPrediction, FailedPrediction.image_id == Image.id)
        .where(FailedPrediction.model_id.in_(current), Image.id.not_in(proposed), among)
        .order_by(Image.sample_id)
    )
    return [
        FailedImage(row.id, row.name, row.reason)
        for row in rows
        if row.file_mark == _mark_of(workspace.absolute(row.path))
    ]


def _mark_of(path: Path) -> str:
    """Changes with the file, without reading it."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
