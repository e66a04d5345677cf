"""What a model predicted on the gold images, kept in a folder of its round: pictures to look at, and pixel counts.

A folder appears as a whole and is never changed. The model's row names the one that counts.
"""

import json
import secrets
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.gold_scores import GoldCounts, GoldImage
from app.domain.pixel_counts import PixelCounts
from datasets.files import publish, write_atomically
from datasets.images import encode_plane_png, read_plane
from datasets.labels import LabelArray

_COUNTS_FILE = "counts.json"
_PLANES = ("hits", "labeled", "predicted")


class GoldFolderWriter:
    """Collects the predictions of one measurement beside the model file, under a name that nobody reads yet."""

    def __init__(self, onnx: Path) -> None:
        self._parent = onnx.parent / "gold"
        self._name = secrets.token_hex(8)
        self._temporary = self._parent / f".{self._name}.tmp"
        self._lines: list[dict[str, Any]] = []

    def __enter__(self) -> "GoldFolderWriter":
        self._temporary.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind of a measurement that did not end."""
        shutil.rmtree(self._temporary, ignore_errors=True)

    def add(self, image: GoldImage, predicted: LabelArray, counts: PixelCounts) -> None:
        """Keep one image's prediction. Raises: OSError: disk full or no permission."""
        write_atomically(self._temporary / f"{image.sha256}.png", encode_plane_png(predicted))
        self._lines.append({**asdict(image), **{name: getattr(counts, name).tolist() for name in _PLANES}})

    def publish(self) -> Path:
        """The finished folder. Raises: OSError: disk full or no permission."""
        write_atomically(self._temporary / _COUNTS_FILE, json.dumps({"images": self._lines}).encode())
        final = self._parent / self._name
        publish(self._temporary, final)
        return final


def read_gold_counts(folder: Path, num_classes: int) -> GoldCounts | None:
    """The counts of a measurement; None when the folder is gone or damaged."""
    try:
        lines = json.loads((folder / _COUNTS_FILE).read_text(encoding="utf-8"))["images"]
        images = tuple(
            GoldImage(line["image_id"], line["sample_id"], line["sha256"], line["label_sha256"]) for line in lines
        )
        planes = {name: np.asarray([line[name] for line in lines], np.int64) for name in _PLANES}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if any(plane.shape != (len(images), num_classes) for plane in planes.values()):
        return None
    return GoldCounts(images, PixelCounts(**planes))


def read_gold_prediction(folder: Path, sha256: str) -> LabelArray:
    """(H, W) class ids that the model predicted for one gold image.

    Raises:
        FileNotFoundError: nothing was kept for this image.
        ValueError: the file is damaged.
    """
    return read_plane(folder / f"{sha256}.png")


def remove_other_measurements(folder: Path) -> None:
    """Remove what earlier or interrupted measurements of the same model left beside the one that counts."""
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
