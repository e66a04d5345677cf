"""Image files in a form that a browser shows upright and unchanged, and small crops of them."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from datasets.images import read_image

_BROWSER_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_BROWSER_MODES = frozenset({"RGB", "L"})
_CONTEXT = 1.6
"""A thumbnail shows a box this many times as large as its region."""
_DARK_THEN_LIGHT = (((20, 20, 24), 3), ((255, 255, 255), 1))
"""Colors and widths of a line that is seen on every ground."""
_AROUND = 0.8
"""How bright the surroundings of a part stay."""


def browser_picture(path: Path, sha256: str) -> tuple[bytes, str]:
    """Bytes and media type. The file itself where a browser shows it as we read it, else a lossless PNG.

    Raises:
        LookupError: the file is gone from the workspace.
        ValueError: the file cannot be decoded; names it.
    """
    if not path.is_file():
        raise LookupError(f"the image file {path} is missing; put it back from a backup of the workspace")
    content = path.read_bytes()
    media_type = _shown_type(BytesIO(content))
    return (content, media_type) if media_type else (_upright_png(path, sha256), "image/png")


def shows_as_read(path: Path) -> bool:
    """Whether a browser shows a file as we read it."""
    with path.open("rb") as file:
        return _shown_type(file) is not None


def _shown_type(file: IO[bytes]) -> str | None:
    """The media type of a file that a browser shows as we read it; None for others."""
    with Image.open(file) as image:
        is_upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        is_plain = image.mode in _BROWSER_MODES and "transparency" not in image.info
        return _BROWSER_FORMATS.get(image.format or "") if is_upright and is_plain else None


@lru_cache(maxsize=8)
def _upright_png(path: Path, sha256: str) -> bytes:  # noqa: ARG001 - the hash makes a replaced file a new entry
    return encode_png(read_image(path))


def thumbnail(path: Path, bbox: tuple[int, int, int, int], size_wh: tuple[int, int]) -> bytes:
    """JPEG of a region with some surroundings; the region's box is framed.

    Args:
        bbox: x0, y0, x1, y1 of the region in the upright image.
        size_wh: of the result, in pixels.

    Raises:
        ValueError: the file cannot be decoded; names it.
    """
    crop, (x0, y0, _, _), scale = _crop(read_image(path), bbox, size_wh)
    corners = [round((value - origin) * scale) for value, origin in zip(bbox, (x0, y0, x0, y0), strict=True)]
    for color, thickness in _DARK_THEN_LIGHT:
        cv2.rectangle(crop, (corners[0], corners[1]), (corners[2] - 1, corners[3] - 1), color, thickness)
    return _encode(crop, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 85])


def part_picture(
    path: Path, bbox: tuple[int, int, int, int], mask: NDArray[np.bool_], size_wh: tuple[int, int]
) -> bytes:
    """JPEG of a part of a label with some surroundings; the part is outlined and what lies around it is darker.

    Args:
        bbox: x0, y0, x1, y1 of the part in the upright image.
        mask: (h, w) the part within its box.
        size_wh: of the result, in pixels; a larger one shows more of the surroundings.

    Raises:
        ValueError: the file cannot be decoded; names it.
    """
    image = read_image(path)
    whole = np.zeros(image.shape[:2], np.uint8)
    whole[bbox[1] : bbox[3], bbox[0] : bbox[2]] = mask
    crop, (x0, y0, x1, y1), _ = _crop(image, bbox, size_wh)
    shown_wh = crop.shape[1], crop.shape[0]
    inside = cv2.resize(whole[y0:y1, x0:x1], shown_wh, interpolation=cv2.INTER_NEAREST)
    crop[inside == 0] = np.rint(crop[inside == 0] * _AROUND).astype(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for color, thickness in _DARK_THEN_LIGHT:
        cv2.drawContours(crop, outlines, -1, color, thickness + 1, cv2.LINE_AA)
    return _encode(crop, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 85])


def _crop(
    image: NDArray[np.uint8], bbox: tuple[int, int, int, int], size_wh: tuple[int, int]
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int], float]:
    """A box with some surroundings at a size, which box of the image that is, and how much it was enlarged."""
    x0, y0, x1, y1 = _crop_box(bbox, size_wh, image.shape[1], image.shape[0])
    scale = min(size_wh[0] / (x1 - x0), size_wh[1] / (y1 - y0))
    shown_wh = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    crop = cv2.resize(image[y0:y1, x0:x1], shown_wh, interpolation=method).astype(np.uint8, copy=False)
    return crop, (x0, y0, x1, y1), scale


def _crop_box(
    bbox: tuple[int, int, int, int], size_wh: tuple[int, int], width: int, height: int
) -> tuple[int, int, int, int]:
    """The region's box enlarged to the thumbnail's shape, moved into the image."""
    aspect = size_wh[0] / size_wh[1]
    wanted_h = max((bbox[3] - bbox[1]) * _CONTEXT, (bbox[2] - bbox[0]) * _CONTEXT / aspect, size_wh[1] / 3)
    box_w, box_h = min(width, round(wanted_h * aspect)), min(height, round(wanted_h))
    x0 = min(max(0, (bbox[0] + bbox[2] - box_w) // 2), width - box_w)
    y0 = min(max(0, (bbox[1] + bbox[3] - box_h) // 2), height - box_h)
    return x0, y0, x0 + box_w, y0 + box_h


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """A picture without loss; raises ValueError when it is too large for the format."""
    return _encode(image, ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _encode(image: NDArray[np.uint8], suffix: str, options: list[int]) -> bytes:
    done, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"an image of {image.shape[1]}x{image.shape[0]} pixels could not be encoded as {suffix}")
    return encoded.tobytes()
