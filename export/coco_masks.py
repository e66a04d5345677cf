"""Labels as a COCO folder and back, exactly.

    annotations.json   images, categories (category_id = class_id + 1), one run-length annotation per image and class
    masks/<id>.png     the same labels as index PNGs: 8 bits, palette of the class colors, 255 is void
    manifest.json      SHA-256 of every file, each image's file name, role and void pixels, and what was skipped and why

Every valid pixel has a class and classes do not overlap, so a pixel that no annotation covers is void, and an image
without annotations is void everywhere. Annotations are run lengths with `iscrowd` 0, as in COCO-Stuff: pycocotools
reads a run length whatever `iscrowd` says, and most training code leaves out annotations that say 1.

Nothing in the folder depends on the time or the machine: writing what was read gives the same bytes.
"""

import io
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths

from datasets.coco_json import read_json
from datasets.files import publish, sha256_of
from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray
from datasets.paths import safe_relative_path
from export.coco_files import ANNOTATIONS_NAME, FORMAT, MANIFEST_NAME, CocoItem, CocoReader, SkippedItem

__all__ = [  # the one door to COCO for other packages
    "CocoItem",
    "CocoManifest",
    "CocoReader",
    "SkippedItem",
    "encode_index_png",
    "open_coco",
    "read_coco",
    "verify_coco",
    "write_coco",
]

logger = logging.getLogger(__name__)

MASKS_FOLDER = "masks"
_VERSION = 1
_MAX_NAME_BYTES = 255  # of one file name on common file systems
_VOID_COLOR = (0, 0, 0)  # read as void by datasets.images too, should somebody convert a mask to colors
_VOID_NOTE = "pixels that no annotation covers; 255 in the index PNGs"


@dataclass(frozen=True)
class CocoManifest:
    """What was written.

    Attributes:
        folder: the export.
        images: number of images, annotated or not.
        annotations: number of annotations.
        files: path inside the folder -> SHA-256 of the file; all files but manifest.json.
        skipped: items that are not in the export, each with the reason.
    """

    folder: Path
    images: int
    annotations: int
    files: dict[str, str]
    skipped: tuple[SkippedItem, ...]


def write_coco(
    folder: Path,
    class_set: ClassSet,
    items: Iterable[CocoItem | SkippedItem],
    progress: Callable[[int, str], None] | None = None,
    *,
    replace: bool = False,
    about: Mapping[str, Any] | None = None,
) -> CocoManifest:
    """Write a COCO folder; it appears under its name only when it is complete.

    Args:
        folder: must not exist or be empty, unless `replace`.
        class_set: the classes of all labels.
        items: in the order of the export, read one at a time. What the caller could not read comes as a SkippedItem;
            an item that cannot be written becomes one. Neither stops the rest.
        progress: called after each item with the number of items so far and the name of the item's file.
        replace: put a new export in the place of an old one. Only a COCO folder written here is ever replaced.
        about: what else the manifest says about the labels, as JSON.

    Raises:
        FileExistsError: `folder` exists, or `replace` and it is something else than an export.
        ValueError: not a single item could be written; names the first reason.
        OSError: disk full or no permission; nothing is left behind.
    """
    folder = folder.absolute()
    _check_target(folder, replace)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        writer = _Writer(temporary, class_set, about or {})
        for count, item in enumerate(items, start=1):
            writer.add(item)
            if progress is not None:
                progress(count, item.file_name or item.sample_id)
        manifest = writer.finish(folder)
        temporary.chmod(0o755)  # a temporary folder is private
        _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def read_coco(folder_or_json: Path) -> tuple[ClassSet, dict[str, LabelArray]]:
    """Every label of a COCO file in memory; `open_coco` reads one at a time and also gives file names and hashes.

    An image with a bad annotation is left out and logged as a warning, because the rest of its label would be wrong.

    Returns:
        The classes, and sample id -> (H, W) uint8 class ids and IGNORE_INDEX.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a COCO file at all; names the file and the key.
    """
    reader = open_coco(folder_or_json)
    labels = {}
    for item in reader:
        if isinstance(item, SkippedItem):
            logger.warning("%s: %s was left out: %s", reader.path, item.sample_id, item.reason)
        else:
            labels[item.sample_id] = item.label
    return reader.class_set, labels


def open_coco(folder_or_json: Path) -> CocoReader:
    """Check a COCO file and get ready to read its labels one at a time.

    Args:
        folder_or_json: a folder with annotations.json, or any COCO file of run lengths or polygons.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a COCO file at all; names the file and the key.
    """
    path = folder_or_json / ANNOTATIONS_NAME if folder_or_json.is_dir() else folder_or_json
    return CocoReader.from_json(read_json(path), path)


def verify_coco(folder: Path) -> tuple[str, ...]:
    """Compare an export with its manifest.

    Returns:
        One sentence per file that is missing or has changed; empty if the export is as it was written.

    Raises:
        FileNotFoundError: no manifest.json.
        ValueError: the manifest is not one of ours, or names a file outside the folder.
    """
    manifest_path = folder / MANIFEST_NAME
    manifest = read_json(manifest_path)
    files = manifest.get("files")
    if manifest.get("format") != FORMAT or not isinstance(files, dict):
        raise ValueError(f"{manifest_path} is not the manifest of a COCO export of Pixelsieve")
    problems = []
    for name, digest in files.items():
        path = safe_relative_path(folder, name)
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif sha256_of(path) != digest:
            problems.append(f"{name} has changed since it was exported")
    return tuple(problems)


def encode_index_png(label: LabelArray, class_set: ClassSet) -> bytes:
    """(H, W) ids as a PNG of 8-bit palette indices; viewers show the class colors, readers get the ids."""
    palette = np.full((256, 3), _VOID_COLOR, np.uint8)
    palette[: len(class_set)] = class_set.colors
    image = Image.fromarray(np.ascontiguousarray(label))
    image.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class _Writer:
    """Fills one temporary folder; an item is either in all three places (image, annotations, mask) or in none."""

    def __init__(self, folder: Path, class_set: ClassSet, about: Mapping[str, Any]) -> None:
        self._folder = folder
        self._class_set = class_set
        self._about = about
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._samples: list[dict[str, Any]] = []
        self._skipped: list[SkippedItem] = []
        self._files: dict[str, str] = {}

    def add(self, item: CocoItem | SkippedItem) -> None:
        if isinstance(item, SkippedItem):
            self._skipped.append(item)
            return
        try:
            mask_name = self._check(item)
            annotations = _annotations_of(item.label, len(self._images) + 1, len(self._annotations) + 1)
            self._write(mask_name, encode_index_png(item.label, self._class_set))
        except (ValueError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            self._skipped.append(SkippedItem(item.sample_id, str(error), item.file_name))
            return
        height, width = item.label.shape
        original = {"original_file_name": item.original_name} if item.original_name else {}
        self._images.append(
            {
                "id": len(self._images) + 1,
                "file_name": item.file_name,
                **original,
                "width": width,
                "height": height,
                "sample_id": item.sample_id,
                "sha256": item.image_sha256,
            }
        )
        self._annotations.extend(annotations)
        self._samples.append(
            {
                "sample_id": item.sample_id,
                "file_name": item.file_name,
                **original,
                **({"role": item.role} if item.role else {}),
                "image_sha256": item.image_sha256,
                "mask": mask_name,
                "annotations": len(annotations),
                "void_pixels": int(np.count_nonzero(item.label == IGNORE_INDEX)),
            }
        )

    def finish(self, final_folder: Path) -> CocoManifest:
        if not self._images:
            reason = f"; {self._skipped[0].name}: {self._skipped[0].reason}" if self._skipped else ""
            raise ValueError(f"nothing to export: {len(self._skipped)} items, none could be written{reason}")
        self._write(ANNOTATIONS_NAME, _to_bytes(self._coco()))
        manifest = CocoManifest(
            final_folder, len(self._images), len(self._annotations), dict(self._files), tuple(self._skipped)
        )
        content = {
            **self._about,
            "format": FORMAT,
            "version": _VERSION,
            **self._class_set.to_json(),
            "void": _VOID_NOTE,
            "samples": self._samples,
            "skipped": [{"sample_id": item.sample_id, "reason": item.reason} for item in self._skipped],
            "files": self._files,
        }
        self._write(MANIFEST_NAME, _to_bytes(content))
        return manifest

    def _check(self, item: CocoItem) -> str:
        """Name of the item's mask inside the folder."""
        label = item.label
        if label.dtype != np.uint8 or label.ndim != 2 or label.size == 0:
            raise ValueError(f"a label must be (height, width) uint8 and not empty, got {label.shape} {label.dtype}")
        self._class_set.check_label(label, item.sample_id)
        if item.image_sha256 and (len(item.image_sha256) != 64 or set(item.image_sha256) - set("0123456789abcdef")):
            raise ValueError(f"the image's SHA-256 must be 64 hex digits or empty, got {item.image_sha256[:80]!r}")
        safe_relative_path(self._folder, item.file_name).as_posix().encode("utf-8")
        mask_name = PurePosixPath(MASKS_FOLDER, f"{item.sample_id}.png").as_posix()
        safe_relative_path(self._folder / MASKS_FOLDER, f"{item.sample_id}.png")
        if any(len(part.encode("utf-8")) > _MAX_NAME_BYTES for part in PurePosixPath(mask_name).parts):
            raise ValueError(f"the sample id is too long for a file name: {item.sample_id[:80]!r}...")
        if mask_name in self._files:
            raise ValueError(f"the sample id {item.sample_id!r} occurs twice; only the first label is exported")
        return mask_name

    def _coco(self) -> dict[str, Any]:
        classes = zip(self._class_set.names, self._class_set.colors, strict=True)
        return {
            "info": {"description": "semantic masks of Pixelsieve", "version": str(_VERSION), "void": _VOID_NOTE},
            "licenses": [],
            "categories": [
                {"id": class_id + 1, "name": name, "supercategory": "", "color": list(color)}
                for class_id, (name, color) in enumerate(classes)
            ],
            "images": self._images,
            "annotations": self._annotations,
        }

    def _write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if name != MANIFEST_NAME:
            self._files[name] = sha256_of(path)


def _annotations_of(label: LabelArray, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """One annotation per class that occurs, in the order of the classes."""
    annotations = []
    present = [int(class_id) for class_id in np.unique(label) if class_id != IGNORE_INDEX]
    for offset, class_id in enumerate(present):
        encoded = run_lengths.encode(np.asfortranarray(label == class_id, dtype=np.uint8))
        size, counts = [int(side) for side in encoded["size"]], encoded["counts"].decode("ascii")
        annotations.append(
            {
                "id": first_id + offset,
                "image_id": image_id,
                "category_id": class_id + 1,
                "segmentation": {"size": size, "counts": counts},
                "area": int(run_lengths.area(encoded)),
                "bbox": [int(side) for side in run_lengths.toBbox(encoded)],
                "iscrowd": 0,
            }
        )
    return annotations


def _to_bytes(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("utf-8")


def _check_target(folder: Path, replace: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not replace:
        raise FileExistsError(f"{folder} exists already; choose another folder, or replace the old export on purpose")
    manifest = folder / MANIFEST_NAME
    if not manifest.is_file() or read_json(manifest).get("format") != FORMAT:
        raise FileExistsError(f"{folder} is no COCO export of Pixelsieve and was not replaced; choose another folder")


def _put_in_place(temporary: Path, folder: Path) -> None:
    if not (folder.exists() and any(folder.iterdir())):
        publish(temporary, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
    os.replace(folder, old)
    try:
        publish(temporary, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    shutil.rmtree(old)
