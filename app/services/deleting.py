"""Images are deleted softly: gone from queue, training, exports and counts, but nothing is lost until it is purged.

Decisions about a deleted image stay in the log, and count again when it comes back. Purging removes the picture, its
label and its maps for good, from the workspace and from its snapshots. What people decided stays as class ids: the log
only grows. Backups made before hold the picture still.
"""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.config import Workspace
from app.domain.audit import AuditAction
from app.domain.roles import Actor
from app.domain.states import ImageRole
from app.services.audit import record
from app.services.explorer_folder import remove_shown_files
from app.services.review_queue import named
from app.services.review_states import refresh_states
from app.services.review_types import NotFoundError, ReviewError
from app.services.snapshots import forget_files
from app.storage.database import Store
from app.storage.kept_files import files_alone
from app.storage.models import Image, Proposal, utc_now

MIN_DAYS = 1
"""Nothing can be purged on the day on which it was deleted: whoever slipped has a night to notice."""


@dataclass(frozen=True)
class DeletedImage:
    """One deleted image; `purged_at` is set when its files are gone for good."""

    image_id: int
    sample_id: str
    image_name: str
    role: ImageRole
    deleted_at: datetime
    purged_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """For the HTTP API: times in ISO 8601."""
        purged_at = None if self.purged_at is None else self.purged_at.isoformat()
        return {**self.__dict__, "deleted_at": self.deleted_at.isoformat(), "purged_at": purged_at}


def delete_images(store: Store, actor: Actor, names: Collection[str]) -> int:
    """Take images out of queue, training, exports and counts; returns how many were there until now.

    Raises:
        NotFoundError: a name that no image has; nothing was changed.
    """
    with store.session() as session:
        present = [image for image in _require_images(session, names) if image.deleted_at is None]
        for image in present:
            image.deleted_at = utc_now()
            record(session, actor, AuditAction.DELETED, f"image {image.name}")
        return len(present)


def undelete_images(store: Store, actor: Actor, names: Collection[str]) -> int:
    """Bring deleted images back, with all decisions about them; returns how many.

    Raises:
        NotFoundError: a name that no image has; nothing was changed.
        ReviewError: an image whose files were removed for good; nothing was changed.
    """
    with store.session() as session:
        gone = [image for image in _require_images(session, names) if image.deleted_at is not None]
        purged = next((image for image in gone if image.purged_at is not None), None)
        if purged is not None:
            raise ReviewError(
                f"the files of {purged.name} were removed for good on {purged.purged_at:%Y-%m-%d}; import the "
                "picture again, then its decisions count again. Nothing was changed."
            )
        for image in gone:
            image.deleted_at = None
            refresh_states(session, image)
            record(session, actor, AuditAction.RESTORED, f"image {image.name}")
        return len(gone)


def list_deleted(store: Store) -> list[DeletedImage]:
    """Deleted images, the latest first."""
    statement = select(Image).where(Image.deleted_at.is_not(None)).order_by(Image.deleted_at.desc(), Image.id.desc())
    with store.reader() as session:
        return [
            DeletedImage(image.id, image.sample_id, image.name, image.role, image.deleted_at, image.purged_at)
            for image in session.scalars(statement)
            if image.deleted_at is not None
        ]


def purge_images(store: Store, actor: Actor, older_than_days: int) -> list[str]:
    """Remove the files of images that were deleted long ago, for good; returns their names.

    Safe to repeat: files that an interrupted purge left behind go with the next one.

    Raises:
        ReviewError: fewer than `MIN_DAYS` days.
        StoreError: a backup or snapshot is being made; nothing was removed.
    """
    if older_than_days < MIN_DAYS:
        raise ReviewError(f"only what was deleted at least {MIN_DAYS} day ago can be purged, got {older_than_days}")
    limit = utc_now() - timedelta(days=older_than_days)
    with files_alone(store.workspace):
        with store.session() as session:
            is_due = Image.deleted_at.is_not(None) & (Image.deleted_at < limit)
            due = session.scalars(select(Image).where(is_due).order_by(Image.id)).all()
            files = _files_of(store.workspace, due)
            folders = _proposals_of(session, due)
            new = [image for image in due if image.purged_at is None]
            for image in new:
                _mark_purged(session, image)
                record(session, actor, AuditAction.PURGED, f"image {image.name}", {"sha256": image.sha256})
            names = [image.name for image in new]
        _remove(store, files, folders)
        for image in due:
            remove_shown_files(store.workspace, image.sha256)
    return names


def _require_images(session: Session, names: Collection[str]) -> Sequence[Image]:
    if not names:
        raise ReviewError("name at least one image")
    found = session.scalars(select(Image).where(named(names)).order_by(Image.id)).all()
    missing = sorted(set(names) - {name for image in found for name in (image.name, image.sample_id)})
    if missing:
        raise NotFoundError(f"there is no image {missing[0]!r}; see pixelsieve images list. Nothing was changed.")
    return found


def _files_of(workspace: Workspace, images: Sequence[Image]) -> list[str]:
    """Paths of pictures and of every label that they ever had, which no other image uses."""
    found = [path for image in images for path in (image.path, image.label_path) if path is not None]
    labels = [path for image in images for path in sorted(workspace.labels.glob(f"{image.sha256}*"))]
    return list(dict.fromkeys([*found, *map(workspace.relative, labels)]))


def _proposals_of(session: Session, images: Sequence[Image]) -> list[str]:
    """Folders with the maps of all proposals, past ones too."""
    of_these = Proposal.image_id.in_([image.id for image in images])
    return list(session.scalars(select(Proposal.folder).where(of_these).order_by(Proposal.id)))


def _mark_purged(session: Session, image: Image) -> None:
    image.purged_at = utc_now()
    session.execute(update(Proposal).where(Proposal.image_id == image.id).values(active=False))
    refresh_states(session, image)


def _remove(store: Store, files: list[str], folders: list[str]) -> None:
    workspace = store.workspace
    inside = [path for folder in folders for path in workspace.absolute(folder).glob("**/*") if path.is_file()]
    forget_files(workspace, [*files, *map(workspace.relative, inside)])
    for path in files:
        workspace.absolute(path).unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(workspace.absolute(folder), ignore_errors=True)
