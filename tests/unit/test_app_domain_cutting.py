"""The threshold on stored probabilities: a promise is never stretched by their rounding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cutting import QueueSize, Standing, proposal_to_restore, reliable_at, reliable_below, standing_of

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


def test_sizes_by_class_add_up_however_many_classes_each_has_and_scale():
    both = QueueSize(by_class=(1, 2)) + QueueSize(regions=3, by_class=(1, 0, 4))
    assert both.by_class == (2, 2, 4)
    assert both.scaled(1.5) == QueueSize(regions=4, by_class=(3, 3, 6))


def test_a_cut_compares_as_the_model_file_does():
    stored = np.array([[0.1, 0.3]], np.float32)
    assert reliable_at(stored, 0.1).tolist() == [[True, False]]  # 0.1 as float32 is above 0.1


@pytest.mark.parametrize(
    ("is_as_chosen", "is_control", "has_decisions", "is_held", "expected"),
    [
        (False, False, False, False, Standing.TO_CUT),
        (False, False, False, True, Standing.HELD),
        (False, False, True, True, Standing.DECIDED),
        (True, False, True, True, Standing.AS_CHOSEN),
        (False, True, False, False, Standing.CONTROL),
    ],
)
def test_only_images_that_nobody_touched_are_cut_anew(is_as_chosen, is_control, has_decisions, is_held, expected):
    assert standing_of(is_as_chosen, is_control, has_decisions, is_held) is expected


def test_a_model_comes_back_with_the_proposal_of_its_threshold_or_else_the_latest():
    kept = [(1, None), (4, 0.05), (9, None), (12, 0.3)]
    assert proposal_to_restore(kept, None) == 9
    assert proposal_to_restore(kept, 0.05) == 4
    assert proposal_to_restore(kept, 0.2) == 12
    assert proposal_to_restore([], None) is None
