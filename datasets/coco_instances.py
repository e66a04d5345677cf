"""COCO's instance annotations as semantic labels: the file is read once, a label is drawn when it is asked for.

One pixel has one class here, but instances overlap and some regions are crowds, so drawing takes decisions:

- Where instances overlap, the one with fewer pixels is seen, so that a cup on a table stays a cup; of two equal ones
  the later in the file. The published semi-supervised protocols hand out masks made from COCO-Stuff's pixel maps
  instead, which differ there; store those as PNGs to reproduce their numbers.
- A crowd (iscrowd 1) is a rough outline around many objects and what is between them: its pixels are IGNORE_INDEX, but
  for those that an instance covers.
- What nothing covers is background, class 0.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.coco_json import entries_of, image_size_hw, read_json
from datasets.coco_shapes import decode_segmentation
from datasets.labels import IGNORE_INDEX, LabelArray
from datasets.paths import problem_with_name

MAX_IMAGES = 1_000_000
"""Ours: eight times COCO's largest split (unlabeled2017, 123,403)."""

_NOTHING = np.iinfo(np.int32).max  # more pixels than any instance has
_KEPT_KEYS = ("id", "image_id", "category_id", "iscrowd", "segmentation")


@dataclass(frozen=True, slots=True)
class Instance:
    """One annotation; `segmentation` is checked when it is drawn."""

    annotation_id: int
    class_id: int
    is_crowd: bool
    segmentation: object


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image of an annotation file, with its instances in the order of the file."""

    image_id: int
    file_name: str
    size_hw: tuple[int, int]
    instances: tuple[Instance, ...]


def read_instances(path: Path, category_names: Mapping[int, str]) -> tuple[AnnotatedImage, ...]:
    """All images of an annotation file.

    Args:
        path: instances_<split>.json.
        category_names: category id -> name, in the order of the classes 1, 2, ...; the file must have the same.

    Raises:
        FileNotFoundError: no such file.
        ValueError: too large, not a COCO file, other categories, or an entry that is wrong; names file and entry.
    """
    content = read_json(path, _without_ballast)
    images = entries_of(content, "images", path)
    if len(images) > MAX_IMAGES:
        raise ValueError(f"{path} lists {len(images):,} images, at most {MAX_IMAGES:,} are read; split it by images")
    _check_categories(entries_of(content, "categories", path), category_names, path)
    class_ids = {category_id: class_id for class_id, category_id in enumerate(category_names, start=1)}
    instances: dict[int, list[Instance]] = {image["id"]: [] for image in images}
    for entry in entries_of(content, "annotations", path):
        image_id = entry.get("image_id")
        if type(image_id) is not int or image_id not in instances:
            raise ValueError(
                f"{path}: annotation {entry['id']} belongs to image {image_id!r}, which is not in the file"
            )
        instances[image_id].append(_instance(entry, class_ids, path))
    return tuple(_image(image, tuple(instances[image["id"]]), path) for image in images)


def draw_label(image: AnnotatedImage) -> LabelArray:
    """The instances of an image on one plane, by the rules at the top of this module.

    Returns:
        (H, W) uint8 class ids and IGNORE_INDEX.

    Raises:
        ValueError: a segmentation that is damaged; names the annotation.
    """
    label = np.zeros(image.size_hw, np.uint8)
    pixels_on_top = np.full(image.size_hw, _NOTHING, np.int32)  # (H, W), size of the instance that is seen
    is_crowd = np.zeros(image.size_hw, bool)
    for instance in image.instances:
        try:
            mask = decode_segmentation(instance.segmentation, image.size_hw)
        except ValueError as error:
            raise ValueError(f"image {image.image_id}, annotation {instance.annotation_id}: {error}") from error
        if instance.is_crowd:
            is_crowd |= mask
            continue
        pixels = np.count_nonzero(mask)
        is_seen = mask & (pixels_on_top >= pixels)
        label[is_seen] = instance.class_id
        pixels_on_top[is_seen] = pixels
    label[is_crowd & (pixels_on_top == _NOTHING)] = IGNORE_INDEX
    return label


def _without_ballast(entry: dict[str, Any]) -> dict[str, Any]:
    """An annotation without what is not used, and with its polygons as arrays: a quarter of the memory of lists."""
    if "segmentation" not in entry:
        return entry
    kept = {key: entry[key] for key in _KEPT_KEYS if key in entry}
    if isinstance(kept["segmentation"], list):
        kept["segmentation"] = [_packed(polygon) for polygon in kept["segmentation"]]
    return kept


def _packed(polygon: object) -> object:
    """Numbers as an array; anything else stays as it is, and is refused when it is drawn."""
    if not isinstance(polygon, list):
        return polygon
    try:
        return array("d", polygon)
    except (TypeError, OverflowError):
        return polygon


def _check_categories(entries: tuple[dict[str, Any], ...], names: Mapping[int, str], path: Path) -> None:
    found = {entry["id"]: entry.get("name") for entry in entries}
    wrong = [
        category_id for category_id in sorted({*found, *names}) if found.get(category_id) != names.get(category_id)
    ]
    if wrong:
        raise ValueError(
            f"{path}: 'categories' has {str(found.get(wrong[0]))[:40]!r} as {wrong[0]}, COCO {names.get(wrong[0])!r}. "
            "For other classes, save masks of class ids and use the format 'folder'."
        )


def _instance(entry: dict[str, Any], class_ids: Mapping[int, int], path: Path) -> Instance:
    category_id, is_crowd = entry.get("category_id"), entry.get("iscrowd", 0)
    if type(category_id) is not int or category_id not in class_ids:
        raise ValueError(f"{path}: annotation {entry['id']} has the category {category_id!r}, which is not in the file")
    if type(is_crowd) is not int or is_crowd not in (0, 1):
        raise ValueError(f"{path}: annotation {entry['id']}: 'iscrowd' must be 0 or 1, found {str(is_crowd)[:40]!r}")
    return Instance(entry["id"], class_ids[category_id], is_crowd == 1, entry.get("segmentation"))


def _image(entry: dict[str, Any], instances: tuple[Instance, ...], path: Path) -> AnnotatedImage:
    file_name = entry.get("file_name")
    if not isinstance(file_name, str):
        raise ValueError(f"{path}: image {entry['id']}: 'file_name' must be a text, found {str(file_name)[:40]!r}")
    problem = problem_with_name(file_name)
    if problem:
        raise ValueError(f"{path}: image {entry['id']}: the name {file_name!r} {problem}. Give the name of a file.")
    try:
        size_hw = image_size_hw(entry)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return AnnotatedImage(entry["id"], file_name, size_hw, instances)
