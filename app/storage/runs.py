"""Planes of ids as row-major runs: how they lie on disk and how they travel between server and browser.

A run is two variable-length integers, value and length. Runs suit class ids, masks and region numbers: they are smaller
than a PNG of the same plane and several times faster to read.
"""

import zlib
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

RunPlane = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.bool_]

_MAX_VARINT_BYTES = 5  # 35 bits: longer than any run in an image we decode
_MAX_RUN_BYTES = {
    np.dtype(np.uint8): 3,
    np.dtype(np.uint16): 4,
}  # Of a run of one pixel: its value, one for the length.


class RunsError(ValueError):
    """Bytes that are no runs of the expected plane: cut off, too long, or with values that do not fit."""


def encode_varints(numbers: NDArray[np.uint64]) -> bytes:
    """Little-endian base-128 integers, as in protocol buffers; every number below 2**35."""
    lengths = np.ones(numbers.shape, np.int64)
    for power in range(1, _MAX_VARINT_BYTES):
        lengths += numbers >= (1 << (7 * power))
    starts = np.cumsum(lengths) - lengths
    encoded = np.zeros(int(lengths.sum()), np.uint8)
    for position in range(int(lengths.max()) if lengths.size else 0):
        present = lengths > position
        low_bits = (numbers[present] >> np.uint64(7 * position)) & np.uint64(127)
        more = (lengths[present] > position + 1).astype(np.uint64) << np.uint64(7)
        encoded[starts[present] + position] = (low_bits | more).astype(np.uint8)
    return encoded.tobytes()


def decode_varints(data: bytes) -> NDArray[np.uint64]:
    """The inverse of `encode_varints`.

    Raises:
        RunsError: cut off in the middle of a number, or a number longer than 35 bits.
    """
    encoded = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(encoded < 128)
    if encoded.size and (not ends.size or ends[-1] != encoded.size - 1):
        raise RunsError("the plane's runs end in the middle of a number; send the whole plane")
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: ends.size]
    lengths = ends - starts + 1
    if lengths.size and int(lengths.max()) > _MAX_VARINT_BYTES:
        raise RunsError(f"a run's number is longer than {_MAX_VARINT_BYTES} bytes")
    numbers: NDArray[np.uint64] = (encoded[starts] & 127).astype(np.uint64)
    for position in range(1, int(lengths.max()) if lengths.size else 0):
        longer = np.flatnonzero(lengths > position)
        numbers[longer] |= (encoded[starts[longer] + position] & 127).astype(np.uint64) << np.uint64(7 * position)
    return numbers


def encode_runs(plane: RunPlane) -> bytes:
    """Row-major (value, length) runs of a non-empty plane, as variable-length integers."""
    flat = plane.reshape(-1)
    starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    return encode_varints(np.stack([flat[starts].astype(np.uint64), lengths.astype(np.uint64)], axis=1).reshape(-1))


def decode_runs(data: bytes, size_hw: tuple[int, int], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """The plane behind `encode_runs`.

    Args:
        data: varints.
        size_hw: of the plane.
        dtype: unsigned, 8 or 16 bits.

    Raises:
        RunsError: the runs do not fill exactly `size_hw`, or a value is too large for `dtype`.
    """
    numbers = decode_varints(data)
    if numbers.size % 2:
        raise RunsError("the plane's last run has a value but no length")
    values, lengths = numbers[0::2], numbers[1::2].astype(np.int64)
    largest = np.iinfo(dtype).max
    if values.size and int(values.max()) > largest:
        raise RunsError(f"the plane holds {int(values.max())}; the largest allowed value is {largest}")
    pixels = size_hw[0] * size_hw[1]
    if int(lengths.sum()) != pixels:  # No overflow: fewer than 2**28 numbers fit a body, each below 2**35.
        raise RunsError(f"the plane's runs hold {int(lengths.sum())} pixels; {size_hw[0]} x {size_hw[1]} are {pixels}")
    return np.repeat(values.astype(dtype), lengths).reshape(size_hw)


def inflate(data: bytes, limit: int) -> bytes:
    """Decompress at most `limit` bytes.

    Raises:
        RunsError: not zlib data, cut off, followed by other bytes, or larger than `limit` (a decompression bomb).
    """
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise RunsError(f"the plane is not deflated data ({error}); send it as reviewer/wire.js writes it") from error
    if len(content) > limit:
        raise RunsError(f"the plane inflates to more than {limit} bytes, which its size does not allow")
    if not stream.eof or stream.unused_data:
        raise RunsError("the plane is cut off or followed by other bytes; send the whole plane")
    return content


def deflate_runs(plane: RunPlane) -> bytes:
    """Runs of a plane, deflated. Level 1 is several times faster than the default and within a tenth of its size."""
    return zlib.compress(encode_runs(plane), 1)


def inflate_runs(data: bytes, size_hw: tuple[int, int], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """The plane behind `deflate_runs`; its size bounds what is decompressed.

    Raises:
        RunsError: see `inflate` and `decode_runs`.
    """
    largest = size_hw[0] * size_hw[1] * _MAX_RUN_BYTES[np.dtype(dtype)] + 1
    return decode_runs(inflate(data, largest), size_hw, dtype)
