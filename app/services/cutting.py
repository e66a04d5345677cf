"""How large the queue would be with another threshold or other region rules, from stored proposals; changes nothing."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.cutting import QueueSize, Standing, reliable_below
from app.domain.decisions import PENDING_STATES, LabelState, replay
from app.domain.queue import expected_errors, is_enough
from app.domain.regions import LEFTOVER, RegionRules, divide
from app.domain.states import PROBE_KINDS, ImageRole, ImageState
from app.services.labels import active_proposal
from app.services.processes import WorkCancelledError
from app.services.proposals import read_doubts
from app.services.review_queue import is_asked
from app.services.thresholds import cut_images, note_of
from app.storage.database import Store
from app.storage.history import effective_deltas
from app.storage.models import Decision, Image, Model, Proposal, Region
from app.storage.planes import ProposalPlanes
from app.storage.probes import ControlImage
from app.storage.settings import ReviewSettings, read_review_settings
from datasets.images import read_image
from datasets.labels import Provenance
from datasets.progress import Progress

PREVIEWED_IMAGES = 24
"""Images that the page looks at for a preview: a second's work, drawn so that every preview takes the same ones."""

_UNREAD = QueueSize()
_STEPS = 255
"""A proposal keeps round(255 * probability of being wrong)."""


@dataclass(frozen=True)
class RecutPreview:
    """How large the queue would be if it were cut anew.

    Attributes:
        size: of the whole queue; estimated where `looked_at` is less than `to_cut`.
        staying: the part of it in images that stay as they are.
        looked_at: images that were cut for it.
        to_cut: images that would be cut.
        standing: how many images of the pool stand how to this threshold.
    """

    size: QueueSize
    staying: QueueSize
    looked_at: int
    to_cut: int
    standing: Counter[Standing]


def preview_cuts(
    store: Store,
    thresholds: Sequence[float | None],
    rules: RegionRules | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    should_cancel: Callable[[], bool] = lambda: False,
) -> list[QueueSize]:
    """How large the queue would be at each threshold, if the proposals in force were cut anew.

    Control images are left out, and so are images that are done by what people decided: one that is done because the
    model was sure everywhere may get regions. Images of which enough is known count without regions.
    Pixels that people decided are not asked again; regions in second review and those flagged stay. Probes are not
    counted.

    Args:
        store: of the workspace.
        thresholds: largest probability of being wrong of a reliable pixel, 0-1; None is what the model file called
            reliable. Stored probabilities have steps of 0.4 points; see app/domain/cutting.py.
        rules: None are those of the workspace.
        progress: is told after how many images.
        should_cancel: is asked between images.

    Raises:
        ValueError: a threshold outside 0-1, or a damaged plane.
        FileNotFoundError: an image or a plane is missing.
        WorkCancelledError: stopped on request.
    """
    with store.reader() as session:
        found = _images_to_cut(session)
        settings = _with_rules(read_review_settings(session), rules)
    sizes = [QueueSize()] * len(thresholds)
    for index, image in enumerate(found):
        if should_cancel():
            raise WorkCancelledError(f"stopped after {index} of {len(found)} images; nothing was changed")
        progress(Progress(index, len(found), image.name))
        added = _cut_image(store, image, thresholds, settings)
        sizes = [size + (more or _UNREAD) for size, more in zip(sizes, added, strict=True)]
    progress(Progress(len(found), len(found), "counted"))
    return sizes


def preview_recut(
    store: Store, model_id: int, threshold: float | None, held: frozenset[int], at_most: int = PREVIEWED_IMAGES
) -> RecutPreview:
    """How large the queue would be if every image that may be cut anew were cut at a threshold.

    Args:
        store: of the workspace.
        model_id: whose proposals.
        threshold: as in `preview_cuts`.
        held: images that somebody works on.
        at_most: images to look at.

    Raises:
        ValueError, FileNotFoundError: as `preview_cuts`.
    """
    with store.reader() as session:
        found = [each for each in cut_images(session, model_id, threshold, held) if each.image.role is ImageRole.POOL]
        settings = read_review_settings(session)
        to_cut = [each.image for each in found if each.standing is Standing.TO_CUT]
        staying = _waiting(session, [each.image for each in found if each.standing is not Standing.TO_CUT])
    drawn = sorted(to_cut, key=lambda image: blake2b(image.sha256.encode(), digest_size=8).digest())[:at_most]
    cut_sizes = (_cut_image(store, image, [threshold], settings)[0] for image in drawn)
    sizes = [size for size in cut_sizes if size is not None]
    cut = sum(sizes, QueueSize())
    if sizes:
        cut = cut.scaled(len(to_cut) / len(sizes))
    return RecutPreview(cut + staying, staying, len(sizes), len(to_cut), Counter(each.standing for each in found))


def _with_rules(settings: ReviewSettings, rules: RegionRules | None) -> ReviewSettings:
    return settings if rules is None else settings.model_copy(update={"region_rules": rules})


def _images_to_cut(session: Session) -> list[Image]:
    is_decided = Image.id.in_(select(Decision.image_id))
    is_finished = (Image.state == ImageState.DONE) & is_decided
    is_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None) & ~is_finished
    is_control = Image.id.in_(select(ControlImage.image_id))
    statement = select(Image).join(Proposal, (Proposal.image_id == Image.id) & Proposal.active)
    return list(session.scalars(statement.where(is_pool, ~is_control).order_by(Image.sample_id)))


def _waiting(session: Session, images: Sequence[Image]) -> QueueSize:
    """What people are asked in images now, probes apart."""
    statement = (
        select(Region.image_id, Region.class_id, Region.area)
        .join(Image, Image.id == Region.image_id)
        .where(is_asked(), Region.state.in_(PENDING_STATES), Region.kind.not_in(PROBE_KINDS))
    )
    wanted = {image.id for image in images}
    rows = [row for row in session.execute(statement) if row.image_id in wanted]
    return QueueSize(
        images=len({row.image_id for row in rows}),
        regions=len(rows),
        region_pixels=sum(row.area for row in rows),
        unreliable_pixels=sum(row.area for row in rows),
        pixels=sum(image.width * image.height for image in images),
        by_class=tuple(np.bincount([row.class_id for row in rows]).tolist()) if rows else (),
    )


def _cut_image(
    store: Store, image: Image, thresholds: Sequence[float | None], settings: ReviewSettings
) -> list[QueueSize | None]:
    """The image's part of the queue at each threshold; None when it is gone, or its own verdict is kept nowhere."""
    with store.reader() as session:
        proposal = active_proposal(session, image.id)
        if proposal is None:
            return [None] * len(thresholds)
        own = _own_verdict(store, session, proposal) if None in thresholds else None
        nothing = LabelState(np.zeros(image.size_hw, np.uint8), np.zeros(image.size_hw, np.uint8))
        human_mask = replay(nothing, effective_deltas(session, image)).provenance == Provenance.HUMAN
        doubts = [doubt.mask for doubt in read_doubts(store, session, image)]
        planes = store.planes.get(store.workspace.absolute(proposal.folder))
    picture = read_image(store.workspace.absolute(image.path))
    counted = _Counted(image, planes, doubts, human_mask, settings)
    sizes: list[QueueSize | None] = []
    for threshold in thresholds:
        said = own if threshold is None else reliable_below(planes.unreliability, threshold)
        if said is None:
            sizes.append(None)
            continue
        region_map, count = divide(picture, planes.label, said | counted.settled_mask, settings.region_rules)
        sizes.append(counted.size(region_map, count, said))
    return sizes


def _own_verdict(store: Store, session: Session, proposal: Proposal) -> NDArray[np.bool_] | None:
    """What the model file called reliable: of this proposal, of its calibration, or of an earlier proposal; None when
    nothing says it any more."""
    if proposal.threshold is None:
        return store.planes.get(store.workspace.absolute(proposal.folder)).reliable
    note = note_of(session.get_one(Model, proposal.model_id))
    if note is not None and note["decides"]:
        unreliability = store.planes.get(store.workspace.absolute(proposal.folder)).unreliability
        return reliable_below(unreliability, max(0.0, float(note["threshold"])))
    is_own = (Proposal.model_id == proposal.model_id) & Proposal.threshold.is_(None)
    statement = select(Proposal).where(Proposal.image_id == proposal.image_id, is_own).order_by(Proposal.id.desc())
    first = session.scalar(statement.limit(1))
    folder = None if first is None else store.workspace.absolute(first.folder)
    return None if folder is None or not folder.is_dir() else store.planes.get(folder).reliable


@dataclass(frozen=True)
class _Counted:
    """An image whose regions are counted.

    Attributes:
        doubts: regions that wait whatever a model says, (H, W) each.
        human_mask: (H, W), pixels that people decided.
    """

    image: Image
    planes: ProposalPlanes
    doubts: Sequence[NDArray[np.bool_]]
    human_mask: NDArray[np.bool_]
    settings: ReviewSettings

    @property
    def doubted_mask(self) -> NDArray[np.bool_]:
        doubted_mask = np.zeros(self.human_mask.shape, np.bool_)
        for doubt_mask in self.doubts:
            doubted_mask |= doubt_mask
        return doubted_mask

    @property
    def settled_mask(self) -> NDArray[np.bool_]:
        """Pixels that no new region holds."""
        return self.human_mask | self.doubted_mask

    def size(self, region_map: NDArray[np.int32], count: int, said: NDArray[np.bool_]) -> QueueSize:
        """What waits in the image with these regions."""
        doubted_mask = self.doubted_mask
        unreliable = int(((~said | doubted_mask) & ~self.human_mask).sum())
        if self._is_enough(region_map, count):
            return QueueSize(unreliable_pixels=unreliable, pixels=said.size)
        in_regions = ((region_map > 0) & (region_map < LEFTOVER)) | doubted_mask
        regions = count + len(self.doubts)
        return QueueSize(
            images=int(regions > 0),
            regions=regions,
            region_pixels=int(in_regions.sum()),
            unreliable_pixels=unreliable,
            pixels=said.size,
            by_class=self._by_class(region_map, count),
        )

    def _is_enough(self, region_map: NDArray[np.int32], count: int) -> bool:
        in_regions = ((region_map > 0) & (region_map <= count)) | self.doubted_mask
        if not in_regions.any() or self.image.queue_weight > 1:
            return False
        mean_right = 1 - float(self.planes.unreliability[in_regions].mean(dtype=np.float64)) / _STEPS
        errors = expected_errors(int(in_regions.sum()), mean_right)  # As that of the regions one by one, summed.
        return is_enough([errors], region_map.size, self.settings.enough_share)

    def _by_class(self, region_map: NDArray[np.int32], count: int) -> tuple[int, ...]:
        """Regions of each predicted class; a region has one class, so any of its pixels tells it."""
        class_of = np.zeros(count + 1, np.int64)
        inside = (region_map > 0) & (region_map <= count)
        class_of[region_map[inside]] = self.planes.label[inside]
        classes = [
            *class_of[1:].tolist(),
            *(int(np.bincount(self.planes.label[mask]).argmax()) for mask in self.doubts),
        ]
        return tuple(np.bincount(classes).tolist()) if classes else ()
