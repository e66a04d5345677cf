"""An image as people see it: the model's maps, with probes disguised as what they are not.

Nothing else may make what a browser is sent or what a decision starts from. What training and exports use is
app/services/labels.py, which knows nothing of disguises.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.decisions import Delta, LabelState, base_provenance, decode_delta, replay
from app.domain.disguise import HALO_PX, disguised_unreliability, invented_doubts
from app.domain.states import RegionKind, RegionState
from app.services.labels import flagged_numbers, proposal_planes
from app.storage.database import Store
from app.storage.history import PastDecision, effective_deltas
from app.storage.models import Image, Proposal, Region
from app.storage.planes import IdPlane, KeptPlanes, MadePlanes, OtherRegions, ProposalPlanes, StoredPlanes
from app.storage.probes import Probe
from app.storage.runs import deflate_runs
from datasets.labels import IGNORE_INDEX, LabelArray

_UNSEEN = (RegionState.HELD, RegionState.SUPERSEDED)


@dataclass(frozen=True)
class ShownImage:
    """What people see of an image before their decisions.

    Attributes:
        planes: the maps; `label` is what the eraser goes back to.
        version: changes with the regions that are in it, whatever they are for.
    """

    planes: ProposalPlanes
    version: str


def shown_image(store: Store, session: Session, image: Image, proposal: Proposal) -> ShownImage:
    """An image with its active proposal as people see it, without their decisions."""
    of_proposal = Region.proposal_id == proposal.id
    statement = (
        select(Region, Probe)
        .join(Probe, Probe.region_id == Region.id)
        .where(of_proposal, Region.state.not_in(_UNSEEN) | (Region.kind == RegionKind.CONTROL))
        .order_by(Region.number)
    )
    probes = [(region, probe) for region, probe in session.execute(statement)]
    planes = proposal_planes(store, session, proposal)
    if probes:
        key = proposal.folder, flagged_numbers(session, proposal), tuple(region.id for region, _ in probes)
        planes = store.planes.derived(key, lambda: _disguised(image, planes, probes))
    # Flags have their own way of changing what a browser keeps: each is an action on the image.
    seen = of_proposal & Region.state.not_in(_UNSEEN) & (Region.kind != RegionKind.FLAGGED)
    seen_ids = session.scalars(select(Region.id).where(seen).order_by(Region.id)).all()
    version = blake2b(repr((proposal.id, seen_ids)).encode(), digest_size=6).hexdigest()
    return ShownImage(planes, version)


def is_from_scratch(session: Session, proposal: Proposal) -> bool:
    """Whether people label the image from nothing. Nobody is shown its proposal, given or not."""
    control = select(Region.id).where(Region.proposal_id == proposal.id, Region.kind == RegionKind.CONTROL)
    return session.scalar(control.limit(1)) is not None


def shown_state(
    session: Session,
    image: Image,
    shown: ShownImage,
    bbox: tuple[int, int, int, int] | None = None,
    history: Sequence[PastDecision] | None = None,
) -> LabelState:
    """Label and provenance as people see them now, with every decision that counts.

    Args:
        bbox: only this box x0, y0, x1, y1 inside the image.
        history: the image's, where the caller has read it already.
    """
    x0, y0, x1, y1 = bbox or (0, 0, image.width, image.height)
    box = slice(y0, y1), slice(x0, x1)
    base = LabelState(shown.planes.label[box], base_provenance(shown.planes.reliable[box]))
    return replay(base, effective_deltas(session, image, bbox, history), x0, y0)


class DisguisedPlanes:
    """Planes of a proposal with probes in them; see ProposalPlanes. What is changed is worked out when first asked for.

    Audits become regions of doubt that are not locked; planted errors get the wrong class, as if the model had said so.
    """

    def __init__(self, base: ProposalPlanes, probes: Sequence[tuple[Region, Probe]]) -> None:
        self._base = base
        self._planted = [(region.number, region.class_id) for region, _ in probes if region.kind is RegionKind.PLANTED]
        self._audits = [_Audit.of(region, probe) for region, probe in probes if region.kind is RegionKind.AUDIT]

    @cached_property
    def label(self) -> LabelArray:
        """See ProposalPlanes."""
        if not self._planted:
            return self._base.label
        label = self._base.label.copy()
        for number, class_id in self._planted:
            label[self._base.region_map == number] = class_id
        return label

    @cached_property
    def reliable(self) -> NDArray[np.bool_]:
        """See ProposalPlanes."""
        if not self._audits:
            return self._base.reliable
        reliable = self._base.reliable.copy()
        for _, delta, mask in self._placed:
            reliable[delta.rows_columns][mask] = False
        return reliable

    @cached_property
    def region_map(self) -> NDArray[np.uint16]:
        """See ProposalPlanes."""
        if not self._audits:
            return self._base.region_map
        region_map = self._base.region_map.copy()
        for audit, delta, mask in self._placed:
            region_map[delta.rows_columns][mask] = audit.number
        return region_map

    @property
    def unreliability(self) -> NDArray[np.uint8]:
        """See ProposalPlanes."""
        unreliability = self._base.unreliability.copy()
        for audit, delta, mask in self._placed:
            if not mask.any():
                continue
            x0, y0, x1, y1 = delta.bbox
            top, left = max(0, y0 - HALO_PX), max(0, x0 - HALO_PX)
            around = slice(top, y1 + HALO_PX), slice(left, x1 + HALO_PX)
            wider = np.zeros(unreliability[around].shape, np.bool_)
            wider[y0 - top : y1 - top, x0 - left : x1 - left] = mask
            unreliability[around] = disguised_unreliability(
                unreliability[around], wider, audit.mean_confidence, audit.doubts, audit.around, audit.look_seed
            )
        return unreliability

    @property
    def weight(self) -> NDArray[np.uint8]:
        """See ProposalPlanes."""
        return self._base.weight

    @property
    def num_bytes(self) -> int:
        """Memory that is taken now, with that of the planes below, which stay as long as these do."""
        below = self._base.num_bytes if isinstance(self._base, StoredPlanes | OtherRegions) else 0
        changed = ("label",) * bool(self._planted) + ("reliable", "region_map") * bool(self._audits)
        own: list[NDArray[Any]] = [self.__dict__[name] for name in changed if name in self.__dict__]
        return below + sum(plane.nbytes for plane in own)

    def runs(self, name: IdPlane) -> bytes:
        """See ProposalPlanes."""
        is_changed = bool(self._planted) if name == "label" else bool(self._audits)
        return deflate_runs(getattr(self, name)) if is_changed else self._base.runs(name)

    @cached_property
    def _placed(self) -> list[tuple["_Audit", Delta, NDArray[np.bool_]]]:
        """Audits with their pixels; a flag that somebody set there before an audit was needed stays what it is."""
        placed = []
        for audit in self._audits:
            delta = decode_delta(audit.pixels, self._base.label.shape)
            free = self._base.region_map[delta.rows_columns] == 0
            placed.append((audit, delta, delta.touched_mask & free))
        return placed


@dataclass(frozen=True)
class _Audit:
    """What an audit's disguise takes, without the rows, which end with their session."""

    number: int
    mean_confidence: float
    doubts: tuple[float, ...]
    around: float
    look_seed: int
    pixels: bytes

    @classmethod
    def of(cls, region: Region, probe: Probe) -> "_Audit":
        """From the rows."""
        assert probe.pixels is not None, "audits have pixels"
        confidence, facts = region.mean_confidence, probe.facts
        doubts, around = invented_doubts(confidence)
        if "doubts" in facts:  # Audits of earlier versions were drawn without.
            doubts, around = tuple(facts["doubts"]), facts["around"]
        return cls(region.number, confidence, doubts, around, int(facts["look_seed"]), probe.pixels)


def _disguised(image: Image, planes: ProposalPlanes, probes: Sequence[tuple[Region, Probe]]) -> KeptPlanes:
    if any(region.kind is RegionKind.CONTROL for region, _ in probes):
        return _blank(image.size_hw)
    return DisguisedPlanes(planes, probes)


def _blank(size_hw: tuple[int, int]) -> MadePlanes:
    """One region that is the whole image, void and unlocked: a control image starts from nothing."""
    return MadePlanes(
        label=np.full(size_hw, IGNORE_INDEX, np.uint8),
        reliable=np.zeros(size_hw, np.bool_),
        unreliability=np.full(size_hw, 255, np.uint8),
        weight=np.zeros(size_hw, np.uint8),
        region_map=np.ones(size_hw, np.uint16),
    )
