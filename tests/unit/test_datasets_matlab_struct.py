"""One matrix out of a MATLAB file; the files are written by SciPy, or by hand where they are damaged."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from scipy import io as scipy_io

from datasets import matlab_struct
from datasets.matlab_struct import read_struct_field

HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
SEGMENTATION = np.array([[0, 1, 255], [20, 3, 0]], np.uint8)


def saved(content, **options):
    buffer = io.BytesIO()
    scipy_io.savemat(buffer, content, **options)
    return buffer.getvalue()


def element(data_type, content):
    return struct.pack("<II", data_type, len(content)) + content + bytes(-len(content) % 8)


def matrix(class_id, dimensions, body, name=b""):
    head = element(6, struct.pack("<II", class_id, 0)) + element(5, struct.pack(f"<{len(dimensions)}i", *dimensions))
    return element(14, head + element(1, name) + body)


def read(data):
    return read_struct_field(data, "GTcls", "Segmentation")


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("size_hw", [(2, 3), (1, 1), (1, 3)], ids=str)  # up to 4 bytes are stored in their tag
def test_field_is_read_as_scipy_wrote_it(compressed, size_hw):
    segmentation = SEGMENTATION[: size_hw[0], : size_hw[1]]
    fields = {"Boundaries": np.array([[np.eye(3)]], object), "Segmentation": segmentation, "Other": "text"}
    data = saved({"first": np.arange(9), "GTcls": fields}, do_compression=compressed)
    assert np.array_equal(read(data), segmentation)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"GTinst": {"Segmentation": SEGMENTATION}}, "no variable 'GTcls'"),
        ({"GTcls": SEGMENTATION}, "'GTcls' is not a 1 x 1 struct"),
        ({"GTcls": {"Boundaries": SEGMENTATION}}, r"no field 'Segmentation' \(it has Boundaries\)"),
        ({"GTcls": {"Segmentation": SEGMENTATION.astype(float)}}, "'GTcls.Segmentation' has values of the data type 9"),
        ({"GTcls": {"Segmentation": SEGMENTATION[None]}}, "is 1 x 2 x 3 but holds 6 bytes"),
    ],
    ids=["other variable", "no struct", "other field", "floats", "three dimensions"],
)
def test_other_content_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read(saved(content))


@pytest.mark.parametrize("data", [b"", b"MATLAB 7.3 MAT-file, HDF5".ljust(200), saved({"GTcls": 1}, format="4")])
def test_other_kinds_of_files_are_refused(data):
    with pytest.raises(ValueError, match="not a little-endian MATLAB 5 file"):
        read(data)


def test_cells_nested_20000_deep_are_skipped():
    """SciPy's own reader overflows its stack on this file and ends the process."""
    cells = matrix(6, (1, 1), element(9, struct.pack("<d", 1)))
    for _ in range(20_000):
        cells = matrix(1, (1, 1), cells)
    file = HEADER + cells + saved({"GTcls": {"Segmentation": SEGMENTATION}})[128:]
    assert np.array_equal(read(file), SEGMENTATION)


def test_file_that_unpacks_to_more_than_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(matlab_struct, "MAX_UNPACKED_BYTES", 10_000)
    packed = zlib.compress(bytes(10_001))
    with pytest.raises(ValueError, match="unpacks to more than 10,000 bytes"):
        read(HEADER + struct.pack("<II", 15, len(packed)) + packed)


def test_size_that_the_file_does_not_hold_is_refused():
    values = element(2, b"\x01")
    names = element(5, struct.pack("<i", 13)) + element(1, b"Segmentation\0")
    field = matrix(9, (2**31 - 1, 2**31 - 1), values)
    with pytest.raises(ValueError, match="is 2147483647 x 2147483647 but holds 1 bytes"):
        read(HEADER + matrix(2, (1, 1), names + field, b"GTcls"))


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_bytes_are_read_or_refused_and_nothing_else(compressed):
    whole = saved({"GTcls": {"Boundaries": np.eye(9), "Segmentation": SEGMENTATION}}, do_compression=compressed)
    chooser = random.Random(0)
    refused = 0
    for _ in range(500):
        data = bytearray(whole[: chooser.randrange(len(whole))] if chooser.random() < 0.3 else whole)
        for _ in range(3):
            if data:
                data[chooser.randrange(len(data))] = chooser.randrange(256)
        try:
            read(bytes(data))
        except ValueError:
            refused += 1
    assert refused > 100
