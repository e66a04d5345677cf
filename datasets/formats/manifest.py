"""Training data with provenance: what one round learned from, pinned by hashes.

    {"format": "pixelsieve-manifest", "version": 1, "base": ".", "classes": [...],
     "samples": [{"id": ..., "image": ..., "image_sha256": ..., "label": ..., "provenance": ..., "weight": ...,
                  "split": "train" | "gold" | "test"}, ...]}

Paths are relative to the manifest's folder, or to `base` from there (only "..", at most three times). Labels and
provenance are 8-bit grayscale PNGs, weights too: round(weight * 255).
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from datasets.decoding import DEFAULT_LIMITS, read_bytes, refusal
from datasets.files import write_atomically
from datasets.images import UprightImage, decode_upright, read_plane
from datasets.labels import ClassSet, Provenance
from datasets.listed import check_same_size, refuse_repeated_ids
from datasets.paths import safe_relative_path
from datasets.sample import Sample

FORMAT_NAME = "pixelsieve-manifest"
VERSION = 1
FILE_NAME = "manifest.json"

SplitName = Literal["train", "gold", "test"]

_MAX_STEPS_UP = 3  # A round's folder is two below its workspace; one more is room, not a door to the whole disk.
_REQUIRED = ("id", "image", "image_sha256", "split")
_OPTIONAL = ("label", "provenance", "weight")
_FILE_KEYS = ("image", *_OPTIONAL)


@dataclass(frozen=True)
class ManifestEntry:
    """One image of a manifest.

    Attributes:
        sample_id: unique in the manifest.
        image: the image file.
        image_sha256: hex digest of its bytes, compared whenever it is read.
        label: PNG of class ids, or None for an unlabeled image.
        provenance: PNG of `Provenance` codes; None means that people drew every pixel of `label`.
        weight: PNG of round(weight * 255); None means 1 everywhere.
        split: what the image is used for.
    """

    sample_id: str
    image: Path
    image_sha256: str
    label: Path | None = None
    provenance: Path | None = None
    weight: Path | None = None
    split: SplitName = "train"

    def __post_init__(self) -> None:
        if self.split not in get_args(SplitName):
            raise ValueError(
                f"sample '{self.sample_id}': split is {self.split!r}, expected {' or '.join(get_args(SplitName))}"
            )
        if self.label is None and (self.provenance is not None or self.weight is not None):
            raise ValueError(f"sample '{self.sample_id}' has provenance or weight but no label; they describe a label")


class ManifestDataset:
    """The samples of one split of a manifest; files are decoded, and image hashes compared, on access."""

    def __init__(self, class_set: ClassSet, entries: Sequence[ManifestEntry]) -> None:
        self.class_set = class_set
        self._entries = tuple(entries)
        refuse_repeated_ids([(entry.sample_id, entry.image) for entry in self._entries])
        self._ids = tuple(entry.sample_id for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """One id per index, unique."""
        return self._ids

    def image_path(self, index: int) -> Path:
        """The file that holds the image's bytes."""
        return self._entries[index].image

    def is_labeled(self, index: int) -> bool:
        """Whether the image has a label."""
        return self._entries[index].label is not None

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        source = str(entry.image)
        data = read_bytes(entry.image, DEFAULT_LIMITS)
        if hashlib.sha256(data).hexdigest() != entry.image_sha256:
            raise refusal(
                source,
                "has changed since the manifest was written: its sha256 differs",
                "Restore it or import it again.",
            )
        image = decode_upright(data, source)
        if entry.label is None:
            return Sample(entry.sample_id, image.pixels)
        label = _plane(entry.label, entry, image)
        self.class_set.check_label(label, str(entry.label))
        provenance = None if entry.provenance is None else _provenance(entry.provenance, entry, image)
        weight = None if entry.weight is None else _weight(entry.weight, entry, image)
        return Sample(entry.sample_id, image.pixels, label, provenance, weight)


def _plane(path: Path, entry: ManifestEntry, image: UprightImage) -> NDArray[np.uint8]:
    plane = read_plane(path)
    check_same_size(entry.image, image, path, plane)
    return plane


def _weight(path: Path, entry: ManifestEntry, image: UprightImage) -> NDArray[np.float32]:
    return np.divide(_plane(path, entry, image), 255, dtype=np.float32)


def _provenance(path: Path, entry: ManifestEntry, image: UprightImage) -> NDArray[np.uint8]:
    plane = _plane(path, entry, image)
    if int(plane.max()) > max(Provenance):
        raise refusal(str(path), f"contains the provenance code {plane.max()}", "Codes are 0 to 2.")
    return plane


def build(root: Path, split: str) -> ManifestDataset:
    """Open one split.

    Args:
        root: the manifest, or the folder that holds manifest.json.
        split: "train", "gold" or "test".

    Raises:
        FileNotFoundError: no manifest, or no sample of this split.
        ValueError: not a manifest, another version, or an entry that is wrong; names the file and the sample.
    """
    path = root / FILE_NAME if root.is_dir() else root
    class_set, entries = read_manifest(path)
    chosen = [entry for entry in entries if entry.split == split]
    if not chosen:
        found = ", ".join(sorted({entry.split for entry in entries})) or "no samples"
        raise FileNotFoundError(f"{path} has no sample of split '{split}'; found {found}")
    return ManifestDataset(class_set, chosen)


def write_manifest(path: Path, class_set: ClassSet, entries: Sequence[ManifestEntry]) -> None:
    """Write a manifest; its files may lie in its folder or up to three folders above, and below.

    Raises:
        ValueError: a repeated id, or a file too far away; names it.
    """
    refuse_repeated_ids([(entry.sample_id, entry.image) for entry in entries])
    base = _common_base(path, entries)
    folder = Path(os.path.normpath(path.parent.absolute() / base))
    samples = []
    for entry in entries:
        sample: dict[str, str | None] = {key: None for key in _REQUIRED + _OPTIONAL}
        sample |= {"id": entry.sample_id, "image_sha256": entry.image_sha256, "split": entry.split}
        for key, file in _files(entry).items():
            sample[key] = _absolute(file).relative_to(folder).as_posix()
        samples.append(sample)
    content = {"format": FORMAT_NAME, "version": VERSION, "base": base, **class_set.to_json(), "samples": samples}
    write_atomically(path, json.dumps(content, indent=1).encode())


def read_manifest(path: Path) -> tuple[ClassSet, tuple[ManifestEntry, ...]]:
    """Class set and entries of all splits, with absolute paths; files are not opened.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `build`.
    """
    content = _read_json(path)
    class_set = ClassSet.from_json(content, str(path))
    folder = path.parent.absolute() / _checked_base(content.get("base", "."), path)
    samples = content.get("samples")
    if not isinstance(samples, list):
        raise ValueError(f"{path}: expected a list 'samples'")
    entries = tuple(_entry(sample, folder, f"{path}, sample {number}") for number, sample in enumerate(samples))
    return class_set, entries


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no manifest at {path}. Give the file, or the folder that holds {FILE_NAME}."
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}. Write the manifest again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT_NAME:
        raise ValueError(f"{path} is not a manifest: its 'format' is not '{FORMAT_NAME}'")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} has manifest version {content.get('version')!r}, but this program reads version {VERSION}. "
            "Write it again with this program, or read it with the one that wrote it."
        )
    return content


def _entry(sample: Any, folder: Path, where: str) -> ManifestEntry:  # noqa: ANN401 (parsed JSON)
    if not isinstance(sample, dict):
        raise ValueError(f"{where}: expected an object, got {sample!r}")
    unknown = sorted(set(sample) - set(_REQUIRED) - set(_OPTIONAL))
    if unknown:
        raise ValueError(f"{where}: unknown keys {', '.join(unknown)}; known are {', '.join(_REQUIRED + _OPTIONAL)}")
    for key in _REQUIRED + _OPTIONAL:
        value = sample.get(key)
        if not isinstance(value, str) and (value is not None or key in _REQUIRED):
            raise ValueError(f"{where}: '{key}' must be text, got {value!r}")
    try:
        paths = {key: safe_relative_path(folder, sample[key]) for key in _FILE_KEYS if sample.get(key) is not None}
        return ManifestEntry(
            sample_id=sample["id"], image_sha256=sample["image_sha256"].lower(), split=sample["split"], **paths
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _common_base(path: Path, entries: Sequence[ManifestEntry]) -> str:
    """The nearest folder above the manifest that holds all its files: ".", "..", "../.." or "../../.."."""
    files = [_absolute(file) for entry in entries for file in _files(entry).values()]
    folder = _absolute(path).parent
    for steps, base in enumerate([folder, *folder.parents][: _MAX_STEPS_UP + 1]):
        outside = [file for file in files if not file.is_relative_to(base)]
        if not outside:
            return "/".join([".."] * steps) or "."
    raise ValueError(
        f"{outside[0]} is not within {_MAX_STEPS_UP} folders above the manifest {path}. "
        "Write the manifest next to its images, or copy them into its folder."
    )


def _checked_base(base: Any, path: Path) -> str:  # noqa: ANN401 (parsed JSON)
    steps = base.split("/") if isinstance(base, str) else []
    if base != "." and (not 1 <= len(steps) <= _MAX_STEPS_UP or set(steps) != {".."}):
        raise ValueError(
            f"{path}: 'base' must be '.', or '..' up to {_MAX_STEPS_UP} times with '/' between, got {base!r}"
        )
    return str(base)


def _files(entry: ManifestEntry) -> dict[str, Path]:
    """The files that an entry names, by key."""
    files = {key: getattr(entry, key) for key in _FILE_KEYS}
    return {key: file for key, file in files.items() if file is not None}


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))
