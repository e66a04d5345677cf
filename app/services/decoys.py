"""Planting errors: labeled images are predicted like the pool, and some of their doubtful regions get a wrong class.

The label of such an image is that of its import, whatever anybody answers here (app/services/labels.py).
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.planting import LARGEST_SHARE_OF_IMAGE, shown_classes, true_class, wrong_class
from app.domain.queue import QueueRules, diversified_scores, gains_of
from app.domain.regions import Region as DescribedRegion
from app.domain.regions import RegionInput, RegionRules, build_regions
from app.domain.states import ImageRole, RegionKind, RegionState
from app.services.proposals import (
    activate_proposal,
    always,
    check_prediction,
    cut,
    planes_of,
    proposal_row,
    read_rarity,
)
from app.services.review_states import refresh_states
from app.storage.cuts import threshold_in_force
from app.storage.database import Store
from app.storage.models import Image, Model, Proposal, Region
from app.storage.planes import write_planes
from app.storage.probes import Probe
from app.storage.settings import read_review_settings, require_class_set
from app.storage.trust_settings import TrustSettings, ready_to_draw
from datasets.images import read_image, read_plane

if TYPE_CHECKING:  # As in app/services/proposals.py.
    from export.session import Prediction

_RULE = "each region with a known class with the same chance, at most a third of an image's"


@dataclass(frozen=True)
class _Decoy:
    """A labeled image as it is known when errors are planted in it."""

    image: Image
    rules: RegionRules
    order: QueueRules
    rarity: NDArray[np.float64]
    trust: TrustSettings
    threshold: float | None


@dataclass(frozen=True)
class _Planted:
    """A region that can be shown with a wrong class."""

    region: DescribedRegion
    truth: int
    wrong: int
    score: float
    draw_order: float


def decoy_images(store: Store) -> list[Image]:
    """The labeled images, by name; none when no errors are to be planted."""
    if ready_to_draw(store).planted_share == 0:
        return []
    with store.reader() as session:
        labeled = (Image.role == ImageRole.LABELED) & Image.deleted_at.is_(None)
        return list(session.scalars(select(Image).where(labeled).order_by(Image.sample_id)))


def store_decoy(
    store: Store,
    image_id: int,
    model_id: int,
    prediction: "Prediction",
    may_replace: Callable[[Session], bool] = always,
) -> int | None:
    """Store what a model predicts for a labeled image and prepare planted errors in it; how many.

    Nobody sees them before they are activated. Those of an earlier proposal that nobody decided are superseded. The
    image is cut at the same threshold as the pool, so that its regions look the same.

    Args:
        may_replace: asked in the transaction that replaces the present proposal; None is returned when it says no.

    Raises:
        ValueError: no such image or model, not a labeled image, or a prediction that does not fit it.
        StoreError: the store refused; the previous proposal is still active.
    """
    decoy = _read(store, image_id, model_id, prediction)
    prediction = cut(prediction, decoy.threshold)
    said = RegionInput(
        image=read_image(store.workspace.absolute(decoy.image.path)),
        label=prediction.label,
        reliable=prediction.reliable,
        confidence=prediction.probability_right,
        probabilities=prediction.probabilities,
    )
    partition = build_regions(said, decoy.rules)
    known = read_plane(store.workspace.absolute(decoy.image.label_path or ""))
    rng = np.random.default_rng([decoy.trust.seed or 0, model_id, int(decoy.image.sha256[:15], 16), 1])
    planted = _choose(partition.region_map, partition.regions, known, decoy, rng)
    folder = write_planes(
        store.workspace.proposals / str(model_id), decoy.image.sha256[:16], planes_of(prediction, partition)
    )
    stored = False
    try:
        with store.session() as session:
            stored = may_replace(session)
            if stored:
                row = proposal_row(image_id, model_id, store.workspace.relative(folder), decoy.threshold)
                activate_proposal(session, row)
                _insert(session, row, planted, decoy)
    except BaseException:
        stored = False
        raise
    finally:
        if not stored:
            shutil.rmtree(folder, ignore_errors=True)
    return len(planted) if stored else None


def _read(store: Store, image_id: int, model_id: int, prediction: "Prediction") -> _Decoy:
    trust = ready_to_draw(store)
    with store.reader() as session:
        image = session.get(Image, image_id)
        if image is None or image.deleted_at is not None or session.get(Model, model_id) is None:
            raise ValueError(f"there is no image {image_id} or no model {model_id} in this workspace")
        if image.role is not ImageRole.LABELED:
            raise ValueError(f"{image.sample_id} is a {image.role} image; errors are planted in labeled ones only")
        num_classes = len(require_class_set(session))
        check_prediction(prediction, image, num_classes)
        settings = read_review_settings(session)
        rarity = read_rarity(session, num_classes, settings.queue_rules)
        threshold = threshold_in_force(session, model_id)
        return _Decoy(image, settings.region_rules, settings.queue_rules, rarity, trust, threshold)


def _choose(
    region_map: NDArray[np.int32],
    regions: tuple[DescribedRegion, ...],
    known: NDArray[np.uint8],
    decoy: _Decoy,
    rng: np.random.Generator,
) -> list[_Planted]:
    """Regions whose class is known, in an order drawn by chance, as many as an image may hold."""
    scores = diversified_scores(gains_of(regions, decoy.rarity), decoy.order)
    fitting: list[_Planted] = []
    for index in rng.permutation(len(regions)):
        region = regions[index]
        box = slice(region.bbox[1], region.bbox[3]), slice(region.bbox[0], region.bbox[2])
        truth = true_class(known[box], region_map[box] == region.number)
        wrong = None if truth is None else wrong_class(truth, region.top_classes)
        if truth is not None and wrong is not None:
            fitting.append(_Planted(region, truth, wrong, scores[index], float(rng.random())))
    return fitting[: int(np.ceil(LARGEST_SHARE_OF_IMAGE * len(regions)))]


def _insert(session: Session, proposal: Proposal, planted: list[_Planted], decoy: _Decoy) -> None:
    probes = [(_region(each, proposal), _probe(each, proposal, decoy.trust)) for each in planted]
    probes.sort(key=lambda pair: pair[0].number)
    session.add_all([region for region, _ in probes])
    session.flush()
    for region, probe in probes:
        probe.region_id = region.id
        session.add(probe)
    session.flush()
    refresh_states(session, session.get_one(Image, proposal.image_id))


def _region(planted: _Planted, proposal: Proposal) -> Region:
    region = planted.region
    return Region(
        proposal_id=proposal.id, image_id=proposal.image_id, number=region.number, kind=RegionKind.PLANTED,
        class_id=planted.wrong, area=region.area, x0=region.bbox[0], y0=region.bbox[1], x1=region.bbox[2],
        y1=region.bbox[3], mean_confidence=region.mean_confidence, score=planted.score,
        top_classes=[list(entry) for entry in shown_classes(planted.wrong, region.top_classes)],
        state=RegionState.HELD,
    )  # fmt: skip


def _probe(planted: _Planted, proposal: Proposal, trust: TrustSettings) -> Probe:
    region = planted.region
    return Probe(
        kind=RegionKind.PLANTED,
        draw_order=planted.draw_order,
        chance={"rule": _RULE, "seed": trust.seed, "model_id": proposal.model_id},
        facts={
            "mean_confidence": region.mean_confidence,
            "predicted_class": region.class_id,
            "top_classes": [list(entry) for entry in region.top_classes],
            "true_class": planted.truth,
        },
    )
