"""Weak and strong views, CutMix boxes and block masks, on the CPU with OpenCV.

Image, label, weight and valid of one crop always go through the same geometry.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.labels import IGNORE_INDEX, LabelArray
from datasets.sample import Image
from reliability.methods.csl import enlarge_cells
from training.batches.draws import HUE, Jitter, StrongDraw, blocks_of, draw_box, draw_masked, draw_strong
from training.batches.intensity import apply_intensity
from training.config import ViewConfig
from training.detector.boxes import BoxArray

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Geometry:
    """One random resize, crop and flip.

    Attributes:
        matrix: (2, 3) float64, pixel of the crop (x, y, 1) -> pixel of the source image.
        size_hw: of the crop.
    """

    matrix: NDArray[np.float64]
    size_hw: tuple[int, int]

    def of_image(self, image: Image) -> Image:
        """(h, w, 3) uint8, bilinear; outside the source is black, which does not bleed into the border pixels."""
        warped = np.asarray(self._warp(image, cv2.INTER_LINEAR, None), np.uint8)
        return _black_outside(warped, self.inside(image.shape[:2]))

    def inside(self, source_hw: tuple[int, ...]) -> Mask:
        """(h, w) bool, False on padding."""
        return self.of_mask(np.ones(source_hw, bool))

    def of_label(self, label: LabelArray) -> LabelArray:
        """(h, w) uint8, nearest; outside the source is IGNORE_INDEX."""
        return np.asarray(self._warp(label, cv2.INTER_NEAREST, IGNORE_INDEX), np.uint8)

    def of_weight(self, weight: Plane) -> Plane:
        """(h, w) float32, nearest; outside the source is 0."""
        return np.asarray(self._warp(weight, cv2.INTER_NEAREST, 0), np.float32)

    def of_mask(self, mask: Mask) -> Mask:
        """(h, w) bool, nearest; outside the source is False."""
        return np.asarray(self._warp(mask.astype(np.uint8), cv2.INTER_NEAREST, 0), np.uint8).astype(bool)

    def of_boxes(self, boxes: BoxArray) -> BoxArray:
        """(B', 5), cut to the crop; boxes without a pixel in it are left out.

        A pixel of the crop is inside if its center is, as in `of_mask`: drawing the moved box gives the moved drawing.
        """
        height, width = self.size_hw
        offset, step = self.matrix[[0, 1], 2], self.matrix[[0, 1], [0, 1]]
        one, other = (boxes[:, :2] - 0.5 - offset) / step, (boxes[:, 2:4] + 0.5 - offset) / step  # outer edges, (B, 2)
        first = np.maximum(np.ceil(np.minimum(one, other)), 0)
        last = np.minimum(np.ceil(np.maximum(one, other)) - 1, (width - 1, height - 1))
        visible = (first <= last).all(axis=1)
        moved = np.column_stack([first, last, boxes[:, 4]])
        return np.asarray(moved[visible], np.float32)

    def _warp(self, plane: Image | Plane, interpolation: int, border: int | None) -> NDArray[Any]:
        """Resample; beyond the border lies `border`, or for None the nearest pixel."""
        height, width = self.size_hw
        mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
        return cv2.warpAffine(
            plane, self.matrix, (width, height), flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=mode, borderValue=(border or 0,) * 3,
        )  # fmt: skip


def draw_geometry(rng: np.random.Generator, source_hw: tuple[int, int], views: ViewConfig) -> Geometry:
    """Resize by a uniform factor, crop at a uniform place, flip with `views.flip_probability`.

    An image smaller than the crop after resizing lies in the crop's upper left corner; the rest is padding.

    Source: UniMatch, released transforms (resize by the long side, pad right and below, random crop, flip).
    """
    height, width = views.crop_hw
    scale = rng.uniform(*views.scale_range)
    scaled_hw = tuple(max(1, round(side * scale)) for side in source_hw)
    top = int(rng.integers(0, max(0, scaled_hw[0] - height) + 1))
    left = int(rng.integers(0, max(0, scaled_hw[1] - width) + 1))
    step_y, step_x = source_hw[0] / scaled_hw[0], source_hw[1] / scaled_hw[1]
    offset_y, offset_x = (top + 0.5) * step_y - 0.5, (left + 0.5) * step_x - 0.5  # pixel centers
    if rng.random() < views.flip_probability:
        offset_x, step_x = offset_x + (width - 1) * step_x, -step_x
    matrix = np.array([[step_x, 0.0, offset_x], [0.0, step_y, offset_y]])
    return Geometry(matrix, (height, width))


def strong_view(rng: np.random.Generator, weak: Image, valid: Mask, views: ViewConfig) -> Image:
    """Colour jitter, gray, blur; padding stays black; see `draws.draw_strong`."""
    return render_strong(draw_strong(rng, views), weak, valid)


def masked_view(rng: np.random.Generator, weak: Image, valid: Mask, views: ViewConfig) -> tuple[Image, Mask]:
    """The view of `draws.draw_masked` and its (h, w) block mask, True where a trusted pixel is hidden."""
    draw = draw_masked(rng, views)
    return render_strong(draw, weak, valid), block_mask(draw, views)


def cutmix_box(rng: np.random.Generator, views: ViewConfig) -> Mask:
    """(h, w) bool, True inside one box, or nowhere; see `draws.draw_box`."""
    return paste_mask(StrongDraw(box=draw_box(rng, views)), views)


def render_strong(draw: StrongDraw, weak: Image, valid: Mask) -> Image:
    """The colors of one strong view; padding stays black."""
    image = weak if draw.jitter is None else _jittered(draw.jitter, weak)
    if draw.is_gray:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if draw.blur_sigma is not None:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), draw.blur_sigma), np.uint8)
    image = apply_intensity(draw.intensity, image)
    return _black_outside(image, valid)


def paste_mask(draw: StrongDraw, views: ViewConfig) -> Mask:
    """(h, w) bool, True inside the draw's box."""
    mask = np.zeros(views.crop_hw, bool)
    if draw.box is not None:
        top, left, height, width = draw.box
        mask[top : top + height, left : left + width] = True
    return mask


def block_mask(draw: StrongDraw, views: ViewConfig) -> Mask:
    """(h, w) bool, True where the draw hides trusted pixels."""
    if draw.block_seed is None:
        return np.zeros(views.crop_hw, bool)
    return np.asarray(enlarge_cells(blocks_of(draw.block_seed, views), views.crop_hw).numpy(), bool)


def _black_outside(image: Image, valid: Mask) -> Image:
    if valid.all():
        return image
    return np.where(valid[..., None], image, np.uint8(0))


def _jittered(jitter: Jitter, image: Image) -> Image:
    for operation in jitter.order:
        if operation == HUE:
            image = _hue_turned(image, jitter.turn)
        else:
            image = _scaled(image, jitter.factors[operation], ("brightness", "contrast", "saturation")[operation])
    return image


def _scaled(image: Image, factor: float, what: str) -> Image:
    """factor * image + (1 - factor) * reference, the reference being black, the mean gray or the gray image."""
    if what == "brightness":
        return np.asarray(cv2.convertScaleAbs(image, alpha=factor), np.uint8)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if what == "contrast":
        levels = np.arange(256) * factor + (1 - factor) * float(gray.mean())
        return np.asarray(cv2.LUT(image, np.clip(levels, 0, 255).round().astype(np.uint8)), np.uint8)
    return np.asarray(cv2.addWeighted(image, factor, cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), 1 - factor, 0), np.uint8)


def _hue_turned(image: Image, turn: float) -> Image:
    """Hue moved by `turn` of a full circle; OpenCV's 8-bit full-range hue has 256 steps."""
    shift = round(turn * 256)
    if shift == 0:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(shift % 256)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)
