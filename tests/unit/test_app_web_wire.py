"""Bodies of header and planes, and hostile ones that are refused."""

import zlib

import numpy as np
import pytest

from app.storage.runs import inflate_runs
from app.web import wire


def test_frame_gives_back_header_and_rest() -> None:
    assert wire.unpack_frame(wire.pack_frame({"kind": "draw"}, [b"ab", b"c"])) == ({"kind": "draw"}, b"abc")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "no header", id="empty"),
        pytest.param(b"\xff\xff\xff\xff{}", "no header", id="header of four gigabytes"),
        pytest.param((9).to_bytes(4, "little") + b"{}", "no header", id="header cut off"),
        pytest.param((2).to_bytes(4, "little") + b"[]", "JSON object", id="a list"),
        pytest.param((2).to_bytes(4, "little") + b"\xff\xfe", "not JSON", id="not text"),
        pytest.param((60_000).to_bytes(4, "little") + b"[" * 60_000, "not JSON", id="deeply nested"),
    ],
)
def test_damaged_frame_is_refused_with_a_reason(body: bytes, message: str) -> None:
    with pytest.raises(wire.WireError, match=message):
        wire.unpack_frame(body)


def test_planes_are_described_in_the_header() -> None:
    label, numbers = np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((1, 2), 300, np.uint16)
    planes = [
        wire.pack_runs("label", label),
        wire.pack_runs("regions", numbers, (1, 0, 3, 1)),
        wire.pack_raw("raw", label),
    ]
    header, rest = wire.unpack_frame(wire.pack_planes({"width": 3, "height": 2}, planes))
    assert [(each["name"], each["dtype"], each["encoding"], each["bbox"]) for each in header["planes"]] == [
        ("label", "u8", "rle", None),
        ("regions", "u16", "rle", [1, 0, 3, 1]),
        ("raw", "u8", "raw", None),
    ]
    parts = []
    for each in header["planes"]:
        parts.append(rest[: each["length"]])
        rest = rest[each["length"] :]
    np.testing.assert_array_equal(inflate_runs(parts[0], (2, 3)), label)
    np.testing.assert_array_equal(inflate_runs(parts[1], (1, 2), np.uint16), numbers)
    assert zlib.decompress(parts[2]) == label.tobytes() and not rest
