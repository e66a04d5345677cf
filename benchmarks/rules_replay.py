"""Simulated annotators without a store: the regions, order, answers and books of `pixelsieve simulate`, much faster.

A decision in the store takes tens of milliseconds, and a comparison of many rules hundreds of thousands of decisions.
Only storing them is left out: tests/unit/test_benchmarks_region_rules.py lets both work on the same images, and every
point of their curves has to agree.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.domain.queue import QueueRules, diversified_scores, expected_errors, gains_of, is_enough
from app.domain.regions import Region, RegionInput, RegionPartition
from app.domain.simulated_drawing import SuperpixelsOf
from app.domain.simulated_people import Answer, SimulatedPerson, answer_for, box_around, entropy_of, seconds_of
from app.domain.states import DecisionKind
from app.domain.superpixels import superpixels, superpixels_in, tile_of
from app.services.simulating import Arm
from datasets.labels import IGNORE_INDEX, LabelArray

REGION_ARMS = (Arm.QUEUE, Arm.RANDOM_REGIONS, Arm.ENTROPY_REGIONS)
"""Orders of our regions; whole images do not depend on region rules."""
BEST_ORDER = "best_order"
"""Our regions by what their answers really gain per click and key, every class counting the same. No queue can know
that: about what any order of these regions reaches at most."""


@dataclass(frozen=True)
class PoolImage:
    """One image to be corrected: what the model says about it, and the true label."""

    sample_id: str
    said: RegionInput
    truth: LabelArray
    _tiles: dict[tuple[int, int, int], NDArray[np.uint16]] = field(default_factory=dict, repr=False)

    def superpixels_in(self, box: tuple[int, int, int, int]) -> SuperpixelsOf:
        """Those of the reviewer, worked out once, when they are asked for."""
        return lambda level: superpixels_in(box, lambda column, row: self._tile(level, column, row))

    def _tile(self, level: int, column: int, row: int) -> NDArray[np.uint16]:
        if (level, column, row) not in self._tiles:
            at = tile_of(self.truth.shape, level, column, row)
            picture = self.said.image[at.y0 : at.y0 + at.height, at.x0 : at.x0 + at.width]
            self._tiles[level, column, row] = superpixels(picture, at.side_px)
        return self._tiles[level, column, row]


@dataclass(frozen=True)
class Step:
    """One decision.

    Attributes:
        image: its place among the images.
        clicks: by mouse.
        keys: by keyboard.
        seconds: simulated.
        shown: pixels with a known truth that nobody had been shown.
        changed: pixels whose label is another one now.
        hits: (C,) pixels that are right now, less those that were before.
        predicted: (C,) pixels of a known truth that have the class now, less those that had it before.
    """

    image: int
    clicks: int
    keys: int
    seconds: float
    shown: int
    changed: int
    hits: NDArray[np.int64]
    predicted: NDArray[np.int64]


@dataclass
class _Desk:
    """An image while somebody works on it."""

    image: PoolImage
    partition: RegionPartition
    scores: list[float]
    enough_share: float
    label: LabelArray = field(init=False)
    pending: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.label = self.image.said.label.copy()
        self.pending = {
            region.number: expected_errors(region.area, region.mean_confidence) for region in self.partition.regions
        }

    @property
    def is_open(self) -> bool:
        """Whether the queue still shows its regions."""
        return bool(self.pending) and not is_enough(self.pending.values(), self.label.size, self.enough_share)


class Replay:
    """Images that were cut into regions, ready for one simulated person."""

    def __init__(
        self, images: Sequence[PoolImage], partitions: Sequence[RegionPartition], order: QueueRules,
        rarity: NDArray[np.float64], enough_share: float,
    ) -> None:  # fmt: skip
        """Args:
        images: in the order in which they were predicted.
        partitions: of the images, see `build_regions`.
        order: what else than expected errors decides.
        rarity: (C,) factor per class.
        enough_share: see `is_enough`.
        """
        self._num_classes = rarity.size
        self._desks = [
            _Desk(image, cut, diversified_scores(gains_of(cut.regions, rarity), order), enough_share)
            for image, cut in zip(images, partitions, strict=True)
        ]

    def run(self, arm: str, person: SimulatedPerson, seed: int) -> Iterator[Step]:
        """Let a person work until nothing is left; every image can be worked on once.

        Args:
            arm: of `REGION_ARMS`, or `BEST_ORDER`.

        Raises:
            ValueError: an arm that does not go by regions.
        """
        if arm not in (*REGION_ARMS, BEST_ORDER):
            raise ValueError(f"only {', '.join((*REGION_ARMS, BEST_ORDER))} go by regions, not {arm}")
        rng = np.random.default_rng(seed)
        steps = (self._answer(index, region, person, rng) for index, region in self._work(arm, rng))
        yield from self._best_first(steps) if arm == BEST_ORDER else steps

    def _best_first(self, steps: Iterable[Step]) -> list[Step]:
        """What an answer changes does not depend on those before it, since regions share no pixels."""
        labeled = sum(
            np.bincount(desk.image.truth.reshape(-1), minlength=IGNORE_INDEX + 1)[: self._num_classes]
            for desk in self._desks
        )
        weights = 1 / np.maximum(labeled, 1)
        return sorted(steps, key=lambda step: -float((step.hits * weights).sum()) / (step.clicks + step.keys))

    def _work(self, arm: str, rng: np.random.Generator) -> Iterator[tuple[int, Region]]:
        queued = [
            (-score, index, region.number, region)
            for index, desk in enumerate(self._desks)
            for region, score in zip(desk.partition.regions, desk.scores, strict=True)
        ]
        queued.sort(key=lambda entry: entry[:3])
        if arm == Arm.QUEUE:
            yield from ((index, region) for _, index, _, region in queued if self._desks[index].is_open)
        elif arm in (Arm.RANDOM_REGIONS, BEST_ORDER):
            yield from ((queued[place][1], queued[place][3]) for place in rng.permutation(len(queued)))
        else:
            queued.sort(key=lambda entry: -entropy_of([share for _, share in entry[3].top_classes]))
            yield from ((index, region) for _, index, _, region in queued)

    def _answer(self, index: int, region: Region, person: SimulatedPerson, rng: np.random.Generator) -> Step:
        desk = self._desks[index]
        height, width = desk.label.shape
        x0, y0, x1, y1 = box_around(region.bbox, (width, height))
        box = slice(y0, y1), slice(x0, x1)
        region_mask, truth = desk.partition.region_map[box] == region.number, desk.image.truth[box]
        likely = tuple(class_id for class_id, _ in region.top_classes)
        before = desk.label[box].copy()
        allowed, drawn_with = ~desk.image.said.reliable[box], desk.image.superpixels_in((x0, y0, x1, y1))
        answer = answer_for(region_mask, allowed, before, truth, person, rng, likely, drawn_with)
        seconds = seconds_of(answer, person, rng)
        _apply(answer, region_mask, desk.label[box])
        if answer.kind is not DecisionKind.DONT_KNOW:
            del desk.pending[region.number]
        hits, predicted = _change(truth, before, desk.label[box], self._num_classes)
        return Step(
            index, answer.clicks, answer.keys, seconds, int(np.count_nonzero(region_mask & (truth != IGNORE_INDEX))),
            int(np.count_nonzero(before != desk.label[box])), hits, predicted,
        )  # fmt: skip


def _apply(answer: Answer, region_mask: NDArray[np.bool_], label: LabelArray) -> None:
    """What the store does with an answer's pixels, in place."""
    if answer.kind is DecisionKind.RELABEL:
        assert answer.class_id is not None, "a relabel has a class"
        label[region_mask] = answer.class_id
    elif answer.kind is DecisionKind.VOID:
        label[region_mask] = IGNORE_INDEX
    elif answer.kind is DecisionKind.DRAW:
        assert answer.touched_mask is not None and answer.label is not None, "a drawing has pixels"
        np.copyto(label, answer.label, where=answer.touched_mask)


def _change(
    truth: LabelArray, before: LabelArray, after: LabelArray, num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    moved = (before != after) & (truth != IGNORE_INDEX)
    true, old, new = truth[moved], before[moved], after[moved]

    def count(ids: LabelArray) -> NDArray[np.int64]:
        return np.bincount(ids, minlength=IGNORE_INDEX + 1)[:num_classes].astype(np.int64)

    return count(true[true == new]) - count(true[true == old]), count(new) - count(old)
