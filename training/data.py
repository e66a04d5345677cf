"""From a data configuration to the samples that training draws: labels with weights, and unlabeled images."""

import hashlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.files import sha256_of
from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray, Provenance
from datasets.lookup import build_dataset, existing_root
from datasets.sample import Image, Sample, SegmentationDataset
from datasets.splits import find_split, read_split
from datasets.views import with_split
from training.config import DataConfig
from training.detector.boxes import BoxArray

logger = logging.getLogger(__name__)

HELD_OUT_SPLITS = ("gold", "test")
"""What evaluation.split=auto looks for. Never a validation split that might lie next to training frames in a video."""


@dataclass(frozen=True)
class TrainingSample:
    """One image as losses see it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) uint8; IGNORE_INDEX on void, on unreviewed pixels and everywhere without a label.
        weight: (H, W) float32: 1 people, w pseudo-label, 0 unreviewed; None means 1 wherever `label` is a class.
        known: (H, W) bool, True where a person decided (a class or void); None means everywhere.
    """

    sample_id: str
    image: Image
    label: LabelArray
    weight: NDArray[np.float32] | None = None
    known: NDArray[np.bool_] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether people decided every pixel."""
        return self.known is None or bool(self.known.all())

    @property
    def has_truth(self) -> bool:
        """Whether people gave any pixel a class.

        Pseudo-labels alone do not make a labeled image: a pool of them would crowd people's labels out of the batches,
        and the model would learn its own old opinion (CamVid, 37 labeled among 307 such images: gold mIoU fell by two
        points). Such an image is unlabeled, with pseudo-labels of the student as it is now.
        """
        labeled = self.label != IGNORE_INDEX
        return bool((labeled if self.known is None else labeled & self.known).any())

    @property
    def known_share(self) -> float:
        """Share of the pixels that people decided, in [0, 1]."""
        return 1.0 if self.known is None else float(self.known.mean())


def training_sample(sample: Sample) -> TrainingSample:
    """What may be learned from a sample: pixels that nobody reviewed lose their label here, whatever their weight."""
    size_hw = sample.size_hw
    if sample.label is None:
        nothing = np.full(size_hw, IGNORE_INDEX, np.uint8)
        return TrainingSample(sample.sample_id, sample.image, nothing, known=np.zeros(size_hw, bool))
    if sample.provenance is None:
        return TrainingSample(sample.sample_id, sample.image, sample.label)
    human = sample.provenance == Provenance.HUMAN
    pseudo = sample.provenance == Provenance.PSEUDO
    given = np.float32(1) if sample.weight is None else sample.weight
    weight = np.where(human, np.float32(1), np.where(pseudo, given, np.float32(0)))
    label = np.where(human | (pseudo & (weight > 0)), sample.label, np.uint8(IGNORE_INDEX))
    return TrainingSample(sample.sample_id, sample.image, label, weight, human)


class SamplePool:
    """Samples of one or two data sets, decoded once while they fit into memory. Safe to read from several threads."""

    def __init__(self, datasets: tuple[SegmentationDataset, ...], cache_mb: int) -> None:
        self._items = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
        self._cache: dict[int, TrainingSample] = {}
        self._sizes_hw: dict[int, tuple[int, int]] = {}
        self._free_bytes = cache_mb * 2**20
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def has_label(self, item: int) -> bool:
        """Whether there is a label file, without decoding it."""
        dataset, index = self._items[item]
        return dataset.is_labeled(index)

    def sample_id(self, item: int) -> str:
        """The sample's id, without decoding it."""
        dataset, index = self._items[item]
        return dataset.sample_ids[index]

    def image_path(self, item: int) -> Path:
        """The image's file."""
        dataset, index = self._items[item]
        return dataset.image_path(index)

    def size_hw(self, item: int) -> tuple[int, int]:
        """Height and width of the image, decoded only when it never was before."""
        if item not in self._sizes_hw:
            height, width = self.read(item).label.shape
            self._sizes_hw[item] = height, width
        return self._sizes_hw[item]

    def read(self, item: int) -> TrainingSample:
        """Decode a sample or take it from memory. Callers must not write into its arrays."""
        if item in self._cache:
            return self._cache[item]
        dataset, index = self._items[item]
        sample = training_sample(dataset[index])
        planes = (sample.image, sample.label, sample.weight, sample.known)
        size = sum(plane.nbytes for plane in planes if plane is not None)
        with self._lock:
            if item not in self._cache and size <= self._free_bytes:
                self._cache[item] = sample
                self._free_bytes -= size
        return sample


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on.

    Attributes:
        class_set: classes of labels and student.
        pool: all samples.
        labeled: items of `pool` with at least one pixel that people gave a class.
        labeled_shares: share of each labeled item's pixels that people decided, in (0, 1]. Labeled batches draw an
            image in proportion to it, so that every decided pixel counts alike. Drawn like the others, the many images
            in which people corrected one region would crowd out those that they labeled whole, and the model would
            learn its own old opinion (docs/training.md has the numbers).
        unlabeled: items of `pool` with at least one pixel that nobody decided.
        sha256: over every image's file and every label, weight and provenance, in the order of the ids.
        boxes: what a detector found on each unlabeled image, by sample id; None for methods that need no boxes.
    """

    class_set: ClassSet
    pool: SamplePool
    labeled: tuple[int, ...]
    labeled_shares: tuple[float, ...]
    unlabeled: tuple[int, ...]
    sha256: str
    boxes: Mapping[str, BoxArray] | None = None


def open_training_data(config: DataConfig) -> TrainingData:
    """Build the data set, apply the labeled split and sort samples into the two streams.

    Images with a label are decoded once here: only their pixels say whether they are complete.

    Raises:
        FileNotFoundError: folder, split or image missing.
        ValueError: a file that cannot be used, or no labeled image at all.
    """
    if not config.root:
        raise ValueError(f"data.root is empty: say where the {config.format} data is (--data-root)")
    root = Path(config.root)
    folder = _labeled_split(root, config.labeled_split) if config.labeled_split else None
    datasets: tuple[SegmentationDataset, ...] = (build_dataset(config.format, root, config.split),)
    if folder is not None:
        datasets = _split_as_listed(datasets[0], folder)
    pool = SamplePool(datasets, config.cache_mb)
    labeled, shares, unlabeled, digest = [], [], [], hashlib.sha256()
    for item in range(len(pool)):
        digest.update(sha256_of(pool.image_path(item)).encode())
        if not pool.has_label(item):
            unlabeled.append(item)
            continue
        sample = pool.read(item)
        _hash_planes(digest, sample)
        if sample.has_truth:
            labeled.append(item)
            shares.append(sample.known_share)
        if config.labeled_as_unlabeled or not sample.is_complete:
            unlabeled.append(item)
    if not labeled:
        raise ValueError(
            f"{config.root}: none of the {len(pool)} images of split {config.split!r} has a reviewed pixel; "
            "training needs at least one labeled image"
        )
    logger.info("%d labeled and %d unlabeled images", len(labeled), len(unlabeled))
    return TrainingData(
        datasets[0].class_set, pool, tuple(labeled), tuple(shares), tuple(unlabeled), digest.hexdigest()
    )


def _labeled_split(root: Path, name: str) -> Path:
    """Its folder, looked for before any image is read."""
    root = existing_root(root)
    try:
        return find_split(root, name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"data.labeled_split is '{name}', by --labeled-split or by the preset: {error}. Or train on every label "
            "that there is, with --labeled-split="
        ) from None


def _split_as_listed(dataset: SegmentationDataset, folder: Path) -> tuple[SegmentationDataset, ...]:
    split = read_split(folder)
    try:
        return with_split(dataset, split)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _hash_planes(digest: "hashlib._Hash", sample: TrainingSample) -> None:
    for plane in (sample.label, sample.weight, sample.known):
        digest.update(b"-" if plane is None else plane.tobytes())


@dataclass(frozen=True)
class HeldOut:
    """Images to measure on, and the split they are."""

    split: str
    dataset: SegmentationDataset


def open_held_out(config: DataConfig, split: str) -> HeldOut | None:
    """The images to measure on: `split`, or for "auto" the first of HELD_OUT_SPLITS that has labels; None for "none".

    Raises:
        FileNotFoundError: the data set has no such split.
        ValueError: it is empty or damaged, or none of its images has a label.
    """
    if split == "none":
        return None
    if split != "auto":
        dataset = build_dataset(config.format, Path(config.root), split)
        if not _has_labels(dataset):
            raise ValueError(f"evaluation.split: no image of split {split!r} has a label; use another split or none")
        return HeldOut(split, dataset)
    for name in HELD_OUT_SPLITS:
        try:
            dataset = build_dataset(config.format, Path(config.root), name)
        except FileNotFoundError:
            continue
        if _has_labels(dataset):
            logger.info("evaluating on split %s", name)
            return HeldOut(name, dataset)
    logger.info("no split %s with labels: nothing to evaluate on", " or ".join(HELD_OUT_SPLITS))
    return None


def _has_labels(dataset: SegmentationDataset) -> bool:
    return any(dataset.is_labeled(index) for index in range(len(dataset)))
