"""AugSeg's random intensity: one to three of eleven changes of color and sharpness, drawn with replacement.

Source: AugSeg (CVPR 2023, arXiv:2212.04976), released code at commit 7ead870, where Pillow applies them. Here they are
tables of 256 values and OpenCV filters that give what Pillow gives, within one step of rounding; hue has OpenCV's
256 steps and the blur is a true Gaussian, where Pillow approximates one by box filters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.sample import Image

Table = NDArray[np.uint8]

MOST_STEPS = 3  # released configurations
FACTORS = (0.05, 0.95)
"""Of contrast, brightness, color and sharpness. The released configurations leave the code's wider range switched off,
so these four only ever reduce."""
BLUR_SIGMA = (0.1, 2.0)
POSTERIZE_BITS = (4, 7)
SOLARIZE_FROM = (1, 255)
LARGEST_TURN = 0.5  # of the full circle of hues, either way


@dataclass(frozen=True)
class IntensityStep:
    """One change.

    Attributes:
        operation: a key of OPERATIONS.
        strength: blur: sigma in pixels; contrast, brightness, color, sharpness: factor, 1 changes nothing; posterize:
            bits kept; solarize: values from here on are inverted; hue: share of the full circle; others: unused.
    """

    operation: str
    strength: float = 0.0


def draw_intensity(rng: np.random.Generator) -> tuple[IntensityStep, ...]:
    """The changes of one view, in the order in which they are applied."""
    names = rng.choice(list(OPERATIONS), size=int(rng.integers(1, MOST_STEPS + 1)))
    return tuple(IntensityStep(str(name), _draw_strength(rng, str(name))) for name in names)


def _draw_strength(rng: np.random.Generator, operation: str) -> float:
    if operation in ("contrast", "brightness", "color", "sharpness"):
        return float(rng.uniform(*FACTORS))
    if operation == "blur":
        return float(rng.uniform(*BLUR_SIGMA))
    if operation == "posterize":
        return float(rng.integers(POSTERIZE_BITS[0], POSTERIZE_BITS[1] + 1))
    if operation == "solarize":
        return float(rng.integers(SOLARIZE_FROM[0], SOLARIZE_FROM[1] + 1))
    return float(rng.uniform(-LARGEST_TURN, LARGEST_TURN)) if operation == "hue" else 0.0


def apply_intensity(steps: tuple[IntensityStep, ...], image: Image) -> Image:
    """The changed (h, w, 3) RGB image; padding takes part in the statistics of a crop, as in the released code."""
    for step in steps:
        image = OPERATIONS[step.operation](image, step.strength)
    return image


def _identity(image: Image, _: float) -> Image:
    return image


def _autocontrast(image: Image, _: float) -> Image:
    """Each channel stretched to 0-255; one of a single value stays."""
    return _through_tables(image, [_stretch(channel) for channel in cv2.split(image)])


def _stretch(channel: NDArray[Any]) -> Table:
    low, high = int(channel.min()), int(channel.max())
    if high == low:
        return np.arange(256, dtype=np.uint8)
    scale = 255 / (high - low)
    return _clipped(np.arange(256) * scale - low * scale)


def _equalize(image: Image, _: float) -> Image:
    """Each channel's histogram flattened, with Pillow's rounding."""
    return _through_tables(image, [_flatten(channel) for channel in cv2.split(image)])


def _flatten(channel: NDArray[Any]) -> Table:
    counts = np.bincount(channel.ravel().astype(np.int64), minlength=256)
    last = counts[counts > 0][-1]
    step = (counts.sum() - last) // 255
    if step == 0:
        return np.arange(256, dtype=np.uint8)
    before = np.concatenate([[0], counts.cumsum()[:-1]])
    return _clipped((step // 2 + before) // step)


def _blur(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def _contrast(image: Image, factor: float) -> Image:
    """Towards the mean gray, a whole number as in Pillow."""
    mean = int(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean() + 0.5)
    return _through_tables(image, [_clipped(np.arange(256) * factor + mean * (1 - factor))] * 3)


def _brightness(image: Image, factor: float) -> Image:
    return _through_tables(image, [_clipped(np.arange(256) * factor)] * 3)


def _clipped(values: NDArray[Any]) -> Table:
    return np.asarray(np.clip(values, 0, 255), np.uint8)  # Pillow cuts fractions off, too


def _color(image: Image, factor: float) -> Image:
    """Towards the gray image."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(image, factor, gray, 1 - factor, 0), np.uint8)


def _sharpness(image: Image, factor: float) -> Image:
    """Towards Pillow's smoothed image (a 3x3 mean whose center counts 5 of 13), which leaves the border pixels."""
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    smooth = image.copy()
    smooth[1:-1, 1:-1] = cv2.filter2D(image, -1, kernel)[1:-1, 1:-1]
    return np.asarray(cv2.addWeighted(image, factor, smooth, 1 - factor, 0), np.uint8)


def _posterize(image: Image, bits: float) -> Image:
    return image & np.uint8(256 - 2 ** (8 - int(bits)))


def _solarize(image: Image, first: float) -> Image:
    return np.where(image < first, image, np.uint8(255) - image)


def _hue(image: Image, turn: float) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(turn * 256) % 256)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)


def _through_tables(image: Image, tables: list[Table]) -> Image:
    """Each channel looked up in its own table of 256 values."""
    return np.asarray(cv2.LUT(image, np.stack(tables, axis=1)[None]), np.uint8)


OPERATIONS: dict[str, Callable[[Image, float], Image]] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "color": _color,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "hue": _hue,
}
"""Name -> what it does to an (h, w, 3) uint8 image at a strength."""
