"""Decoys: labeled images that are predicted and asked about like the pool, with errors planted in some regions.

To people a decoy is an image of the pool. Its label stays that of its import, whatever anybody answers here
(app/services/labels.py). Once chosen it stays a decoy, so that no image comes and goes.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import Session

from app.domain.planting import number_in_decoy, shown_classes, true_class, wrong_class
from app.domain.regions import Region as DescribedRegion
from app.domain.regions import RegionPartition
from app.domain.states import ImageRole, ImageState, RegionKind, RegionState
from app.storage.database import Store
from app.storage.failures import FailedPrediction
from app.storage.models import Image, Proposal, Region
from app.storage.probes import DecoyImage, Probe
from app.storage.trust_settings import TrustSettings, read_trust_settings, ready_to_draw
from datasets.labels import LabelArray

_RULE = "each region with a known class with the same chance, at most half of an image's"


@dataclass(frozen=True)
class Planted:
    """An error that stands in a decoy.

    Attributes:
        region: as people are shown it, with the wrong class.
        said: as the model gave it.
        truth: the class that it has in the label.
        draw_order: drawn by chance, 0-1.
    """

    region: DescribedRegion
    said: DescribedRegion
    truth: int
    draw_order: float

    def probe(self, trust: TrustSettings, model_id: int) -> Probe:
        """Its row, which gets the region's id once that is stored."""
        facts: dict[str, Any] = {
            "mean_confidence": self.said.mean_confidence,
            "predicted_class": self.said.class_id,
            "top_classes": [list(entry) for entry in self.said.top_classes],
            "true_class": self.truth,
        }
        chance = {"rule": _RULE, "seed": trust.seed, "model_id": model_id}
        return Probe(kind=RegionKind.PLANTED, draw_order=self.draw_order, chance=chance, facts=facts, is_active=True)


def plant_errors(
    partition: RegionPartition, num_fixed: int, known: LabelArray, trust: TrustSettings, rng: np.random.Generator
) -> tuple[RegionPartition, tuple[Planted, ...]]:
    """Give some regions of a decoy a class that is certainly wrong.

    Args:
        partition: of the decoy.
        num_fixed: so many of its last regions are shown as they are, because people had something to say about them.
        known: (H, W) uint8 label that people drew.
        trust: nothing is planted when its share is 0.
        rng: the source of chance.

    Returns:
        The partition with the regions as they are shown, in their order, and the errors.
    """
    if trust.planted_share == 0:
        return partition, ()
    free = partition.regions[: len(partition.regions) - num_fixed]
    planted: dict[int, Planted] = {}
    for index in rng.permutation(len(free)):
        found = _planted(partition.region_map, free[index], known, float(rng.random()))
        if found is not None and len(planted) < number_in_decoy(len(partition.regions)):
            planted[found.region.number] = found
    regions = tuple(
        planted[region.number].region if region.number in planted else region for region in partition.regions
    )
    return replace(partition, regions=regions), tuple(planted.values())


def _planted(
    region_map: NDArray[np.int32], region: DescribedRegion, known: LabelArray, draw_order: float
) -> Planted | None:
    box = slice(region.bbox[1], region.bbox[3]), slice(region.bbox[0], region.bbox[2])
    truth = true_class(known[box], region_map[box] == region.number)
    wrong = None if truth is None else wrong_class(truth, region.top_classes)
    if truth is None or wrong is None:
        return None
    shown = replace(region, class_id=wrong, top_classes=shown_classes(wrong, region.top_classes))
    return Planted(shown, region, truth, draw_order)


def decoys_and_others(store: Store) -> tuple[list[Image], list[Image]]:
    """The labeled images that are decoys, and those that may become one now, both by name."""
    ready_to_draw(store)
    with store.reader() as session:
        chosen = set(session.scalars(select(DecoyImage.image_id)))
        labeled = (Image.role == ImageRole.LABELED) & Image.deleted_at.is_(None)
        images = session.scalars(select(Image).where(labeled).order_by(Image.sample_id)).all()
        may_join = may_decoys_join(session)
    others = [image for image in images if image.id not in chosen] if may_join else []
    return [image for image in images if image.id in chosen], others


def may_decoys_join(session: Session) -> bool:
    """Whether labeled images may become decoys: only together with images of the pool that were never predicted.

    One that appeared among images that everybody knows would be one that came with a label. Where there is no decoy at
    all, as before errors were planted for the first time, that cannot be helped. A picture that could not be read is no
    new one: people were told of it, and it may wait for its file for ever.
    """
    if read_trust_settings(session).planted_share == 0:
        return False
    in_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)
    is_new = in_pool & Image.id.not_in(select(Proposal.image_id)) & Image.id.not_in(select(FailedPrediction.image_id))
    has_decoys = session.scalar(select(DecoyImage.image_id).limit(1)) is not None
    return not has_decoys or session.scalar(select(Image.id).where(is_new).limit(1)) is not None


def are_decoys_wanted(store: Store) -> bool:
    """Whether planted errors are less than their share of what waits for people now."""
    with store.reader() as session:
        trust = read_trust_settings(session)
        waits = select(Region.kind, func.count()).join(Proposal, Proposal.id == Region.proposal_id)
        waits = waits.where(Region.state == RegionState.OPEN, Proposal.active).group_by(Region.kind)
        numbers: dict[RegionKind, int] = {row[0]: row[1] for row in session.execute(waits)}
    planted = numbers.get(RegionKind.PLANTED, 0)
    regions = planted + numbers.get(RegionKind.QUEUE, 0)
    return planted < trust.planted_share / (1 - trust.audit_share) * regions


def join_decoys(session: Session, image: Image) -> None:
    """Make a labeled image a decoy, for good; does nothing where it is one."""
    if session.get(DecoyImage, image.id) is None:
        session.add(DecoyImage(image_id=image.id))
        session.flush()


def is_reviewed(session: Session, image: Image) -> bool:
    """Whether regions of an image are put before people."""
    return image.role is ImageRole.POOL or session.get(DecoyImage, image.id) is not None


def is_listed(session: Session) -> ColumnElement[bool]:
    """For a WHERE over `Image`: images of which people are told, which must not tell decoys from the pool.

    While labeled images may become decoys, all of them are listed as images that wait for a proposal: those that do not
    become one leave the list, and none joins it that was not there before.
    """
    told = or_(Image.role == ImageRole.POOL, Image.id.in_(select(DecoyImage.image_id)))
    if may_decoys_join(session):
        told = or_(told, Image.role == ImageRole.LABELED)
    return told & Image.deleted_at.is_(None)


def listed_state() -> ColumnElement[ImageState]:
    """Of a listed image, how far it is, as people are told."""
    is_decoy = Image.id.in_(select(DecoyImage.image_id))
    return case(((Image.role == ImageRole.LABELED) & ~is_decoy, ImageState.WAITING), else_=Image.state)
