"""Opening a picture from untrusted bytes: every limit is checked on the header, before a pixel is decoded."""

import io
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

_READABLE_TYPES = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_PILLOW_LIMIT = 2 * 89_478_485  # Pillow refuses more than twice its own Image.MAX_IMAGE_PIXELS.
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ImageLimits:
    """What a picture may cost before it is decoded.

    The defaults admit a 60-megapixel camera and refuse what would fill the memory of a small machine: at 4 bytes a
    pixel, 64 million pixels are 256 MB.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width times height, at most 178,956,970 (Pillow's own limit).
        max_side: width and height, each.
    """

    max_bytes: int = 128 * 2**20
    max_pixels: int = 64_000_000
    max_side: int = 16_384

    def __post_init__(self) -> None:
        if min(self.max_bytes, self.max_pixels, self.max_side) < 1 or self.max_pixels > _PILLOW_LIMIT:
            raise ValueError(f"image limits must be at least 1 and max_pixels at most {_PILLOW_LIMIT}, got {self}")


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True)
class DecodedFile:
    """A fully decoded file that is not yet converted to RGB or to ids.

    Attributes:
        image: loaded; upright only where the format's decoder does it by itself (TIFF).
        kind: what the content is: "JPEG", "MPO", "PNG", ...
        raw_mode: how the file stores its samples, in Pillow's words: "RGB", "RGB;16B", "L;4", ...
        orientation: EXIF orientation that is still to be applied, 1 to 8.
        stored_orientation: EXIF orientation in the file, for messages.
    """

    image: Image.Image
    kind: str
    raw_mode: str
    orientation: int
    stored_orientation: int


def refusal(source: str, problem: str, advice: str) -> ValueError:
    """The error for a file that is not read: which one, why, and what to do."""
    return ValueError(f"{source} {problem}. {advice}")


def read_bytes(path: Path, limits: ImageLimits) -> bytes:
    """The content of a regular file that is not larger than allowed.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: a folder, a pipe or a device, or too large; names the file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise refusal(str(path), "is not a regular file", "Give an image file.")
    _check_byte_count(status.st_size, str(path), limits)
    return path.read_bytes()


def decode_file(data: bytes, source: str, limits: ImageLimits) -> DecodedFile:
    """Open, check and load a picture. Its content decides what it is, never its name.

    One damage cannot be seen: a JPEG that was cut and then closed with an end mark decodes like a whole one.

    Raises:
        ValueError: empty, too large, of an unknown type, animated or with several pages, damaged; names `source`.
    """
    _check_byte_count(len(data), source, limits)
    image = _open(data, source)
    kind = image.format or ""
    _check_size(image.size, source, limits)
    _check_single_picture(image, kind, source)
    if kind == "PNG":  # Pillow does not compare the checksums of pixel data while it loads them.
        _guarded(lambda: _open(data, source).verify(), source)
    raw_mode = _raw_mode(image)
    stored_orientation = _guarded(lambda: _orientation(image), source)
    _guarded(image.load, source)
    orientation = 1 if kind == "TIFF" else stored_orientation  # Pillow's TIFF decoder turns the picture itself.
    return DecodedFile(image, kind, raw_mode, orientation, stored_orientation)


def _check_byte_count(count: int, source: str, limits: ImageLimits) -> None:
    if count == 0:
        raise refusal(source, "is empty (0 bytes)", "Copy it again from where it came.")
    if count > limits.max_bytes:
        raise refusal(source, f"has {count:,} bytes, more than the limit of {limits.max_bytes:,}", "Save it smaller.")


def _open(data: bytes, source: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_READABLE_TYPES)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise refusal(source, f"is too large to decode: {error}", "Cut it into tiles or scale it down.") from error
    except UnidentifiedImageError as error:
        raise refusal(
            source,
            f"is not a picture that can be read (it begins with {data[:8]!r})",
            f"Readable are {', '.join(_READABLE_TYPES)}; convert it to PNG, or copy it again if it is damaged.",
        ) from error
    except Exception as error:  # Damaged headers raise nearly any type: struct.error, OverflowError, SyntaxError, ...
        raise _damaged(source, error) from error


def _check_size(size_wh: tuple[int, int], source: str, limits: ImageLimits) -> None:
    width, height = size_wh
    if width < 1 or height < 1:
        raise refusal(source, f"has no pixels ({width} x {height})", "Save it again.")
    if max(width, height) > limits.max_side:
        raise refusal(
            source, f"is {width} x {height} pixels, its longest side may have {limits.max_side:,}", "Cut it into tiles."
        )
    if width * height > limits.max_pixels:
        raise refusal(
            source,
            f"is {width} x {height} = {width * height:,} pixels, more than the limit of {limits.max_pixels:,}",
            "Cut it into tiles or scale it down.",
        )


def _check_single_picture(image: Image.Image, kind: str, source: str) -> None:
    """A camera's multi-picture JPEG (MPO) is read as its main picture, which is what every viewer shows.

    Frames are not counted: a file may promise millions, and finding each of them takes time.
    """
    if kind != "MPO" and _guarded(lambda: bool(getattr(image, "is_animated", False)), source):
        raise refusal(
            source, "holds more than one picture (animation or pages)", "Save each of them as a file of its own."
        )


def _raw_mode(image: Image.Image) -> str:
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return image.mode
    arguments = image.tile[0].args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else image.mode


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # Cameras write 0 for "unknown".


def _guarded(action: Callable[[], _Result], source: str) -> _Result:
    """Run one step of Pillow's decoding; whatever damaged bytes make it raise becomes one clear refusal."""
    try:
        return action()
    except MemoryError:
        raise
    except Exception as error:  # As above: no list of types is complete.
        raise _damaged(source, error) from error


def _damaged(source: str, error: Exception) -> ValueError:
    reason = error or type(error).__name__
    return refusal(source, f"is damaged or cut off ({reason})", "Copy it again from where it came.")
