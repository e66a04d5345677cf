"""Turning a prediction into something to review: planes on disk, regions in the queue, the old proposal out of it."""

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.decisions import PENDING_STATES, LabelState, replay
from app.domain.queue import class_rarity, diversified_scores, expected_errors
from app.domain.regions import RegionInput, RegionPartition, RegionRules, build_regions, with_kept
from app.domain.states import ImageRole, RegionKind, RegionState
from app.services.labels import active_proposal, proposal_planes
from app.services.restoring import replace_proposal
from app.services.review_states import refresh_states
from app.storage.database import Store
from app.storage.history import effective_deltas, last_decision_id
from app.storage.models import Image, Model, Proposal, Region
from app.storage.planes import MadePlanes, ProposalPlanes, write_planes
from app.storage.settings import read_review_settings, require_class_set
from datasets.images import read_image
from datasets.labels import Provenance

if TYPE_CHECKING:  # Storing a prediction needs no ONNX Runtime, and loading it takes seconds.
    from export.session import Prediction


@dataclass(frozen=True)
class _Doubt:
    """A region that somebody did not know or flagged, why it is shown, and its (H, W) pixels."""

    region_id: int
    kind: RegionKind
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class _Known:
    """What the store knew about an image when its regions were built."""

    image: Image
    rules: RegionRules
    rarity: NDArray[np.float64]
    human_mask: NDArray[np.bool_]
    doubts: tuple[_Doubt, ...]
    version: int

    @property
    def doubted_mask(self) -> NDArray[np.bool_]:
        """(H, W), the pixels of all doubts."""
        doubted_mask = np.zeros(self.human_mask.shape, np.bool_)
        for doubt in self.doubts:
            doubted_mask |= doubt.mask
        return doubted_mask


def store_proposal(store: Store, image_id: int, model_id: int, prediction: "Prediction") -> None:
    """Store what a model predicts for a pool image and queue its unreliable regions.

    Pixels that people decided keep their label and are not queued again. The previous proposal and its waiting
    regions are superseded; those in second review and those flagged come back with the same pixels, however sure the
    new model is, and wait there again. Decisions made while this runs are taken into account.

    Raises:
        ValueError: no such image or model, not a pool image, or a prediction of another size, with unknown classes
            or with values that are not numbers.
        StoreError: the store refused; the previous proposal is still active.
    """
    while not _try_store(store, image_id, model_id, prediction):
        pass


def _try_store(store: Store, image_id: int, model_id: int, prediction: "Prediction") -> bool:
    """One attempt; False if somebody decided something about the image meanwhile."""
    known = _read_known(store, image_id, model_id, prediction)
    # What a person did not know is neither locked nor a pseudo-label, until a person says what it is.
    prediction = replace(prediction, reliable=prediction.reliable & ~known.doubted_mask)
    partition = _partition(store, known, prediction)
    parent = store.workspace.proposals / str(model_id)
    folder = write_planes(parent, known.image.sha256[:16], _planes(prediction, partition))
    stored = False
    try:
        with store.session() as session:
            if last_decision_id(session, image_id) == known.version:
                _insert(session, store.workspace.relative(folder), known, model_id, partition)
                stored = True
    finally:
        if not stored:
            shutil.rmtree(folder, ignore_errors=True)
    return stored


def _read_known(store: Store, image_id: int, model_id: int, prediction: "Prediction") -> _Known:
    with store.reader() as session:
        image = session.get(Image, image_id)
        if image is None or image.deleted_at is not None or session.get(Model, model_id) is None:
            raise ValueError(f"there is no image {image_id} or no model {model_id} in this workspace")
        if image.role is not ImageRole.POOL:
            raise ValueError(f"{image.sample_id} is a {image.role} image; only pool images get proposals")
        class_set = require_class_set(session)
        _check(prediction, image, len(class_set))
        nothing = LabelState(np.zeros(image.size_hw, np.uint8), np.zeros(image.size_hw, np.uint8))
        decided = replay(nothing, effective_deltas(session, image))
        return _Known(
            image=image,
            rules=read_review_settings(session).region_rules,
            rarity=read_rarity(session, len(class_set)),
            human_mask=decided.provenance == Provenance.HUMAN,
            doubts=_doubts(store, session, image),
            version=last_decision_id(session, image_id),
        )


def _doubts(store: Store, session: Session, image: Image) -> tuple[_Doubt, ...]:
    """The regions of the present proposal that wait for a second reviewer, and those flagged that wait at all."""
    proposal = active_proposal(session, image.id)
    if proposal is None:
        return ()
    region_map = proposal_planes(store, session, proposal).region_map
    is_flagged = (Region.kind == RegionKind.FLAGGED) & Region.state.in_(PENDING_STATES)
    is_doubted = (Region.proposal_id == proposal.id) & ((Region.state == RegionState.SECOND_REVIEW) | is_flagged)
    doubted = session.execute(select(Region.id, Region.kind, Region.number).where(is_doubted).order_by(Region.id))
    return tuple(_Doubt(region_id, kind, region_map == number) for region_id, kind, number in doubted)


def _check(prediction: "Prediction", image: Image, num_classes: int) -> None:
    """Refuse a prediction that cannot be this image's; it comes from a file that users choose."""
    planes = (prediction.label, prediction.confidence, prediction.weight, prediction.reliable)
    if any(plane.shape != image.size_hw for plane in planes):
        sizes = sorted({plane.shape for plane in planes})
        raise ValueError(f"{image.sample_id} is {image.size_hw} (height, width), but the prediction is {sizes}")
    if prediction.probabilities.shape != (num_classes, *image.size_hw):
        raise ValueError(
            f"{image.sample_id}: the model gave probabilities of shape {prediction.probabilities.shape}, "
            f"expected {(num_classes, *image.size_hw)} for the {num_classes} classes of this workspace"
        )
    if int(prediction.label.max()) >= num_classes:
        raise ValueError(
            f"{image.sample_id}: the model predicts class {int(prediction.label.max())}, but this workspace has "
            f"classes 0-{num_classes - 1}; use a model that was trained in it"
        )
    for name in ("confidence", "weight"):
        plane = getattr(prediction, name)
        if not (np.all(plane >= 0) and np.all(plane <= 1)):  # Also refuses NaN.
            raise ValueError(f"{image.sample_id}: the model's {name} has values outside 0-1 or NaN; export it again")


def read_rarity(session: Session, num_classes: int) -> NDArray[np.float64]:
    """(C,) factor per class on a region's score, from the labeled images."""
    totals = np.zeros(num_classes, np.int64)
    labeled = (Image.role == ImageRole.LABELED) & Image.deleted_at.is_(None) & Image.class_pixels.is_not(None)
    for pixels in session.scalars(select(Image.class_pixels).where(labeled)):
        totals += np.asarray(pixels, np.int64)
    return class_rarity(totals.tolist())


def _partition(store: Store, known: _Known, prediction: "Prediction") -> RegionPartition:
    picture = read_image(store.workspace.absolute(known.image.path))
    said = RegionInput(
        image=picture,
        label=prediction.label,
        reliable=prediction.reliable | known.human_mask | known.doubted_mask,
        confidence=prediction.confidence,
        probabilities=prediction.probabilities,
    )
    return with_kept(build_regions(said, known.rules), [doubt.mask for doubt in known.doubts], said)


def _planes(prediction: "Prediction", partition: RegionPartition) -> ProposalPlanes:
    return MadePlanes(
        label=prediction.label,
        reliable=prediction.reliable,
        unreliability=np.rint(255 * (1 - prediction.confidence)).astype(np.uint8),
        weight=np.rint(255 * prediction.weight).astype(np.uint8),
        region_map=partition.region_map.astype(np.uint16),
    )


def _insert(session: Session, folder: str, known: _Known, model_id: int, partition: RegionPartition) -> None:
    image = session.get_one(Image, known.image.id)
    replace_proposal(session, active_proposal(session, image.id))
    proposal = Proposal(image_id=image.id, model_id=model_id, folder=folder, active=True)
    session.add(proposal)
    session.flush()
    rows = _rows(proposal, partition, known.rarity)
    for row, doubt in zip(rows[len(rows) - len(known.doubts) :], known.doubts, strict=True):
        row.origin_id, row.kind = doubt.region_id, doubt.kind
    session.add_all(rows)
    session.flush()
    refresh_states(session, image)


def _rows(proposal: Proposal, partition: RegionPartition, rarity: NDArray[np.float64]) -> list[Region]:
    gains = [
        expected_errors(region.area, region.mean_confidence) * float(rarity[region.class_id])
        for region in partition.regions
    ]
    return [
        Region(
            proposal_id=proposal.id, image_id=proposal.image_id, number=region.number, kind=RegionKind.QUEUE,
            class_id=region.class_id, area=region.area,
            x0=region.bbox[0], y0=region.bbox[1], x1=region.bbox[2], y1=region.bbox[3],
            mean_confidence=region.mean_confidence, score=score,
            top_classes=[list(entry) for entry in region.top_classes], state=RegionState.OPEN,
        )
        for region, score in zip(partition.regions, diversified_scores(gains), strict=True)
    ]  # fmt: skip
