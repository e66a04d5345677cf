import pytest
import torch

from reliability.lookup import build_method
from reliability.selection import SelectionInputs


def of_winner(winner: torch.Tensor, progress: float = 0.0) -> SelectionInputs:
    """Two classes, (N, H, W) probability of the first one."""
    return SelectionInputs(torch.stack([winner, 1 - winner], 1), torch.ones_like(winner).bool(), progress=progress)


def inputs(progress: float = 0.0) -> SelectionInputs:
    """Two images of 100 pixels; the second is unsure wherever the first is sure."""
    winner = torch.stack([torch.linspace(0.5, 0.995, 100), torch.linspace(0.9, 0.55, 100)])
    return of_winner(winner.view(2, 10, 10), progress)


@pytest.mark.parametrize(("progress", "dropped"), [(0.0, 20), (0.5, 10), (0.75, 5)])
def test_the_most_uncertain_share_of_each_image_is_dropped(progress, dropped):
    reliable = build_method("entropy_percentile")(inputs(progress)).reliable
    assert (~reliable).sum(dim=(1, 2)).tolist() == [dropped, dropped]


def test_the_dropped_pixels_are_those_of_highest_entropy():
    selection = build_method("entropy_percentile")(inputs())
    entropy = selection.scores["entropy"][0]
    assert entropy[selection.reliable[0]].max() < entropy[~selection.reliable[0]].min()


def test_over_the_batch_one_unsure_image_loses_more_pixels():
    both = of_winner(torch.stack([inputs().probabilities[0, 0], torch.full((10, 10), 0.5)]))
    reliable = build_method("entropy_percentile", percentile_over="batch")(both).reliable
    assert reliable.sum(dim=(1, 2)).tolist() == [99, 0]


def test_a_frozen_threshold_is_an_entropy_in_nats():
    reliable = build_method("entropy_percentile", threshold=0.33)(inputs()).reliable  # 0.9 has 0.325, 0.895 has 0.336
    assert torch.equal(reliable, inputs().probabilities.amax(1) > 0.897)


def test_only_a_frozen_method_needs_no_progress():
    names = ({"progress"}, frozenset())
    assert (build_method("entropy_percentile").needs, build_method("entropy_percentile", threshold=0.3).needs) == names


def test_a_negative_threshold_is_refused():
    with pytest.raises(ValueError, match="'threshold' must be a number of at least 0 but is -1"):
        build_method("entropy_percentile", threshold=-1)
