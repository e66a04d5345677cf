"""Annotators who know the truth, for measuring what a queue is worth: their answers, and what these cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.simulated_drawing import SuperpixelsOf, draw
from app.domain.states import DecisionKind
from datasets.labels import IGNORE_INDEX, LabelArray

KEY_S = 0.28
"""Seconds per keystroke of an average typist (K; Card, Moran and Newell, CACM 23(7), 1980)."""
CLICK_S = 1.3
"""Seconds to point at something and click (P + 2 B = 1.1 + 0.2; the same source)."""
DECIDE_S = 1.35
"""Seconds to make up one's mind (M; the same source). With one key this is 1.63 s, and people were measured at 1.6 s
for saying whether a box is right (Papadopoulos et al., CVPR 2016)."""

_MARGIN_PX = 16
"""How far around a region an outline may spill; chosen by us."""


@dataclass(frozen=True)
class SimulatedPerson:
    """How an annotator sees and errs.

    Attributes:
        name: what the decisions are stored under.
        tolerance: share of a region's pixels that one key may leave wrong.
        error_rate: share of the answers that are wrong although the person took the time.
        doubt_rate: share of the regions that are left to a second reviewer.
        draws_outlines: areas are the clicked outlines; otherwise they are exact.
        superpixel_levels: sizes of superpixels to draw with before anything is outlined, in this order; places in
            `app.domain.superpixels.SIDES_PX`. Without any, everything is outlined.
        time_spread: standard deviation of the logarithm of the time; 0 is always the same.
    """

    name: str
    tolerance: float = 0.05
    error_rate: float = 0.0
    doubt_rate: float = 0.0
    draws_outlines: bool = False
    superpixel_levels: tuple[int, ...] = ()
    time_spread: float = 0.0


ORACLE = SimulatedPerson("oracle")
REALISTIC = SimulatedPerson("realistic", error_rate=0.03, doubt_rate=0.02, draws_outlines=True, time_spread=0.4)
"""Two people who label the same street agree on 96 % of the pixels (Cordts et al., CVPR 2016), so one of them errs in
about 2-4 %. Doubt and spread were chosen by us."""
SUPERPIXELS = SimulatedPerson("superpixels", superpixel_levels=(2, 1, 0))
"""Makes no mistakes and takes the tool that the reviewer offers first for mixed regions: large superpixels, then
smaller ones, and outlines only for what is still wrong beyond the tolerance."""
ONE_KEY = SimulatedPerson("one_key", tolerance=0.5, superpixel_levels=(2, 1, 0))
"""Gives a region the class that most of it has, with one key: a first, quick pass."""
PEOPLE = {person.name: person for person in (ORACLE, REALISTIC, SUPERPIXELS, ONE_KEY)}


@dataclass(frozen=True)
class Answer:
    """What a person does with a region.

    Attributes:
        kind: accept, relabel, void, draw or dont_know.
        class_id: for relabel.
        touched_mask: (h, w) bool, the drawn pixels; for draw.
        label: (h, w) uint8, their new ids; for draw.
        clicks: what it cost by mouse.
        keys: what it cost by keyboard.
        looks: how often the person had to make up the mind: once, and once per drawn part.
    """

    kind: DecisionKind
    class_id: int | None = None
    touched_mask: NDArray[np.bool_] | None = None
    label: LabelArray | None = None
    clicks: int = 0
    keys: int = 1
    looks: int = 1


def answer_for(
    region_mask: NDArray[np.bool_],
    allowed_mask: NDArray[np.bool_],
    label: LabelArray,
    truth: LabelArray,
    person: SimulatedPerson,
    rng: np.random.Generator,
    likely: tuple[int, ...] = (),
    superpixels: SuperpixelsOf | None = None,
) -> Answer:
    """The answer to a region, in a box around it; every array is (h, w).

    One key where it leaves at most `person.tolerance` of the region wrong, drawing otherwise.

    Args:
        region_mask: the region.
        allowed_mask: where drawing has an effect: not on locked pixels.
        label: ids as they are now.
        truth: true ids; IGNORE_INDEX where nobody knows.
        person: who answers.
        rng: chance behind errors and doubt.
        likely: the region's likeliest classes, likeliest first; a person who errs takes the first other one.
        superpixels: of the box; a person without levels needs none.

    Raises:
        ValueError: the person draws with superpixels, and there are none.
    """
    if rng.random() < person.doubt_rate:
        return Answer(DecisionKind.DONT_KNOW)
    known = region_mask & (truth != IGNORE_INDEX)
    num_known = int(np.count_nonzero(known))
    if num_known == 0:
        return Answer(DecisionKind.VOID)
    right = int(np.count_nonzero(known & (label == truth)))
    counts = np.bincount(truth[known])
    best = int(counts.argmax())
    is_wrong = rng.random() < person.error_rate
    if right >= (1.0 - person.tolerance) * num_known:
        other = next((class_id for class_id in likely if class_id != best), None)
        return Answer(DecisionKind.RELABEL, other) if is_wrong and other is not None else Answer(DecisionKind.ACCEPT)
    if is_wrong:
        return Answer(DecisionKind.ACCEPT)
    if counts[best] >= (1.0 - person.tolerance) * num_known:
        return Answer(DecisionKind.RELABEL, best)
    if person.superpixel_levels and superpixels is None:
        raise ValueError(f"{person.name} draws with superpixels; give those of the box")
    drawing = draw(known, allowed_mask, label, truth, person, superpixels)
    if not drawing.touched_mask.any():  # An outline of a thread can fall beside it.
        return Answer(DecisionKind.ACCEPT, looks=2)
    return Answer(
        DecisionKind.DRAW, None, drawing.touched_mask, drawing.label, drawing.clicks, drawing.keys, 1 + drawing.parts
    )


def seconds_of(answer: Answer, person: SimulatedPerson, rng: np.random.Generator) -> float:
    """How long an answer takes: looks, keys and clicks at the published times, spread as the person's are."""
    mean = DECIDE_S * answer.looks + KEY_S * answer.keys + CLICK_S * answer.clicks
    spread = float(np.exp(rng.normal(0.0, person.time_spread) - person.time_spread**2 / 2)) if person.time_spread else 1
    return mean * spread


def box_around(bbox: tuple[int, int, int, int], size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """What a person works in: a region's box and a margin for outlines that spill over, inside the image."""
    (x0, y0, x1, y1), (width, height) = bbox, size_wh
    return (
        max(0, x0 - _MARGIN_PX),
        max(0, y0 - _MARGIN_PX),
        min(width, x1 + _MARGIN_PX),
        min(height, y1 + _MARGIN_PX),
    )


def entropy_of(likeliest: Sequence[float]) -> float:
    """Entropy of a region's mean class probabilities.

    Args:
        likeliest: of the likeliest classes; what the others have counts as one more class.
    """
    likely = np.array(likeliest, np.float64)
    every = np.append(likely, max(0.0, 1.0 - likely.sum()))
    present = every[every > 0]
    return float(-(present * np.log(present)).sum())
