"""Pictures that must not be read: every refusal names the file and says what to do."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets.decoding import ImageLimits
from datasets.images import decode_image, read_image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(height=40, width=50):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_header(width, height):
    """A PNG that promises `width` x `height` pixels and holds none."""
    content = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    body = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content)) + body + end


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_cut_off_file_is_refused(kind, share):
    data = encoded(picture(), kind)
    with pytest.raises(ValueError, match="cut.file"):
        decode_image(data[: int(len(data) * share)], "cut.file")


def test_every_cut_of_a_png_is_refused():
    data = encoded(picture(8, 8))
    for length in range(1, len(data) - 4):  # the last 4 bytes are the checksum of the empty end mark
        with pytest.raises(ValueError, match="a.png"):
            decode_image(data[:length], "a.png")


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_every_cut_of_a_jpeg_is_refused(progressive):
    data = encoded(picture(16, 16), "JPEG", progressive=progressive)
    for length in range(1, len(data)):
        with pytest.raises(ValueError, match="a.jpg"):
            decode_image(data[:length], "a.jpg")


def test_png_with_one_changed_byte_of_pixels_is_refused():
    data = bytearray(encoded(picture()))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(ValueError, match="damaged or cut off"):
        decode_image(bytes(data), "flipped.png")


@pytest.mark.parametrize(
    ("width", "height", "problem"),
    [
        (100_000, 100_000, "too large|longest side"),
        (16_000, 16_000, "too large|more than the limit"),
        (9_000, 9_000, "more than the limit"),
        (60_000, 2, "longest side"),
        (2, 60_000, "longest side"),
    ],
    ids=["bomb", "pillow-error", "pillow-warning", "wide", "tall"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_promised_size_is_refused_before_decoding(width, height, problem):
    with pytest.raises(ValueError, match=f"bomb.png .*({problem}).*(tiles|scale)"):
        decode_image(png_header(width, height), "bomb.png")


def test_zero_width_is_refused():
    with pytest.raises(ValueError, match="empty.png"):
        decode_image(png_header(0, 5), "empty.png")


def test_limits_can_be_lowered():
    with pytest.raises(ValueError, match="more than the limit of 1,999"):
        decode_image(encoded(picture(40, 50)), "a.png", ImageLimits(max_pixels=1_999))


def test_picture_exactly_at_the_limits_is_read():
    data = encoded(picture(40, 50))
    limits = ImageLimits(max_bytes=len(data), max_pixels=2_000, max_side=50)
    assert decode_image(data, "a.png", limits).shape == (40, 50, 3)


def test_too_many_bytes_are_refused_before_reading(tmp_path):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)  # sparse
    with pytest.raises(ValueError, match=r"huge.png has 209,715,200 bytes, more than the limit"):
        read_image(path)


@pytest.mark.parametrize(
    "limits", [{"max_pixels": 0}, {"max_bytes": -1}, {"max_side": 0}, {"max_pixels": 10**9}], ids=str
)
def test_impossible_limits_are_refused(limits):
    with pytest.raises(ValueError, match="image limits"):
        ImageLimits(**limits)


@pytest.mark.parametrize(
    "data",
    [b"hello, this is no picture", b"\x00" * 200, b"%PDF-1.7 ...", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"BM"],
    ids=["text", "zeros", "pdf", "svg", "stub"],
)
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(ValueError, match="notes.jpg .*(Readable are|Copy it again)"):
        decode_image(data, "notes.jpg")


def test_postscript_is_never_handed_to_an_interpreter():
    with pytest.raises(ValueError, match="is not a picture that can be read"):
        decode_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "a.png")


def test_empty_file_is_refused(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(ValueError, match=r"empty.jpg is empty \(0 bytes\)"):
        read_image(path)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animation_or_several_pages_are_refused(kind):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="many.file holds more than one picture"):
        decode_image(data, "many.file")


@pytest.mark.parametrize("mode", ["F", "I"], ids=["float", "32-bit"])
def test_samples_without_an_exact_8_bit_reading_are_refused(mode):
    with pytest.raises(ValueError, match="depth.tif has pixels of type .* Save it as 8- or 16-bit RGB"):
        decode_image(encoded(Image.new(mode, (4, 4)), "TIFF"), "depth.tif")


def test_missing_file_keeps_its_own_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.jpg"):
        read_image(tmp_path / "nowhere.jpg")


def test_folder_named_like_a_picture_is_refused(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(ValueError, match="folder.jpg is not a regular file"):
        read_image(tmp_path / "folder.jpg")


def test_pipe_named_like_a_picture_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ValueError, match="pipe.jpg is not a regular file"):
        read_image(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
def test_random_damage_gives_a_picture_or_a_value_error(kind):
    """Nothing else may escape, whatever the bytes are: one bad file must not stop the import of the others."""
    rng = np.random.default_rng(1)
    original = encoded(picture(16, 20), kind)
    for _ in range(150):
        data = bytearray(original)
        for position in rng.integers(0, len(data), 4):
            data[position] = rng.integers(0, 256)
        try:
            pixels = decode_image(bytes(data), "damaged", ImageLimits(max_pixels=10**6))
        except ValueError as error:
            assert str(error).startswith("damaged ")
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
