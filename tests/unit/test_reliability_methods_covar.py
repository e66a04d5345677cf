import pytest
import torch

from reliability.lookup import build_method
from reliability.methods.covar import scaled_variance
from reliability.methods.csl import reliable_half
from reliability.scores import winner_features
from reliability.selection import SelectionInputs


def test_the_scaled_variance_of_a_known_pixel():
    # losing classes 0.2 and 0, mean 0.1, and the winner's zero: (3 * 0.01) / 2 = 0.015; times 2 / 0.2
    confidence, _, variance = winner_features(torch.tensor([0.8, 0.2, 0.0]).view(1, 3, 1, 1))
    assert scaled_variance(confidence, variance, 3).item() == pytest.approx(0.15, rel=1e-5)


def test_a_perfectly_sure_pixel_has_no_scaled_variance():
    assert scaled_variance(torch.ones(1, 1, 1), torch.zeros(1, 1, 1), 5).item() == 0.0


def test_the_scaled_variance_stays_below_its_bound():
    probabilities = torch.softmax(3 * torch.randn(1, 7, 40, 40, generator=torch.Generator().manual_seed(0)), dim=1)
    confidence, _, variance = winner_features(probabilities)
    assert (scaled_variance(confidence, variance, 7) <= 3 * (1 - confidence) + 1e-6).all()


def two_groups() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Many calm pixels, and two that are surer but spread widely."""
    confidence = torch.tensor([0.6] * 8 + [0.7] * 2).view(1, 1, 10)
    spread = torch.tensor([0.1] * 8 + [2.0] * 2).view(1, 1, 10)
    return confidence, spread, torch.ones(1, 1, 10, dtype=torch.bool)


@pytest.mark.parametrize(("penalty", "mean"), [(0.0, 0.7), (0.25, 0.6)])
def test_a_spread_that_costs_enough_turns_the_choice_of_the_half(penalty, mean):
    half = reliable_half(*two_groups(), spread_penalty=penalty)
    assert half.mean[0, 0].item() == pytest.approx(mean)


def test_an_empty_half_is_never_taken():
    same = torch.full((1, 2, 2), 0.3)
    half = reliable_half(same, 7 * same, torch.ones(1, 2, 2, dtype=torch.bool), spread_penalty=1.0)
    assert half.mean[0].tolist() == pytest.approx([0.3, 2.1])


def test_other_pixels_are_selected_than_by_csl():
    logits = 3 * torch.randn(1, 7, 40, 40, generator=torch.Generator().manual_seed(0))
    inputs = SelectionInputs(logits.softmax(dim=1), torch.ones(1, 40, 40, dtype=torch.bool))
    assert not torch.equal(build_method("covar")(inputs).reliable, build_method("csl")(inputs).reliable)


def test_a_negative_penalty_is_refused():
    with pytest.raises(ValueError, match="'spread_penalty' must be a number of at least 0 but is -1"):
        build_method("covar", spread_penalty=-1)
