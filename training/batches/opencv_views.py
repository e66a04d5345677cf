"""Colors of strong views, CutMix boxes and block masks, on the CPU with OpenCV."""

import cv2
import numpy as np

from datasets.sample import Image
from reliability.methods.csl import enlarge_cells
from training.batches.draws import HUE, Jitter, StrongDraw, blocks_of
from training.batches.geometry import Mask, black_outside
from training.batches.intensity import apply_intensity
from training.config import ViewConfig


def render_strong(draw: StrongDraw, weak: Image, valid: Mask) -> Image:
    """The colors of one strong view; padding stays black."""
    image = weak if draw.jitter is None else _jittered(draw.jitter, weak)
    if draw.is_gray:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if draw.blur_sigma is not None:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), draw.blur_sigma), np.uint8)
    image = apply_intensity(draw.intensity, image)
    return black_outside(image, valid)


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
