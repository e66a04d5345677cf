"""What the ids in a label mean: class names, colours, the ignored id and where each pixel's id came from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE_INDEX = 255
"""Id of pixels that have no class ("void" on screen). The only ignored value, in files and in losses."""

MAX_CLASSES = 254
"""Ids 0-253: 254 marks an untouched pixel in a stored decision, 255 is IGNORE_INDEX."""

LabelArray = NDArray[np.uint8]
"""(H, W) class ids 0..C-1 and IGNORE_INDEX."""


class Provenance(IntEnum):
    """Where one pixel's class id came from. Training treats the three differently; see training/losses.py."""

    UNREVIEWED = 0
    """A proposal that nobody looked at and the model itself does not trust: never ground truth."""
    HUMAN = 1
    """A person decided. Ground truth, weight 1."""
    PSEUDO = 2
    """A reliable pseudo-label: counts with its reliability weight."""


@dataclass(frozen=True)
class ClassSet:
    """Names and colours of the classes 0..C-1, in the order of their ids.

    Raises:
        ValueError: no class, more than 254, a repeated or empty name, or a colour outside 0-255.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_CLASSES:
            raise ValueError(f"a class set needs 1 to {MAX_CLASSES} classes, got {len(self.names)}")
        if len(self.colors) != len(self.names):
            raise ValueError(f"{len(self.names)} class names but {len(self.colors)} colours; give one colour per class")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated or not all(name.strip() for name in self.names):
            raise ValueError(f"class names must be unique and not empty; repeated: {repeated}, all: {list(self.names)}")
        for name, color in zip(self.names, self.colors, strict=True):
            if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
                raise ValueError(f"the colour of class {name!r} must be three numbers from 0 to 255, got {color}")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_names(cls, names: Sequence[str]) -> "ClassSet":
        """Class set with the distinguishable default colours below."""
        return cls(tuple(names), default_colors(len(names)))

    @classmethod
    def from_json(cls, content: dict[str, Any], source: str) -> "ClassSet":
        """Read `{"classes": [{"id": 0, "name": ..., "color": [r, g, b]}, ...]}` (the layout of classes.json).

        Raises:
            ValueError: a key is missing, the ids are not 0..C-1 in order, or void has another id than IGNORE_INDEX;
                the message names `source`.
        """
        classes = content.get("classes") if isinstance(content, dict) else None
        if not isinstance(classes, list) or not all(isinstance(entry, dict) and "name" in entry for entry in classes):
            raise ValueError(f"{source}: expected a list 'classes' of objects with 'id', 'name' and optionally 'color'")
        ids = [entry.get("id", index) for index, entry in enumerate(classes)]
        if ids != list(range(len(classes))):
            raise ValueError(f"{source}: class ids must be 0 to {len(classes) - 1} in order, got {ids}")
        if content.get("ignore_index", IGNORE_INDEX) != IGNORE_INDEX:
            raise ValueError(
                f"{source}: ignore_index is {content['ignore_index']}, but void is always {IGNORE_INDEX} here. "
                f"Renumber the void pixels of the masks to {IGNORE_INDEX}, then correct the file."
            )
        fallback = default_colors(len(classes))
        try:
            colors = tuple(tuple(entry.get("color", fallback[index])) for index, entry in enumerate(classes))
            return cls(tuple(str(entry["name"]) for entry in classes), colors)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}: {error}") from error

    @classmethod
    def from_file(cls, path: Path) -> "ClassSet":
        """Read a classes.json; see `from_json`.

        Raises:
            ValueError: not JSON or not a class set; the message names the file.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a JSON file: {error}") from error
        return cls.from_json(content, str(path))

    def to_json(self) -> dict[str, Any]:
        """The content of a classes.json; `from_json` reads it back."""
        return {
            "num_classes": len(self),
            "ignore_index": IGNORE_INDEX,
            "classes": [
                {"id": class_id, "name": name, "color": list(color)}
                for class_id, (name, color) in enumerate(zip(self.names, self.colors, strict=True))
            ],
        }

    def check_label(self, label: LabelArray, source: str) -> None:
        """Refuse a label with an id that is neither a class nor IGNORE_INDEX.

        Raises:
            ValueError: names `source`, the ids found and the ids allowed.
        """
        present = np.flatnonzero(np.bincount(label.reshape(-1), minlength=256))
        unknown = [int(class_id) for class_id in present if class_id >= len(self) and class_id != IGNORE_INDEX]
        if unknown:
            raise ValueError(
                f"{source} contains class ids {unknown[:8]}, but the class set has ids 0-{len(self) - 1} and "
                f"{IGNORE_INDEX} for void. Is this a coloured preview, or a mask of another data set?"
            )


_EIGHT_HUES = (  # Okabe & Ito (2008), readable with the common colour-vision deficiencies; grey instead of their black.
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (100, 100, 100),
)
_SHADES = (
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (-0.35, -0.45, 0.8, -0.2, 0.45, 0.6, 0.8, -0.3),
    (-0.15, -0.55, -0.4, 0.2, -0.15, 0.2, 0.45, 0.35),
    (0.55, 0.7, 0.45, -0.5, -0.5, -0.1, -0.1, -0.15),
    (0.4, -0.1, -0.15, -0.1, -0.25, 0.3, -0.2, 0.6),
    (0.7, 0.5, 0.35, 0.65, 0.2, 0.45, -0.45, 0.1),
)
"""Of each hue, for every eight classes: the share of the way to black (below 0) or to white. Row after row the one with
the largest smallest distance to all colours before that a search found, as people with a colour-vision deficiency see
them, among shades with a contrast of 2 or more to the dark pages."""

_DARKEST_OR_LIGHTEST = 0.9
"""Share of the way to black or white that no shade of any version reaches."""


def default_colors(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """Eight colour-blind-safe hues; further classes repeat them lighter and darker, all different up to 48 classes."""
    colors = []
    for class_id in range(num_classes):
        place = class_id % len(_EIGHT_HUES)
        hue, shade = _EIGHT_HUES[place], _SHADES[class_id // len(_EIGHT_HUES) % len(_SHADES)][place]
        target = 255 if shade > 0 else 0
        red, green, blue = (round(channel + (target - channel) * abs(shade)) for channel in hue)
        colors.append((red, green, blue))
    return tuple(colors)


def are_default_colors(colors: Sequence[tuple[int, int, int]]) -> bool:
    """Whether nobody chose these colors: each is a shade of its hue, as this version or an earlier one gives them.

    Black and white are nobody's shade, though they lie at the end of each: many a mask of two classes has them.
    """
    return all(
        any(_is_between(color, _EIGHT_HUES[class_id % len(_EIGHT_HUES)], (end, end, end)) for end in (0, 255))
        for class_id, color in enumerate(colors)
    )


def _is_between(color: tuple[int, int, int], start: tuple[int, int, int], end: tuple[int, int, int]) -> bool:
    """Whether a color lies on the way from one to another, but not at its end, as far as whole numbers can say."""
    way, done = np.subtract(end, start), np.subtract(color, start)
    share = min(_DARKEST_OR_LIGHTEST, max(0.0, float(way @ done) / float(way @ way)))
    return bool(np.abs(start + share * way - color).max() <= 1)


def voc_colors(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """The colors of Pascal VOC's development kit: an id's bits, dealt to the channels from the highest down."""
    colors = []
    for class_id in range(num_classes):
        channels = [0, 0, 0]
        for bit in range(24):
            channels[bit % 3] |= (class_id >> bit & 1) << 7 - bit // 3
        colors.append((channels[0], channels[1], channels[2]))
    return tuple(colors)
