"""How large the queue would be with another threshold or other region rules, from stored proposals; changes nothing."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.cutting import QueueSize, reliable_below
from app.domain.decisions import LabelState, replay
from app.domain.regions import LEFTOVER, RegionRules, divide
from app.domain.states import ImageRole, ImageState
from app.services.labels import active_proposal
from app.services.processes import WorkCancelledError
from app.services.proposals import read_doubts
from app.storage.database import Store
from app.storage.history import effective_deltas
from app.storage.models import Image, Proposal
from app.storage.probes import ControlImage
from app.storage.settings import read_review_settings
from datasets.images import read_image
from datasets.labels import Provenance
from datasets.progress import Progress


def preview_cuts(
    store: Store,
    thresholds: Sequence[float | None],
    rules: RegionRules | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    should_cancel: Callable[[], bool] = lambda: False,
) -> list[QueueSize]:
    """How large the queue would be at each threshold, if the proposals in force were cut anew.

    Images that are done and control images are left out. Pixels that people decided are not asked again; regions in
    second review and those flagged stay. Probes are not counted.

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
        rules = rules or read_review_settings(session).region_rules
    sizes = [QueueSize()] * len(thresholds)
    for index, image in enumerate(found):
        if should_cancel():
            raise WorkCancelledError(f"stopped after {index} of {len(found)} images; nothing was changed")
        progress(Progress(index, len(found), image.sample_id))
        added = _cut_image(store, image, thresholds, rules)
        sizes = [size + more for size, more in zip(sizes, added, strict=True)]
    progress(Progress(len(found), len(found), "counted"))
    return sizes


def _images_to_cut(session: Session) -> list[Image]:
    is_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None) & (Image.state != ImageState.DONE)
    is_control = Image.id.in_(select(ControlImage.image_id))
    statement = select(Image).join(Proposal, (Proposal.image_id == Image.id) & Proposal.active)
    return list(session.scalars(statement.where(is_pool, ~is_control).order_by(Image.sample_id)))


def _cut_image(store: Store, image: Image, thresholds: Sequence[float | None], rules: RegionRules) -> list[QueueSize]:
    with store.reader() as session:
        proposal = active_proposal(session, image.id)
        if proposal is None:  # Somebody deleted the image meanwhile.
            return [QueueSize()] * len(thresholds)
        nothing = LabelState(np.zeros(image.size_hw, np.uint8), np.zeros(image.size_hw, np.uint8))
        human_mask = replay(nothing, effective_deltas(session, image)).provenance == Provenance.HUMAN
        doubts = [doubt.mask for doubt in read_doubts(store, session, image)]
        planes = store.planes.get(store.workspace.absolute(proposal.folder))
    picture = read_image(store.workspace.absolute(image.path))
    settled_mask = human_mask.copy()
    for doubt_mask in doubts:
        settled_mask |= doubt_mask
    sizes = []
    for threshold in thresholds:
        said = planes.reliable if threshold is None else reliable_below(planes.unreliability, threshold)
        region_map, count = divide(picture, planes.label, said | settled_mask, rules)
        sizes.append(_size(region_map, count, doubts, human_mask, said))
    return sizes


def _size(
    region_map: NDArray[np.int32],
    count: int,
    doubts: Sequence[NDArray[np.bool_]],
    human_mask: NDArray[np.bool_],
    said: NDArray[np.bool_],
) -> QueueSize:
    doubted_mask = np.zeros(said.shape, np.bool_)
    for doubt_mask in doubts:
        doubted_mask |= doubt_mask
    regions = count + len(doubts)
    in_regions = ((region_map > 0) & (region_map < LEFTOVER)) | doubted_mask
    return QueueSize(
        images=int(regions > 0),
        regions=regions,
        region_pixels=int(in_regions.sum()),
        unreliable_pixels=int(((~said | doubted_mask) & ~human_mask).sum()),
        pixels=said.size,
    )
