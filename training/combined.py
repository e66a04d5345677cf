"""Fits the combined score on held-out images and counts their pixels by it.

No image is ever scored by weights that learned from it: images that the threshold is chosen on are scored by a network
that learned from the others, and these, which also fit the curve, by networks that learned from other blocks of theirs
(cross-fitting). So the score is fixed before the threshold's images are looked at, and their promise holds as it does
for a score that nobody fitted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from reliability.calibrated import COMBINED, SCORES, score_of
from reliability.combined_fit import PixelSamples, fit_combined, folds
from reliability.combined_score import CombinedScore
from reliability.curve_choice import choose_curves
from reliability.score_features import score_features
from training.calibration import CalibrationRequest, ImageRoles, image_roles
from training.labeled_pixels import LabeledPixels

SINGLE = "confidence"
"""The score that takes the combined one's place where that cannot be fitted."""

MIN_FIT_IMAGES = 20
"""Fewer images are not fitted on. Ours, see docs/calibration.md."""

MAX_SAMPLED_PIXELS = 600_000
MAX_PIXELS_OF_IMAGE = 4000
"""Pixels that are learned from, of all images and of one: neighbors say the same, so more of them teach little."""


class Images(Protocol):
    """Predicted images in a row, as `training.labeled_pixels.LabeledImages` holds them."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabeledPixels]: ...

    def __getitem__(self, place: int, /) -> LabeledPixels: ...


@dataclass(frozen=True)
class ScoreCounts:
    """Pixels counted by a score.

    Attributes:
        counts: (images, C, NUM_BINS, 2) right and wrong pixels.
        request: as it was asked, but for the score where another one took its place.
        combined: the score, where it is the combined one.
        note: why another score took its place; empty otherwise.
    """

    counts: Tensor
    request: CalibrationRequest
    combined: CombinedScore | None = None
    note: str = ""


def count_by_score(
    images: Images,
    sample_ids: Sequence[str],
    request: CalibrationRequest,
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> ScoreCounts:
    """Count every image by the score that was asked for, fitting it first if it is the combined one.

    Args:
        images: with labels; the combined score looks at each of them twice.
        sample_ids: of the images.
        request: what was asked for.
        on_image: called with the number of finished and of all looks at an image.

    Raises:
        ValueError: a prediction is not a number; names the image.
        CannotCalibrateError: there are too few images to calibrate any score.
    """
    if request.score == COMBINED:
        return _count_combined(images, sample_ids, request, on_image)
    counts = []
    for pixels in images:
        counts.append(pixels.count(SCORES[request.score](pixels.probabilities)))
        on_image(len(counts), len(images))
    return ScoreCounts(torch.stack(counts), request)


def _count_combined(
    images: Images, sample_ids: Sequence[str], request: CalibrationRequest, on_image: Callable[[int, int], None]
) -> ScoreCounts:
    total = 2 * len(images)
    single, samples = sample_images(images, request.seed, lambda done: on_image(done, total))
    roles = image_roles(single, sample_ids, request)
    reason = _too_few(roles)
    if reason:
        return ScoreCounts(single, replace(request, score=SINGLE), note=reason)
    num_classes = single.shape[1]
    scores, final = cross_fit(samples, roles, num_classes, request.seed)
    counts = count_cross_fitted(images, roles, scores, final, lambda done: on_image(len(images) + done, total))
    fit_places = [place for place, is_fit in zip(roles.order, roles.for_fit.tolist(), strict=True) if is_fit]
    reason = _not_better(counts[fit_places], single[fit_places])
    if reason:  # which was decided on these images: they must not serve for the threshold now
        kept_apart = replace(request, score=SINGLE, fit_share=request.share_to_fit, set_apart=True)
        return ScoreCounts(single, kept_apart, note=reason)
    return ScoreCounts(counts, request, final)


def sample_images(
    images: Images, seed: int, on_image: Callable[[int], None] = lambda done: None
) -> tuple[Tensor, PixelSamples]:
    """Every image counted by the single score, and some of its valid pixels with all features, drawn with replacement.

    Returns:
        (n, C, NUM_BINS, 2) int32, and the samples; those of an image without a valid pixel mean nothing.
    """
    number = min(MAX_PIXELS_OF_IMAGE, MAX_SAMPLED_PIXELS // len(images) + 1)
    counts, features, is_wrong = [], [], []
    for place, pixels in enumerate(images):
        counts.append(pixels.count(SCORES[SINGLE](pixels.probabilities)))
        places = pixels.valid.flatten().nonzero().flatten()
        generator = torch.Generator().manual_seed(seed + place)
        drawn = torch.randint(max(len(places), 1), (number,), generator=generator).to(places.device)
        chosen = places[drawn] if len(places) else drawn
        maps = score_features(pixels.probabilities, pixels.predicted)[0].flatten(1)  # (F, P)
        features.append(maps[:, chosen].T.cpu())
        is_wrong.append(pixels.error.flatten()[chosen].cpu())
        on_image(place + 1)
    return torch.stack(counts), PixelSamples(torch.stack(features), torch.stack(is_wrong))


def cross_fit(
    samples: PixelSamples, roles: ImageRoles, num_classes: int, seed: int
) -> tuple[dict[int, CombinedScore], CombinedScore]:
    """One score for each image to fit on, which learned from other blocks, and one for all others.

    Args:
        samples: of all images, in their own order.
        roles: which of them are fitted on.
        num_classes: C.
        seed: of the fits.

    Returns:
        place of an image that was fitted on -> its score; the score that learned from all of these.
    """
    places = torch.tensor(roles.order)[roles.for_fit]
    fold = folds([name for name, is_fit in zip(roles.blocks, roles.for_fit.tolist(), strict=True) if is_fit])
    scores: dict[int, CombinedScore] = {}
    for number in range(int(fold.max()) + 1):
        score = fit_combined(samples.of(places[fold != number]), num_classes, seed)
        scores.update(dict.fromkeys(places[fold == number].tolist(), score))
    return scores, fit_combined(samples.of(places), num_classes, seed)


def count_cross_fitted(
    images: Images,
    roles: ImageRoles,
    scores: Mapping[int, CombinedScore],
    final: CombinedScore,
    on_image: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """(n, C, NUM_BINS, 2) int32, every usable image counted by the score that `cross_fit` has for it."""
    counts: dict[int, Tensor] = {}
    for done, place in enumerate(roles.order, start=1):
        pixels = images[place]
        score = scores.get(place, final)
        counts[place] = pixels.count(score_of(COMBINED, score, pixels.probabilities, pixels.predicted))
        on_image(done)
    nothing = torch.zeros_like(next(iter(counts.values())))
    return torch.stack([counts.get(place, nothing) for place in range(len(images))])


def _too_few(roles: ImageRoles) -> str:
    fit_images = int(roles.for_fit.sum())
    blocks = {name for name, is_fit in zip(roles.blocks, roles.for_fit.tolist(), strict=True) if is_fit}
    if roles.is_set_apart and fit_images >= MIN_FIT_IMAGES and len(blocks) > 1:
        return ""
    found = f"{fit_images} images in {len(blocks)} blocks" if roles.is_set_apart else "none that can be set apart"
    return (
        f"The score is {SINGLE}: the combined score needs {MIN_FIT_IMAGES} images in 2 blocks or more to be fitted on, "
        f"beside those of the threshold, and here are {found}."
    )


def _not_better(combined: Tensor, single: Tensor) -> str:
    """Compare both scores on images that neither of them, nor its curve, was fitted on."""
    ours, theirs = (min(choose_curves(counts).held_out_loss.values()) for counts in (combined, single))
    if ours < theirs:
        return ""
    return (
        f"The score is {SINGLE}: on images that were left out, the combined score told errors no better (log loss "
        f"{ours:.4f}, {SINGLE} {theirs:.4f})."
    )
