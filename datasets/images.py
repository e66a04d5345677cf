"""Pictures and labels as arrays. Whatever cannot be read exactly is refused with a ValueError that names the file.

How each kind of picture becomes 8-bit RGB:

- EXIF orientation is applied: rows and columns are those that people see.
- Transparency is composited on black, so that colours nobody sees stay unseen; a warning is logged.
- 16 bits per channel: round(value / 257), which maps 0..65535 onto 0..255.
- CMYK: through the embedded ICC profile, else by Pillow's formula; JPEGs in Adobe's inverted order are read right.
- Grayscale and 1-bit: three equal channels. RGB with an ICC profile: the stored numbers, unconverted.

Labels are ids, not colours: palette images keep their indices, and nothing lossy is accepted.
"""

import io
import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from datasets.decoding import DEFAULT_LIMITS, DecodedFile, ImageLimits, decode_file, read_bytes, refusal
from datasets.label_colors import label_from_colors, refuse_contradicting_palette
from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray

logger = logging.getLogger(__name__)

_LABEL_KINDS = ("PNG", "TIFF", "BMP")
_WIDE_GRAY_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_PLAIN_MODES = ("1", "L", "P", "RGB", "RGBX", "YCbCr")
# Pillow stretches 2- and 4-bit gray to 0..255; for ids that is undone.
_STEP_OF_RAW_MODE = {"1": 1, "L": 1, "L;2": 85, "L;4": 17}
_SAVE_AS_IDS = "Save class ids as an 8-bit grayscale PNG."


@dataclass(frozen=True)
class UprightImage:
    """A decoded picture and how its file stored it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        stored_orientation: EXIF orientation of the file, 1 to 8; 1 is upright.
    """

    pixels: NDArray[np.uint8]
    stored_orientation: int


def decode_image(data: bytes, source: str, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Decode a picture held in memory.

    Args:
        data: the file's bytes.
        source: names the file in errors.
        limits: checked before anything is decoded.

    Returns:
        (H, W, 3) uint8 RGB, upright, by the rules at the top of this module.

    Raises:
        ValueError: empty, too large, unknown type, animated, damaged, or a pixel format that has no exact reading.
    """
    return decode_upright(data, source, limits).pixels


def read_image(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Decode a picture file; see `decode_image`.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: as `decode_image`.
    """
    return decode_image(read_bytes(path, limits), str(path), limits)


def decode_upright(data: bytes, source: str, limits: ImageLimits = DEFAULT_LIMITS) -> UprightImage:
    """`decode_image` that also says how the file was stored."""
    file = decode_file(data, source, limits)
    pixels = _turned(_rgb_pixels(file, data, source), file.orientation)
    return UprightImage(pixels, file.stored_orientation)


def read_label(path: Path, class_set: ClassSet | None, limits: ImageLimits = DEFAULT_LIMITS) -> LabelArray:
    """Read a mask of class ids.

    Palette masks keep their ids, whatever the colours. A coloured (RGB) mask is converted only when all its colours
    are those of the class set, black being void. An EXIF orientation in the mask itself is applied; the image's is not.

    Args:
        path: PNG, TIFF or BMP with one channel of ids, or with class colours.
        class_set: ids are checked against it; None leaves them unchecked, and coloured masks are refused.
        limits: checked before anything is decoded.

    Returns:
        (H, W) uint8 class ids and IGNORE_INDEX.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: damaged, lossy, coloured otherwise, or an id that is no class; names the file.
    """
    source = str(path)
    file = decode_file(read_bytes(path, limits), source, limits)
    if file.kind not in _LABEL_KINDS:
        raise refusal(source, f"is a {file.kind} file; masks must be lossless", _SAVE_AS_IDS)
    label = _turned(_ids(file, class_set, source), file.orientation)
    if class_set is not None:
        class_set.check_label(label, source)
        if file.image.mode == "P":
            refuse_contradicting_palette(_palette(file.image), label, class_set, source)
    return label


def read_plane(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Read an 8-bit grayscale PNG exactly as `encode_plane_png` wrote it: provenance codes, weights, ids.

    Returns:
        (H, W) uint8.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: anything but an 8-bit grayscale PNG; names the file.
    """
    source = str(path)
    file = decode_file(read_bytes(path, limits), source, limits)
    if (file.kind, file.image.mode, file.raw_mode, file.orientation) != ("PNG", "L", "L", 1):
        raise refusal(
            source, f"is {file.kind} with {file.raw_mode} samples, not an 8-bit grayscale PNG", "Write the file again."
        )
    return np.array(file.image)


def encode_plane_png(plane: NDArray[np.uint8]) -> bytes:
    """Lossless 8-bit grayscale PNG of ids, provenance codes or weights; `read_plane` gives the same array back.

    Args:
        plane: (H, W) uint8, at least one pixel.

    Raises:
        ValueError: another shape or type.
    """
    if plane.ndim != 2 or plane.dtype != np.uint8 or plane.size == 0:
        raise ValueError(f"a plane must be (height, width) uint8 and not empty, got {plane.shape} {plane.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(buffer, "PNG")
    return buffer.getvalue()


def _rgb_pixels(file: DecodedFile, data: bytes, source: str) -> NDArray[np.uint8]:
    image = file.image
    if image.mode == "CMYK":  # of 16 bits, too: Pillow takes the high byte, far finer than the conversion is exact
        return np.array(_rgb_from_cmyk(image, source))
    if ";16" in file.raw_mode and image.mode in ("RGB", "RGBA"):
        return _rgb_from_16_bit_color(file, data, source)
    if image.mode in _WIDE_GRAY_MODES:
        return np.repeat(_to_8_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.has_transparency_data:
        return _on_black(np.array(image.convert("RGBA")), source)
    if image.mode in _PLAIN_MODES:
        return np.array(image.convert("RGB"))
    raise refusal(
        source, f"has pixels of type {file.raw_mode}, which have no exact 8-bit reading", "Save it as 8- or 16-bit RGB."
    )


def _rgb_from_16_bit_color(file: DecodedFile, data: bytes, source: str) -> NDArray[np.uint8]:
    """Pillow keeps only the high byte of colour, so OpenCV reads these (as BGR)."""
    has_alpha = file.image.mode == "RGBA"
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgr is None or bgr.dtype != np.uint16 or bgr.shape != (*file.image.size[::-1], 4 if has_alpha else 3):
        raise refusal(source, f"has 16-bit samples ({file.raw_mode}) that cannot be read", "Save it as PNG.")
    pixels = _to_8_bits(bgr[..., [2, 1, 0, 3] if has_alpha else [2, 1, 0]])
    return _on_black(pixels, source) if has_alpha else pixels


def _to_8_bits(samples: NDArray[np.generic]) -> NDArray[np.uint8]:
    """round(value / 257), exactly."""
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _rgb_from_cmyk(image: Image.Image, source: str) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError) as error:
            logger.warning("%s: its CMYK colour profile cannot be used (%s); colours are approximate", source, error)
    return image.convert("RGB")


def _on_black(rgba: NDArray[np.uint8], source: str) -> NDArray[np.uint8]:
    """Colour times alpha, rounded: (H, W, 4) -> (H, W, 3)."""
    alpha = rgba[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    logger.warning("%s is partly transparent; it is read as seen on a black background", source)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Upright copy of stored rows and columns. Source: EXIF 2.32, tag 0x0112."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _ids(file: DecodedFile, class_set: ClassSet | None, source: str) -> LabelArray:
    image = file.image
    if image.mode == "P":
        return np.array(image)
    if image.mode in ("RGB", "RGBA", "LA"):
        return _ids_from_channels(file, class_set, source)
    if image.mode in (*_WIDE_GRAY_MODES, "I"):
        return _ids_from_wide(np.asarray(image), source)
    step = _STEP_OF_RAW_MODE.get(file.raw_mode)
    if image.mode not in ("1", "L") or step is None:
        raise refusal(source, f"has pixels of type {file.raw_mode}, which are not class ids", _SAVE_AS_IDS)
    return np.array(image, dtype=np.uint8) // np.uint8(step)


def _ids_from_channels(file: DecodedFile, class_set: ClassSet | None, source: str) -> LabelArray:
    pixels = np.array(file.image)
    if ";16" in file.raw_mode:
        raise refusal(source, "is a coloured mask with 16 bits per channel", _SAVE_AS_IDS)
    if file.image.mode != "RGB" and pixels[..., -1].min() != 255:
        raise refusal(source, "is a partly transparent mask", _SAVE_AS_IDS)
    if file.image.mode == "LA":
        return np.ascontiguousarray(pixels[..., 0])
    if class_set is None:
        raise refusal(
            source,
            "is a coloured mask, and no class list says what its colours mean",
            f"{_SAVE_AS_IDS} Or add a classes.json with these colours.",
        )
    label = label_from_colors(np.ascontiguousarray(pixels[..., :3]), class_set, source)
    if (label == IGNORE_INDEX).all():
        raise refusal(source, "is a coloured mask that is black everywhere: class 0 or void?", _SAVE_AS_IDS)
    return label


def _ids_from_wide(values: NDArray[np.generic], source: str) -> LabelArray:
    if int(values.max()) > IGNORE_INDEX or int(values.min()) < 0:
        raise refusal(
            source,
            f"contains ids from {values.min()} to {values.max()}, but ids end at {IGNORE_INDEX} (void)",
            "Renumber the classes from 0, and save an 8-bit grayscale PNG.",
        )
    return values.astype(np.uint8)


def _palette(image: Image.Image) -> dict[int, tuple[int, int, int]]:
    flat = image.getpalette("RGB") or []
    return {index: (flat[3 * index], flat[3 * index + 1], flat[3 * index + 2]) for index in range(len(flat) // 3)}
