"""Planes as runs: exact both ways, and hostile bytes are refused before they cost anything."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from app.storage import runs

SIZE_HW = (6, 9)


def deflated_runs(*numbers: int) -> bytes:
    return zlib.compress(runs.encode_varints(np.asarray(numbers, np.uint64)))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 255)))
def test_plane_survives_the_round_trip(plane: np.ndarray) -> None:
    np.testing.assert_array_equal(runs.inflate_runs(runs.deflate_runs(plane), plane.shape), plane)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint64, st.integers(0, 50), elements=st.integers(0, 2**35 - 1)))
def test_varints_survive_the_round_trip(numbers: np.ndarray) -> None:
    np.testing.assert_array_equal(runs.decode_varints(runs.encode_varints(numbers)), numbers)


def test_runs_are_row_major_value_and_length() -> None:
    plane = np.array([[7, 7, 7], [7, 200, 200]], np.uint8)
    assert runs.encode_runs(plane) == bytes([7, 4, 200, 1, 2])


def test_region_numbers_of_sixteen_bits_survive_the_round_trip() -> None:
    plane = np.array([[65535, 65535, 300], [0, 1, 65535]], np.uint16)
    restored = runs.inflate_runs(runs.deflate_runs(plane), plane.shape, np.uint16)
    assert restored.dtype == np.uint16
    np.testing.assert_array_equal(restored, plane)


def test_worst_case_of_sixteen_bits_stays_within_the_limit_of_inflating() -> None:
    plane = np.arange(65000, 65200, dtype=np.uint16).reshape(10, 20)
    np.testing.assert_array_equal(runs.inflate_runs(runs.deflate_runs(plane), plane.shape, np.uint16), plane)


def test_region_number_beyond_sixteen_bits_is_refused() -> None:
    with pytest.raises(runs.RunsError, match="holds 65536"):
        runs.inflate_runs(deflated_runs(65536, 54), SIZE_HW, np.uint16)


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
    with pytest.raises(runs.RunsError, match=message):
        runs.inflate_runs(data, SIZE_HW)
