"""Simulated annotators at work on a workspace: with the queue, decisions and rules of people, no way around them.

What they do really happens to the workspace: callers give a copy (see `copied_workspace`), or one that is theirs to
work in, round after round.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from app.config import Workspace
from app.domain.decisions import delta_from_mask
from app.domain.simulated_drawing import SuperpixelsOf
from app.domain.simulated_people import Answer, SimulatedPerson, answer_for, box_around, entropy_of, seconds_of
from app.domain.states import DecisionKind, ImageRole, RegionKind
from app.domain.superpixels import superpixels_in
from app.services.backup_restoring import restore_backup
from app.services.backups import save_workspace
from app.services.local_actor import local_actor
from app.services.processes import Monitor
from app.services.review_types import ActionStats, DecisionRequest, QueueFilter, RegionRow
from app.services.reviewing import MAX_PAGE, ReviewService
from app.services.simulation_effort import Budget, Effort
from app.services.simulation_score import LabelScore, promise_for
from app.services.superpixels import SuperpixelService
from app.storage.database import Store, open_store
from app.storage.models import Image, Proposal, Region
from app.storage.trust_settings import TrustSettings, write_trust_settings
from datasets.images import read_label
from datasets.labels import IGNORE_INDEX, LabelArray

_CACHED_LABELS = 64
_HEAD = 20
_SESSION = "simulation"
_PROBES = (RegionKind.AUDIT, RegionKind.PLANTED, RegionKind.CONTROL)


class Arm(StrEnum):
    """In which order work comes, and what may be changed; `ARMS` says it in words."""

    QUEUE = "queue"
    RANDOM_REGIONS = "random_regions"
    ENTROPY_REGIONS = "entropy_regions"
    RANDOM_IMAGES = "random_images"
    UNSURE_IMAGES = "unsure_images"
    UNLOCKED = "unlocked"


ARMS: dict[Arm, str] = {
    Arm.QUEUE: "our regions as the queue has them, until every image is enough",
    Arm.RANDOM_REGIONS: "our regions in random order",
    Arm.ENTROPY_REGIONS: "our regions by falling entropy of their mean class probabilities",
    Arm.RANDOM_IMAGES: "whole images in random order, every wrong pixel in each",
    Arm.UNSURE_IMAGES: "whole images by falling mean unreliability",
    Arm.UNLOCKED: "as the queue, but nothing is locked: what is drawn over a region's edge counts",
}
"""What each arm is, for reports."""

_IMAGE_ARMS = frozenset({Arm.RANDOM_IMAGES, Arm.UNSURE_IMAGES})


class Truth:
    """True labels of pool images, from a folder of masks that are named like the images.

    Attributes:
        num_missing: pool images with a proposal whose truth is not known.
        others: ids of all other images with a proposal: those, control images, and labeled ones.
        num_classes: of the workspace.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        """Find the mask of every image with a proposal.

        Raises:
            ValueError: no image has one.
        """
        self._folder = folder
        self._classes = ReviewService(store).class_set()
        with store.reader() as session:
            has_proposal = select(Proposal.id).where(Proposal.image_id == Image.id, Proposal.active).exists()
            of_control = (Region.image_id == Image.id) & (Region.kind == RegionKind.CONTROL)
            is_control = select(Region.id).where(of_control).exists()
            is_pool = (Image.role == ImageRole.POOL) & Image.deleted_at.is_(None)
            columns = (Image.id, Image.sample_id, Image.height, Image.width)
            rows = session.execute(select(*columns).where(is_pool, has_proposal, ~is_control)).all()
            shown = frozenset(session.scalars(select(Image.id).where(has_proposal)))
        self._names = {row.id: row.sample_id for row in rows if self._file(row.sample_id).is_file()}
        self._sizes = {row.id: (row.height, row.width) for row in rows}
        if not self._names:
            example = f"; {self._file(rows[0].sample_id)} would be one" if rows else "; predict proposals first"
            raise ValueError(f"{folder} has no mask of an image with a proposal{example}")
        self.num_missing = len(rows) - len(self._names)
        self.others = shown - frozenset(self._names)
        self.num_classes = len(self._classes)
        self.label = lru_cache(_CACHED_LABELS)(self._read)

    @property
    def image_ids(self) -> list[int]:
        """Images whose truth is known, by id."""
        return sorted(self._names)

    def _read(self, image_id: int) -> LabelArray:
        """(H, W) uint8 true ids; must not be written to.

        Raises:
            ValueError: damaged, an id that is no class, or another size than the image.
        """
        path = self._file(self._names[image_id])
        label = read_label(path, self._classes)
        if label.shape != self._sizes[image_id]:
            (height, width), (wanted_height, wanted_width) = label.shape, self._sizes[image_id]
            raise ValueError(f"{path} is {width} x {height}, but its image is {wanted_width} x {wanted_height}")
        return label

    def _file(self, sample_id: str) -> Path:
        return self._folder / f"{sample_id}.png"


@dataclass(frozen=True)
class Simulation:
    """What came out: a row before the first decision, one every so many decisions, and one at the end.

    Attributes:
        curve: effort so far, `label_miou`, `wrong_pixels` and `pixels` (those whose truth is known).
        unseen: pixels that were never shown: how many are reliable or not, how many of each are wrong; and about the
            reliable ones `reliable_error`, the share of wrong ones as a mean over images (what a calibration makes a
            promise about; None without any), the promised `bound` (None without one) and the `promise` as a sentence.
    """

    curve: list[dict[str, Any]]
    unseen: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """For the file of results."""
        return {"curve": self.curve, "unseen": self.unseen}


def simulate(
    store: Store, truth: Truth, arm: Arm, person: SimulatedPerson, seed: int, budget: Budget, every: int,
    monitor: Monitor, shown: dict[int, NDArray[np.bool_]] | None = None,
) -> Simulation:  # fmt: skip
    """Let a simulated person work until the budget is spent or nothing is left.

    Args:
        shown: by image id, pixels that were shown in earlier rounds; brought up to date. An image that was shown as a
            whole is not taken as a whole again.

    Raises:
        ValueError: a mask is damaged or has another size than its image.
        WorkCancelledError: stopped on request.
    """
    run = _Run(store, truth, arm, person, np.random.default_rng(seed), {} if shown is None else shown)
    return run.until(budget, every, monitor)


@contextmanager
def copied_workspace(store: Store, monitor: Monitor) -> Iterator[Callable[[], AbstractContextManager[Store]]]:
    """Gives a function that opens a fresh copy of a workspace, which is gone when its own context ends."""
    with TemporaryDirectory(prefix="pixelsieve-simulation-") as folder:
        saved = Path(folder) / "workspace.zip"
        save_workspace(store, saved, monitor)

        @contextmanager
        def copy() -> Iterator[Store]:
            with TemporaryDirectory(dir=folder) as place:
                workspace = Workspace(Path(place) / "workspace")
                restore_backup(saved, workspace, None, local_actor(), Monitor())
                copied = open_store(workspace)
                try:
                    yield copied
                finally:
                    copied.close()

        yield copy


class _Run:
    """One arm: order, answers and bookkeeping."""

    def __init__(
        self, store: Store, truth: Truth, arm: Arm, person: SimulatedPerson, rng: np.random.Generator,
        shown: dict[int, NDArray[np.bool_]],
    ) -> None:  # fmt: skip
        self._review, self._superpixels = ReviewService(store), SuperpixelService(store)
        self._truth, self._arm, self._person, self._rng = truth, arm, person, rng
        self._score, self._effort = LabelScore(truth.num_classes), Effort()
        self._shown = shown
        self._promise = promise_for(store, frozenset(truth.image_ids))
        with store.session() as session:
            write_trust_settings(session, TrustSettings(audit_share=0, planted_share=0, control_share=0))
            self._probes = frozenset(session.scalars(select(Region.id).where(Region.kind.in_(_PROBES))))
        for image_id in truth.image_ids:
            planes = self._review.image_planes(image_id)
            self._score.add(truth.label(image_id), planes.label)
            self._shown.setdefault(image_id, np.zeros(planes.label.shape, np.bool_))

    def until(self, budget: Budget, every: int, monitor: Monitor) -> Simulation:
        curve, done = [self._row()], 0
        total = self._amount()
        for do in self._work():
            if budget.is_spent(self._effort):
                break
            do()
            if self._effort.decisions >= curve[-1]["decisions"] + every:
                curve.append(self._row())
            done += 1
            monitor.stoppable_progress(budget.progress(self._effort, done, total, self._arm.value))
        if self._effort.decisions > curve[-1]["decisions"]:
            curve.append(self._row())
        return Simulation(curve, self._unseen())

    def _amount(self) -> int:
        """Images, or regions, that there are to be done at most."""
        if self._arm in _IMAGE_ARMS:
            return sum(not shown.all() for shown in self._shown.values())
        return sum(1 for _ in self._queued(True, MAX_PAGE))

    def _row(self) -> dict[str, Any]:
        return {
            **asdict(self._effort), "label_miou": self._score.miou, "wrong_pixels": self._score.num_wrong,
            "pixels": self._score.num_pixels,
        }  # fmt: skip

    def _work(self) -> Iterator[Callable[[], None]]:
        """What is to be done, in the arm's order."""
        if self._arm in _IMAGE_ARMS:
            for image_id in self._images():
                yield partial(self._correct_image, image_id)
        elif self._arm in (Arm.QUEUE, Arm.UNLOCKED):
            while (row := next(self._queued(False, _HEAD), None)) is not None:
                yield partial(self._answer_region, row.region_id)
        else:
            for region_id in self._regions():
                yield partial(self._answer_region, region_id)

    def _regions(self) -> list[int]:
        rows = list(self._queued(True, MAX_PAGE))
        if self._arm is Arm.RANDOM_REGIONS:
            return [rows[index].region_id for index in self._rng.permutation(len(rows))]
        entropies = {row.region_id: self._entropy(row.region_id) for row in rows}
        return sorted(entropies, key=lambda region_id: -entropies[region_id])

    def _queued(self, include_enough: bool, page_rows: int) -> Iterator[RegionRow]:
        """Regions that wait, in the order of the queue, without probes."""
        filters, offset = QueueFilter(include_enough=include_enough, not_images=self._truth.others), 0
        while page := self._review.queue(filters, page_rows, offset):
            yield from (row for row in page if row.region_id not in self._probes)
            offset += len(page)

    def _entropy(self, region_id: int) -> float:
        return entropy_of([entry.probability for entry in self._review.region(region_id).top_classes])

    def _images(self) -> list[int]:
        ids = [image_id for image_id in self._truth.image_ids if not self._shown[image_id].all()]
        if self._arm is Arm.RANDOM_IMAGES:
            return [ids[index] for index in self._rng.permutation(len(ids))]
        doubt = {image_id: float(self._review.image_planes(image_id).unreliability.mean()) for image_id in ids}
        return sorted(doubt, key=lambda image_id: -doubt[image_id])

    def _answer_region(self, region_id: int) -> None:
        view = self._review.region(region_id)
        image_id, bbox = view.row.image_id, box_around(view.row.bbox, view.size_wh)
        before = self._review.image_patch(image_id, bbox)
        region_mask = before.region_map == view.row.number
        is_locked = self._arm is not Arm.UNLOCKED
        allowed = ~before.reliable if is_locked else np.ones_like(region_mask)
        likely = tuple(entry.class_id for entry in view.top_classes)
        truth = self._truth.label(image_id)[_box(bbox)]
        superpixels = self._superpixels_in(image_id, bbox)
        answer = answer_for(region_mask, allowed, before.label, truth, self._person, self._rng, likely, superpixels)
        self._send(answer, image_id, view.image_version, bbox, region_id, not is_locked)
        self._see(image_id, bbox, region_mask)
        self._measure(image_id, bbox, before.label)

    def _correct_image(self, image_id: int) -> None:
        """Every wrong pixel of an image, whatever the model thinks of it; what is right is accepted as a whole."""
        planes = self._review.image_planes(image_id)
        everywhere = np.ones(planes.label.shape, np.bool_)
        truth = self._truth.label(image_id)
        careful = SimulatedPerson(
            self._person.name, tolerance=0.0, draws_outlines=self._person.draws_outlines,
            superpixel_levels=self._person.superpixel_levels, time_spread=self._person.time_spread,
        )  # fmt: skip
        bbox = (0, 0, *planes.size_wh)
        superpixels = self._superpixels_in(image_id, bbox)
        answer = answer_for(everywhere, everywhere, planes.label, truth, careful, self._rng, superpixels=superpixels)
        version = planes.image_version
        if answer.kind is DecisionKind.DRAW:
            version = self._send(answer, image_id, version, bbox, None, True)
        else:
            self._effort.add(answer, seconds_of(answer, self._person, self._rng), answer.looks)
        if self._review.queue(QueueFilter(image_id=image_id, include_enough=True), limit=1):
            self._review.accept_rest(image_id, version, self._person.name, _SESSION, _op_id())
        self._see(image_id, bbox, everywhere)
        self._measure(image_id, bbox, planes.label)

    def _superpixels_in(self, image_id: int, bbox: tuple[int, int, int, int]) -> SuperpixelsOf:
        """Those of the reviewer, worked out when they are asked for."""

        def numbers(level: int) -> NDArray[np.int64]:
            return superpixels_in(
                bbox, lambda column, row: self._superpixels.tile(image_id, level, column, row).numbers
            )

        return numbers

    def _send(
        self, answer: Answer, image_id: int, version: int, bbox: tuple[int, int, int, int], region_id: int | None,
        unlocks: bool,
    ) -> int:  # fmt: skip
        """Decide as a person does; returns the image's new version."""
        seconds = seconds_of(answer, self._person, self._rng)
        delta = None
        if answer.touched_mask is not None and answer.label is not None:
            delta = delta_from_mask(answer.touched_mask, answer.label, bbox[0], bbox[1])
        result = self._review.decide(
            DecisionRequest(
                op_id=_op_id(), kind=answer.kind, image_id=image_id, image_version=version,
                user=self._person.name, session=_SESSION, region_id=region_id, class_id=answer.class_id, delta=delta,
                lock_override=unlocks and delta is not None, closes_region=delta is not None and region_id is not None,
                stats=ActionStats(clicks=answer.clicks, keys=answer.keys, active_ms=round(1000 * seconds)),
            )
        )  # fmt: skip
        self._effort.add(answer, seconds, 1 if region_id is not None else answer.looks)
        return result.image_version

    def _see(self, image_id: int, bbox: tuple[int, int, int, int], seen_mask: NDArray[np.bool_]) -> None:
        shown = self._shown[image_id][_box(bbox)]
        known = self._truth.label(image_id)[_box(bbox)] != IGNORE_INDEX
        self._effort.pixels_shown += int(np.count_nonzero(seen_mask & known & ~shown))
        shown |= seen_mask

    def _measure(self, image_id: int, bbox: tuple[int, int, int, int], before: LabelArray) -> None:
        after = self._review.image_patch(image_id, bbox).label
        self._effort.pixels_changed += int(np.count_nonzero(after != before))
        self._score.change(self._truth.label(image_id)[_box(bbox)], before, after)

    def _unseen(self) -> dict[str, Any]:
        counted = {"reliable": 0, "reliable_wrong": 0, "other": 0, "other_wrong": 0}
        errors = []
        for image_id, shown in self._shown.items():
            planes, truth = self._review.image_planes(image_id), self._truth.label(image_id)
            unseen, is_wrong = ~shown & (truth != IGNORE_INDEX), planes.label != truth
            for name, mask in (("reliable", unseen & planes.reliable), ("other", unseen & ~planes.reliable)):
                counted[name] += int(np.count_nonzero(mask))
                counted[f"{name}_wrong"] += int(np.count_nonzero(mask & is_wrong))
            if (unseen & planes.reliable).any():
                errors.append(float(is_wrong[unseen & planes.reliable].mean()))
        mean = float(np.mean(errors)) if errors else None
        return {**counted, "reliable_error": mean, "bound": self._promise.bound, "promise": self._promise.sentence}


def _op_id() -> str:
    return f"{_SESSION}-{secrets.token_hex(12)}"


def _box(bbox: tuple[int, int, int, int]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = bbox
    return slice(y0, y1), slice(x0, x1)
