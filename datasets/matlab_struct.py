"""One field of one struct in a MATLAB 5 file, read without following anything else in the file.

scipy.io.loadmat is not used: it reads every element, and 20,000 nested cells (1 MB, far less when compressed) overflow
its stack and end the whole process (measured with SciPy 1.17.1); a cell array that claims 2**31 elements makes it ask
for 16 GB. Here elements that are not asked for are skipped by their size, and sizes are checked before memory is taken.

Source: MAT-File Format, The MathWorks, chapter "MAT-File Level 5 File Format".
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_UNPACKED_BYTES = 2**26
"""Ours: one byte for each of the 64 million pixels that an image may have."""

_HEADER_BYTES = 128
_VERSION_5_LITTLE_ENDIAN = b"\x00\x01IM"  # bytes 124 to 127: version 0x0100, then "MI" as a little-endian word
_INT8, _UINT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 2, 5, 6, 14, 15  # data types
_STRUCT_CLASS = 2


@dataclass(frozen=True)
class _Element:
    """A tagged piece of the file: data type, content, and where the next element begins."""

    data_type: int
    content: memoryview
    end: int


def read_struct_field(data: bytes, struct_name: str, field_name: str) -> NDArray[np.uint8]:
    """A matrix of bytes that is a field of a 1 x 1 struct.

    Args:
        data: the file's bytes.
        struct_name: the variable.
        field_name: its field.

    Returns:
        (rows, columns) uint8.

    Raises:
        ValueError: another kind of file, damaged, too large, no such variable or field, or not a matrix of bytes.
    """
    if data[124:_HEADER_BYTES] != _VERSION_5_LITTLE_ENDIAN:
        raise ValueError(f"it is not a little-endian MATLAB 5 file (it begins with {data[:8]!r})")
    try:
        for matrix in _variables(memoryview(data)[_HEADER_BYTES:]):
            parts = _elements(matrix)
            matrix_class, dimensions, name = _matrix_head(parts)
            if name == struct_name:
                if matrix_class != _STRUCT_CLASS or dimensions != (1, 1):
                    raise ValueError(f"'{struct_name}' is not a 1 x 1 struct")
                return _matrix_of_bytes(_field(parts, field_name), f"{struct_name}.{field_name}")
    except (struct.error, zlib.error, UnicodeDecodeError, StopIteration) as error:
        raise ValueError(f"it is damaged or cut off ({error or type(error).__name__})") from error
    raise ValueError(f"it has no variable '{struct_name}'")


def _variables(view: memoryview) -> Iterator[memoryview]:
    """The content of every matrix at the top level, unpacked."""
    for element in _elements(view):
        if element.data_type == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(element.content, MAX_UNPACKED_BYTES)
            if unpacker.unconsumed_tail:
                raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
            if not unpacker.eof:
                raise ValueError("it is damaged or cut off: a compressed element has no end")
            element = _element(memoryview(unpacked), 0)
        if element.data_type == _MATRIX:
            yield element.content


def _elements(view: memoryview) -> Iterator[_Element]:
    offset = 0
    while offset < len(view):
        element = _element(view, offset)
        yield element
        offset = element.end


def _element(view: memoryview, offset: int) -> _Element:
    """An element has a tag of 8 bytes, or, with up to 4 bytes of content, tag and content in 8 bytes together."""
    data_type, size = struct.unpack_from("<II", view, offset)
    if data_type >> 16:
        data_type, size, start, end = data_type & 0xFFFF, data_type >> 16, offset + 4, offset + 8
        if size > 4:
            raise ValueError(f"it is damaged: a short element of {size} bytes")
    else:
        start = offset + 8
        padding = 0 if data_type == _COMPRESSED else -size % 8
        end = start + size + padding
    if start + size > len(view):
        raise ValueError("it is damaged or cut off: an element is longer than the file")
    return _Element(data_type, view[start : start + size], end)


def _matrix_head(parts: Iterator[_Element]) -> tuple[int, tuple[int, ...], str]:
    """Class, dimensions and name, which every matrix begins with."""
    flags, dimensions, name = next(parts), next(parts), next(parts)
    if (flags.data_type, dimensions.data_type, name.data_type) != (_UINT32, _INT32, _INT8):
        raise ValueError("it is damaged: a matrix without flags, dimensions and name")
    matrix_class = struct.unpack_from("<I", flags.content)[0] & 0xFF
    sizes = struct.unpack(f"<{len(dimensions.content) // 4}i", dimensions.content)
    return matrix_class, sizes, bytes(name.content).decode("ascii")


def _field(parts: Iterator[_Element], field_name: str) -> memoryview:
    """Field names have one length, filled up with zeros; the fields follow in their order."""
    (length,) = struct.unpack("<i", next(parts).content)
    names = bytes(next(parts).content)
    if length < 1:
        raise ValueError(f"it is damaged: field names of {length} characters")
    found = [names[start : start + length].rstrip(b"\0").decode("ascii") for start in range(0, len(names), length)]
    for name, field in zip(found, parts, strict=False):
        if name == field_name and field.data_type == _MATRIX:
            return field.content
    raise ValueError(f"it has no field '{field_name}' (it has {', '.join(found)[:80] or 'none'})")


def _matrix_of_bytes(matrix: memoryview, name: str) -> NDArray[np.uint8]:
    parts = _elements(matrix)
    _, dimensions, _ = _matrix_head(parts)
    values = next(parts)
    if values.data_type != _UINT8:
        raise ValueError(f"'{name}' has values of the data type {values.data_type}, expected {_UINT8} (unsigned bytes)")
    if len(dimensions) != 2 or min(dimensions) < 1 or dimensions[0] * dimensions[1] != len(values.content):
        raise ValueError(f"'{name}' is {' x '.join(map(str, dimensions))} but holds {len(values.content)} bytes")
    rows, columns = dimensions
    return np.frombuffer(values.content, np.uint8).reshape(columns, rows).T.copy()  # stored column by column
