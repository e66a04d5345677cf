"""One cell of `benchmarks.region_rules`: cut, let a person work, count by blocks. Images are predicted once."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.pixel_counts import PixelCounts
from app.domain.queue import class_rarity
from app.domain.regions import BAND, LEFTOVER, RegionInput, RegionPartition, RegionRules, build_regions
from app.domain.simulated_people import PEOPLE
from app.storage.settings import ReviewSettings
from benchmarks.rules_cells import Cell
from benchmarks.rules_replay import PoolImage, Replay, Step
from benchmarks.side_by_side import describe_machine
from datasets.files import write_atomically
from datasets.frames import NUMBERED, frame_blocks, near_frames
from datasets.labels import IGNORE_INDEX
from datasets.lookup import build_dataset
from datasets.sample import SegmentationDataset
from datasets.splits import find_split, read_split
from export.session import load_predictor

BLOCK_FRAMES = 10
"""Frames of a block: with 20, as elsewhere, too few blocks are left for a bootstrap."""
POINTS = (2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500)
"""Clicks and keys an image after which the books are read, and once more at the end."""
COUNTED = ("decisions", "clicks", "keys", "seconds", "shown", "changed")


@dataclass(frozen=True)
class Source:
    """What is worked on.

    Attributes:
        model: an exported student.
        root: the data set, of format `data_format`.
        split: of the data set.
        frames: named split whose labeled ids are worked on; None: all images.
        labeled: named split whose labeled ids the student learned from; rarity is counted in them.
    """

    model: Path
    root: Path
    split: str
    frames: str | None
    labeled: str
    data_format: str = "camvid"


class Desks:
    """Predicted images, and their regions under the rules that were asked for last.

    Attributes:
        data: what decides the numbers, for a cell's configuration.
        left_out: images beside a frame that the student learned from.
    """

    def __init__(self, source: Source, threads: int) -> None:
        """Predict every image.

        Raises:
            ValueError: other classes than the data's, or an image that the student learned from.
        """
        predictor = load_predictor(source.model, threads=threads)
        dataset = build_dataset(source.data_format, source.root, source.split)
        if predictor.class_set.names != dataset.class_set.names:
            raise ValueError(
                f"{source.model} knows other classes than {source.root}; give the model that learned there"
            )
        wanted, trained = _ids(dataset, source), _labeled(source)
        seen = sorted(set(wanted) & set(trained))
        if seen:
            raise ValueError(
                f"the student learned from {len(seen)} of these images, for example {seen[0]}; take others"
            )
        self.left_out = tuple(near_frames(wanted, trained, 1, NUMBERED))
        self._images = []
        for index, sample_id in enumerate(dataset.sample_ids):
            if sample_id in set(wanted) - set(self.left_out):
                sample = dataset[index]
                said = predictor.predict(sample.image)
                assert sample.label is not None, "chosen among labeled images"
                told = RegionInput(sample.image, said.label, said.reliable, said.probability_right, said.probabilities)
                self._images.append(PoolImage(sample_id, told, sample.label))
        self._class_pixels = _class_pixels(source, len(predictor.class_set))
        self._blocks = frame_blocks([image.sample_id for image in self._images], BLOCK_FRAMES)
        self.data: dict[str, Any] = {
            "model_sha256": predictor.model_sha256, "split": source.split, "frames": source.frames,
            "labeled": source.labeled, "images": len(self._images), "images_sha256": _digest(self._images),
            "block_frames": BLOCK_FRAMES,
        }  # fmt: skip
        self._cut: tuple[RegionRules, list[RegionPartition]] | None = None

    def run(self, cell: Cell) -> dict[str, Any]:
        """Let the cell's person work; the content of its result file."""
        partitions = self._partitions(cell.setting.regions)
        rarity = class_rarity(self._class_pixels, cell.setting.order)
        replay = Replay(self._images, partitions, cell.setting.order, rarity, ReviewSettings().enough_share)
        books = _Books(self._images, self._blocks, rarity.size)
        for step in replay.run(cell.arm, PEOPLE[cell.person], cell.seed):
            books.add(step)
        return {
            "config": cell.config(self.data), "regions": sum(len(cut.regions) for cut in partitions),
            "places": _places(self._images, partitions), **books.content(), "machine": describe_machine(),
        }  # fmt: skip

    def _partitions(self, rules: RegionRules) -> list[RegionPartition]:
        if self._cut is None or self._cut[0] != rules:
            self._cut = rules, [build_regions(image.said, rules) for image in self._images]
        return self._cut[1]


class _Books:
    """Effort and pixel counts by block, read at `POINTS`."""

    def __init__(self, images: Sequence[PoolImage], blocks: dict[str, str], num_classes: int) -> None:
        self._names = sorted(set(blocks.values()))
        self._block = [self._names.index(blocks[image.sample_id]) for image in images]
        self._num_images = np.bincount(self._block, minlength=len(self._names))
        start = [PixelCounts.of(image.truth, image.said.label, num_classes) for image in images]
        self._start = {
            name: self._summed([getattr(each, name) for each in start]) for name in ("hits", "labeled", "predicted")
        }
        self._spent = {name: np.zeros(len(self._names)) for name in COUNTED}
        self._pixels = {name: np.zeros((len(self._names), num_classes), np.int64) for name in ("hits", "predicted")}
        self._inputs, self._read = 0, 0
        self._rows: list[dict[str, Any]] = []

    def add(self, step: Step) -> None:
        block = self._block[step.image]
        for name in COUNTED:
            self._spent[name][block] += 1 if name == "decisions" else getattr(step, name)
        self._pixels["hits"][block] += step.hits
        self._pixels["predicted"][block] += step.predicted
        self._inputs += step.clicks + step.keys
        if self._read < len(POINTS) and self._inputs >= POINTS[self._read] * len(self._block):
            self._row()
            while self._read < len(POINTS) and self._inputs >= POINTS[self._read] * len(self._block):
                self._read += 1

    def content(self) -> dict[str, Any]:
        """Block names, images and first counts of each, and what was spent and changed from point to point."""
        self._row()
        return {
            "blocks": self._names, "images": self._num_images.tolist(),
            "start": {name: counts.tolist() for name, counts in self._start.items()}, "points": self._rows,
        }  # fmt: skip

    def _row(self) -> None:
        """What came since the last point; the books begin anew."""
        spent = {name: [round(float(value)) for value in values] for name, values in self._spent.items()}
        self._rows.append({**spent, **{name: counts.tolist() for name, counts in self._pixels.items()}})
        for counts in (*self._spent.values(), *self._pixels.values()):
            counts[:] = 0

    def _summed(self, counts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        total = np.zeros((len(self._names), counts[0].size), np.int64)
        np.add.at(total, self._block, np.stack(counts))
        return total


def write_cell(path: Path, content: dict[str, Any]) -> None:
    """One line of JSON: most of it is counts that nobody reads."""
    write_atomically(path, (json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n").encode())


def _digest(images: Sequence[PoolImage]) -> str:
    return hashlib.sha256("\n".join(image.sample_id for image in images).encode()).hexdigest()


def _places(images: Sequence[PoolImage], partitions: Sequence[RegionPartition]) -> dict[str, dict[str, int]]:
    """Where the pixels with a known truth lie, and how many of them are wrong before anybody looks."""
    found = {name: {"pixels": 0, "wrong": 0} for name in ("reliable", "regions", "band", "leftover")}
    for image, partition in zip(images, partitions, strict=True):
        known, wrong = image.truth != IGNORE_INDEX, image.said.label != image.truth
        codes = partition.region_map
        of_place = {"reliable": codes == 0, "band": codes == BAND, "leftover": codes == LEFTOVER}
        of_place["regions"] = (codes > 0) & (codes < LEFTOVER)
        for name, mask in of_place.items():
            found[name]["pixels"] += int(np.count_nonzero(mask & known))
            found[name]["wrong"] += int(np.count_nonzero(mask & known & wrong))
    return found


def _ids(dataset: SegmentationDataset, source: Source) -> tuple[str, ...]:
    labeled = tuple(name for index, name in enumerate(dataset.sample_ids) if dataset.is_labeled(index))
    if source.frames is None:
        return labeled
    chosen = read_split(find_split(source.root, source.frames)).labeled
    unknown = sorted(set(chosen) - set(labeled))
    if unknown:
        raise ValueError(f"{unknown[0]} of split {source.frames!r} is no labeled image of {source.split!r}")
    return chosen


def _labeled(source: Source) -> tuple[str, ...]:
    return read_split(find_split(source.root, source.labeled)).labeled


def _class_pixels(source: Source, num_classes: int) -> list[int]:
    dataset = build_dataset(source.data_format, source.root, "train")
    trained, total = set(_labeled(source)), np.zeros(num_classes, np.int64)
    for index, sample_id in enumerate(dataset.sample_ids):
        label = dataset[index].label if sample_id in trained else None
        if label is not None:
            total += np.bincount(label.reshape(-1), minlength=IGNORE_INDEX + 1)[:num_classes]
    return [int(value) for value in total]
