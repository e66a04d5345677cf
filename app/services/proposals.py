"""Turning a prediction into something to review: planes on disk, regions in the queue, the old proposal out of it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.cutting import reliable_at
from app.domain.decisions import PENDING_STATES, LabelState, replay
from app.domain.mixing import ASKED_REGARDLESS
from app.domain.queue import QueueRules, class_rarity, diversified_scores, gains_of
from app.domain.regions import RegionInput, RegionPartition, RegionRules, build_regions, undivided, with_kept
from app.domain.shift import appearance_of
from app.domain.states import PROBE_KINDS, ImageRole, RegionKind, RegionState
from app.services.audit_drawing import DrawnAudit, audit_rows, draw_audits
from app.services.controls import control_row
from app.services.decoys import Planted, join_decoys, plant_errors
from app.services.labels import active_proposal
from app.services.restoring import replace_proposal
from app.services.review_states import refresh_states
from app.services.showing import shown_image
from app.storage.cuts import threshold_in_force
from app.storage.database import Store
from app.storage.history import effective_deltas, last_decision_id
from app.storage.models import Image, Model, Proposal, Region
from app.storage.planes import MadePlanes, ProposalPlanes, write_planes
from app.storage.probes import ControlImage, DecoyImage, Probe
from app.storage.settings import read_review_settings, require_class_set
from app.storage.trust_settings import TrustSettings, ready_to_draw
from datasets.images import read_image, read_plane
from datasets.labels import IGNORE_INDEX, LabelArray, Provenance

if TYPE_CHECKING:  # Storing a prediction needs no ONNX Runtime, and loading it takes seconds.
    from export.session import Prediction


def always(_session: Session) -> bool:
    """Nothing speaks against replacing a proposal."""
    return True


class DecoyLabelError(Exception):
    """The imported label of a decoy is damaged or gone. For the log only: who reviews it must not hear of a label."""


@dataclass(frozen=True)
class Doubt:
    """A region that somebody did not know or flagged, why it is shown, and its (H, W) pixels."""

    region_id: int
    kind: RegionKind
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class _Divided:
    """An image's regions as people see them, and those among them that are no regions of doubt as the model gave them.

    Audits are not in the region map.
    """

    partition: RegionPartition
    audits: tuple[DrawnAudit, ...] = ()
    planted: tuple[Planted, ...] = ()


@dataclass(frozen=True)
class _Known:
    """What the store knew about an image when its regions were built; `label` is that of a decoy."""

    image: Image
    rules: RegionRules
    order: QueueRules
    rarity: NDArray[np.float64]
    decided: LabelState
    doubts: tuple[Doubt, ...]
    version: int
    control: ControlImage | None
    threshold: float | None
    label: LabelArray | None

    @property
    def human_mask(self) -> NDArray[np.bool_]:
        """(H, W), the pixels that people decided."""
        human_mask: NDArray[np.bool_] = self.decided.provenance == Provenance.HUMAN
        return human_mask

    @property
    def doubted_mask(self) -> NDArray[np.bool_]:
        """(H, W), the pixels of all doubts."""
        return self._mask_of(self.doubts)

    @property
    def sent_mask(self) -> NDArray[np.bool_]:
        """(H, W), the pixels that people gave a class and that somebody called wrong since."""
        flagged_mask = self._mask_of([doubt for doubt in self.doubts if doubt.kind is RegionKind.FLAGGED])
        sent_mask: NDArray[np.bool_] = flagged_mask & self.human_mask & (self.decided.label != IGNORE_INDEX)
        return sent_mask

    def _mask_of(self, doubts: Sequence[Doubt]) -> NDArray[np.bool_]:
        mask = np.zeros(self.image.size_hw, np.bool_)
        for doubt in doubts:
            mask |= doubt.mask
        return mask


def store_proposal(
    store: Store,
    image_id: int,
    model_id: int,
    prediction: "Prediction",
    may_replace: Callable[[Session], bool] = always,
) -> bool:
    """Store what a model predicts for an image of the pool, or for a decoy, and queue its unreliable regions.

    Reliable is what the model file calls so, or what the threshold that somebody chose for the model does. Pixels that
    people decided keep their label and are not queued again. The previous proposal and its waiting regions are
    superseded; those in second review and those flagged come back with the same pixels, however sure the
    new model is, and wait there again. Decisions made while this runs are taken into account.

    A labeled image becomes a decoy by this: some of its regions are shown with a class that is wrong.

    Args:
        may_replace: asked in the transaction that replaces the present proposal.

    Returns:
        Whether it was stored: False when `may_replace` said no.

    Raises:
        ValueError: no such image or model, an image that nobody reviews, or a prediction of another size, with unknown
            classes or with values that are not numbers.
        DecoyLabelError: it is one, and its label cannot be read.
        StoreError: the store refused; the previous proposal is still active.
    """
    while True:
        stored = _try_store(store, image_id, model_id, prediction, may_replace)
        if stored is not None:
            return stored


def _try_store(
    store: Store, image_id: int, model_id: int, prediction: "Prediction", may_replace: Callable[[Session], bool]
) -> bool | None:
    """One attempt; None if somebody decided something about the image meanwhile, or chose another threshold."""
    trust = ready_to_draw(store)
    seen = seen_of(prediction)
    known = _read_known(store, image_id, model_id, prediction, trust)
    looks = appearance_of(read_image(store.workspace.absolute(known.image.path)))
    prediction = cut(prediction, known.threshold)
    # What a person did not know is neither locked nor a pseudo-label, until a person says what it is.
    prediction = replace(prediction, reliable=prediction.reliable & ~known.doubted_mask)
    if known.control is None:
        divided = _divide(store, known, model_id, prediction, trust)
    else:
        divided = _Divided(undivided(known.image.size_hw))
    parent = store.workspace.proposals / str(model_id)
    folder = write_planes(parent, known.image.sha256[:16], _planes_of(prediction, divided.partition))
    stored = None
    try:
        with store.session() as session:
            is_as_known = threshold_in_force(session, model_id) == known.threshold
            if is_as_known and last_decision_id(session, image_id) == known.version:
                stored = may_replace(session)
            if stored:
                row = proposal_row(image_id, model_id, store.workspace.relative(folder), known.threshold)
                row.file_coverage, row.mean_wrong = seen
                row.appearance = list(looks)
                activate_proposal(session, row)
                _insert(session, known, row, divided, trust)
    finally:
        if not stored:
            shutil.rmtree(folder, ignore_errors=True)
    return stored


def _read_known(store: Store, image_id: int, model_id: int, prediction: "Prediction", trust: TrustSettings) -> _Known:
    with store.reader() as session:
        image = session.get(Image, image_id)
        if image is None or image.deleted_at is not None or session.get(Model, model_id) is None:
            raise ValueError(f"there is no image {image_id} or no model {model_id} in this workspace")
        may_be_decoy = session.get(DecoyImage, image_id) is not None or trust.planted_share > 0
        is_decoy = image.role is ImageRole.LABELED and may_be_decoy
        if image.role is not ImageRole.POOL and not is_decoy:
            raise ValueError(f"{image.name} is a {image.role} image; only pool images get proposals")
        class_set = require_class_set(session)
        check_prediction(prediction, image, len(class_set))
        nothing = LabelState(np.zeros(image.size_hw, np.uint8), np.zeros(image.size_hw, np.uint8))
        decided = replay(nothing, effective_deltas(session, image))
        settings = read_review_settings(session)
        return _Known(
            image=image,
            rules=settings.region_rules,
            order=settings.queue_rules,
            rarity=read_rarity(session, len(class_set), settings.queue_rules),
            decided=decided,
            doubts=read_doubts(store, session, image),
            version=last_decision_id(session, image_id),
            control=session.get(ControlImage, image_id),
            threshold=threshold_in_force(session, model_id),
            label=_imported_label(store, image) if is_decoy else None,
        )


def _imported_label(store: Store, image: Image) -> LabelArray:
    try:
        return read_plane(store.workspace.absolute(image.label_path or ""))
    except (ValueError, OSError) as error:
        message = f"no proposal for {image.name}: its label cannot be read ({error}); import the same folder again"
        raise DecoyLabelError(message) from error


def read_doubts(store: Store, session: Session, image: Image) -> tuple[Doubt, ...]:
    """The regions of the present proposal that wait for a second reviewer, and those flagged that wait at all.

    An audit that somebody did not know becomes a doubt like the others; a control image starts again.
    """
    proposal = active_proposal(session, image.id)
    if proposal is None:
        return ()
    region_map = shown_image(store, session, image, proposal).planes.region_map
    is_flagged = (Region.kind == RegionKind.FLAGGED) & Region.state.in_(PENDING_STATES)
    is_unknown = (Region.kind != RegionKind.CONTROL) & (Region.state == RegionState.SECOND_REVIEW)
    is_doubted = (Region.proposal_id == proposal.id) & (is_unknown | is_flagged)
    doubted = session.execute(select(Region.id, Region.kind, Region.number).where(is_doubted).order_by(Region.id))
    doubts = (
        Doubt(region_id, RegionKind.QUEUE if kind in PROBE_KINDS else kind, region_map == number)
        for region_id, kind, number in doubted
    )
    return tuple(doubt for doubt in doubts if doubt.mask.any())  # One that a later flag covers waits as that flag.


def check_prediction(prediction: "Prediction", image: Image, num_classes: int) -> None:
    """Refuse a prediction that cannot be this image's; it comes from a file that users choose."""
    planes = (
        prediction.label,
        prediction.confidence,
        prediction.weight,
        prediction.reliable,
        prediction.probability_right,
    )
    if any(plane.shape != image.size_hw for plane in planes):
        sizes = sorted({plane.shape for plane in planes})
        raise ValueError(f"{image.name} is {image.size_hw} (height, width), but the prediction is {sizes}")
    if prediction.probabilities.shape != (num_classes, *image.size_hw):
        raise ValueError(
            f"{image.name}: the model gave probabilities of shape {prediction.probabilities.shape}, "
            f"expected {(num_classes, *image.size_hw)} for the {num_classes} classes of this workspace"
        )
    if int(prediction.label.max()) >= num_classes:
        raise ValueError(
            f"{image.name}: the model predicts class {int(prediction.label.max())}, but this workspace has "
            f"classes 0-{num_classes - 1}; use a model that was trained in it"
        )
    for name in ("confidence", "weight", "probability_right"):
        plane = getattr(prediction, name)
        if not (np.all(plane >= 0) and np.all(plane <= 1)):  # Also refuses NaN.
            raise ValueError(f"{image.name}: the model's {name} has values outside 0-1 or NaN; export it again")


def read_rarity(session: Session, num_classes: int, order: QueueRules) -> NDArray[np.float64]:
    """(C,) factor per class on a region's score, from the labeled images."""
    totals = np.zeros(num_classes, np.int64)
    labeled = (Image.role == ImageRole.LABELED) & Image.deleted_at.is_(None) & Image.class_pixels.is_not(None)
    for pixels in session.scalars(select(Image.class_pixels).where(labeled)):
        totals += np.asarray(pixels, np.int64)
    return class_rarity(totals.tolist(), order)


def _divide(store: Store, known: _Known, model_id: int, prediction: "Prediction", trust: TrustSettings) -> _Divided:
    """Regions for the unreliable pixels; audits drawn from the reliable ones that nobody decided, or errors planted."""
    said = RegionInput(
        image=read_image(store.workspace.absolute(known.image.path)),
        label=prediction.label,
        reliable=prediction.reliable | known.human_mask | known.doubted_mask,
        confidence=prediction.probability_right,
        probabilities=prediction.probabilities,
    )
    kept_masks = [doubt.mask for doubt in known.doubts]
    partition = with_kept(build_regions(said, known.rules), kept_masks, _about_shown_label(said, known))
    chance = model_id, int(known.image.sha256[:15], 16)
    drawable = prediction.reliable & ~known.human_mask
    partition, audits = draw_audits(said, drawable, partition, known.rules, trust, chance)
    if known.label is None:
        return _Divided(partition, audits)
    rng = np.random.default_rng([trust.seed or 0, *chance, 1])
    partition, planted = plant_errors(partition, len(known.doubts), known.label, trust, rng)
    return _Divided(partition, audits, planted)


def _about_shown_label(said: RegionInput, known: _Known) -> RegionInput:
    """What the model says of the label that people see: where they called their own label wrong, that is still it."""
    sent_mask = known.sent_mask
    if not sent_mask.any():
        return said
    label = np.where(sent_mask, known.decided.label, said.label)
    probability = np.take_along_axis(said.probabilities, label[None].astype(np.int64), axis=0)[0]  # (H, W)
    return replace(said, label=label, confidence=np.where(label == said.label, said.confidence, probability))


def _planes_of(prediction: "Prediction", partition: RegionPartition) -> ProposalPlanes:
    """A prediction and its regions as they are kept."""
    return MadePlanes(
        label=prediction.label,
        reliable=prediction.reliable,
        unreliability=np.rint(255 * (1 - prediction.probability_right)).astype(np.uint8),
        weight=np.rint(255 * prediction.weight).astype(np.uint8),
        region_map=partition.region_map.astype(np.uint16),
    )


def cut(prediction: "Prediction", threshold: float | None) -> "Prediction":
    """The prediction with what a threshold calls reliable; None leaves it as the model file says."""
    if threshold is None:
        return prediction
    wrong = 1 - prediction.confidence if prediction.probability_wrong is None else prediction.probability_wrong
    return replace(prediction, reliable=reliable_at(wrong, threshold))


def seen_of(prediction: "Prediction") -> tuple[float, float]:
    """How a model file sees an image: share of pixels that it calls reliable, mean probability of being wrong."""
    return float(prediction.reliable.mean()), float(1 - prediction.probability_right.mean(dtype=np.float64))


def proposal_row(image_id: int, model_id: int, folder: str, threshold: float | None) -> Proposal:
    """The row of a proposal that is in force from now on."""
    return Proposal(image_id=image_id, model_id=model_id, folder=folder, active=True, threshold=threshold)


def activate_proposal(session: Session, proposal: Proposal) -> None:
    """Put a new row in the place of the image's present proposal."""
    replace_proposal(session, active_proposal(session, proposal.image_id))
    session.add(proposal)
    session.flush()


def _insert(
    session: Session,
    known: _Known,
    proposal: Proposal,
    divided: _Divided,
    trust: TrustSettings,
) -> None:
    gains = gains_of(divided.partition.regions, known.rarity)
    rows = _rows(proposal, divided.partition, gains, known.order)
    for row, doubt in zip(rows[len(rows) - len(known.doubts) :], known.doubts, strict=True):
        row.origin_id, row.kind = doubt.region_id, doubt.kind
    probes = audit_rows(divided.audits, proposal, gains, known.rarity, known.order, trust)
    probes += _planted_rows(rows, divided.planted, proposal, trust)
    if known.control is not None and not known.human_mask.all():
        probes = [control_row(known.control, known.image, proposal)]
    image = session.get_one(Image, known.image.id)
    if known.label is not None:
        join_decoys(session, image)
    rng = np.random.default_rng([trust.seed or 0, proposal.model_id, int(image.sha256[:15], 16), 2])
    for row in rows:
        row.score *= image.queue_weight
        row.is_asked_regardless = trust.audit_share > 0 and bool(rng.random() < ASKED_REGARDLESS)
    rows += [row for row, _ in probes if row not in rows]
    rows.sort(key=lambda row: row.number)  # Ids follow the numbers, so that they tell as little.
    session.add_all(rows)
    session.flush()
    for row, probe in probes:
        probe.region_id = row.id
        session.add(probe)
    session.flush()
    refresh_states(session, image)


def _planted_rows(
    rows: Sequence[Region], planted: Sequence[Planted], proposal: Proposal, trust: TrustSettings
) -> list[tuple[Region, Probe]]:
    by_number = {row.number: row for row in rows}
    for each in planted:
        by_number[each.region.number].kind = RegionKind.PLANTED
    return [(by_number[each.region.number], each.probe(trust, proposal.model_id)) for each in planted]


def _rows(proposal: Proposal, partition: RegionPartition, gains: Sequence[float], order: QueueRules) -> list[Region]:
    return [
        Region(
            proposal_id=proposal.id, image_id=proposal.image_id, number=region.number, kind=RegionKind.QUEUE,
            class_id=region.class_id, area=region.area,
            x0=region.bbox[0], y0=region.bbox[1], x1=region.bbox[2], y1=region.bbox[3],
            mean_confidence=region.mean_confidence, score=score,
            top_classes=[list(entry) for entry in region.top_classes], state=RegionState.OPEN,
        )
        for region, score in zip(partition.regions, diversified_scores(gains, order), strict=True)
    ]  # fmt: skip
