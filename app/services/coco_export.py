"""Masks leave the workspace as a COCO folder."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import get_args

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.domain.exporting import Selection
from app.domain.states import ImageRole, ImageState
from app.services.labels import label_state
from app.services.thresholds import cuts_in_force
from app.storage.database import Store
from app.storage.models import Image, Proposal
from app.storage.settings import require_class_set
from datasets.paths import is_file_name
from datasets.progress import Progress
from export.coco_files import CocoItem, SkippedItem
from export.coco_masks import CocoManifest, write_coco

_NOTHING: dict[Selection, str] = {
    "reviewed": "no image but gold is reviewed",
    "gold": "there is no gold image",
    "all": "no image has a label or a proposal",
}


def export_coco(
    store: Store,
    folder: Path,
    which: Selection = "reviewed",
    progress: Callable[[Progress], None] | None = None,
    *,
    replace: bool = False,
) -> CocoManifest:
    """Write the labels as they are now, with every decision that counts.

    The manifest says what each image is used for, at which thresholds pixels that nobody looked at are called reliable,
    and what is promised there.

    Raises:
        ValueError: `which` is unknown, or there is nothing to export.
        FileExistsError: `folder` exists and `replace` is not set.
        OSError: disk full or no permission; nothing is left behind.
    """
    if which not in get_args(Selection):
        raise ValueError(f"which must be one of {', '.join(get_args(Selection))}, got {which!r}")
    with store.reader() as session:
        chosen = _chosen(which)
        total = session.scalar(select(func.count()).select_from(Image).where(chosen)) or 0
        if total == 0:
            raise ValueError(
                f"nothing to export from {store.workspace.root} yet: {_NOTHING[which]}. Import labeled images, or "
                "predict and review some."
            )
        images = session.scalars(select(Image).where(chosen).order_by(Image.sample_id)).all()
        names = FileNames()
        items = (_item(store, session, image, names) for image in images)
        about = {"reliable": [cut.to_json() for cut in cuts_in_force(session)]}
        return write_coco(
            folder, require_class_set(session), items, _counter(progress, total), replace=replace, about=about
        )


def _chosen(which: Selection) -> ColumnElement[bool]:
    has_proposal = select(Proposal.id).where(Proposal.image_id == Image.id, Proposal.active).exists()
    known = Image.label_path.is_not(None) | has_proposal
    chosen = Image.deleted_at.is_(None) & known
    if which == "gold":
        chosen &= Image.role == ImageRole.GOLD
    elif which == "reviewed":
        is_reviewed = Image.state.in_((ImageState.ENOUGH, ImageState.DONE))
        chosen &= (Image.role == ImageRole.LABELED) | ((Image.role == ImageRole.POOL) & is_reviewed)
    return chosen


class FileNames:
    """Names for an export's image files: what people call them, and another where two are alike but for the case of
    letters, or no disk takes the name."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def choose(self, file_name: str, sample_id: str, sha256: str) -> str:
        """One that no earlier call returned."""
        ending = PurePosixPath(file_name).suffix
        possible = (file_name, sample_id + ending, sha256 + ending)
        chosen = next(name for name in possible if name.casefold() not in self._taken and is_file_name(name))
        self._taken.add(chosen.casefold())  # Disks exist on which a.png and A.png are one file.
        return chosen


def _item(store: Store, session: Session, image: Image, names: FileNames) -> CocoItem | SkippedItem:
    """One label; a file that is damaged or gone leaves out its image only."""
    try:
        state = label_state(store, session, image)
    except (ValueError, OSError) as error:
        return SkippedItem(image.sample_id, str(error), image.file_name)
    assert state is not None, "images without label and proposal are not chosen"
    name = names.choose(image.file_name, image.sample_id, image.sha256)
    original = "" if name == image.file_name else image.file_name
    return CocoItem(name, image.sample_id, state.label, image.sha256, original, image.role)


def _counter(progress: Callable[[Progress], None] | None, total: int) -> Callable[[int, str], None] | None:
    if progress is None:
        return None
    return lambda count, name: progress(Progress(count, total, name))
