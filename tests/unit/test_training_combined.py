"""The combined score in a calibration: who is scored by what, when it is used, and what it promises."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.frames import FrameRule
from reliability import combined_fit
from reliability.calibrated import COMBINED, score_of
from reliability.risk_control import reliable_error_loss, reliable_pixels
from training import combined
from training.calibration import CalibrationRequest, calibrate_counts, image_roles, sentence
from training.combined import MIN_FIT_IMAGES, count_by_score, cross_fit, sample_images
from training.labeled_pixels import LabeledPixels

NUM_CLASSES = 2
INDEPENDENT = FrameRule(independent=True)
REQUEST = CalibrationRequest(score=COMBINED, rule=INDEPENDENT, alpha=0.1)


def street(seed: int, size_hw: tuple[int, int] = (20, 24)) -> LabeledPixels:
    """The student is as unsure anywhere, but wrong in class 1: in some images often, in a few always."""
    generator = np.random.default_rng(seed)
    areas = torch.from_numpy(generator.normal(size=(1, 1, 3, 4))).float()
    is_one = torch.nn.functional.interpolate(areas, size=size_hw, mode="nearest")[:, 0] > 0
    one = torch.where(is_one, 0.9, 0.1) + 0.05 * torch.from_numpy(generator.uniform(-1, 1, size_hw)).float()
    probabilities = torch.stack((1 - one, one), dim=1)
    rate = min(1.0, generator.gamma(1.0, 0.25))
    error = is_one & torch.from_numpy(generator.random(size_hw) < rate)
    error |= torch.from_numpy(generator.random((1, *size_hw)) < 0.01)
    return LabeledPixels(f"s{seed}", probabilities, is_one.long(), error, torch.ones_like(error))


class Streets:
    """Images of the world, made once."""

    def __init__(self, seeds: range) -> None:
        self.images = [street(seed) for seed in seeds]
        self.sample_ids = [f"s{seed:05d}" for seed in seeds]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[LabeledPixels]:
        return iter(self.images)

    def __getitem__(self, place: int) -> LabeledPixels:
        return self.images[place]


@pytest.fixture(autouse=True)
def short_fits(monkeypatch):
    """Little to learn, so little to do."""
    monkeypatch.setattr(combined_fit, "STEPS", 100)
    monkeypatch.setattr(combined_fit, "BATCH_PIXELS", 512)
    monkeypatch.setattr(combined, "MAX_PIXELS_OF_IMAGE", 200)


@pytest.fixture(scope="module")
def streets() -> Streets:
    return Streets(range(3 * MIN_FIT_IMAGES))


def test_the_combined_score_is_used_where_it_tells_errors_better(streets):
    looks = []
    found = count_by_score(streets, streets.sample_ids, REQUEST, lambda done, total: looks.append((done, total)))
    assert found.combined is not None and found.note == "" and found.request == REQUEST
    assert looks == [(look, 2 * len(streets)) for look in range(1, 2 * len(streets) + 1)]
    assert found.counts.sum(dim=(1, 2, 3)).tolist() == [480] * len(streets)
    single = count_by_score(streets, streets.sample_ids, replace(REQUEST, score="confidence"))
    ours, theirs = (
        calibrate_counts(each.counts, streets.sample_ids, each.request).after.log_loss for each in (found, single)
    )
    assert ours < 0.95 * theirs


def test_what_the_images_of_the_threshold_say_changes_neither_score_nor_curve(streets):
    """The masks on offer are fixed before these images are looked at: that is what the promise rests on."""
    found = count_by_score(streets, streets.sample_ids, REQUEST)
    roles = image_roles(found.counts, streets.sample_ids, REQUEST)
    turned = Streets(range(0))
    for place, image in enumerate(streets):
        is_fit = bool(roles.for_fit[roles.order.index(place)])
        turned.images.append(image if is_fit else replace(image, error=~image.error))
    other = count_by_score(turned, streets.sample_ids, REQUEST)
    assert found.combined is not None and other.combined is not None
    for one, same in zip(found.combined.state_dict().values(), other.combined.state_dict().values(), strict=True):
        assert torch.equal(one, same)
    tables = [calibrate_counts(each.counts, streets.sample_ids, REQUEST).curves.table for each in (found, other)]
    assert torch.equal(*tables) and not torch.equal(found.counts, other.counts)


def test_no_image_that_fits_the_curve_is_scored_by_what_learned_from_it(streets, monkeypatch):
    learned_from: list[set[float]] = []

    def remember(samples, num_classes, seed):
        learned_from.append({float(value) for value in samples.features[:, 0, 0]})
        return len(learned_from) - 1

    monkeypatch.setattr(combined, "fit_combined", remember)
    single, samples = sample_images(streets, 0)
    roles = image_roles(single, streets.sample_ids, REQUEST)
    scores, final = cross_fit(samples, roles, NUM_CLASSES, 0)
    fit_places = {place for place, is_fit in zip(roles.order, roles.for_fit.tolist(), strict=True) if is_fit}
    assert set(scores) == fit_places and len(learned_from) == 5
    name_of = {place: float(samples.features[place, 0, 0]) for place in range(len(streets))}
    assert all(name_of[place] not in learned_from[number] for place, number in scores.items())
    assert learned_from[final] == {name_of[place] for place in fit_places}


@pytest.mark.parametrize(("images", "found"), [(9, "5 images in 5 blocks"), (20, "10 images in 10 blocks")])
def test_with_few_images_the_single_score_is_taken_and_it_is_said(streets, images, found):
    few = Streets(range(images))
    counted = count_by_score(few, few.sample_ids, REQUEST)
    assert counted.combined is None and counted.request.score == "confidence"
    calibration = replace(calibrate_counts(counted.counts, few.sample_ids, counted.request), score_note=counted.note)
    assert found in sentence(calibration) and sentence(calibration).startswith(("Promised", "No promise"))


def test_a_combined_score_that_finds_no_more_is_not_used(streets, monkeypatch):
    unlearned = combined_fit.fit_combined

    def blind(samples, num_classes, seed):
        turned = combined_fit.PixelSamples(samples.features, ~samples.is_wrong)
        return unlearned(turned, num_classes, seed)

    monkeypatch.setattr(combined, "fit_combined", blind)
    counted = count_by_score(streets, streets.sample_ids, REQUEST)
    assert counted.combined is None and "told errors no better" in counted.note
    assert (counted.request.score, counted.request.share_to_fit, counted.request.set_apart) == ("confidence", 0.5, True)


def test_the_promise_holds_for_further_images_although_the_score_was_fitted():
    """Calibration sets are drawn anew; the error of a further image is a mean over images that none of them holds."""
    fresh = Streets(range(100_000, 100_150))
    errors, covered, used = [], [], []
    for trial in range(8):
        drawn = Streets(range(1000 * trial, 1000 * trial + 3 * MIN_FIT_IMAGES))
        counted = count_by_score(drawn, drawn.sample_ids, REQUEST)
        calibration = calibrate_counts(counted.counts, drawn.sample_ids, counted.request)
        assert calibration.threshold.is_promised
        used.append(counted.combined is not None)
        name = counted.request.score
        scores = [score_of(name, counted.combined, image.probabilities, image.predicted) for image in fresh]
        counts = torch.stack([image.count(score) for image, score in zip(fresh, scores, strict=True)])
        pixels = reliable_pixels(counts, calibration.curves.table)
        errors.append(float(reliable_error_loss(pixels)[:, calibration.threshold.index].mean()))
        covered.append(float(pixels.coverage()[calibration.threshold.index]))
    assert np.mean(errors) <= REQUEST.alpha + 2 * np.std(errors) / len(errors) ** 0.5
    assert np.mean(covered) > 0.3 and sum(used) >= 4
