"""What a decision about a probe says: how many drawn pixels were wrong, whether a planted error was caught."""

import logging
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.domain.decisions import Delta, LabelState, replay
from app.domain.planting import is_caught
from app.domain.states import PROBE_KINDS, RegionKind
from app.services.labels import proposal_planes
from app.services.review_queue import count_ahead
from app.services.showing import ShownImage
from app.storage.database import Store
from app.storage.models import Image, Proposal, Region
from app.storage.probes import DecoyImage, Probe
from datasets.images import read_plane
from datasets.labels import IGNORE_INDEX, LabelArray

logger = logging.getLogger(__name__)

LOOK_AHEAD = 40
"""A probe so near to the head of a person's queue was not chosen. The reviewer page fetches a third of it ahead; what
colleagues have fetched lies between. Chosen by us."""

_SAID: tuple[str, ...] = ("mean_confidence", "predicted_class", "top_classes")


def probe_facts(session: Session, region: Region, person: str) -> dict[str, Any]:
    """What is logged about a probe that was shown: what the model said about it, and how the person came to it."""
    probe = session.get(Probe, region.id)
    if probe is None:
        return {}
    facts: dict[str, Any] = {name: probe.facts[name] for name in _SAID if name in probe.facts}
    if region.kind is RegionKind.AUDIT and session.get(DecoyImage, region.image_id) is not None:
        return facts  # The model learned from this image: its reliable area says nothing about that of others.
    was_given = count_ahead(session, region, person, LOOK_AHEAD) < LOOK_AHEAD
    facts.update(draw_order=probe.draw_order, draw_batch=probe.chance.get("batch"), was_given=was_given)
    return facts


def probe_outcome(
    store: Store,
    session: Session,
    proposal: Proposal,
    shown: ShownImage,
    before: LabelState,
    region: Region,
    delta: Delta,
) -> dict[str, Any]:
    """What is logged when somebody decided a probe.

    Args:
        proposal: the region's.
        shown: the image as people see it.
        before: label in the region's box before the decision.
        region: of any kind.
        delta: what the decision sets; covers the region.
    """
    if region.kind not in PROBE_KINDS:
        return {}
    after = replay(before, [delta], region.x0, region.y0).label
    box = slice(region.y0, region.y1), slice(region.x0, region.x1)
    if region.kind is RegionKind.PLANTED:
        mask = shown.planes.region_map[box] == region.number
        imported = _imported_label(store, session, region)
        is_error = imported is not None and is_caught(imported[box], mask, region.class_id)
        return {"caught": is_caught(after, mask, region.class_id)} if is_error else {}
    if region.kind is RegionKind.AUDIT and session.get(DecoyImage, region.image_id) is not None:
        return {}
    said = proposal_planes(store, session, proposal)
    if region.kind is RegionKind.CONTROL:
        checked = said.reliable[box] & (after != IGNORE_INDEX)
        return _checked(after[checked], said.label[box][checked])
    columns, rows = np.array(session.get_one(Probe, region.id).facts["drawn"]).T
    now = after[rows - region.y0, columns - region.x0]
    return _checked(now[now != IGNORE_INDEX], said.label[rows, columns][now != IGNORE_INDEX])


def _imported_label(store: Store, session: Session, region: Region) -> LabelArray | None:
    """(H, W) of a decoy. Where it was wrong and changed since, what was planted may be right, and tells nothing.

    None where its file is damaged or gone: the decision counts all the same; a refusal would tell what the region is.
    """
    image = session.get_one(Image, region.image_id)
    try:
        return read_plane(store.workspace.absolute(image.label_path or ""))
    except (ValueError, OSError) as error:
        logger.warning(
            "the label of %s cannot be read (%s); an answer to what was planted tells nothing", image.name, error
        )
        return None


def _checked(now: LabelArray, said: LabelArray) -> dict[str, Any]:
    return {"audited_pixels": now.size, "wrong_pixels": int(np.count_nonzero(now != said))}
