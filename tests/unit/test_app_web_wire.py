"""The binary form of planes: exact both ways, and hostile bodies are refused before they cost anything."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.web import wire

SIZE_HW = (6, 9)


def deflated_runs(*numbers: int) -> bytes:
    return zlib.compress(wire.encode_varints(np.asarray(numbers, np.uint64)))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 255)))
def test_plane_survives_the_round_trip(plane: np.ndarray) -> None:
    np.testing.assert_array_equal(wire.decode_plane(wire.encode_plane(plane, "rle"), plane.shape), plane)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint64, st.integers(0, 50), elements=st.integers(0, 2**35 - 1)))
def test_varints_survive_the_round_trip(numbers: np.ndarray) -> None:
    np.testing.assert_array_equal(wire.decode_varints(wire.encode_varints(numbers)), numbers)


def test_runs_are_row_major_value_and_length() -> None:
    plane = np.array([[7, 7, 7], [7, 200, 200]], np.uint8)
    assert wire.encode_runs(plane) == bytes([7, 4, 200, 1, 2])


def test_runs_of_region_numbers_need_sixteen_bits() -> None:
    plane = np.array([[65535, 65535, 300]], np.uint16)
    numbers = wire.decode_varints(wire.encode_runs(plane))
    assert numbers.tolist() == [65535, 2, 300, 1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "cut off", id="empty"),
        pytest.param(b"not zlib at all", "not deflated", id="other bytes"),
        pytest.param(deflated_runs(1, 54)[:-3], "cut off", id="truncated"),
        pytest.param(deflated_runs(1, 54) + b"tail", "followed by other bytes", id="trailing bytes"),
        pytest.param(zlib.compress(bytes(10_000_000)), "inflates to more than", id="bomb"),
        pytest.param(deflated_runs(1, 53), "53 pixels; 6 x 9 are 54", id="too few pixels"),
        pytest.param(deflated_runs(1, 2**34), "17179869184 pixels", id="a run of gigabytes"),
        pytest.param(deflated_runs(256, 54), "holds 256", id="a value beyond a byte"),
        pytest.param(deflated_runs(1, 54, 3), "no length", id="half a run"),
        pytest.param(zlib.compress(b"\x01\xb6"), "in the middle of a number", id="half a number"),
        pytest.param(zlib.compress(b"\x01" + b"\xff" * 6 + b"\x01"), "longer than 5 bytes", id="endless number"),
    ],
)
def test_damaged_plane_is_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(wire.WireError, match=message):
        wire.decode_plane(data, SIZE_HW)


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
    label = np.arange(6, dtype=np.uint8).reshape(2, 3)
    body = wire.pack_planes({"width": 3, "height": 2}, {"label": (label, "rle"), "unreliability": (label, "raw")})
    header, rest = wire.unpack_frame(body)
    assert [(plane["name"], plane["dtype"], plane["encoding"]) for plane in header["planes"]] == [
        ("label", "u8", "rle"),
        ("unreliability", "u8", "raw"),
    ]
    first = header["planes"][0]["length"]
    np.testing.assert_array_equal(wire.decode_plane(rest[:first], (2, 3)), label)
    assert zlib.decompress(rest[first:]) == label.tobytes()
