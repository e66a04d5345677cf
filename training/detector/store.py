"""Detected boxes on disk: one JSON file per set of images, filled image by image, never edited in place."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.files import write_atomically
from training.detector.boxes import BoxArray

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
WRITE_EVERY = 200
"""Images between two writes: what is predicted again after a crash."""

_ROW = 6  # left, top, right, bottom, class id, score

Rows = list[list[float]]


class BoxStore:
    """The boxes of a set of images.

    Args:
        path: the file.
        made_with: JSON values that the stored boxes must agree with: the detector, its data, the images.
    """

    def __init__(self, path: Path, made_with: Mapping[str, Any]) -> None:
        self._path, self._made_with = path, dict(made_with)
        self._rows = self._stored()

    def complete(
        self,
        sample_ids: Iterable[str],
        detect: Callable[[str], tuple[BoxArray, NDArray[np.float32]]],
        on_image: Callable[[int, int], None],
    ) -> Mapping[str, BoxArray]:
        """The boxes of all images; those that are not stored yet are detected and stored.

        What was found is written even if `on_image` or `detect` raises.

        Args:
            sample_ids: the images.
            detect: sample id -> boxes and their scores.
            on_image: called with the number of finished and of all images.
        """
        wanted = list(sample_ids)
        rows = {name: self._rows[name] for name in wanted if name in self._rows}
        missing = [name for name in wanted if name not in rows]
        if not missing and self._path.is_file():
            return boxes_of(rows)
        try:
            for count, name in enumerate(missing, start=1):
                rows[name] = _rows_of(*detect(name))
                if count % WRITE_EVERY == 0:
                    self._write(rows)
                on_image(len(wanted) - len(missing) + count, len(wanted))
        finally:
            self._write(rows)
        return boxes_of(rows)

    def holds(self, sample_ids: Iterable[str]) -> bool:
        """Whether the boxes of all these images are stored."""
        return set(sample_ids) <= self._rows.keys()

    def _stored(self) -> dict[str, Rows]:
        if not self._path.is_file():
            return {}
        try:
            content = _read(self._path)
        except ValueError as error:
            logger.warning("%s; its boxes are detected again", error)
            return {}
        other = [key for key in self._made_with if content["made_with"].get(key) != self._made_with[key]]
        if other:
            logger.warning("%s is of another run (%s differ); its boxes are detected again", self._path, other)
            return {}
        rows: dict[str, Rows] = content["images"]
        return rows

    def _write(self, rows: Mapping[str, Rows]) -> None:
        images = ",\n".join(f"{json.dumps(name)}: {json.dumps(rows[name])}" for name in sorted(rows))
        head = f'{{"format": {FORMAT_VERSION},\n"made_with": {json.dumps(self._made_with)},\n"images": {{\n'
        write_atomically(self._path, f"{head}{images}\n}}}}\n".encode())


def read_boxes(path: Path) -> Mapping[str, BoxArray]:
    """Every image's boxes from a file, by sample id.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged; names it.
    """
    return boxes_of(_read(path)["images"])


def boxes_of(rows: Mapping[str, Rows]) -> dict[str, BoxArray]:
    """Without scores."""
    return {name: np.array(of_image, np.float32).reshape(-1, _ROW)[:, :5] for name, of_image in rows.items()}


def _rows_of(boxes: BoxArray, scores: NDArray[np.float32]) -> Rows:
    return [[*(int(value) for value in box), round(float(score), 4)] for box, score in zip(boxes, scores, strict=True)]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        problem = _problem_with(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        problem = str(error)
    if problem:
        raise ValueError(f"{path} is damaged: {problem}")
    result: dict[str, Any] = content
    return result


def _problem_with(content: Any) -> str:  # noqa: ANN401 - parsed JSON
    """What is wrong with a file's content; empty if nothing is."""
    if not isinstance(content, dict) or content.get("format") != FORMAT_VERSION:
        return f"it has no format {FORMAT_VERSION}"
    if not isinstance(content.get("made_with"), dict) or not isinstance(content.get("images"), dict):
        return "it has no objects made_with and images"
    for name, rows in content["images"].items():
        if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
            return f"the boxes of {name!r} are not rows of {_ROW} numbers, corners in order"
    return ""


def _is_row(row: Any) -> bool:  # noqa: ANN401 - parsed JSON
    if not isinstance(row, list) or len(row) != _ROW or not all(type(value) in (int, float) for value in row):
        return False
    left, top, right, bottom, class_id, _ = row
    return bool(0 <= left <= right and 0 <= top <= bottom and class_id >= 0)
