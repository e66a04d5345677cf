"""The binary form in which planes travel between server and browser; reviewer/wire.js is its other half.

A body is: length of the header (4 bytes, little endian), the header (JSON, UTF-8), then the planes one after another.
A plane is deflated (zlib) and holds either its bytes as they are ("raw") or row-major runs ("rle"), each run being
two variable-length integers, value and length. Runs suit class ids and masks, raw bytes suit smooth maps.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["rle", "raw"]
Plane = NDArray[np.uint8] | NDArray[np.uint16]

MAX_HEADER_BYTES = 64 * 1024
"""Headers are a few hundred bytes; region lists of an image reach some kilobytes."""
_LENGTH_BYTES = 4
_MAX_VARINT_BYTES = 5  # 35 bits: longer than any run in an image we decode
_MAX_RUN_BYTES = 3  # Runs of one pixel: two bytes for a value above 127, one for the length.
_LARGEST_VALUE = 255


class WireError(ValueError):
    """A body that is not ours: cut off, too large, or inconsistent with its own header."""


def encode_varints(numbers: NDArray[np.uint64]) -> bytes:
    """Little-endian base-128 integers, as in protocol buffers; every number below 2**35."""
    lengths = np.ones(numbers.shape, np.int64)
    for power in range(1, _MAX_VARINT_BYTES):
        lengths += numbers >= (1 << (7 * power))
    starts = np.cumsum(lengths) - lengths
    encoded = np.zeros(int(lengths.sum()), np.uint8)
    for position in range(_MAX_VARINT_BYTES):
        present = lengths > position
        low_bits = (numbers[present] >> np.uint64(7 * position)) & np.uint64(127)
        more = (lengths[present] > position + 1).astype(np.uint64) << np.uint64(7)
        encoded[starts[present] + position] = (low_bits | more).astype(np.uint8)
    return encoded.tobytes()


def decode_varints(data: bytes) -> NDArray[np.uint64]:
    """The inverse of `encode_varints`.

    Raises:
        WireError: cut off in the middle of a number, or a number longer than 35 bits.
    """
    encoded = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(encoded < 128)
    if encoded.size and (not ends.size or ends[-1] != encoded.size - 1):
        raise WireError("the plane's runs end in the middle of a number; send the whole body")
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: ends.size]
    lengths = ends - starts + 1
    if lengths.size and int(lengths.max()) > _MAX_VARINT_BYTES:
        raise WireError(f"a run's number is longer than {_MAX_VARINT_BYTES} bytes")
    numbers = np.zeros(ends.size, np.uint64)
    for position in range(_MAX_VARINT_BYTES):
        present = lengths > position
        numbers[present] |= (encoded[starts[present] + position] & 127).astype(np.uint64) << np.uint64(7 * position)
    return numbers


def encode_runs(plane: Plane) -> bytes:
    """Row-major (value, length) runs of a non-empty plane, as variable-length integers."""
    flat = plane.reshape(-1)
    starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    return encode_varints(np.stack([flat[starts].astype(np.uint64), lengths.astype(np.uint64)], axis=1).reshape(-1))


def decode_runs(data: bytes, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The 8-bit plane behind `encode_runs`.

    Raises:
        WireError: the runs do not fill exactly `size_hw`, or a value is larger than 255.
    """
    numbers = decode_varints(data)
    if numbers.size % 2:
        raise WireError("the plane's last run has a value but no length")
    values, lengths = numbers[0::2], numbers[1::2].astype(np.int64)
    if values.size and int(values.max()) > _LARGEST_VALUE:
        raise WireError(f"the plane holds {int(values.max())}; the largest allowed value is {_LARGEST_VALUE}")
    pixels = size_hw[0] * size_hw[1]
    if int(lengths.sum()) != pixels:  # No overflow: fewer than 2**28 numbers fit a body, each below 2**35.
        raise WireError(f"the plane's runs hold {int(lengths.sum())} pixels; {size_hw[0]} x {size_hw[1]} are {pixels}")
    return np.repeat(values.astype(np.uint8), lengths).reshape(size_hw)


def inflate(data: bytes, limit: int) -> bytes:
    """Decompress at most `limit` bytes.

    Raises:
        WireError: not zlib data, cut off, followed by other bytes, or larger than `limit` (a decompression bomb).
    """
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise WireError(f"the plane is not deflated data ({error}); send it as reviewer/wire.js writes it") from error
    if len(content) > limit:
        raise WireError(f"the plane inflates to more than {limit} bytes, which its size does not allow")
    if not stream.eof or stream.unused_data:
        raise WireError("the plane is cut off or followed by other bytes; send the whole body")
    return content


def encode_plane(plane: Plane, encoding: Encoding) -> bytes:
    """One deflated plane; "raw" is for 8-bit planes.

    Level 1 is several times faster than the default and its result within a tenth of the size.
    """
    content = encode_runs(plane) if encoding == "rle" else plane.tobytes()
    return zlib.compress(content, 1)


def decode_plane(data: bytes, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """An "rle" plane of 8-bit values, the only kind that browsers send; its size bounds what is decompressed.

    Raises:
        WireError: see `inflate` and `decode_runs`.
    """
    largest = size_hw[0] * size_hw[1] * _MAX_RUN_BYTES + 1
    return decode_runs(inflate(data, largest), size_hw)


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


def pack_planes(header: Mapping[str, Any], planes: Mapping[str, tuple[Plane, Encoding]]) -> bytes:
    """A body of several planes of one image; the header gains "planes", which says how to read them."""
    parts, described = [], []
    for name, (plane, encoding) in planes.items():
        parts.append(encode_plane(plane, encoding))
        dtype_name = "u16" if plane.dtype == np.uint16 else "u8"
        described.append({"name": name, "dtype": dtype_name, "encoding": encoding, "length": len(parts[-1])})
    return pack_frame({**header, "planes": described}, parts)
