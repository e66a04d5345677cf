"""Images reach the browser upright, and unchanged wherever that is possible."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from app.web.pictures import browser_picture, thumbnail
from datasets.images import read_image

NOISE = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize(
    ("suffix", "media_type"), [("png", "image/png"), ("jpg", "image/jpeg"), ("webp", "image/webp")]
)
def test_plain_file_is_sent_byte_for_byte(tmp_path: Path, suffix: str, media_type: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(NOISE).save(path)
    assert browser_picture(path, "a") == (path.read_bytes(), media_type)


def test_rotated_photograph_is_sent_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(NOISE).save(path, exif=exif)
    content, media_type = browser_picture(path, "b")
    assert media_type == "image/png"
    assert decoded(content).shape == (64, 40, 3)
    np.testing.assert_array_equal(decoded(content), read_image(path))


@pytest.mark.parametrize("mode", ["P", "CMYK", "RGBA"])
def test_other_pixel_formats_are_sent_as_we_read_them(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    Image.fromarray(NOISE).convert(mode).save(path)
    content, _ = browser_picture(path, mode)
    np.testing.assert_array_equal(decoded(content), read_image(path))


@pytest.mark.parametrize("bbox", [(0, 0, 3, 3), (60, 36, 64, 40), (0, 0, 64, 40), (10, 20, 50, 24)])
def test_thumbnail_fits_its_size(tmp_path: Path, bbox: tuple[int, int, int, int]) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(NOISE).save(path)
    shape = decoded(thumbnail(path, bbox, (160, 112))).shape
    assert shape[0] <= 112 and shape[1] <= 160 and max(shape[0] / 112, shape[1] / 160) > 0.95
