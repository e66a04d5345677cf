"""The frame of a COCO file: JSON read with limits, lists of objects with unique ids, image sizes.

What the segmentations hold is checked in coco_shapes.py when they are decoded.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.decoding import DEFAULT_LIMITS

MAX_JSON_BYTES = 2**30
"""COCO's own instances_train2017.json has 0.45 GB; parsed, a file needs several times its size in memory."""


def read_json(path: Path, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
    """A JSON object from a file, without NaN and Infinity, which JSON does not have.

    Args:
        path: the file.
        object_hook: called with every object as soon as it is parsed; what it returns takes the object's place.

    Raises:
        FileNotFoundError: no such file.
        ValueError: too large, not JSON, or not an object; names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; give a COCO file, or a folder that holds one")
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, at most {MAX_JSON_BYTES:,} are read; split it by images")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = json.loads(text, parse_constant=_refuse_constant, object_hook=object_hook)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON file that can be read: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, found {type(content).__name__}")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it contains {name}, which is not a number in JSON")


def entries_of(content: dict[str, Any], key: str, path: Path) -> tuple[dict[str, Any], ...]:
    """The list of objects under `key`, each with an id of its own.

    Raises:
        ValueError: no such list, or an id is missing or occurs twice; names `path` and the key.
    """
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: a COCO file has a list of objects under '{key}'; is it another kind of JSON?")
    seen = set()
    for entry in entries:
        entry_id = entry.get("id")
        if type(entry_id) is not int:
            raise ValueError(f"{path}: '{key}' needs a whole number 'id' in each entry, found {str(entry_id)[:40]!r}")
        if entry_id in seen:
            raise ValueError(f"{path}: the id {entry_id} occurs twice in '{key}'; what refers to it is ambiguous")
        seen.add(entry_id)
    return tuple(entries)


def image_size_hw(image: dict[str, Any]) -> tuple[int, int]:
    """Height and width of an entry of 'images'.

    Raises:
        ValueError: no whole numbers from 1, or more pixels than an image file may have; names the image's id.
    """
    height, width = image.get("height"), image.get("width")
    if type(height) is not int or type(width) is not int or height < 1 or width < 1:
        raise ValueError(
            f"image {image['id']}: 'width' and 'height' must be whole numbers from 1, "
            f"found {str(width)[:40]!r} and {str(height)[:40]!r}"
        )
    if max(height, width) > DEFAULT_LIMITS.max_side or height * width > DEFAULT_LIMITS.max_pixels:
        raise ValueError(
            f"image {image['id']}: {width} x {height} pixels are more than the limit of {DEFAULT_LIMITS.max_side} per "
            f"side and {DEFAULT_LIMITS.max_pixels:,} in all"
        )
    return height, width
