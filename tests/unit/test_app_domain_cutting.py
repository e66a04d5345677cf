"""The threshold on stored probabilities: a promise is never stretched by their rounding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cutting import QueueSize, reliable_below

EVERY = np.arange(256, dtype=np.uint8)[None]


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_pixel_that_is_called_reliable_was_below_the_threshold_before_it_was_rounded(probability, threshold):
    stored = np.rint(255 * np.full((1, 1), probability)).astype(np.uint8)
    if reliable_below(stored, threshold).item():
        assert probability <= threshold + 1e-12
    elif threshold < 1:
        assert probability > threshold - 1 / 255 - 1e-12  # at most one step is lost


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_never_calls_fewer_pixels_reliable(one, other):
    low, high = sorted((one, other))
    assert np.all(reliable_below(EVERY, high) | ~reliable_below(EVERY, low))


def test_the_ends_call_nothing_and_everything_reliable():
    assert not reliable_below(EVERY, 0).any() and not reliable_below(EVERY, 0.0019).any()
    assert reliable_below(EVERY, 1).all()


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(ValueError, match="0-1"):
        reliable_below(EVERY, threshold)


def test_sizes_add_up_and_a_share_of_nothing_is_none():
    assert QueueSize().asked_share is None
    both = QueueSize(1, 2, 30, 40, 100) + QueueSize(0, 0, 0, 5, 50)
    assert both == QueueSize(1, 2, 30, 45, 150) and both.asked_share == pytest.approx(0.2)
