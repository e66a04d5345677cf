"""Drawing audits from a new proposal: which pixels, the regions around them, and how they are made to look."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.auditing import AuditRegion, audit_regions, draw_pixels, numbered_together
from app.domain.decisions import UNTOUCHED, Delta, encode_delta
from app.domain.disguise import Look, disguised_classes, doubt_beside, doubt_quantiles, invented_look, mixed_look
from app.domain.queue import QueueRules, expected_errors
from app.domain.regions import Region as DescribedRegion
from app.domain.regions import RegionInput, RegionPartition, RegionRules, describe_regions
from app.domain.states import RegionKind, RegionState
from app.storage.models import Proposal, Region
from app.storage.probes import Probe
from app.storage.trust_settings import TrustSettings

_RULE = "each reliable pixel with the same chance"
_SEEDS = 2**31


@dataclass(frozen=True)
class DrawnAudit:
    """An audit that is not stored yet.

    Attributes:
        number: its region number.
        region: its pixels, and those drawn.
        said: what the model says about them.
        class_id: the class that the model predicts at the drawn pixel.
        look: how it is made to look.
        label: (h, w) predicted ids in its box.
        draw_order: its place among all audits, 0-1.
        look_seed: of the grain on the reliability map.
    """

    number: int
    region: AuditRegion
    said: DescribedRegion
    class_id: int
    look: Look
    label: NDArray[np.uint8]
    draw_order: float
    look_seed: int


def draw_audits(
    said: RegionInput, drawable: NDArray[np.bool_], partition: RegionPartition, rules: RegionRules,
    trust: TrustSettings, chance: Sequence[int],
) -> tuple[RegionPartition, tuple[DrawnAudit, ...]]:  # fmt: skip
    """Draw from the reliable pixels of an image.

    Args:
        said: what the model says about the image.
        drawable: (H, W), the reliable pixels that no person decided.
        partition: of the other pixels; its regions lend the audits their looks.
        rules: of regions.
        trust: with seed and intensity.
        chance: what tells this draw from all others of the workspace.

    Returns:
        The partition, with numbers that leave room for the audits, and the audits.
    """
    if trust.audit_share == 0:
        return partition, ()
    assert trust.seed is not None and trust.intensity is not None, "made ready before drawing"
    rng = np.random.default_rng([trust.seed, *chance])
    pixels = draw_pixels(drawable, trust.intensity, rng)
    looks = _looks(said, partition, rules, len(pixels), rng)
    regions = audit_regions(said.image, said.label, drawable, pixels, [look.area for look in looks], rules)
    numbered, numbers = numbered_together(partition, regions)
    audit_map = np.zeros(said.label.shape, np.int32)
    for index, region in enumerate(regions, start=1):
        audit_map[region.box][region.mask] = index
    described = describe_regions(audit_map, len(regions), said)
    drawn = [
        DrawnAudit(
            number=number, region=region, said=about, class_id=int(said.label[region.drawn[0][1], region.drawn[0][0]]),
            look=look, label=said.label[region.box], draw_order=_draw_order(trust.seed, chance, region.drawn[0]),
            look_seed=int(rng.integers(_SEEDS)),
        )
        for number, region, about, look in zip(numbers, regions, described, looks, strict=False)
    ]  # fmt: skip
    return numbered, tuple(drawn)


def _draw_order(seed: int, chance: Sequence[int], pixel: tuple[int, int]) -> float:
    """0-1, by chance, and the same for a pixel however its image is cut: what people see does not change more than it
    has to."""
    return float(np.random.default_rng([seed, *chance, *pixel]).random())


def audit_rows(
    drawn: Sequence[DrawnAudit], proposal: Proposal, gains: Sequence[float], rarity: NDArray[np.float64],
    order: QueueRules, trust: TrustSettings,
) -> list[tuple[Region, Probe]]:  # fmt: skip
    """Rows for the audits of a proposal; the probe gets its region's id once that is stored.

    Args:
        gains: of the proposal's other regions, before diversity; an audit's score is what its look would earn among
            them.
        rarity: (C,) factor per class.
        order: of the workspace.
    """
    return [(_region(audit, proposal, gains, rarity, order), _probe(audit, proposal, trust)) for audit in drawn]


def _looks(
    said: RegionInput, partition: RegionPartition, rules: RegionRules, number: int, rng: np.random.Generator
) -> list[Look]:
    if number == 0:
        return []
    around = doubt_beside(1 - said.confidence, said.reliable) or 0.0
    looks = [
        Look(
            region.area,
            region.mean_confidence,
            tuple(share for _, share in region.top_classes),
            _doubts(said, partition, region),
            around,
        )
        for region in partition.regions
    ]
    num_pixels = said.label.size
    while len(looks) < 2:
        areas = rules.min_area(num_pixels), rules.max_area(num_pixels)
        looks.append(invented_look(len(said.probabilities), *areas, rng, _right_share(said)))
    return [mixed_look(looks, rng) for _ in range(number)]


def _doubts(said: RegionInput, partition: RegionPartition, region: DescribedRegion) -> tuple[float, ...]:
    x0, y0, x1, y1 = region.bbox
    box = slice(y0, y1), slice(x0, x1)
    return doubt_quantiles(1 - said.confidence[box][partition.region_map[box] == region.number])


def _right_share(said: RegionInput) -> float:
    """Probability of being right by the largest probability, where the model doubts: 1 without a calibration."""
    doubted = ~said.reliable if not said.reliable.all() else np.ones_like(said.reliable)
    return float(said.confidence[doubted].mean(dtype=np.float64)) / float(
        said.probabilities.max(axis=0)[doubted].mean(dtype=np.float64)
    )


def _region(
    audit: DrawnAudit, proposal: Proposal, gains: Sequence[float], rarity: NDArray[np.float64], order: QueueRules
) -> Region:
    height, width = audit.region.mask.shape
    gain = expected_errors(audit.said.area, audit.look.mean_confidence) * float(rarity[audit.class_id])
    rank = sum(other > gain for other in gains)
    top_classes = disguised_classes(_own_class_first(audit), audit.look)
    return Region(
        proposal_id=proposal.id, image_id=proposal.image_id, number=audit.number, kind=RegionKind.AUDIT,
        class_id=audit.class_id, area=audit.said.area, x0=audit.region.x0, y0=audit.region.y0,
        x1=audit.region.x0 + width, y1=audit.region.y0 + height, mean_confidence=audit.look.mean_confidence,
        score=gain * order.diversity_discount**rank, top_classes=[list(entry) for entry in top_classes],
        state=RegionState.HELD, is_asked_regardless=True,
    )  # fmt: skip


def _own_class_first(audit: DrawnAudit) -> tuple[tuple[int, float], ...]:
    """The likeliest classes, led by the one that is shown, as for every region of the queue."""
    others = [entry for entry in audit.said.top_classes if entry[0] != audit.class_id]
    own = next((share for class_id, share in audit.said.top_classes if class_id == audit.class_id), 0.0)
    return ((audit.class_id, own), *others)[: len(audit.said.top_classes)]


def _probe(audit: DrawnAudit, proposal: Proposal, trust: TrustSettings) -> Probe:
    values = np.where(audit.region.mask, audit.label, np.uint8(UNTOUCHED))
    return Probe(
        kind=RegionKind.AUDIT,
        draw_order=audit.draw_order,
        chance={
            "rule": _RULE, "seed": trust.seed, "intensity": trust.intensity, "model_id": proposal.model_id,
            "threshold": proposal.threshold,
        },
        facts={
            "mean_confidence": audit.said.mean_confidence,
            "top_classes": [list(entry) for entry in audit.said.top_classes],
            "drawn": [list(pixel) for pixel in audit.region.drawn],
            "look_seed": audit.look_seed,
            "doubts": list(audit.look.doubts),
            "around": audit.look.around,
        },
        pixels=encode_delta(Delta(audit.region.x0, audit.region.y0, values)),
    )  # fmt: skip
