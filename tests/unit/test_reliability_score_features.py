"""Features of pictures small enough to check by hand."""

import math

import pytest
import torch

from reliability.score_features import (
    BORDER,
    CELL,
    NEIGHBORS,
    PIXEL,
    SMALLEST,
    SURROUNDINGS,
    dropped_together,
    feature_groups,
    num_features,
    score_features,
)
from reliability.scores import margin, refine

NAMES = (*PIXEL, *NEIGHBORS, *BORDER, *SURROUNDINGS)
LEFT, RIGHT = (0.7, 0.2, 0.1), (0.1, 0.0, 0.9)


def halves(height: int = 8, width: int = 40, border: int = 16) -> torch.Tensor:
    """(1, 3, H, W): class 0 at 0.7 up to the border, class 2 at 0.9 from there."""
    probabilities = torch.tensor(LEFT).view(1, 3, 1, 1).repeat(1, 1, height, width)
    probabilities[..., border:] = torch.tensor(RIGHT).view(1, 3, 1, 1)
    return probabilities


def feature(name: str, probabilities: torch.Tensor) -> torch.Tensor:
    """(H, W) of the first picture."""
    return score_features(probabilities, probabilities.argmax(dim=1))[0, NAMES.index(name)]


def log_odds(confidence: float) -> float:
    return math.log((1 - confidence) / confidence)


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [
        ("log_odds", log_odds(0.7), log_odds(0.9)),
        ("runner_up", math.log(0.5), math.log(0.2)),
        ("residual", (0.2**2 + 0.1**2) / 0.3**2, 1.0),
        ("log_odds_9", log_odds(0.7), log_odds(0.9)),
        ("log_odds_max", log_odds(0.7), log_odds(0.9)),
        ("border_share", 0.0, 0.0),
        ("class_share", math.log(16 / 40), math.log(24 / 40)),
        ("class_log_odds", log_odds(0.7), log_odds(0.9)),
        ("image_log_odds", 0.4 * log_odds(0.7) + 0.6 * log_odds(0.9), 0.4 * log_odds(0.7) + 0.6 * log_odds(0.9)),
        ("cell_share", 0.7, 0.9),
    ],
)
def test_far_from_the_border_a_feature_says_what_its_half_is_like(name, left, right):
    values = feature(name, halves())
    torch.testing.assert_close(values[:, 0], torch.full((8,), left))
    torch.testing.assert_close(values[:, 39], torch.full((8,), right))


def test_distance_counts_pixels_to_the_border_and_ends_at_17():
    distance = feature("distance", halves()).expm1()[3]
    assert distance[15:20].tolist() == pytest.approx(
        [0, 0, 1, 2, 3], abs=1e-5
    )  # of either side the first is the border
    assert distance[[10, 39]].tolist() == pytest.approx([5, 17], abs=1e-5)


def test_without_a_border_everything_is_as_far_as_can_be():
    assert feature("distance", halves()[..., :10]).expm1().unique().tolist() == pytest.approx([17])


def test_windows_end_at_the_edge_of_the_picture():
    values = feature("log_odds_3", halves(1, 4, 2))[0]
    expected = [log_odds(0.7), (2 * log_odds(0.7) + log_odds(0.9)) / 3, (log_odds(0.7) + 2 * log_odds(0.9)) / 3]
    assert values[:3].tolist() == pytest.approx(expected, rel=1e-5)
    assert feature("log_odds_max", halves(1, 4, 2))[0].tolist() == pytest.approx([log_odds(0.7)] * 4)


def test_the_refined_margin_is_the_one_of_s4mc():
    torch.testing.assert_close(feature("refined_margin", halves()), margin(refine(halves()))[0])


def test_a_cell_that_ends_outside_of_the_picture_means_its_pixels_inside():
    torch.testing.assert_close(
        feature("cell_share", halves(3, CELL + 1, 4))[0, -1], torch.tensor(0.9), atol=0.2, rtol=0
    )
    torch.testing.assert_close(feature("cell_share", halves(3, 5, 5)), torch.full((3, 5), 0.7))


def test_classes_are_log_probabilities_then_predicted_class_then_runner_up():
    channels = score_features(halves(), halves().argmax(dim=1))[0, len(NAMES) :, 0]
    assert channels[:, 0].tolist() == pytest.approx([*map(math.log, LEFT), 1, 0, 0, 0, 1, 0])
    assert channels[:, 39].tolist() == pytest.approx(
        [math.log(0.1), math.log(SMALLEST), math.log(0.9), 0, 0, 1, 1, 0, 0]
    )


def test_groups_cover_every_channel_once():
    groups = feature_groups(3)
    assert sorted(channel for channels in groups.values() for channel in channels) == list(range(num_features(3)))
    dropped = [channel for channels in dropped_together(3) for channel in channels]
    assert len(set(dropped)) == len(dropped) == 3 + 3 + 3 * 3
    assert not {NAMES.index(name) for name in ("log_odds", "refined_margin", "distance")} & set(dropped)
    assert groups["border"] == (NAMES.index("distance"), NAMES.index("border_share"))
    assert score_features(halves(), halves().argmax(dim=1)).shape == (1, num_features(3), 8, 40)


def test_a_picture_in_a_batch_gives_what_it_gives_alone():
    both = torch.cat((halves(), halves(border=30)))
    alone = [score_features(each[None], each[None].argmax(dim=1)) for each in both]
    torch.testing.assert_close(score_features(both, both.argmax(dim=1)), torch.cat(alone))


def test_certain_pixels_give_finite_features():
    certain = torch.nn.functional.one_hot(torch.tensor([[0, 1], [1, 1]]), 2).permute(2, 0, 1)[None].float()
    assert score_features(certain, certain.argmax(dim=1)).isfinite().all()


def test_the_refined_margin_is_negative_where_neighbors_make_another_class_the_winner():
    lonely = torch.tensor((0.1, 0.9)).view(1, 2, 1, 1).repeat(1, 1, 3, 3)
    lonely[0, :, 1, 1] = torch.tensor((0.55, 0.45))
    refined = refine(lonely)[0, :, 1, 1]
    assert refined[1] > refined[0]
    assert feature("refined_margin", lonely)[1, 1].item() == pytest.approx((refined[0] - refined[1]).item())
