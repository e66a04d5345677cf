"""Everything the explorer, FiftyOne, is told about each image, read from the store. Knows nothing of FiftyOne.

Images are shown as leads see them, with their roles. What would reveal a probe stays out: audits and planted errors are
not counted, and of a control image that nobody has finished there is no proposal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.explorer import WORSE_TAG
from app.domain.states import ImageRole, ImageState, RegionKind, RegionState
from app.services.explorer_folder import DIGITS, ExplorerFolder
from app.services.labels import active_proposal, label_state
from app.services.model_changes import list_changes
from app.services.processes import Monitor
from app.services.rounds import current_of, list_models
from app.storage.database import Store
from app.storage.models import Decision, Image, Model, Proposal, Region
from app.storage.planes import StoredPlanes
from app.storage.probes import ControlImage
from datasets.files import sha256_of
from datasets.images import read_plane
from datasets.labels import LabelArray, Provenance
from datasets.progress import Progress


@dataclass(frozen=True)
class ExplorerSample:
    """One image as the explorer shows it.

    Attributes:
        key: hash of the image's bytes.
        size_wh: of the upright image.
        fields: every field that a sync keeps up to date; see `FIELDS` in app/web/fiftyone_view.py.
    """

    key: str
    size_wh: tuple[int, int]
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class ExplorerSource:
    """Where samples come from.

    Attributes:
        store: read in one consistent view.
        folder: derived files.
        reviewer_url: where people open our pages, without a slash at the end.
        shown_file: (image file, its hash) -> the file that a browser shows as we read the image.
    """

    store: Store
    folder: ExplorerFolder
    reviewer_url: str
    shown_file: Callable[[Path, str], Path]


def collect_samples(source: ExplorerSource, monitor: Monitor) -> dict[str, ExplorerSample]:
    """What the explorer should show, by key, image by image in the order of their names.

    Raises:
        WorkCancelledError: stopped on request; what was made so far is found again the next time.
    """
    gold = _Gold.of(source.store)
    with source.store.reader() as session:
        images = session.scalars(select(Image).where(Image.deleted_at.is_(None)).order_by(Image.sample_id)).all()
        look = _Look(source, session, gold, _waiting_regions(session), _blank_images(session))
        samples = {}
        try:
            for index, image in enumerate(images):
                monitor.stoppable_progress(Progress(index, len(images), image.name))
                samples[image.sha256] = look.sample(image)
        finally:
            source.folder.save_numbers()
    return samples


@dataclass(frozen=True)
class _Waiting:
    """The regions of one image that wait for a decision."""

    number: int = 0
    errors: float = 0.0
    best_score: float | None = None


def _waiting_regions(session: Session) -> dict[int, _Waiting]:
    """By image, as on the queue page, whatever a region is for: a difference would tell which images hold a test."""
    waits = Region.state.in_((RegionState.OPEN, RegionState.SKIPPED)) & (Region.kind != RegionKind.CONTROL)
    errors = func.sum(Region.area * (1.0 - Region.mean_confidence))
    statement = select(Region.image_id, func.count(), errors, func.max(Region.score)).where(waits)
    return {row[0]: _Waiting(*row[1:]) for row in session.execute(statement.group_by(Region.image_id))}


def _blank_images(session: Session) -> frozenset[int]:
    """Control images that are not finished: people start from nothing there, and must not see the proposal."""
    unfinished = select(ControlImage.image_id).join(Image, Image.id == ControlImage.image_id)
    return frozenset(session.scalars(unfinished.where(Image.state != ImageState.DONE)))


@dataclass(frozen=True)
class _Gold:
    """What the current model and the one before it reached on each gold image, by its name."""

    model: Model | None
    now: Mapping[str, float | None]
    before: Mapping[str, float | None]

    @classmethod
    def of(cls, store: Store) -> "_Gold":
        models = list_models(store)
        current = current_of(models)
        if current is None or current.gold is None:
            return cls(None, {}, {})
        before = _model_before(store, models, current)
        earlier = {} if before is None or before.gold is None else before.gold
        is_same = earlier.get("gold_sha256") == current.gold["gold_sha256"]
        return cls(current, current.gold["per_image"], earlier["per_image"] if is_same else {})

    def change(self, sample_id: str) -> float | None:
        """How far the mIoU of an image rose; None where nothing comparable was measured."""
        now, before = self.now.get(sample_id), self.before.get(sample_id)
        return None if now is None or before is None else now - before


def _model_before(store: Store, models: list[Model], current: Model) -> Model | None:
    """Whose place the current model took; for the first one nobody's."""
    taken = next((change for change in list_changes(store) if change.model_id == current.id), None)
    if taken is None or taken.previous_round is None:
        return None
    return next((model for model in models if model.round == taken.previous_round), None)


@dataclass(frozen=True)
class _Look:
    """One consistent look at all images."""

    source: ExplorerSource
    session: Session
    gold: _Gold
    waiting: Mapping[int, _Waiting]
    blank: frozenset[int]

    def sample(self, image: Image) -> ExplorerSample:
        """One image with all of its fields."""
        fields = {
            "filepath": self._file(image),
            "name": image.name,
            "tags": _tags(image, self.gold),
            "assignee": image.assignee,
            "reviewer_url": image_page(image, self.source.reviewer_url),
            **dict.fromkeys(_POOL_FIELDS + _GOLD_FIELDS),
            "reviewed": None if image.label_path is None else self._imported(image, image.label_path),
            "reviewed_share": None if image.label_path is None else 1.0,
        }
        if image.role is ImageRole.POOL:
            fields |= self._pool(image)
        elif image.role is ImageRole.GOLD:
            fields |= self._measured(image)
        return ExplorerSample(image.sha256, (image.width, image.height), fields)

    def _pool(self, image: Image) -> dict[str, Any]:
        waiting = self.waiting.get(image.id, _Waiting())
        fields = {
            "open_regions": waiting.number,
            "expected_errors": round(waiting.errors, 2),
            "queue_score": _rounded(waiting.best_score),
        }
        proposal = active_proposal(self.session, image.id)
        if proposal is None or image.id in self.blank:
            return fields
        return fields | self._proposed(image, proposal) | self._decided(image, proposal)

    def _proposed(self, image: Image, proposal: Proposal) -> dict[str, Any]:
        planes = self.source.store.workspace.absolute(proposal.folder).resolve()
        unreliability = planes / "unreliability.png"
        name = f"{image.sha256[:16]}-proposal-{planes.parent.name}-{planes.name[-8:]}"
        return {
            "proposal": self.source.folder.mask(name, lambda: StoredPlanes(planes).label),
            "unreliability": str(unreliability),
            "mean_unreliability": self.source.folder.number(
                f"unreliability {proposal.folder}", lambda: float(read_plane(unreliability).mean()) / 255
            ),
        }

    def _decided(self, image: Image, proposal: Proposal) -> dict[str, Any]:
        """The label as it is now where people decided anything, and the share of pixels that they decided."""
        last = select(Decision.op_id).where(Decision.image_id == image.id).order_by(Decision.id.desc()).limit(1)
        op_id = self.session.scalar(last)
        if op_id is None:
            return {"reviewed_share": 0.0}
        # Ids of decisions may come again after a restore; what clients call theirs do not.
        version = blake2b(f"{proposal.folder}\n{op_id}".encode(), digest_size=8).hexdigest()
        name = f"{image.sha256[:16]}-reviewed-{version}"

        def count() -> float:
            state = label_state(self.source.store, self.session, image)
            assert state is not None, "an image with a proposal has a label state"
            return float(np.count_nonzero(state.provenance == Provenance.HUMAN)) / state.label.size

        def label() -> LabelArray:
            state = label_state(self.source.store, self.session, image)
            assert state is not None, "an image with a proposal has a label state"
            return state.label

        share = self.source.folder.number(name, count)
        return {"reviewed": self.source.folder.mask(name, label) if share else None, "reviewed_share": share}

    def _measured(self, image: Image) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "gold_miou": _rounded(self.gold.now.get(image.sample_id)),
            "gold_miou_change": _rounded(self.gold.change(image.sample_id)),
        }
        kept = None if self.gold.model is None else (self.gold.model.gold or {}).get("folder")
        if kept is not None:
            path = self.source.store.workspace.absolute(kept) / f"{image.sha256}.png"
            if path.is_file():
                name = f"{image.sha256[:16]}-gold-{Path(kept).name}"
                fields["proposal"] = self.source.folder.mask(name, lambda: read_plane(path))
        return fields

    def _imported(self, image: Image, label_path: str) -> str:
        path = self.source.store.workspace.absolute(label_path)
        sha256 = image.label_sha256 or sha256_of(path)
        return self.source.folder.mask(f"{image.sha256[:16]}-label-{sha256[:16]}", lambda: read_plane(path))

    def _file(self, image: Image) -> str:
        path = self.source.store.workspace.absolute(image.path).resolve()
        return str(self.source.shown_file(path, image.sha256))


_POOL_FIELDS = ("proposal", "unreliability", "mean_unreliability", "open_regions", "expected_errors", "queue_score")
_GOLD_FIELDS = ("gold_miou", "gold_miou_change")


def _tags(image: Image, gold: _Gold) -> list[str]:
    """Our tags, in order."""
    tags = [f"role:{image.role}"]
    if image.role is ImageRole.POOL:
        tags.append(f"state:{image.state}")
    change = gold.change(image.sample_id) if image.role is ImageRole.GOLD else None
    if change is not None and change < 0:
        tags.append(WORSE_TAG)
    return sorted(tags)


def image_page(image: Image, reviewer_url: str) -> str | None:
    """Where our own pages show this image; images that came with their label have no page."""
    if image.role is ImageRole.LABELED:
        return None
    if image.role is ImageRole.GOLD:
        return f"{reviewer_url}/models"
    done = "&state=decided" if image.state is ImageState.DONE else "&include_enough=true"
    others = "" if image.assignee is None else "&everybody=true"
    return f"{reviewer_url}/review?image_id={image.id}{done}{others}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
