"""How each kind of picture becomes 8-bit RGB."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from datasets.images import decode_image, decode_upright, read_image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_of(width, height, bits, color_type, rows, extra=b""):
    """A PNG put together by hand, for pixel formats that Pillow does not write."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def picture():
    """(12, 20, 3): smooth, not symmetric, so that every turn is visible even after JPEG."""
    rows, columns = np.mgrid[0:12, 0:20]
    return np.stack([columns * 12, rows * 20, 255 - columns * 6 - rows * 8], axis=-1).astype(np.uint8)


def exif_with(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_exactly(picture, kind, orientation):
    upright = Image.fromarray(picture)
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    tagged = upright.copy()
    tagged.getexif()[ExifTags.Base.Orientation] = inverse
    stored = ImageOps.exif_transpose(tagged)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(np.asarray(stored)), kind, exif=exif_with(orientation), **options)
    assert np.array_equal(decode_image(data, "photo"), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_exif_orientation_agrees_with_pillows_own(picture, orientation):
    data = encoded(Image.fromarray(picture), "JPEG", quality=95, subsampling=0, exif=exif_with(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode_image(data, "photo.jpg"), expected)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_meaningless_exif_orientation_leaves_the_picture_as_stored(picture, orientation):
    data = encoded(Image.fromarray(picture), exif=exif_with(orientation))
    assert np.array_equal(decode_image(data, "photo"), picture)


def test_stored_orientation_is_reported_for_messages(picture):
    data = encoded(Image.fromarray(picture), exif=exif_with(6))
    assert decode_upright(data, "photo").stored_orientation == 6


def test_opaque_alpha_is_dropped(picture):
    rgba = np.dstack([picture, np.full((12, 20), 255, np.uint8)])
    assert np.array_equal(decode_image(encoded(Image.fromarray(rgba)), "a.png"), picture)


def test_transparent_pixels_are_composited_on_black():
    rgba = np.array([[[200, 100, 50, 0], [200, 100, 50, 130], [200, 100, 50, 255]]], np.uint8)
    assert decode_image(encoded(Image.fromarray(rgba)), "a.png").tolist() == [
        [[0, 0, 0], [102, 51, 25], [200, 100, 50]]
    ]


def test_transparency_is_logged(caplog):
    rgba = np.zeros((2, 2, 4), np.uint8)
    decode_image(encoded(Image.fromarray(rgba)), "logo.png")
    assert "logo.png is partly transparent" in caplog.text


def test_gray_with_alpha_is_composited_on_black():
    image = Image.merge("LA", [Image.new("L", (2, 1), 200), Image.frombytes("L", (2, 1), bytes([0, 255]))])
    assert decode_image(encoded(image), "a.png").tolist() == [[[0, 0, 0], [200, 200, 200]]]


def test_palette_image_gets_its_colors():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert decode_image(encoded(image), "a.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_transparent_palette_entry_is_read_as_black():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    data = encoded(image, transparency=0)
    assert decode_image(data, "a.png").tolist() == [[[0, 0, 0], [200, 100, 50]]]


def test_gray_gets_three_equal_channels():
    image = Image.frombytes("L", (3, 1), bytes([0, 7, 255]))
    assert decode_image(encoded(image), "a.png").tolist() == [[[0, 0, 0], [7, 7, 7], [255, 255, 255]]]


def test_one_bit_becomes_black_and_white():
    image = Image.frombytes("1", (8, 1), bytes([0b10000001]))
    assert decode_image(encoded(image), "a.png")[0, :, 0].tolist() == [255, 0, 0, 0, 0, 0, 0, 255]


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4], ids=["gray", "rgb", "rgba"])
def test_sixteen_bits_are_rounded_to_the_nearest_of_256(suffix, channels):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    samples = values if channels == 1 else np.dstack([values, values.T, values[::-1], np.full_like(values, 65535)])
    file = samples if channels == 1 else samples[..., [2, 1, 0, 3]][..., :channels]  # OpenCV writes BGR(A)
    data = cv2.imencode(suffix, file)[1].tobytes()
    expected = np.round(samples / 257.0).astype(np.uint8)
    expected = np.repeat(expected[..., None], 3, axis=2) if channels == 1 else expected[..., :3]
    assert np.array_equal(decode_image(data, "deep"), expected)


def test_sixteen_bit_gray_with_alpha_is_composited():
    row = np.array([[40000, 65535], [40000, 0]], ">u2").tobytes()
    data = png_of(2, 1, 16, 4, b"\0" + row)
    assert decode_image(data, "a.png").tolist() == [[[156, 156, 156], [0, 0, 0]]]


def test_sixteen_bit_color_is_turned_by_its_exif_orientation():
    samples = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 3000
    data = cv2.imencode(".png", samples[..., ::-1])[1].tobytes()
    body = exif_with(6).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    expected = np.rot90(np.round(samples / 257.0).astype(np.uint8), -1)
    assert np.array_equal(decode_image(data[:33] + chunk + data[33:], "a.png"), expected)


def tiff_of_16_bits(samples, orientation=1, photometric=2):
    """An uncompressed TIFF put together by hand: Pillow writes no 16-bit colour, OpenCV no orientation."""
    height, width, channels = samples.shape
    data = samples.astype("<u2").tobytes()
    directory = 8 + len(data)
    depths = directory + 2 + 11 * 12 + 4
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, depths), (259, 3, 1, 1)]
    tags += [(262, 3, 1, photometric), (273, 4, 1, 8), (274, 3, 1, orientation), (277, 3, 1, channels)]
    tags += [(278, 4, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", directory)
    return head + data + struct.pack("<H", len(tags)) + entries + bytes(4) + struct.pack("<H", 16) * channels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sixteen_bit_color_tiff_is_turned_by_its_orientation(orientation):
    samples = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 3000
    eight_bits = Image.fromarray(np.round(samples / 257.0).astype(np.uint8))
    eight_bits.getexif()[ExifTags.Base.Orientation] = orientation
    expected = np.asarray(ImageOps.exif_transpose(eight_bits))
    assert np.array_equal(decode_image(tiff_of_16_bits(samples, orientation), "a.tif"), expected)


def test_sixteen_bit_cmyk_is_read_as_inks():
    inks = np.array([[[0, 65535, 65535, 0], [0, 0, 0, 0], [0, 0, 0, 65535]]], np.uint16)  # red, paper, black
    pixels = decode_image(tiff_of_16_bits(inks, photometric=5), "print.tif")
    assert pixels.tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 0]]]


def test_cmyk_without_profile_is_complement_times_brightness():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # full magenta and yellow: red
    assert np.abs(decode_image(encoded(cmyk, "TIFF"), "a.tif").astype(int) - [255, 0, 0]).max() == 0


@pytest.mark.parametrize("ink", [(0, 255, 255, 0), (255, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0)], ids=str)
def test_adobe_inverted_cmyk_jpeg_is_read_right(ink):
    data = encoded(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100)
    assert b"Adobe" in data  # the marker that says: inks are stored inverted
    expected = [255 - min(255, ink[channel] + ink[3]) for channel in range(3)]
    assert np.abs(decode_image(data, "print.jpg").astype(int) - expected).max() <= 2


def cmyk_profile(lab_of_inks):
    """A minimal ICC printer profile: a 2-point lookup table from four inks (0 or 1) to CIELAB bytes."""
    table = b""
    for index in range(16):
        inks = [(index >> (3 - position)) & 1 for position in range(4)]
        table += bytes(lab_of_inks(inks))
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += b"".join(struct.pack(">i", round(value * 65536)) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    lut += identity * 4 + table + identity * 3
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    tags, offset, directory, body = [(b"desc", text), (b"wtpt", white), (b"A2B0", lut)], 128 + 4 + 36, b"", b""
    for name, content in tags:
        content += bytes(-len(content) % 4)
        directory += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    header = struct.pack(">I", offset + len(body)) + b"lcms" + struct.pack(">I", 0x02400000) + b"prtrCMYKLab "
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + directory + body


def test_cmyk_goes_through_its_embedded_profile():
    gray_ink = cmyk_profile(lambda inks: (round(255 * (1 - 0.5 * inks[0]) * (1 - inks[3])), 128, 128))
    data = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "TIFF", icc_profile=gray_ink)
    assert (
        np.abs(decode_image(data, "print.tif").astype(int) - 119).max() <= 5
    )  # L* 50; the plain formula gives 0, 255, 255


def test_unusable_cmyk_profile_is_logged(caplog):
    data = encoded(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "TIFF", icc_profile=b"not a profile")
    decode_image(data, "print.tif")
    assert "print.tif" in caplog.text and "colour profile" in caplog.text


def test_phone_picture_with_a_second_picture_is_read_as_its_main_one(picture):
    second = Image.fromarray(255 - picture)
    data = encoded(Image.fromarray(picture), "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(decode_image(data, "phone.jpg").astype(int) - picture).mean() < 4


def test_single_frame_gif_is_read(picture):
    data = encoded(Image.fromarray(picture[..., 0]), "GIF")
    assert np.array_equal(decode_image(data, "a.gif")[..., 1], picture[..., 0])


def test_content_decides_what_a_mislabeled_file_is(tmp_path, picture):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encoded(Image.fromarray(picture)))
    assert np.array_equal(read_image(path), picture)
