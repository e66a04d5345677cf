"""Three people who decide what is in their queues: mostly right, one of them careless, each at their own pace."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import delta_from_mask
from app.domain.states import DecisionKind, RegionKind
from app.services.review_types import ActionStats, RegionView
from app.storage.database import Store
from tests.unit.made_workspace import mask_of
from tests.unit.trust_cases import Annotator, kind_of

CARELESS = {"ann": 0.03, "ben": 0.35, "cho": 0.08}
"""How often each accepts whatever is shown."""

SECONDS = {"ann": 4.5, "ben": 2.1, "cho": 3.2}
"""Median time of a decision."""


def work_as_team(store: Store, truth: Mapping[str, NDArray[np.uint8]], turns: int, seed: int = 1) -> None:
    """Let the three decide by turns, each the head of their own queue.

    Args:
        truth: label by the name of the image.
        turns: decisions of all together.
    """
    rng = np.random.default_rng(seed)
    people = [Annotator(store, user=name, session=f"tab-{name}") for name in CARELESS]
    for turn in range(turns):
        person = people[turn % len(people)]
        view = person.head()
        if view is None:
            return
        name = person.name["user"]
        seconds = SECONDS[name] * float(rng.lognormal(0, 0.6))
        if kind_of(store, view.row.region_id) is RegionKind.CONTROL:
            _draw_all(person, view, truth[view.row.sample_id], 40 * seconds)
        else:
            _decide(person, view, truth[view.row.sample_id], seconds, rng.random() < CARELESS[name])


def _decide(person: Annotator, view: RegionView, truth: NDArray[np.uint8], seconds: float, is_careless: bool) -> None:
    mask = mask_of(person.service.image_planes(view.row.image_id), view)
    right = int(np.bincount(truth[mask]).argmax())
    stats = ActionStats(keys=1, active_ms=round(1000 * seconds))
    if is_careless or right == view.row.class_id:
        person.decide(DecisionKind.ACCEPT, view, stats=stats)
    else:
        person.decide(DecisionKind.RELABEL, view, class_id=right, stats=stats)


def _draw_all(person: Annotator, view: RegionView, truth: NDArray[np.uint8], seconds: float) -> None:
    drawn = delta_from_mask(np.ones(truth.shape, np.bool_), truth)
    stats = ActionStats(strokes=60, active_ms=round(1000 * seconds))
    person.decide(DecisionKind.DRAW, view, delta=drawn, closes_region=True, stats=stats)
