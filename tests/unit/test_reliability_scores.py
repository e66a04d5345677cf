import math

import pytest
import torch

from reliability.scores import (
    confidence,
    entropy,
    flip_averaged,
    margin,
    probability_of,
    refine,
    residual_variance,
    strongest_neighbors,
    winner_features,
)


def pixel(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


def random_probabilities(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.softmax(3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_confidence_is_the_largest_probability():
    assert confidence(pixel(0.2, 0.7, 0.1)).item() == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.2, 0.7, 0.1), 0.5), ((0.4, 0.4, 0.2), 0.0), ((1.0, 0.0, 0.0), 1.0)],
    ids=["clear", "tie", "one-hot"],
)
def test_margin_is_the_lead_over_the_runner_up(values, expected):
    assert margin(pixel(*values)).item() == pytest.approx(expected, abs=1e-7)


def test_entropy_of_equal_probabilities_is_log_c():
    assert entropy(torch.full((1, 8, 1, 1), 1 / 8)).item() == pytest.approx(math.log(8), rel=1e-6)


def test_entropy_of_a_one_hot_pixel_is_zero():
    assert entropy(pixel(1.0, 0.0, 0.0)).item() == 0


def test_entropy_equals_that_of_torch():
    probabilities = random_probabilities(2, 6, 5, 4)
    expected = torch.distributions.Categorical(probs=probabilities.movedim(1, -1)).entropy()
    torch.testing.assert_close(entropy(probabilities), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # rest (0.2, 0, 0.1), mean 0.15: (0.05**2 + 0.15**2 + 0.05**2) / 2
        ((0.2, 0.7, 0.1), 0.01375),
        ((0.7, 0.3), 0.09),
        ((1.0, 0.0, 0.0), 0.0),
        # a tie clears the first maximum only: rest (0, 0.5, 0)
        ((0.5, 0.5, 0.0), (0.25**2 + 0.25**2 + 0.25**2) / 2),
    ],
    ids=["three classes", "two classes", "one-hot", "tie"],
)
def test_residual_variance_of_known_pixels(values, expected):
    assert residual_variance(pixel(*values)).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("num_classes", [2, 11, 150])
def test_residual_variance_keeps_its_digits_where_the_model_is_sure(num_classes, scale):
    logits = scale * torch.randn(1, num_classes, 40, 40, generator=torch.Generator().manual_seed(1))
    probabilities = torch.softmax(logits, dim=1)
    exact = residual_variance(probabilities.double())
    torch.testing.assert_close(residual_variance(probabilities).double(), exact, rtol=1e-5, atol=1e-10)


def test_residual_variance_stays_below_its_bound():
    probabilities = random_probabilities(2, 7, 20, 20)
    bound = (1 - confidence(probabilities)).square() / 6
    assert (residual_variance(probabilities) <= bound * (1 + 1e-5) + 1e-9).all()


def test_scores_leave_the_probabilities_as_they_were():
    probabilities = random_probabilities(1, 5, 6, 7)
    before = probabilities.clone()
    for score in (confidence, margin, entropy, residual_variance, refine):
        score(probabilities)
    assert torch.equal(probabilities, before)


def test_the_winner_is_the_lowest_class_on_ties():
    assert winner_features(pixel(0.1, 0.45, 0.45))[1].item() == 1


@pytest.mark.parametrize("score", [margin, residual_variance], ids=lambda score: score.__name__)
def test_a_single_class_is_refused(score):
    with pytest.raises(ValueError, match="at least 2 classes but the probabilities have 1"):
        score(torch.ones(1, 1, 2, 2))


def cross() -> torch.Tensor:
    """One channel, 3 x 3: up 1, left 2, right 3, down 4, corners 5 to 8, center 0, all over 10."""
    return torch.tensor([[5.0, 1.0, 6.0], [2.0, 0.0, 3.0], [7.0, 4.0, 8.0]]).view(1, 1, 3, 3) / 10


@pytest.mark.parametrize(
    ("neighborhood", "strongest", "expected"),
    [(4, 1, [0.4]), (4, 3, [0.4, 0.3, 0.2]), (8, 2, [0.8, 0.7])],
    ids=["largest of 4", "three of 4", "two of 8"],
)
def test_strongest_neighbors_of_the_center(neighborhood, strongest, expected):
    found = [values[0, 0, 1, 1].item() for values in strongest_neighbors(cross(), neighborhood, strongest)]
    assert found == pytest.approx(expected)


def test_beyond_the_border_neighbors_have_probability_zero():
    (largest,) = strongest_neighbors(torch.full((1, 2, 1, 1), 0.5), 4, 1)
    assert not largest.any()


def test_refinement_by_the_product_is_the_chance_of_either():
    # p = 0.6 with one neighbor q = 0.9 and strength 0.5: 0.6 + 0.5 * 0.9 - 0.5 * 0.6 * 0.9
    probabilities = torch.tensor([[[[0.6, 0.9]], [[0.4, 0.1]]]])
    assert refine(probabilities, beta=0.5)[0, 0, 0, 0].item() == pytest.approx(0.78)


def test_refinement_by_a_prior_can_lower_a_probability():
    # p = 0.9 with one neighbor q = 0.1: 0.9 + 0.5 * 0.1 - 0.5 * 0.9 * 1.0
    probabilities = torch.tensor([[[[0.9, 0.1]], [[0.1, 0.9]]]])
    assert refine(probabilities, torch.ones(2), beta=0.5)[0, 0, 0, 0].item() == pytest.approx(0.5)


def test_refinement_by_the_product_never_lowers_a_probability():
    probabilities = random_probabilities(1, 4, 9, 9)
    assert (refine(probabilities, strongest=2, neighborhood=8) >= probabilities).all()


def test_pixels_that_are_not_valid_support_no_neighbor():
    probabilities = torch.tensor([[[[0.6, 0.9]], [[0.4, 0.1]]]])
    refined = refine(probabilities, valid=torch.tensor([[[True, False]]]))
    assert refined[0, 0, 0, 0].item() == pytest.approx(0.6)


def test_the_mirrored_prediction_is_mirrored_back_before_averaging():
    whole, mirrored = torch.tensor([[[[0.9, 0.2]], [[0.1, 0.8]]]]), torch.tensor([[[[0.4, 0.7]], [[0.6, 0.3]]]])
    assert flip_averaged(whole, mirrored)[0, 0, 0].tolist() == pytest.approx([0.8, 0.3])


def test_the_probability_of_a_label_is_taken_per_pixel():
    probabilities = torch.tensor([[[[0.9, 0.2]], [[0.1, 0.8]]]])
    assert probability_of(probabilities, torch.tensor([[[1, 1]]]))[0, 0].tolist() == pytest.approx([0.1, 0.8])
