"""The data set that most formats return: a list of image files, some with a mask."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from datasets.decoding import DEFAULT_LIMITS, read_bytes
from datasets.images import UprightImage, decode_upright
from datasets.labels import ClassSet, LabelArray
from datasets.sample import Sample

logger = logging.getLogger(__name__)

LabelReader = Callable[[Path], LabelArray]
"""Reads one mask file as ids 0..C-1 and IGNORE_INDEX; a module's function or a partial of one, so that it pickles."""


@dataclass(frozen=True)
class SampleFiles:
    """Where one sample lies; `label` is None for an unlabeled image."""

    sample_id: str
    image: Path
    label: Path | None = None


class ListedDataset:
    """Images and masks named one by one; files are decoded on access.

    Args:
        class_set: what the ids in the masks mean.
        files: one entry per sample, in the order of the data set.
        label_reader: how this format's masks are read.

    Raises:
        ValueError: no sample, or two samples with one id.
    """

    def __init__(self, class_set: ClassSet, files: Iterable[SampleFiles], label_reader: LabelReader) -> None:
        self.class_set = class_set
        self._files = tuple(files)
        self._label_reader = label_reader
        refuse_repeated_ids([(entry.sample_id, entry.image) for entry in self._files])
        self._ids = tuple(entry.sample_id for entry in self._files)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """One id per index, unique."""
        return self._ids

    def image_path(self, index: int) -> Path:
        """The file that holds the image's bytes."""
        return self._files[index].image

    def is_labeled(self, index: int) -> bool:
        """Whether a mask belongs to the image."""
        return self._files[index].label is not None

    def __getitem__(self, index: int) -> Sample:
        entry = self._files[index]
        image = decode_upright(read_bytes(entry.image, DEFAULT_LIMITS), str(entry.image))
        if entry.label is None:
            return Sample(entry.sample_id, image.pixels)
        label = self._label_reader(entry.label)
        check_same_size(entry.image, image, entry.label, label)
        return Sample(entry.sample_id, image.pixels, label)


def refuse_repeated_ids(ids_and_paths: Iterable[tuple[str, Path]]) -> None:
    """Refuse an empty list of samples and two files that would share a sample id.

    Raises:
        ValueError: names the id and both files.
    """
    first: dict[str, Path] = {}
    for sample_id, path in ids_and_paths:
        if sample_id in first:
            raise ValueError(f"{first[sample_id]} and {path} would both be sample '{sample_id}'. Rename or remove one.")
        first[sample_id] = path
    if not first:
        raise ValueError("a data set needs at least one image, got none")


def check_same_size(image_path: Path, image: UprightImage, label_path: Path, label: LabelArray) -> None:
    """Refuse a mask of another size than its upright image; warn where a rotation cannot be told from sizes.

    Masks belong to the picture as people see it. When a picture has an EXIF orientation that keeps its size, a mask
    drawn on the unrotated pixels would go unnoticed, so the log says what was assumed.

    Raises:
        ValueError: names both files, both sizes and, if it can be the cause, the EXIF orientation.
    """
    size_hw = image.pixels.shape[:2]
    rotation = image.stored_orientation
    if label.shape == size_hw:
        if rotation != 1:
            logger.warning("%s has EXIF orientation %d; %s is taken as upright", image_path, rotation, label_path.name)
        return
    sizes = f"{label_path} is {label.shape[1]} x {label.shape[0]}, but {image_path} is {size_hw[1]} x {size_hw[0]}"
    if rotation != 1 and label.shape == size_hw[::-1]:
        raise ValueError(
            f"{sizes} after its EXIF orientation {rotation} is applied: the mask was drawn on the unrotated picture. "
            "Rotate the mask in the same way, or remove the orientation from the picture."
        )
    raise ValueError(f"{sizes}. An image and its mask must have the same size; was one of them resized?")
