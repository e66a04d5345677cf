"""Which held-out images a calibration fits its curves on, and which ones choose the threshold: by their names alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from datasets.frames import BLOCK_FRAMES, NUMBERED, FrameRule, frame_blocks, set_apart

Unit = Literal["image", "block"]

MIN_UNITS_TO_SET_APART, MIN_UNITS_COMBINED = 10, 4
"""From so many units on, curves and threshold come from different images; always so with a combined score. Ours."""

FIT_SHARE, FIT_SHARE_COMBINED = 0.25, 0.5
"""Of the images. A network takes more of them than curves do: half of CamVid's held-out frames taught it to rank other
recordings, a quarter of them, from three recordings, did not."""


@dataclass(frozen=True)
class SplitRule:
    """How held-out images are divided.

    Attributes:
        fit_share: share of them that is fitted on, between 0 and 1.
        min_units: with fewer units, all images serve for both.
        unit: what is exchangeable; auto takes blocks where pictures are frames of recordings, else images.
        frames: what a frame is.
        block_frames: frames of a block.
        seed: of the choice.
    """

    fit_share: float = FIT_SHARE
    min_units: int = MIN_UNITS_TO_SET_APART
    unit: Literal["auto", "image", "block"] = "auto"
    frames: FrameRule = NUMBERED
    block_frames: int = BLOCK_FRAMES
    seed: int = 0

    @staticmethod
    def usual(is_combined: bool, frames: FrameRule) -> "SplitRule":
        """What a calibration does that was asked for nothing else, by a combined score or by another one."""
        if is_combined:
            return SplitRule(FIT_SHARE_COMBINED, MIN_UNITS_COMBINED, frames=frames)
        return SplitRule(frames=frames)


@dataclass(frozen=True)
class CalibrationSplit:
    """Which image serves for what.

    Attributes:
        block_of: id -> name of its block.
        for_fit: ids that are fitted on; all of them where `is_set_apart` is False.
        unit: image or block.
        is_set_apart: whether the threshold is chosen on the others.
    """

    block_of: dict[str, str]
    for_fit: frozenset[str]
    unit: Unit
    is_set_apart: bool

    @property
    def units(self) -> int:
        """Of all images."""
        return self._count(set(self.block_of))

    @property
    def threshold_units(self) -> int:
        """Those that the threshold is chosen on: the n of the promise."""
        return self._count(set(self.block_of) - self.for_fit if self.is_set_apart else set(self.block_of))

    def _count(self, names: set[str]) -> int:
        return len(names if self.unit == "image" else {self.block_of[name] for name in names})


def split_for_calibration(sample_ids: Sequence[str], rule: SplitRule) -> CalibrationSplit:
    """Divide images that have a labeled pixel.

    Args:
        sample_ids: at least one.
        rule: how.
    """
    block_of = frame_blocks(sample_ids, rule.block_frames, rule.frames)
    unit = _resolve_unit(rule.unit, block_of)
    is_set_apart = len(block_of if unit == "image" else set(block_of.values())) >= rule.min_units
    names = set_apart(sample_ids, rule.fit_share, rule.seed, rule.frames) if is_set_apart else sample_ids
    return CalibrationSplit(block_of, frozenset(names), unit, is_set_apart)


def _resolve_unit(unit: Literal["auto", "image", "block"], block_of: dict[str, str]) -> Unit:
    """Frames of one recording are wrong together: they count as blocks wherever there is a block of several."""
    if unit != "auto":
        return unit
    return "block" if len(set(block_of.values())) < len(block_of) else "image"
