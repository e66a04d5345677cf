"""A folder of images and masks with the same names.

    images/<split>/**.jpg    or, with one split only ("train"), images/**.jpg
    masks/<split>/**.png     or masks/**.png: one class id per pixel, 255 = void; images without one are unlabeled
    classes.json             {"classes": [{"id": 0, "name": "sky", "color": [70, 130, 180]}, ...]}
    splits/<name>/           optional; see datasets/splits.py

Without classes.json the classes are class_0, class_1, ... up to the largest id in any mask.
"""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.images import read_label
from datasets.labels import IGNORE_INDEX, ClassSet
from datasets.listed import ListedDataset, SampleFiles
from datasets.paths import IMAGE_SUFFIXES, require_inside, safe_relative_path, sample_id_of

logger = logging.getLogger(__name__)

SINGLE_SPLIT = "train"
"""The one split of a folder whose images/ has no folder per split."""

_SHOWN = 3  # file names listed in a message


def build(root: Path, split: str) -> ListedDataset:
    """Open one split.

    Raises:
        FileNotFoundError: no images/, or no such split in it.
        ValueError: no image, ambiguous names, or masks that fit no image; names the files.
    """
    image_folder = _image_folder(root, split)
    images = _pictures_by_id(root, image_folder)
    if not images:
        raise ValueError(
            f"{image_folder} holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}). Put the images there."
        )
    mask_folder = _mask_folder(root, split)
    masks = _pictures_by_id(root, mask_folder)
    if mask_folder.name == image_folder.name or image_folder == root / "images":  # else they serve other splits too
        _check_names_match(root, images, masks)
    class_set = class_set_of(root)
    files = [SampleFiles(sample_id, path, masks.get(sample_id)) for sample_id, path in images.items()]
    return ListedDataset(class_set, files, functools.partial(read_label, class_set=class_set))


def class_set_of(root: Path) -> ClassSet:
    """The classes of classes.json, or of the ids found in all masks.

    Raises:
        ValueError: a damaged classes.json or mask, no classes.json and no mask, or masks that hold 0 and 255 only.
    """
    path = root / "classes.json"
    if path.exists():
        return ClassSet.from_file(path)
    masks = list_pictures(root, root / "masks")
    if not masks:
        raise ValueError(f"{root} has neither classes.json nor masks, so its classes are unknown. Add a classes.json.")
    class_set = ClassSet.from_names([f"class_{class_id}" for class_id in range(_largest_id(root, masks) + 1)])
    logger.warning(
        "%s has no classes.json: using %s to %s, the ids found in its %d masks. Add a classes.json to name them.",
        *(root, class_set.names[0], class_set.names[-1], len(masks)),
    )
    return class_set


def list_pictures(root: Path, folder: Path) -> list[Path]:
    """Files below `folder` whose ending is a picture's, sorted by path; hidden files are left out.

    Raises:
        ValueError: one of them leads out of `root` through a link.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    pictures = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    for path in pictures:
        require_inside(root, path)
    others = [path.name for path in files if path.suffix.lower() not in IMAGE_SUFFIXES]
    if others:
        counted = "1 file is no picture and is" if len(others) == 1 else f"{len(others)} files are no pictures and are"
        logger.warning("%s: %s left out: %s", folder, counted, _some(others))
    return pictures


def _pictures_by_id(root: Path, folder: Path) -> dict[str, Path]:
    pictures: dict[str, Path] = {}
    for path in list_pictures(root, folder):
        sample_id = sample_id_of(path.relative_to(folder).as_posix())
        if sample_id in pictures:
            raise ValueError(f"{pictures[sample_id]} and {path} would both be '{sample_id}'. Rename or remove one.")
        pictures[sample_id] = path
    return pictures


def _image_folder(root: Path, split: str) -> Path:
    images = root / "images"
    if not images.is_dir():
        raise FileNotFoundError(f"{root} has no folder 'images'. Expected {root}/images/ with the pictures.")
    folder = safe_relative_path(images, split)
    if folder.is_dir():
        return folder
    if split == SINGLE_SPLIT and any(path.suffix.lower() in IMAGE_SUFFIXES for path in images.iterdir()):
        return images
    found = sorted(path.name for path in images.iterdir() if path.is_dir())
    if split == SINGLE_SPLIT and not found:
        raise FileNotFoundError(f"{images} holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}). Put them there.")
    raise FileNotFoundError(
        f"no split '{split}' in {images}; found {_some(found) or 'no folders'}. "
        f"Pictures directly in {images} are the split '{SINGLE_SPLIT}'."
    )


def _mask_folder(root: Path, split: str) -> Path:
    of_split = safe_relative_path(root / "masks", split)
    return of_split if of_split.is_dir() else root / "masks"


def _check_names_match(root: Path, images: dict[str, Path], masks: dict[str, Path]) -> None:
    if not masks:
        logger.warning("%s has no masks; all %d images are unlabeled", root, len(images))
        return
    orphans = [path.name for sample_id, path in masks.items() if sample_id not in images]
    if len(orphans) == len(masks):
        raise ValueError(
            f"none of the {len(masks)} masks in {root}/masks is named like an image: for example mask "
            f"{orphans[0]}, image {next(iter(images.values())).name}. A mask has its image's name, with .png."
        )
    if orphans:
        counted = "1 mask has no image and is" if len(orphans) == 1 else f"{len(orphans)} masks have no image and are"
        logger.warning("%s: %s left out: %s", root, counted, _some(orphans))


def _largest_id(root: Path, masks: Sequence[Path]) -> int:
    counts = np.zeros(256, dtype=np.int64)
    for path in masks:
        counts += np.bincount(read_label(path, None).reshape(-1), minlength=256)
    present = np.flatnonzero(counts)
    ids = present[present != IGNORE_INDEX]
    if len(ids) == 0:
        raise ValueError(f"every pixel of every mask in {root}/masks is {IGNORE_INDEX} (void); there is no class.")
    if list(present) == [0, IGNORE_INDEX]:
        raise ValueError(
            f"the masks in {root}/masks hold only 0 and {IGNORE_INDEX}, and {IGNORE_INDEX} means void. If it is your "
            "foreground, save it as 1; if it is void, add a classes.json with your single class."
        )
    return int(ids.max())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
