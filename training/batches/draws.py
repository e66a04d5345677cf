"""The random numbers behind strong views: drawn here once, applied by opencv_views.py or device_views.py.

Everything is a function of the generator and the configuration alone, never of pixels, so both renderers make the same
view from the same draw. The order of the calls is part of the seeded contract: a run is repeated by drawing again.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from reliability.methods.csl import block_cells
from training.batches.intensity import IntensityStep, draw_intensity
from training.config import ViewConfig

RECIPES = ("plain", "cutmix", "masked", "random_intensity")
"""Strong views a host may ask for: recolored; recolored with a box to paste; CSL's view with blocks to hide; AugSeg's
random intensity."""

HUE = 3
"""Position of the hue among the operations of `Jitter.order`; the first three are brightness, contrast, saturation."""


@dataclass(frozen=True)
class Jitter:
    """Color jitter as torchvision's ColorJitter defines it.

    Attributes:
        factors: of brightness, contrast and saturation; 1 changes nothing.
        turn: of the hue, as a share of the full circle.
        order: the four operations in the order in which they are applied.
    """

    factors: tuple[float, float, float]
    turn: float
    order: tuple[int, ...]


@dataclass(frozen=True)
class StrongDraw:
    """What is done to one strong view.

    Attributes:
        jitter: None leaves the colors.
        is_gray: whether color is removed after the jitter.
        blur_sigma: of a Gaussian blur, pixels; None for none.
        box: top, left, height and width of the pasted box, pixels; None pastes nothing.
        block_seed: of the block mask, see `blocks_of`; None hides nothing.
        intensity: AugSeg's changes, instead of jitter, gray and blur.
    """

    jitter: Jitter | None = None
    is_gray: bool = False
    blur_sigma: float | None = None
    box: tuple[int, int, int, int] | None = None
    block_seed: int | None = None
    intensity: tuple[IntensityStep, ...] = ()


def draw_view(rng: np.random.Generator, views: ViewConfig, recipe: str) -> StrongDraw:
    """What one of RECIPES does to one view."""
    if recipe == "masked":
        return draw_masked(rng, views)
    if recipe == "random_intensity":
        return StrongDraw(intensity=draw_intensity(rng))
    draw = draw_strong(rng, views)
    return replace(draw, box=draw_box(rng, views)) if recipe == "cutmix" else draw


def draw_strong(rng: np.random.Generator, views: ViewConfig) -> StrongDraw:
    """Color jitter, gray, blur. Source: UniMatch, released code."""
    jitter = draw_jitter(rng, views.jitter_probability, views.jitter)
    is_gray = bool(rng.random() < views.gray_probability)
    return StrongDraw(jitter, is_gray, draw_blur(rng, views))


def draw_masked(rng: np.random.Generator, views: ViewConfig) -> StrongDraw:
    """One of two with equal chance: mild jitter and blur with a block mask, or the strong recipe without one.

    Source: CSL, released code.
    """
    if rng.random() < 0.5:
        return draw_strong(rng, views)
    jitter = draw_jitter(rng, views.jitter_probability, views.mild_jitter)
    blur_sigma = draw_blur(rng, views)
    return StrongDraw(jitter, blur_sigma=blur_sigma, block_seed=int(rng.integers(2**62)))


def draw_jitter(
    rng: np.random.Generator, probability: float, strength: tuple[float, float, float, float]
) -> Jitter | None:
    """Factors within 1 - limit to 1 + limit, a turn within -hue to hue, and a random order."""
    if rng.random() >= probability:
        return None
    *limits, hue = strength
    brightness, contrast, saturation = (float(rng.uniform(1 - limit, 1 + limit)) for limit in limits)
    turn = float(rng.uniform(-hue, hue))
    return Jitter((brightness, contrast, saturation), turn, tuple(int(step) for step in rng.permutation(4)))


def draw_blur(rng: np.random.Generator, views: ViewConfig) -> float | None:
    """Sigma of a blur in pixels, or None with chance 1 - `views.blur_probability`."""
    return None if rng.random() >= views.blur_probability else float(rng.uniform(*views.blur_sigma))


def draw_box(rng: np.random.Generator, views: ViewConfig) -> tuple[int, int, int, int] | None:
    """Top, left, height and width of one box, or None with chance 1 - `views.cutmix_probability`.

    Area share and height/width are drawn uniformly as in UniMatch's released code. A box that is longer than the crop
    is cut to it, and its place is drawn among those that fit, where the released code draws again until one fits.
    """
    height, width = views.crop_hw
    if rng.random() >= views.cutmix_probability:
        return None
    area = rng.uniform(*views.cutmix_area) * height * width
    aspect = rng.uniform(*views.cutmix_aspect)
    box_height = int(np.clip(round(np.sqrt(area * aspect)), 1, height))
    box_width = int(np.clip(round(np.sqrt(area / aspect)), 1, width))
    top = int(rng.integers(0, height - box_height + 1))
    left = int(rng.integers(0, width - box_width + 1))
    return top, left, box_height, box_width


def blocks_of(block_seed: int, views: ViewConfig) -> Tensor:
    """The cells of a block mask, (rows, columns) bool on the CPU; `enlarge_cells` makes pixels of them."""
    generator = torch.Generator().manual_seed(block_seed)
    return block_cells(views.crop_hw, views.block_px, views.block_cover, generator)
