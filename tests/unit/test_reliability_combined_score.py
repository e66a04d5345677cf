"""The combined score with weights that are known, and fitted to worlds whose errors are known."""

import pytest
import torch

from reliability.combined_fit import PixelSamples, fit_combined, folds, sample_log_loss
from reliability.combined_score import CombinedScore, through_layers
from reliability.metrics import auroc
from reliability.score_features import feature_groups, num_features, score_features
from reliability.scores import confidence

NUM_CLASSES = 3


def picture(seed: int = 0, size_hw: tuple[int, int] = (24, 32)) -> torch.Tensor:
    """(1, C, H, W) smooth areas."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, NUM_CLASSES, 4, 5, generator=generator)
    return torch.softmax(4 * torch.nn.functional.interpolate(coarse, size=size_hw, mode="bilinear"), dim=1)


def only_log_odds() -> CombinedScore:
    """Without hidden layer, with weight on nothing but the log odds of the confidence."""
    weight = torch.zeros(1, num_features(NUM_CLASSES))
    weight[0, 0] = 1
    return CombinedScore([weight], [torch.zeros(1)], NUM_CLASSES)


def border_samples(images: int) -> PixelSamples:
    """Pixels are wrong at borders of areas and nowhere else, however sure the student is."""
    features = []
    for seed in range(images):
        probabilities = picture(seed)
        label = probabilities.argmax(dim=1)
        sure = torch.nn.functional.one_hot(label, NUM_CLASSES).permute(0, 3, 1, 2) * 0.85 + 0.05  # always as sure
        features.append(score_features(sure, label)[0].flatten(1).T)
    stacked = torch.stack(features)
    return PixelSamples(stacked, stacked[..., feature_groups(NUM_CLASSES)["border"][0]] == 0)


def test_weight_on_the_log_odds_alone_gives_the_confidence():
    probabilities = picture()
    score = only_log_odds()(probabilities, probabilities.argmax(dim=1))
    torch.testing.assert_close(score, confidence(probabilities), atol=1e-5, rtol=0)


def test_a_picture_and_its_single_pixels_are_scored_alike():
    probabilities = picture(1)
    label = probabilities.argmax(dim=1)
    score = fit_combined(border_samples(2), NUM_CLASSES)
    odds = through_layers(score_features(probabilities, label)[0].flatten(1).T, score.layers())
    torch.testing.assert_close(score(probabilities, label).flatten(), torch.sigmoid(-odds), atol=1e-5, rtol=0)


def test_a_pixel_that_is_no_number_has_no_score_and_leaves_the_others_theirs():
    probabilities = picture()
    broken = probabilities.clone()
    broken[0, 1, 3, 4] = float("nan")
    score = only_log_odds()(broken, broken.argmax(dim=1))
    assert score.isnan().nonzero().tolist() == [[0, 3, 4]]
    whole = only_log_odds()(probabilities, probabilities.argmax(dim=1))
    torch.testing.assert_close(score[~score.isnan()], whole[~score.isnan()])


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ([torch.zeros(1, 7)], "does not take"),
        ([torch.zeros(4, num_features(NUM_CLASSES))], "one output, got 4"),
        ([torch.zeros(4, num_features(NUM_CLASSES)), torch.zeros(1, 3)], "does not take 4 values"),
        ([torch.full((1, num_features(NUM_CLASSES)), torch.nan)], "not a finite number"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, problem):
    with pytest.raises(ValueError, match=problem):
        CombinedScore(weights, [torch.zeros(len(weight)) for weight in weights], NUM_CLASSES)


def test_errors_that_confidence_cannot_see_are_learned_from_other_pictures():
    samples = border_samples(8)
    score = fit_combined(samples.of(torch.arange(6)), NUM_CLASSES)
    unseen = samples.of(torch.arange(6, 8))
    odds = through_layers(unseen.features.flatten(0, 1), score.layers())
    assert auroc(-odds, unseen.is_wrong.flatten()) > 0.999
    assert auroc(-unseen.features[..., 0].flatten(), unseen.is_wrong.flatten()) == pytest.approx(0.5, abs=0.01)
    assert sample_log_loss(score, unseen) < 0.02


def test_the_same_samples_give_the_same_score_and_another_seed_another_one():
    samples = border_samples(2)
    one, same, other = (fit_combined(samples, NUM_CLASSES, seed=seed).layers() for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for pair in zip(one, same, strict=True) for a, b in zip(*pair, strict=True))
    assert not torch.equal(one[0][0], other[0][0])


def test_a_fit_without_hidden_layer_is_a_logistic_regression():
    score = fit_combined(border_samples(2), NUM_CLASSES, hidden=())
    assert [tuple(weight.shape) for weight, _ in score.layers()] == [(1, num_features(NUM_CLASSES))]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (["a", "a", "b", "b"], [0, 0, 1, 1]),
        (["a", "b", "c", "d", "e"], [0, 0, 1, 2, 3]),
        (["a", "a", "a"], [0, 0, 0]),
    ],
)
def test_no_block_lies_in_two_folds(blocks, expected):
    assert folds(blocks).tolist() == expected
