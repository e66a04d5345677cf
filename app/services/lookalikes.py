"""Regions of the same image that look like one, and giving them its class in one decision after a preview."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.decisions import Delta, delta_from_mask
from app.domain.lookalikes import Appearance, lookalikes, mean_color
from app.domain.states import RegionKind, RegionState
from app.services.labels import active_proposal
from app.services.review_queue import row_of
from app.services.review_types import ConflictError, NotFoundError, RegionRow
from app.services.showing import shown_image
from app.storage.database import Store
from app.storage.models import Image, Proposal, Region
from app.storage.planes import ProposalPlanes
from datasets.images import read_image

MAX_PROPOSALS = 64
"""How many proposals are remembered: some hundred bytes for each of their regions."""

_OPEN_STATES = (RegionState.OPEN, RegionState.SKIPPED)
"""What a propagation may decide; what somebody did not know is left to the second reviewer."""


class LookalikeService:
    """Finds regions that look alike; remembers how the regions of the last proposals look. Safe between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[tuple[int, str], dict[int, Appearance]] = OrderedDict()  # of what is shown
        self._lock = threading.Lock()

    def find(self, region_id: int) -> Sequence[RegionRow]:
        """Waiting regions of the same image and predicted class that look like a region, most similar first.

        Only regions that are queued because the model is unsure, and only for these: whatever is shown to test somebody
        is decided alone. It looks like nothing else then, as most regions do.

        Raises:
            NotFoundError: no such region, or it belongs to an older proposal.
        """
        with self._store.reader() as session:
            region = session.get(Region, region_id)
            image = None if region is None else session.get(Image, region.image_id)
            is_unseen = region is None or region.state is RegionState.HELD
            if region is None or is_unseen or image is None or image.deleted_at is not None:
                raise NotFoundError(f"there is no region {region_id}")
            proposal = active_proposal(session, image.id)
            if proposal is None or proposal.id != region.proposal_id:
                raise NotFoundError(f"region {region_id} belongs to an older proposal; open the next one of the queue")
            candidates = _candidates(session, region)
            if not candidates:
                return []
            looks = self._appearances(session, proposal, image, [region, *candidates])
        found = lookalikes(looks[region.id], [looks[each.id] for each in candidates])
        return [row_of(candidates[index], image) for index in found]

    def _appearances(
        self, session: Session, proposal: Proposal, image: Image, regions: Sequence[Region]
    ) -> dict[int, Appearance]:
        """How some regions of a proposal look; the picture is decoded only for those that nobody asked about yet."""
        shown = shown_image(self._store, session, image, proposal)
        key = proposal.id, shown.version
        with self._lock:
            known = self._known.setdefault(key, {})
            self._known.move_to_end(key)
            while len(self._known) > MAX_PROPOSALS:
                self._known.popitem(last=False)
        missing = [each for each in regions if each.id not in known]
        if missing:
            picture = read_image(self._store.workspace.absolute(image.path))
            known.update({each.id: _appearance(each, shown.planes, picture) for each in missing})
        return known


def propagated_delta(
    session: Session, source: Region, region_ids: Collection[int], planes: ProposalPlanes, class_id: int
) -> Delta:
    """The pixels of the regions that a propagation decides.

    Raises:
        NotFoundError: one of them is not in the image.
        ConflictError: one of them is decided by now.
    """
    regions = {each.id: each for each in _siblings(session, source) if each.id in set(region_ids)}
    for region_id in region_ids:
        if region_id not in regions:
            raise NotFoundError(f"there is no region {region_id} to propagate to in image {source.image_id}")
        if regions[region_id].state not in _OPEN_STATES:
            raise ConflictError(
                f"region {regions[region_id].number} was decided since the preview. Nothing was propagated; "
                "look at the preview again."
            )
    x0, y0 = min(each.x0 for each in regions.values()), min(each.y0 for each in regions.values())
    x1, y1 = max(each.x1 for each in regions.values()), max(each.y1 for each in regions.values())
    touched_mask = np.isin(planes.region_map[y0:y1, x0:x1], [each.number for each in regions.values()])
    return delta_from_mask(touched_mask, np.full(touched_mask.shape, class_id, np.uint8), x0, y0)


def _candidates(session: Session, source: Region) -> list[Region]:
    if source.kind is not RegionKind.QUEUE:
        return []
    return [
        each for each in _siblings(session, source) if each.state in _OPEN_STATES and each.class_id == source.class_id
    ]


def _siblings(session: Session, source: Region) -> list[Region]:
    """The queued regions of the same proposal, without the source itself."""
    statement = select(Region).where(
        Region.proposal_id == source.proposal_id, Region.kind == RegionKind.QUEUE, Region.id != source.id
    )
    return list(session.scalars(statement.order_by(Region.number)))


def _appearance(region: Region, planes: ProposalPlanes, picture: NDArray[np.uint8]) -> Appearance:
    box = slice(region.y0, region.y1), slice(region.x0, region.x1)
    pixels = picture[box][planes.region_map[box] == region.number]
    profile = {int(entry[0]): float(entry[1]) for entry in region.top_classes}
    return Appearance(region.class_id, mean_color(pixels), profile)
