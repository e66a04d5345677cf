"""Which regions look alike: same predicted class, similar color, similar probabilities."""

import numpy as np
import pytest

from app.domain.lookalikes import COLOR_LIMIT, Appearance, lookalikes, looks_alike, mean_color, profile_distance


def appearance(class_id=1, color=(50.0, 0.0, 0.0), profile=None):
    return Appearance(class_id, np.array(color), {1: 0.6, 2: 0.4} if profile is None else profile)


def test_mean_color_of_white_is_full_lightness_without_color():
    assert np.allclose(mean_color(np.full((5, 3), 255, np.uint8)), (100, 0, 0), atol=0.1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({1: 1.0}, {1: 1.0}, 0.0),
        ({1: 1.0}, {2: 1.0}, 1.0),
        ({1: 0.75, 2: 0.25}, {1: 0.5, 2: 0.5}, 0.25),
        ({1: 0.5}, {1: 0.5, 3: 0.5}, 0.25),
    ],
    ids=["equal", "disjoint", "shifted", "missing-counts-as-0"],
)
def test_profile_distance_is_half_the_sum_of_differences(one, other, expected):
    assert profile_distance(one, other) == pytest.approx(expected)
    assert profile_distance(other, one) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (appearance(), True),
        (appearance(class_id=2), False),
        (appearance(color=(50.0, COLOR_LIMIT, 0.0)), True),
        (appearance(color=(50.0, COLOR_LIMIT + 0.1, 0.0)), False),
        (appearance(profile={1: 0.35, 2: 0.4, 3: 0.25}), True),
        (appearance(profile={1: 0.3, 2: 0.4, 3: 0.3}), False),
    ],
    ids=["same", "other-class", "color-at-limit", "color-beyond", "profile-at-limit", "profile-beyond"],
)
def test_regions_look_alike_up_to_each_limit(other, expected):
    assert looks_alike(appearance(), other) is expected
    assert looks_alike(other, appearance()) is expected


def test_lookalikes_come_with_the_most_similar_color_first():
    candidates = [appearance(color=(50, 9, 0)), appearance(color=(50, 90, 0)), appearance(color=(50, 1, 0))]
    assert lookalikes(appearance(), candidates) == [2, 0]
