"""A batch before anything is rendered: a few numbers per crop, which travel to the device instead of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.batches.draws import HUE, StrongDraw, blocks_of
from training.batches.geometry import Geometry
from training.config import ViewConfig

DEVICE_RECIPES = ("plain", "cutmix", "masked")
"""The recipes of draws.RECIPES that can be rendered on a device. AugSeg's random intensity equalizes and posterizes
8-bit pictures, which is left to OpenCV."""


@dataclass(frozen=True)
class DrawnCrops:
    """Where N crops are cut out.

    Attributes:
        item: (N,) int64, of the pool.
        step, offset: (N, 2) float32, along y and x: pixel k of the crop lies at offset + k * step in the source.
    """

    item: Tensor
    step: Tensor
    offset: Tensor


@dataclass(frozen=True)
class DrawnHue:
    """Which images turn their hue at the same place of their order.

    Attributes:
        rows: (n,) int64.
        turn: (n,) float32, in sixths of the circle.
    """

    rows: Tensor
    turn: Tensor


@dataclass(frozen=True)
class DrawnBlur:
    """Which images are blurred.

    Attributes:
        rows: (n,) int64.
        kernels: (n, K) float32, K odd, each adding up to 1.
    """

    rows: Tensor
    kernels: Tensor


@dataclass(frozen=True)
class DrawnView:
    """One strong view of N crops.

    The jitter runs in four rounds; an image does its own operation in each. Brightness, contrast and saturation are one
    formula, factor * image + (1 - factor) * reference, whose reference is black, the mean gray or the gray image.

    Attributes:
        factor: (4, N) float32.
        mean_share, gray_share: (4, N) float32, how much of the reference is the mean gray and how much the gray image.
        hue: what turns after each of the four rounds, None where nothing does.
        is_gray: (N,) bool.
        blur: None when no image is blurred.
        box: (N, 4) int64, top, left, bottom and right, the latter two outside; zeros without a box.
        cells: (N, rows, columns) bool, the hidden blocks.
    """

    factor: Tensor
    mean_share: Tensor
    gray_share: Tensor
    hue: tuple[DrawnHue | None, ...]
    is_gray: Tensor
    blur: DrawnBlur | None
    box: Tensor
    cells: Tensor


@dataclass(frozen=True)
class DrawnUnlabeled:
    """The unlabeled part; `partner` and `boxes` as in step.UnlabeledBatch."""

    crops: DrawnCrops
    views: tuple[DrawnView, ...]
    partner: Tensor
    boxes: Tensor | None = None


@dataclass(frozen=True)
class DrawnBatch:
    """Everything one step looks at, not rendered yet."""

    labeled: DrawnCrops
    unlabeled: DrawnUnlabeled | None


def drawn_crops(items: Sequence[int], geometries: Sequence[Geometry]) -> DrawnCrops:
    """Geometries as tensors; they resize, shift and mirror, so that rows and columns are independent."""
    matrices = np.stack([geometry.matrix for geometry in geometries])
    assert not matrices[:, [0, 1], [1, 0]].any(), "a geometry that shears or rotates"
    return DrawnCrops(
        torch.tensor(items),
        step=torch.from_numpy(matrices[:, [1, 0], [1, 0]].astype(np.float32)),
        offset=torch.from_numpy(matrices[:, [1, 0], 2].astype(np.float32)),
    )


def drawn_view(draws: Sequence[StrongDraw], views: ViewConfig) -> DrawnView:
    """The draws of one strong view of N crops as tensors."""
    factor, mean_share, gray_share = np.ones((4, len(draws))), np.zeros((4, len(draws))), np.zeros((4, len(draws)))
    turning: tuple[dict[int, float], ...] = ({}, {}, {}, {})
    for row, draw in enumerate(draws):
        if draw.jitter is None:
            continue
        for turn, operation in enumerate(draw.jitter.order):
            if operation == HUE:
                turning[turn][row] = round(draw.jitter.turn * 256) * 6 / 256  # OpenCV's 8-bit hue has 256 steps
                continue
            factor[turn, row] = draw.jitter.factors[operation]
            mean_share[turn, row], gray_share[turn, row] = operation == 1, operation == 2
    return DrawnView(
        factor=torch.from_numpy(factor.astype(np.float32)),
        mean_share=torch.from_numpy(mean_share.astype(np.float32)),
        gray_share=torch.from_numpy(gray_share.astype(np.float32)),
        hue=tuple(_drawn_hue(rows) for rows in turning),
        is_gray=torch.tensor([draw.is_gray for draw in draws]),
        blur=_drawn_blur(draws),
        box=torch.tensor([_corners(draw.box) for draw in draws]),
        cells=torch.stack([_cells(draw, views) for draw in draws]),
    )


def _drawn_hue(turns: dict[int, float]) -> DrawnHue | None:
    return DrawnHue(torch.tensor(list(turns)), torch.tensor(list(turns.values()))) if turns else None


def _corners(box: tuple[int, int, int, int] | None) -> tuple[int, int, int, int]:
    if box is None:
        return 0, 0, 0, 0
    top, left, height, width = box
    return top, left, top + height, left + width


def _cells(draw: StrongDraw, views: ViewConfig) -> Tensor:
    if draw.block_seed is None:
        return torch.zeros_like(blocks_of(0, views))  # never torch's own generator: a step runs in another thread
    return blocks_of(draw.block_seed, views)


def _drawn_blur(draws: Sequence[StrongDraw]) -> DrawnBlur | None:
    sigmas = {row: draw.blur_sigma for row, draw in enumerate(draws) if draw.blur_sigma is not None}
    if not sigmas:
        return None
    radius = max(map(blur_radius, sigmas.values()))
    kernels = np.stack([gaussian_kernel(sigma, radius) for sigma in sigmas.values()])
    return DrawnBlur(torch.tensor(list(sigmas)), torch.from_numpy(kernels))


def blur_radius(sigma: float) -> int:
    """Pixels to each side: OpenCV's choice for 8-bit images, three sigma to each side."""
    return (round(sigma * 6 + 1) | 1) // 2


def gaussian_kernel(sigma: float, radius: int) -> NDArray[np.float32]:
    """(2 radius + 1,) float32, adding up to 1; 0 beyond the sigma's own radius."""
    place = np.arange(-radius, radius + 1)
    kernel = np.where(np.abs(place) <= blur_radius(sigma), np.exp(-(place**2) / (2 * sigma**2)), 0)
    return np.asarray(kernel / kernel.sum(), np.float32)
