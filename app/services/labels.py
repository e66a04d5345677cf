"""The label of an image as it is now, and the frozen labels that a training round learns from."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.decisions import LabelState, base_provenance, decode_delta, replay
from app.domain.provenance import frozen_label, frozen_weight, without_pseudo_labels
from app.domain.states import ImageRole, RegionKind, RegionState
from app.storage.database import Store
from app.storage.history import effective_deltas
from app.storage.models import Image, Proposal, Region
from app.storage.planes import OtherRegions, ProposalPlanes
from datasets.files import has_content, write_atomically
from datasets.formats.manifest import ManifestEntry
from datasets.images import encode_plane_png, read_plane
from datasets.labels import Provenance

logger = logging.getLogger(__name__)


def active_proposal(session: Session, image_id: int) -> Proposal | None:
    """The proposal that people review now."""
    return session.scalar(select(Proposal).where(Proposal.image_id == image_id, Proposal.active))


def proposal_planes(store: Store, session: Session, proposal: Proposal) -> ProposalPlanes:
    """The maps of a proposal, with the areas that people flagged as regions of their own that are not reliable."""
    planes = store.planes.get(store.workspace.absolute(proposal.folder))
    flagged = session.execute(
        select(Region.number, Region.pixels).where(
            Region.proposal_id == proposal.id, Region.pixels.is_not(None), Region.state != RegionState.SUPERSEDED
        )
    ).all()
    if not flagged:
        return planes
    reliable, region_map = planes.reliable.copy(), planes.region_map.copy()
    for number, content in flagged:
        assert content is not None, "the query asks for regions with pixels"
        delta = decode_delta(content, reliable.shape)
        np.copyto(reliable[delta.rows_columns], False, where=delta.touched_mask)
        np.copyto(region_map[delta.rows_columns], np.uint16(number), where=delta.touched_mask)
    return OtherRegions(planes, reliable, region_map)


def flagged_numbers(session: Session, proposal: Proposal) -> tuple[int, ...]:
    """The numbers of a proposal's flagged areas that stand."""
    statement = select(Region.number).where(
        Region.proposal_id == proposal.id, Region.kind == RegionKind.FLAGGED, Region.state != RegionState.SUPERSEDED
    )
    return tuple(session.scalars(statement.order_by(Region.number)))


def label_state(
    store: Store, session: Session, image: Image, bbox: tuple[int, int, int, int] | None = None
) -> LabelState | None:
    """Label and provenance of every pixel: the imported label, or the active proposal and all decisions that count.

    Human pixels win over every later proposal. What people decide about an image that came with a label changes
    nothing: errors are planted there. None for an image that has neither label nor proposal.

    Args:
        bbox: only this box x0, y0, x1, y1 inside the image.
    """
    x0, y0, x1, y1 = bbox or (0, 0, image.width, image.height)
    box = slice(y0, y1), slice(x0, x1)
    if image.label_path is not None:
        label = read_plane(store.workspace.absolute(image.label_path))[box]
        return LabelState(label, np.full(label.shape, Provenance.HUMAN, np.uint8))
    proposal = active_proposal(session, image.id)
    if proposal is None:
        return None
    planes = proposal_planes(store, session, proposal)
    base = LabelState(planes.label[box], base_provenance(planes.reliable[box]))
    return replay(base, effective_deltas(session, image, bbox), x0, y0)


def training_entries(store: Store, folder: Path, pseudo: bool) -> list[ManifestEntry]:
    """Freeze what is known about every image that may be trained on, as PNGs below `folder`.

    Labeled images are human everywhere. In pool images human pixels are ground truth, reliable ones are
    pseudo-labels with their weight, and all others hold IGNORE_INDEX and weight 0 and are marked as unreviewed; an
    image without any human or pseudo pixel gets no label. Gold images are never part of it, and pool images whose file
    is missing or not what was imported are left out: the first batch with one of them would end the training.

    Args:
        store: read in one consistent view.
        folder: made if missing.
        pseudo: whether reliable pixels count as pseudo-labels; otherwise they are unreviewed, too.
    """
    entries = []
    with store.reader() as session:
        trainable = (Image.role != ImageRole.GOLD) & Image.deleted_at.is_(None)
        for image in session.scalars(select(Image).where(trainable).order_by(Image.sample_id)):
            if image.role is ImageRole.POOL and not has_content(store.workspace.absolute(image.path), image.sha256):
                logger.warning(
                    "image %s is left out of this round, because its file %s is missing or damaged; import it again",
                    image.name,
                    image.path,
                )
                continue
            entries.append(_freeze(store, session, image, folder, pseudo))
    return entries


def _freeze(store: Store, session: Session, image: Image, folder: Path, pseudo: bool) -> ManifestEntry:
    path = store.workspace.absolute(image.path)
    state = label_state(store, session, image)
    if state is not None and not pseudo:
        state = LabelState(state.label, without_pseudo_labels(state.provenance))
    if state is None or not np.any(state.provenance != Provenance.UNREVIEWED):
        return ManifestEntry(image.sample_id, path, image.sha256)
    label = _write(folder / "labels" / f"{image.sha256}.png", frozen_label(state))
    if image.role is ImageRole.LABELED:
        return ManifestEntry(image.sample_id, path, image.sha256, label)
    weight = frozen_weight(state.provenance, _pseudo_weight(store, session, image))
    return ManifestEntry(
        image.sample_id,
        path,
        image.sha256,
        label,
        provenance=_write(folder / "provenance" / f"{image.sha256}.png", state.provenance),
        weight=_write(folder / "weights" / f"{image.sha256}.png", weight),
    )


def _pseudo_weight(store: Store, session: Session, image: Image) -> NDArray[np.uint8]:
    proposal = active_proposal(session, image.id)
    assert proposal is not None, "a pool image with a label state has a proposal"
    return proposal_planes(store, session, proposal).weight


def _write(path: Path, plane: NDArray[np.uint8]) -> Path:
    write_atomically(path, encode_plane_png(plane))
    return path
