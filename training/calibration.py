"""What a calibration says, computed from counted pixels: plain values, no files, no student."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from datasets.calibration_split import (
    FIT_SHARE,
    FIT_SHARE_COMBINED,
    MIN_UNITS_COMBINED,
    MIN_UNITS_TO_SET_APART,
    SplitRule,
    Unit,
    split_for_calibration,
)
from datasets.frames import BLOCK_FRAMES, NUMBERED, FrameRule
from reliability.calibrated import COMBINED, NOTHING_RELIABLE
from reliability.calibration_quality import CalibrationQuality, calibration_quality
from reliability.combined_score import CombinedScore
from reliability.curve_choice import FittedCurves, choose_curves
from reliability.probability_curves import uncalibrated_curve
from reliability.risk_control import (
    LOSSES,
    THRESHOLDS,
    ReliablePixels,
    RiskControl,
    check_alpha,
    control_risk,
    losses_in_score_order,
    reliable_pixels,
    threshold_within,
    unit_means,
    units_needed,
)

MIN_IMAGES = 5
"""Fewer labeled images are not calibrated on: with four, nothing below 20 % can be promised."""

UNIT_WORDS: dict[Unit, str] = {"image": "images", "block": "blocks of frames"}

PROMISES = {
    "reliable": "of an image's pixels called reliable, at most {} are wrong",
    "image": "of all pixels of an image, at most {} are wrong and called reliable",
}
"""What each of `reliability.risk_control.LOSSES` is about."""


class CannotCalibrateError(ValueError):
    """These images do not serve: too few of them, or beside training frames. The message says which and what would."""


@dataclass(frozen=True)
class CalibrationRequest:
    """What a user may choose.

    Attributes:
        alpha: the error that is promised, between 0 and 1.
        risk: a name in `reliability.risk_control.LOSSES`: what the promise is about.
        unit: what is exchangeable; auto takes blocks where pictures are frames of recordings, else images.
        score: a name in `reliability.calibrated.SCORE_NAMES`.
        flip_average: probabilities are averaged over the picture and its mirror image.
        gap: frames between a training frame and a frame that is calibrated on.
        rule: what a frame is.
        block_frames: frames of a block.
        fit_share: share of the images that curves and the combined score are fitted on; the threshold is chosen on the
            others. None: FIT_SHARE, or FIT_SHARE_COMBINED for the combined score.
        set_apart: choose the threshold on other images than those that are fitted on even where there are few units; a
            combined score always does.
        seed: of the choice which images these are.
        accept_measured: let the threshold decide what is reliable even where nothing can be promised.

    Raises:
        ValueError: a value is out of range.
    """

    alpha: float = 0.01
    risk: str = "reliable"
    unit: Literal["auto", "image", "block"] = "auto"
    score: str = "confidence"
    flip_average: bool = False
    gap: int = 1
    rule: FrameRule = NUMBERED
    block_frames: int = BLOCK_FRAMES
    fit_share: float | None = None
    set_apart: bool = False
    seed: int = 0
    accept_measured: bool = False

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.gap < 0 or self.block_frames < 1 or not 0 < self.share_to_fit < 1:
            raise ValueError(
                "gap must be at least 0, block_frames at least 1 and fit_share between 0 and 1, got "
                f"{self.gap}, {self.block_frames} and {self.fit_share}"
            )

    @property
    def share_to_fit(self) -> float:
        """`fit_share`, or its default."""
        if self.fit_share is not None:
            return self.fit_share
        return FIT_SHARE_COMBINED if self.score == COMBINED else FIT_SHARE

    @property
    def split_rule(self) -> SplitRule:
        """Which images are fitted on, and which choose the threshold."""
        least = MIN_UNITS_COMBINED if self.set_apart or self.score == COMBINED else MIN_UNITS_TO_SET_APART
        return SplitRule(self.share_to_fit, least, self.unit, self.rule, self.block_frames, self.seed)


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold, and what can be said about it.

    Attributes:
        index: into THRESHOLDS; -1 calls nothing reliable.
        is_promised: the expected loss of a further unit is at most alpha. Otherwise the threshold only keeps the mean
            loss of these images at alpha.
        is_reachable: whether there are enough units for alpha at all.
        units: n.
        mean_loss: of the units at the threshold.
        bound: the expected loss that can be promised at the threshold.
        smallest_bound: the least that can be promised at any threshold that calls something reliable; None if all of
            them call nothing reliable.
        bounds: (L,) what could be promised at every threshold.
    """

    index: int
    is_promised: bool
    is_reachable: bool
    units: int
    mean_loss: float
    bound: float
    smallest_bound: float | None
    bounds: Tensor

    @property
    def value(self) -> float:
        """On the probability of being wrong, exactly as the graph compares it."""
        return NOTHING_RELIABLE if self.index < 0 else float(THRESHOLDS[self.index])


@dataclass(frozen=True)
class Calibration:
    """Everything that calibrating found.

    Attributes:
        request: as asked.
        unit: image or block.
        curves: probability of being wrong by class and score.
        threshold: with `unit` as the exchangeable unit.
        by_unit: the same for images and for blocks.
        pixels: what each threshold calls reliable on the images that it was chosen on.
        counts: (C, NUM_BINS, 2) right and wrong pixels of these images.
        before, after: quality of 1 - score and of the curves on these images.
        fit_images, threshold_images: how many served for what; the same ones where `is_set_apart` is False.
        is_set_apart: whether curves were fitted on other images than the threshold was chosen on.
        blocks: of all images.
        combined: the score itself, where it is the combined one.
        void_images: images that were left out because no pixel of theirs has a label.
        score_note: why it is another score than was asked for; empty otherwise.
    """

    request: CalibrationRequest
    unit: Unit
    curves: FittedCurves
    by_unit: dict[Unit, ChosenThreshold]
    pixels: ReliablePixels
    counts: Tensor
    before: CalibrationQuality
    after: CalibrationQuality
    fit_images: int
    threshold_images: int
    is_set_apart: bool
    blocks: int
    void_images: int = 0
    combined: CombinedScore | None = None
    score_note: str = ""

    @property
    def threshold(self) -> ChosenThreshold:
        """With the unit that counts."""
        return self.by_unit[self.unit]

    @property
    def decides(self) -> bool:
        """Whether the threshold says what an exported file calls reliable, in the place of its selection method."""
        return self.threshold.is_promised or self.request.accept_measured

    @property
    def coverage(self) -> float:
        """Share of the pixels that the threshold calls reliable, on the images that it was chosen on."""
        return 0.0 if self.threshold.index < 0 else float(self.pixels.coverage()[self.threshold.index])

    @property
    def error_rate(self) -> float | None:
        """Share of wrong pixels among them; None if there are none."""
        return float(self.pixels.error_rate()[self.threshold.index]) if self.coverage else None


@dataclass(frozen=True)
class ImageRoles:
    """Which images serve for what.

    Attributes:
        order: place of each usable image among all, in name order: neighboring frames beside each other.
        blocks: name of the block of each of these.
        for_fit: (len(order),) bool, fitted on; where `is_set_apart` is False these are all.
        unit: image or block.
        is_set_apart: whether the threshold is chosen on the others.
    """

    order: tuple[int, ...]
    blocks: tuple[str, ...]
    for_fit: Tensor
    unit: Unit
    is_set_apart: bool


def image_roles(counts: Tensor, sample_ids: Sequence[str], request: CalibrationRequest) -> ImageRoles:
    """Decide it by the names of the images alone, whatever their pixels say; those without a valid pixel are left out.

    Args:
        counts: (images, C, NUM_BINS, 2) by any score.
        sample_ids: of the images.
        request: what was asked for.

    Raises:
        CannotCalibrateError: fewer than MIN_IMAGES images have a valid pixel.
    """
    usable = sorted((name, index) for index, name in enumerate(sample_ids) if bool(counts[index].any()))
    if len(usable) < MIN_IMAGES:
        void = len(sample_ids) - len(usable)
        without = f", and {void} that are void everywhere" if void else ""
        raise CannotCalibrateError(
            f"calibrating needs at least {MIN_IMAGES} labeled images that were not trained on, got "
            f"{len(usable)}{without}; hold out more of them"
        )
    names = [name for name, _ in usable]
    split = split_for_calibration(names, request.split_rule)
    return ImageRoles(
        order=tuple(index for _, index in usable),
        blocks=tuple(split.block_of[name] for name in names),
        for_fit=torch.tensor([name in split.for_fit for name in names]),
        unit=split.unit,
        is_set_apart=split.is_set_apart,
    )


def calibrate_counts(counts: Tensor, sample_ids: Sequence[str], request: CalibrationRequest) -> Calibration:
    """Fit curves, choose the threshold and measure both.

    With enough units, curves are fitted on some blocks and the threshold is chosen on the others: the masks on offer
    are fixed before the threshold's images are looked at. With few units one curve for all classes is fitted on all
    images: it keeps the order by a score that never saw them, so a threshold within the bound stays within it.

    Args:
        counts: (images, C, NUM_BINS, 2) right and wrong pixels per image, see `reliability.score_bins.count_bins`.
        sample_ids: of the images.
        request: what was asked for.

    Raises:
        CannotCalibrateError: fewer than MIN_IMAGES images have a valid pixel.
    """
    roles = image_roles(counts, sample_ids, request)
    counts, for_fit = counts[list(roles.order)], roles.for_fit
    unit, is_set_apart = roles.unit, roles.is_set_apart
    for_threshold = ~for_fit if is_set_apart else for_fit
    curves = choose_curves(counts[for_fit], allow_per_class=is_set_apart)
    chosen = counts[for_threshold]
    pixels = reliable_pixels(chosen, curves.table)
    if is_set_apart:
        losses = LOSSES[request.risk](pixels)
    else:
        losses = losses_in_score_order(chosen, curves.table[0], request.risk)
    blocks = [name for name, is_chosen in zip(roles.blocks, for_threshold.tolist(), strict=True) if is_chosen]
    units: dict[Unit, Tensor] = {"image": losses, "block": unit_means(losses, _numbered(blocks))}
    total = chosen.sum(dim=0)
    return Calibration(
        request=request,
        unit=unit,
        curves=curves,
        by_unit={name: choose_threshold(each, request.alpha, pixels) for name, each in units.items()},
        pixels=pixels,
        counts=total,
        before=calibration_quality(total, uncalibrated_curve().expand(counts.shape[1], -1)),
        after=calibration_quality(total, curves.table),
        fit_images=int(for_fit.sum()),
        threshold_images=int(for_threshold.sum()),
        is_set_apart=is_set_apart,
        blocks=len(set(roles.blocks)),
        void_images=len(sample_ids) - len(roles.order),
    )


def choose_threshold(losses: Tensor, alpha: float, pixels: ReliablePixels) -> ChosenThreshold:
    """The largest threshold that can be promised; where there is none, the largest one that was measured within alpha.

    Args:
        losses: (n, L) per unit.
        alpha: promised expected loss.
        pixels: what each threshold calls reliable.
    """
    control: RiskControl = control_risk(losses, alpha)
    covers = pixels.reliable.sum(dim=0) > 0
    is_promised = control.index >= 0 and bool(covers[control.index])
    index = control.index if is_promised else threshold_within(losses, alpha)
    if index >= 0 and not bool(covers[index]):
        index = -1
    smallest = control.bounds[covers]
    return ChosenThreshold(
        index=index,
        is_promised=is_promised,
        is_reachable=control.is_reachable,
        units=len(losses),
        mean_loss=float(losses[:, index].mean()) if index >= 0 else 0.0,
        bound=float(control.bounds[index]) if index >= 0 else 1 / (len(losses) + 1),
        smallest_bound=float(smallest[0]) if len(smallest) else None,
        bounds=control.bounds,
    )


def _numbered(names: Sequence[str]) -> Tensor:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names])


def class_error_curves(calibration: Calibration) -> tuple[Tensor, Tensor, Tensor]:
    """Per predicted class and threshold: reliable pixels, wrong ones among them (both (C, L)), and all pixels (C,)."""
    by_class = calibration.counts.unsqueeze(1)  # a class in an image's place: (C, 1, NUM_BINS, 2)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for class_id, counts in enumerate(by_class):
        if not bool(counts.any()):
            nothing = torch.zeros(len(THRESHOLDS), dtype=torch.int64)
            parts.append((nothing, nothing, torch.tensor(0)))
            continue
        found = reliable_pixels(counts.unsqueeze(0), calibration.curves.table[class_id : class_id + 1])
        parts.append((found.reliable[0], found.wrong[0], found.valid[0]))
    reliable, wrong, pixels = zip(*parts, strict=True)
    return torch.stack(reliable), torch.stack(wrong), torch.stack(pixels)


def percent(share: float) -> str:
    """0.0123 -> 1.23 %, with as many digits as it takes to tell small ones apart."""
    value = 100 * share
    return f"{value:.3g} %" if value < 9.95 else f"{value:.1f} %"


def sentence(calibration: Calibration) -> str:
    """What a lead should know, in a few sentences."""
    return " ".join(part for part in (_promise(calibration), calibration.score_note) if part)


def _promise(calibration: Calibration) -> str:
    request, threshold = calibration.request, calibration.threshold
    alpha, unit = percent(request.alpha), UNIT_WORDS[calibration.unit]
    if threshold.is_promised:
        return (
            f"Promised for further images like these: {PROMISES[request.risk].format(alpha)}, on average over images "
            f"(conformal risk control over {threshold.units} {unit}). {_coverage_words(calibration)} Images of another "
            "kind are not covered by the promise."
        )
    if threshold.is_reachable:
        reason = f"the surest pixels of the {threshold.units} {unit} hold too many errors for it"
    else:
        needed = units_needed(request.alpha)
        reason = f"it takes at least {needed} {unit}, even without a single error; the number here is {threshold.units}"
        if calibration.is_set_apart:
            held_out = calibration.fit_images + calibration.threshold_images
            reason += f", because {calibration.fit_images} of the {held_out} held-out images fit the curves"
    if threshold.index < 0:
        found = "No threshold keeps even these images at it."
    else:
        found = (
            f"A threshold that keeps these images at {percent(threshold.mean_loss)}, as measured, has a bound of "
            f"{percent(threshold.bound)}. {_coverage_words(calibration)}"
        )
    if request.accept_measured:
        decides = "It decides all the same, as asked."
    else:
        decides = "So an exported file keeps the verdict of its selection method, about which nothing is promised."
    return f"No promise of {alpha}: {reason}. {found} {decides}"


def _coverage_words(calibration: Calibration) -> str:
    wrong = "none" if not calibration.error_rate else percent(calibration.error_rate)
    coverage = percent(calibration.coverage)
    return f"On these images the threshold calls {coverage} of the pixels reliable, {wrong} of them wrong."
