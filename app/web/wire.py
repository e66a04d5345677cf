"""The binary form in which planes travel between server and browser; reviewer/wire.js is its other half.

A body is: length of the header (4 bytes, little endian), the header (JSON, UTF-8), then the planes one after another.
A plane is deflated (zlib) and holds either its bytes as they are ("raw") or runs ("rle", see app/storage/runs.py).
Runs suit class ids and masks, raw bytes suit smooth maps.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.storage.runs import RunPlane, RunsError, deflate_runs

Encoding = Literal["rle", "raw"]

MAX_HEADER_BYTES = 64 * 1024
"""Headers are a few hundred bytes; region lists of an image reach some kilobytes."""
_LENGTH_BYTES = 4


class WireError(RunsError):
    """A body that is not ours: cut off, too large, or inconsistent with its own header."""


@dataclass(frozen=True)
class PackedPlane:
    """One deflated plane.

    Attributes:
        name: as the browser knows it.
        dtype: "u8" or "u16".
        encoding: of the inflated bytes.
        content: deflated bytes.
        bbox: x0, y0, x1, y1 when the plane covers a part of its image only.
    """

    name: str
    dtype: Literal["u8", "u16"]
    encoding: Encoding
    content: bytes
    bbox: tuple[int, int, int, int] | None = None


def pack_runs(name: str, plane: RunPlane, bbox: tuple[int, int, int, int] | None = None) -> PackedPlane:
    """A plane of ids as runs."""
    return PackedPlane(name, "u16" if plane.dtype == np.uint16 else "u8", "rle", deflate_runs(plane), bbox)


def pack_raw(name: str, plane: NDArray[np.uint8]) -> PackedPlane:
    """A smooth plane, byte by byte."""
    return PackedPlane(name, "u8", "raw", zlib.compress(plane.tobytes(), 1))


def pack_frame(header: Mapping[str, Any], parts: list[bytes]) -> bytes:
    """Header and parts in one body."""
    encoded = json.dumps(header, separators=(",", ":")).encode()
    return b"".join([len(encoded).to_bytes(_LENGTH_BYTES, "little"), encoded, *parts])


def unpack_frame(body: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and everything after it.

    Raises:
        WireError: cut off, header too long, or not a JSON object.
    """
    length = int.from_bytes(body[:_LENGTH_BYTES], "little")
    if len(body) < _LENGTH_BYTES or length > MAX_HEADER_BYTES or len(body) < _LENGTH_BYTES + length:
        raise WireError("the body is cut off or has no header; send it as reviewer/wire.js writes it")
    try:
        header = json.loads(body[_LENGTH_BYTES : _LENGTH_BYTES + length])
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise WireError(f"the body's header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise WireError("the body's header must be a JSON object")
    return header, body[_LENGTH_BYTES + length :]


def pack_planes(header: Mapping[str, Any], planes: Sequence[PackedPlane]) -> bytes:
    """A body of several planes of one image; the header gains "planes", which says how to read them."""
    described = [
        {
            "name": each.name,
            "dtype": each.dtype,
            "encoding": each.encoding,
            "length": len(each.content),
            "bbox": each.bbox,
        }
        for each in planes
    ]
    return pack_frame({**header, "planes": described}, [each.content for each in planes])
