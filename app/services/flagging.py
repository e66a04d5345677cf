"""Areas that somebody calls wrong, though the model was sure or people decided them: made into regions, and listed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.decisions import Delta, encode_delta
from app.domain.flags import flagged_area
from app.domain.queue import expected_errors
from app.domain.regions import MAX_REGIONS, RegionRules
from app.domain.states import DecisionKind, RegionKind, RegionState
from app.services.labels import active_proposal
from app.services.proposals import read_rarity
from app.services.recording import append, find_again, result_of
from app.services.review_actions import check_names
from app.services.review_queue import row_of
from app.services.review_types import DecisionResult, NotFoundError, RegionRow, ReviewError
from app.services.showing import shown_image, shown_state
from app.storage.database import Store
from app.storage.history import effective, image_history, last_decision_id
from app.storage.models import Decision, Image, Model, Proposal, Region
from app.storage.settings import read_review_settings, require_class_set
from datasets.images import read_image
from datasets.labels import LabelArray, Provenance

CERTAINLY_WRONG = 0.0
"""Confidence with which a flagged region is scored: a person says that the model is wrong, however sure it is."""


@dataclass(frozen=True)
class FlagRequest:
    """Somebody points at a reliable pixel.

    Attributes:
        op_id: the client's own id of this action, 1-64 characters; sending it again flags nothing a second time.
        image_id: the image.
        x, y: column and row in the upright image.
        user: who.
        session: which browser tab.
    """

    op_id: str
    image_id: int
    x: int
    y: int
    user: str
    session: str


@dataclass(frozen=True)
class FlagRow:
    """A flag that stands.

    Attributes:
        row: its region; of a later proposal where that took the flag over.
        user: who flagged it.
        flagged_at: when, UTC.
        model_id: whose proposal was called wrong.
    """

    row: RegionRow
    user: str
    flagged_at: datetime
    model_id: int

    def to_json(self) -> dict[str, Any]:
        """As people are told it."""
        return {**asdict(self), "row": self.row.to_json(), "flagged_at": self.flagged_at.isoformat()}


@dataclass(frozen=True)
class FlaggedArea:
    """What becomes a region.

    Attributes:
        pixels: with the label that they have.
        confidence: mean probability, by the model, that this label is right.
        others: other classes that people are offered with their probabilities, likeliest first; not kept where the
            model was sure.
    """

    pixels: Delta
    confidence: float
    others: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class _Known:
    """What the store knew about an image when the area was worked out."""

    image: Image
    proposal: Proposal
    label: LabelArray
    unreliability: NDArray[np.uint8]
    free_mask: NDArray[np.bool_]
    rules: RegionRules
    version: int


def flag(store: Store, request: FlagRequest) -> DecisionResult:
    """Turn the reliable area around a pixel into a region that waits for a decision. One undo takes it back.

    Raises:
        NotFoundError: no such image, or nothing was predicted for it.
        ReviewError: outside the image, or a pixel that is not reliable or decided already.
    """
    check_names(request.op_id, request.user, request.session)
    while True:
        with store.reader() as session:
            known_row = find_again(session, request.op_id, DecisionKind.FLAG, request.user, request.image_id)
            if known_row is not None:
                return result_of(session, known_row, replayed=True)
            known = _read_known(store, session, request)
        picture = read_image(store.workspace.absolute(known.image.path))
        area = flagged_area(known.label, known.free_mask, picture, (request.x, request.y), known.rules)
        with store.session() as session:
            is_as_known = last_decision_id(session, request.image_id) == known.version
            proposal = active_proposal(session, request.image_id)
            if is_as_known and proposal is not None and proposal.id == known.proposal.id:
                confidence = 1.0 - float(known.unreliability[area.rows_columns][area.touched_mask].mean()) / 255
                return append_flag(session, request, known.image, proposal, FlaggedArea(area, confidence))


def list_flags(store: Store) -> Sequence[FlagRow]:
    """All flags that were not taken back, the newest first."""
    with store.reader() as session:
        rows = session.execute(
            select(Decision, Region, Image)
            .join(Region, Region.id == Decision.region_id)
            .join(Image, Image.id == Decision.image_id)
            .where(Decision.kind == DecisionKind.FLAG, Image.deleted_at.is_(None))
            .order_by(Decision.id.desc())
        ).all()
        standing = _standing(session, {decision.image_id for decision, _, _ in rows})
        return [
            FlagRow(
                row_of(latest_region(session, region), image), decision.user, decision.created_at, decision.model_id
            )
            for decision, region, image in rows
            if decision.op_id in standing
        ]


def _read_known(store: Store, session: Session, request: FlagRequest) -> _Known:
    image = session.get(Image, request.image_id)
    if image is None or image.deleted_at is not None:
        raise NotFoundError(f"there is no image {request.image_id}")
    proposal = active_proposal(session, image.id)
    if proposal is None:
        raise NotFoundError(f"{image.name} has no proposal to review; make one with: pixelsieve predict")
    if not (0 <= request.x < image.width and 0 <= request.y < image.height):
        raise ReviewError(f"({request.x}, {request.y}) lies outside of {image.name}, {image.width}x{image.height}")
    shown = shown_image(store, session, image, proposal)
    planes, state = shown.planes, shown_state(session, image, shown)
    human_mask = state.provenance == Provenance.HUMAN
    at = request.y, request.x
    if human_mask[at]:
        raise ReviewError("this pixel was decided by a person; open its region again or draw over it")
    if not planes.reliable[at]:
        raise ReviewError("this pixel is not reliable, so it is not locked: relabel its region or draw over it")
    return _Known(
        image=image,
        proposal=proposal,
        label=planes.label,
        unreliability=planes.unreliability,
        free_mask=planes.reliable & ~human_mask,
        rules=read_review_settings(session).region_rules,
        version=last_decision_id(session, image.id),
    )


def append_flag(
    session: Session, request: FlagRequest, image: Image, proposal: Proposal, area: FlaggedArea
) -> DecisionResult:
    """Make a region of an area of an image and record who asked for it.

    Raises:
        ReviewError: the image has as many regions as can be told apart.
    """
    region = _region(session, image, proposal, area)
    session.add(region)
    session.flush()
    model = session.get_one(Model, proposal.model_id)
    settings = read_review_settings(session)
    return append(
        session,
        Decision(
            op_id=request.op_id, image_id=image.id, region_id=region.id, kind=DecisionKind.FLAG,
            closes_region=False, user=request.user, session=request.session, model_id=model.id, lock_override=False,
            stats={
                "image_sha256": image.sha256, "proposal_id": proposal.id,
                "method": settings.method or model.method,
                "threshold": settings.threshold if (cut_at := proposal.threshold) is None else cut_at,
                "region_kind": RegionKind.FLAGGED.value, "area": region.area, "predicted_class": region.class_id,
                "mean_confidence": region.mean_confidence, "x": request.x, "y": request.y,
            },
        ),
    )  # fmt: skip


def _region(session: Session, image: Image, proposal: Proposal, area: FlaggedArea) -> Region:
    of_proposal = Region.proposal_id == proposal.id
    number = 1 + (session.scalar(select(func.max(Region.number)).where(of_proposal)) or 0)
    if number > MAX_REGIONS:
        raise ReviewError(f"{image.name} has {MAX_REGIONS} regions already; no more can be told apart")
    x, y, x1, y1 = area.pixels.bbox
    touched_mask = area.pixels.touched_mask
    class_id, num_pixels = int(area.pixels.values[touched_mask][0]), int(np.count_nonzero(touched_mask))
    rarity = read_rarity(session, len(require_class_set(session)), read_review_settings(session).queue_rules)
    return Region(
        proposal_id=proposal.id, image_id=image.id, number=number, kind=RegionKind.FLAGGED,
        class_id=class_id, area=num_pixels, x0=x, y0=y, x1=x1, y1=y1, mean_confidence=area.confidence,
        score=expected_errors(num_pixels, CERTAINLY_WRONG) * float(rarity[class_id]) * image.queue_weight,
        top_classes=[[class_id, area.confidence], *map(list, area.others)], state=RegionState.OPEN,
        pixels=encode_delta(area.pixels),
    )  # fmt: skip


def _standing(session: Session, image_ids: set[int]) -> set[str]:
    """Ids of all operations about some images that count."""
    return {past.operation.op_id for image_id in image_ids for past in effective(image_history(session, image_id))}


def latest_region(session: Session, region: Region) -> Region:
    """The region of a flag itself, or one of another proposal that took it over: the one that stands, if any does."""
    found = newest = [region]
    while newest:
        origins = [each.id for each in newest]
        newest = list(session.scalars(select(Region).where(Region.origin_id.in_(origins))))
        found = found + newest
    return max(found, key=lambda each: (each.state is not RegionState.SUPERSEDED, each.id))
