"""Looking for wrong labels among those that people made or that were imported. What was found last is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.domain.decisions import LabelState, replay
from app.domain.states import ImageRole
from app.domain.suspects import MIN_AREA, LabelPart, Suspect, find_part, holding_region, label_parts, rank_parts
from app.services.labels import active_proposal
from app.services.predicting import find_model, open_model
from app.services.processes import Monitor
from app.services.showing import shown_image
from app.storage.database import Store
from app.storage.history import effective_deltas, last_decision_id
from app.storage.models import Decision, Image, Region
from app.storage.probes import ControlImage
from app.storage.suspects import SuspectPart, SuspectSearch
from datasets.images import read_image, read_plane
from datasets.labels import IGNORE_INDEX, LabelArray, Provenance
from datasets.progress import Progress

KEPT = 1000
"""Most parts of one look that are kept: nobody goes on to where hardly one is wrong. Chosen by us."""


@dataclass(frozen=True)
class FoundSuspects:
    """What one look for wrong labels found.

    Attributes:
        model_id: whose doubt it is.
        min_area: smaller parts were left out, in pixels.
        num_images: images with labels of people that were looked at.
        ranked: all parts, the most suspicious first.
        versions: by image, of the label that was looked at; see `label_version`.
        failed: images that could not be looked at, with the reason.
    """

    model_id: int
    min_area: int
    num_images: int
    ranked: Sequence[Suspect]
    versions: dict[int, str]
    failed: tuple[tuple[str, str], ...] = ()


def find_suspects(store: Store, model_id: int | None, monitor: Monitor, min_area: int = MIN_AREA) -> FoundSuspects:
    """Rank every part of people's labels by how much a model doubts it. Changes nothing.

    Left out are gold images, which stay unseen, and control images: they measure what people do without a model. In
    labeled images the imported label counts, whatever was planted there and answered. Progress names no image, because
    everybody may follow jobs: one that is looked at before anybody decided something in it came with a label.

    Args:
        model_id: None is the current model.

    Raises:
        LookupError: no such model, or none is current.
        ValueError: the model file was changed or has other classes than the workspace.
        WorkCancelledError: stopped on request.
    """
    model = find_model(store, model_id)
    predictor = open_model(store, store.workspace, model)
    with store.reader() as session:
        may_be_seen = (Image.role != ImageRole.GOLD) & Image.deleted_at.is_(None)
        may_be_seen &= Image.id.not_in(select(ControlImage.image_id))
        has_label = Image.label_path.is_not(None) | select(Decision.id).where(Decision.image_id == Image.id).exists()
        images = session.scalars(select(Image).where(may_be_seen, has_label).order_by(Image.id)).all()
    parts: list[LabelPart] = []
    versions: dict[int, str] = {}
    failed: list[tuple[str, str]] = []
    for index, image in enumerate(images):
        monitor.stoppable_progress(Progress(index, len(images), f"image {index + 1} of {len(images)}"))
        try:
            with store.reader() as session:  # Not one for all: predicting takes minutes, in which others go on writing.
                label = people_label(store, session, image)
                version = label_version(session, image)
            if label is None:
                continue
            prediction = predictor.predict(read_image(store.workspace.absolute(image.path)))
        except (ValueError, OSError) as error:  # One damaged file is no reason to look at none.
            failed.append((image.name, str(error)))
            continue
        versions[image.id] = version
        parts += label_parts(image.id, label, prediction.label, prediction.probability_right, min_area)
    return FoundSuspects(model.id, min_area, len(versions), rank_parts(parts), versions, tuple(failed))


def keep_suspects(store: Store, found: FoundSuspects) -> int:
    """Put what was found in the place of what was found before; how many parts are kept."""
    first = found.ranked[:KEPT]
    regions = _holding_regions(store, [suspect.part for suspect in first])
    with store.session() as session:
        session.execute(delete(SuspectPart))
        session.execute(delete(SuspectSearch))
        search = SuspectSearch(
            model_id=found.model_id, min_area=found.min_area, num_images=found.num_images, num_parts=len(found.ranked)
        )
        session.add(search)
        session.flush()
        session.add_all(
            _row(search.id, rank, suspect, found.versions[suspect.part.image_id], regions.get(suspect.part))
            for rank, suspect in enumerate(first, start=1)
        )
    return len(first)


def people_label(store: Store, session: Session, image: Image) -> LabelArray | None:
    """(H, W) class ids where people decided or drew, IGNORE_INDEX elsewhere; None where they did so nowhere.

    Raises:
        ValueError, OSError: a file is damaged or gone.
    """
    if image.label_path is not None:
        return read_plane(store.workspace.absolute(image.label_path))
    unlabeled = np.full(image.size_hw, IGNORE_INDEX, np.uint8)
    decided = replay(LabelState(unlabeled, np.zeros_like(unlabeled)), effective_deltas(session, image))
    return decided.label if np.any(decided.provenance == Provenance.HUMAN) else None


def label_version(session: Session, image: Image) -> str:
    """As long as it stays the same, so does the label of an image, whatever models propose."""
    if image.label_path is not None:
        return f"{image.label_path} {image.label_sha256}"
    return str(last_decision_id(session, image.id))


def _row(search_id: int, rank: int, suspect: Suspect, version: str, region_id: int | None) -> SuspectPart:
    part = suspect.part
    x0, y0, x1, y1 = part.bbox
    return SuspectPart(
        search_id=search_id, rank=rank, image_id=part.image_id, class_id=part.class_id, suggested=part.suggested,
        x0=x0, y0=y0, x1=x1, y1=y1, area=part.area, doubt=part.doubt, score=suspect.score, label_version=version,
        region_id=region_id,
    )  # fmt: skip


def _holding_regions(store: Store, parts: Sequence[LabelPart]) -> dict[LabelPart, int]:
    """Ids of the regions that hold most of each part, for those that are in regions at all."""
    found: dict[LabelPart, int] = {}
    by_image = sorted(parts, key=lambda part: part.image_id)
    for image_id, of_image in groupby(by_image, key=lambda part: part.image_id):
        with store.reader() as session:
            image = session.get_one(Image, image_id)
            proposal = active_proposal(session, image_id) if image.role is ImageRole.POOL else None
            label = None if proposal is None else people_label(store, session, image)
            if proposal is None or label is None:
                continue
            region_map = shown_image(store, session, image, proposal).planes.region_map
            of_proposal = select(Region.number, Region.id).where(Region.proposal_id == proposal.id)
            ids = {number: region_id for number, region_id in session.execute(of_proposal)}
        for part in of_image:
            mask, (x0, y0, x1, y1) = find_part(part, label), part.bbox
            number = None if mask is None else holding_region(mask, region_map[y0:y1, x0:x1])
            if number is not None:
                found[part] = ids[number]
    return found
