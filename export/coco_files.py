"""Reading COCO files that may come from anywhere: everything is checked before pycocotools sees it.

pycocotools 2.0.11 ends the whole process on a polygon with NaN or Infinity and returns uninitialized memory for run
lengths that are too short, so neither may reach it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.coco_json import entries_of, image_size_hw
from datasets.coco_shapes import decode_segmentation
from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray, default_colors
from datasets.paths import safe_relative_path, sample_id_of

FORMAT = "pixelsieve-coco"
ANNOTATIONS_NAME = "annotations.json"
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class CocoItem:
    """One label and the image it belongs to.

    Attributes:
        file_name: the image's name as COCO readers know it, relative, with '/' between its parts; unique.
        sample_id: names the label; unique, becomes the name of the index PNG.
        label: (H, W) uint8 class ids and IGNORE_INDEX.
        image_sha256: digest of the image file, 64 hex digits, or empty if it is not known.
        original_name: of the image file, where `file_name` could not be it; else empty.
        role: what the image is used for, named in the manifest; empty if that is not known.
    """

    file_name: str
    sample_id: str
    label: LabelArray
    image_sha256: str
    original_name: str = ""
    role: str = ""


@dataclass(frozen=True)
class SkippedItem:
    """One label that could not be read or written, and why; `file_name` is its image's, where that is known."""

    sample_id: str
    reason: str
    file_name: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.file_name or self.sample_id


@dataclass(frozen=True)
class CocoReader:
    """A checked COCO file; iterating yields its images in order, each as a CocoItem or as a SkippedItem.

    Attributes:
        path: the file, for messages.
        class_set: one class per category, ordered by category id.
        class_ids: category id -> class id.
        images: the entries of the file.
        annotations: image id -> its entries.
        skipped: annotations that belong to no image.
    """

    path: Path
    class_set: ClassSet
    class_ids: Mapping[int, int]
    images: tuple[dict[str, Any], ...]
    annotations: Mapping[int, tuple[dict[str, Any], ...]]
    skipped: tuple[SkippedItem, ...]

    @classmethod
    def from_json(cls, content: dict[str, Any], path: Path) -> "CocoReader":
        """Check the parts that every label depends on.

        Raises:
            ValueError: a list is missing, categories are no class set, or an id is missing or occurs twice.
        """
        images = entries_of(content, "images", path)
        class_set, class_ids = _categories(entries_of(content, "categories", path), path)
        annotations = entries_of(content, "annotations", path)
        grouped: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in images}
        skipped = []
        for annotation in annotations:
            image_id = annotation.get("image_id")
            if type(image_id) is int and image_id in grouped:
                grouped[image_id].append(annotation)
            else:
                reason = f"annotation {annotation['id']} belongs to image {image_id!r}, which is not in the file"
                skipped.append(SkippedItem(f"annotation {annotation['id']}", reason))
        by_image = {image_id: tuple(entries) for image_id, entries in grouped.items()}
        return cls(path, class_set, class_ids, images, by_image, tuple(skipped))

    def __len__(self) -> int:
        return len(self.images) + len(self.skipped)

    def __iter__(self) -> Iterator[CocoItem | SkippedItem]:
        yield from self.skipped
        seen: set[str] = set()
        for image in self.images:
            name = f"image {image['id']}"
            try:
                file_name, sample_id = _names(image)
                name = sample_id
                if sample_id in seen:
                    raise ValueError(f"image {image['id']}: the sample id {sample_id!r} occurs twice")
                seen.add(sample_id)
                original = _original_name(image)
                yield CocoItem(file_name, sample_id, self._label(image), _sha256(image), original)
            except ValueError as error:
                yield SkippedItem(name, str(error))

    def _label(self, image: dict[str, Any]) -> LabelArray:
        label = np.full(image_size_hw(image), IGNORE_INDEX, np.uint8)
        owner: dict[int, int] = {}
        for annotation in self.annotations[image["id"]]:
            self._paint(annotation, label, owner)
        return label

    def _paint(self, annotation: dict[str, Any], label: LabelArray, owner: dict[int, int]) -> None:
        """Add one annotation; `owner` is class id -> the first annotation of that class."""
        annotation_id, category_id = annotation["id"], annotation.get("category_id")
        if type(category_id) is not int or category_id not in self.class_ids:
            raise ValueError(f"annotation {annotation_id}: category {category_id!r} is not in the file's categories")
        class_id = self.class_ids[category_id]
        try:
            mask = decode_segmentation(annotation.get("segmentation"), (label.shape[0], label.shape[1]))
        except ValueError as error:
            raise ValueError(f"annotation {annotation_id}: {error}") from error
        clash = mask & (label != IGNORE_INDEX) & (label != class_id)
        if clash.any():
            other = int(label[clash][0])
            raise ValueError(
                f"annotations {owner[other]} and {annotation_id} give {int(clash.sum())} pixels to two classes "
                f"({self.class_set.names[other]} and {self.class_set.names[class_id]}); in a semantic mask it is one"
            )
        label[mask] = class_id
        owner.setdefault(class_id, annotation_id)


def _categories(entries: tuple[dict[str, Any], ...], path: Path) -> tuple[ClassSet, dict[int, int]]:
    ordered = sorted(entries, key=lambda entry: int(entry["id"]))
    names = tuple(entry.get("name") for entry in ordered)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: every entry of 'categories' needs a text as 'name'")
    colors = [entry.get("color") for entry in ordered]
    usable = all(
        isinstance(color, list) and len(color) == 3 and all(type(channel) is int for channel in color)
        for color in colors
    )
    chosen = tuple(tuple(color) for color in colors if color) if usable else default_colors(len(names))
    try:
        class_set = ClassSet(tuple(str(name) for name in names), chosen)
    except ValueError as error:
        raise ValueError(f"{path}: 'categories' cannot be used as classes: {error}") from error
    return class_set, {entry["id"]: class_id for class_id, entry in enumerate(ordered)}


def _names(image: dict[str, Any]) -> tuple[str, str]:
    """File name and sample id of an image; neither leaves the folder it will be joined to."""
    file_name = image.get("file_name")
    if not isinstance(file_name, str):
        raise ValueError(f"image {image['id']}: 'file_name' must be a text, found {str(file_name)[:40]!r}")
    sample_id = image.get("sample_id", sample_id_of(file_name))
    if not isinstance(sample_id, str):
        raise ValueError(f"image {image['id']}: 'sample_id' must be a text, found {str(sample_id)[:40]!r}")
    for name in (file_name, sample_id):
        try:
            safe_relative_path(Path("."), name)
        except ValueError as error:
            raise ValueError(f"image {image['id']}: {error}") from error
    return file_name, sample_id


def _original_name(image: dict[str, Any]) -> str:
    """Only told: no file is opened under it."""
    value = image.get("original_file_name", "")
    if not isinstance(value, str):
        raise ValueError(f"image {image['id']}: 'original_file_name' must be a text, found {str(value)[:40]!r}")
    return value


def _sha256(image: dict[str, Any]) -> str:
    value = image.get("sha256", "")
    if not isinstance(value, str) or (value and (len(value) != 64 or set(value) - set("0123456789abcdef"))):
        raise ValueError(f"image {image['id']}: 'sha256' must be 64 hex digits, found {str(value)[:80]!r}")
    return value
