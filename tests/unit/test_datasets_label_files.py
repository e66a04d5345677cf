"""Masks: ids are kept exactly, and what is not ids is refused."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from datasets.images import encode_plane_png, read_label, read_plane
from datasets.label_colors import label_from_colors
from datasets.labels import ClassSet

THREE = ClassSet(("sky", "road", "car"), ((70, 130, 180), (128, 64, 128), (0, 0, 142)))


def saved(tmp_path, image, name="mask.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def gray_png(width, bits, row):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0)
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + end


@given(st.integers(1, 9), st.integers(1, 9), st.binary(min_size=81, max_size=81))
@settings(deadline=None, max_examples=60)
def test_plane_png_round_trip_gives_the_same_pixels(tmp_path_factory, height, width, content):
    plane = np.frombuffer(content, np.uint8)[: height * width].reshape(height, width)
    path = tmp_path_factory.mktemp("plane") / "plane.png"
    path.write_bytes(encode_plane_png(plane))
    assert np.array_equal(read_plane(path), plane)


def test_plane_png_of_a_strided_view_is_exact(tmp_path):
    plane = np.arange(200, dtype=np.uint8).reshape(10, 20)[::2, ::-3]
    path = tmp_path / "plane.png"
    path.write_bytes(encode_plane_png(plane))
    assert np.array_equal(read_plane(path), plane)


@pytest.mark.parametrize(
    "plane",
    [np.zeros((2, 2), np.int64), np.zeros((2, 2, 3), np.uint8), np.zeros((0, 4), np.uint8)],
    ids=["type", "channels", "empty"],
)
def test_encoding_something_else_than_a_plane_is_refused(plane):
    with pytest.raises(ValueError, match="a plane must be"):
        encode_plane_png(plane)


@pytest.mark.parametrize("mode", ["RGB", "P", "1", "I;16", "LA"])
def test_plane_of_another_pixel_type_is_refused(tmp_path, mode):
    path = saved(tmp_path, Image.new(mode, (3, 2)))
    with pytest.raises(ValueError, match="not an 8-bit grayscale PNG"):
        read_plane(path)


def test_gray_mask_gives_its_ids(tmp_path):
    ids = np.array([[0, 1, 2, 255]], np.uint8)
    assert np.array_equal(read_label(saved(tmp_path, Image.fromarray(ids)), THREE), ids)


def test_palette_mask_keeps_ids_whatever_the_colors(tmp_path):
    image = Image.frombytes("P", (4, 1), bytes([0, 1, 2, 255]))
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0] + [0] * 759)
    assert read_label(saved(tmp_path, image), THREE).tolist() == [[0, 1, 2, 255]]


def test_palette_mask_with_transparency_keeps_ids(tmp_path):
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    assert read_label(saved(tmp_path, image, transparency=0), THREE).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_mask_of_few_bits_keeps_ids(tmp_path, bits):
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 1]))
    image.putpalette([9, 9, 9, 200, 0, 0])
    assert read_label(saved(tmp_path, image, bits=bits), THREE).tolist() == [[0, 1, 1]]


def test_renumbered_palette_is_refused(tmp_path):
    image = Image.frombytes("P", (2, 1), bytes([0, 1]))
    image.putpalette([*THREE.colors[2], *THREE.colors[0]])
    with pytest.raises(ValueError, match=r"shows id 0 in the colour of class 2 \(car\)"):
        read_label(saved(tmp_path, image), THREE)


def test_palette_in_the_class_sets_own_colors_is_read(tmp_path):
    image = Image.frombytes("P", (3, 1), bytes([2, 1, 0]))
    image.putpalette([channel for color in THREE.colors for channel in color])
    assert read_label(saved(tmp_path, image), THREE).tolist() == [[2, 1, 0]]


@pytest.mark.parametrize(
    ("bits", "row", "ids"), [(1, 0b01100000, [0, 1, 1]), (2, 0b00011000, [0, 1, 2]), (4, 0x12, [1, 2])], ids=str
)
def test_gray_mask_of_few_bits_gives_ids_not_brightness(tmp_path, bits, row, ids):
    path = tmp_path / "mask.png"
    path.write_bytes(gray_png(len(ids), bits, bytes([row])))
    assert read_label(path, THREE).tolist() == [ids]


def test_sixteen_bit_mask_with_small_ids_is_read(tmp_path):
    ids = np.array([[0, 2, 255]], np.uint16)
    path = tmp_path / "mask.png"
    path.write_bytes(cv2.imencode(".png", ids)[1].tobytes())
    assert read_label(path, THREE).tolist() == ids.tolist()


@pytest.mark.parametrize("largest", [256, 65535])
def test_sixteen_bit_mask_with_large_ids_is_refused(tmp_path, largest):
    path = tmp_path / "mask.png"
    path.write_bytes(cv2.imencode(".png", np.array([[0, largest]], np.uint16))[1].tobytes())
    with pytest.raises(ValueError, match=f"mask.png contains ids from 0 to {largest}"):
        read_label(path, None)


def test_id_outside_the_class_set_is_refused(tmp_path):
    path = saved(tmp_path, Image.frombytes("L", (3, 1), bytes([0, 3, 255])), "2007_000032.png")
    with pytest.raises(ValueError, match=r"2007_000032.png contains class ids \[3\], but the class set has ids 0-2"):
        read_label(path, THREE)


def test_ids_are_not_checked_without_a_class_set(tmp_path):
    path = saved(tmp_path, Image.frombytes("L", (2, 1), bytes([17, 200])))
    assert read_label(path, None).tolist() == [[17, 200]]


@pytest.mark.parametrize(("name", "kind"), [("mask.jpg", "JPEG"), ("mask.png", "JPEG"), ("mask.webp", "WEBP")])
def test_lossy_mask_is_refused_by_content(tmp_path, name, kind):
    path = saved(tmp_path, Image.new("L", (8, 8)), name, format=kind)
    with pytest.raises(ValueError, match=f"is a {kind} file; masks must be lossless"):
        read_label(path, THREE)


def test_colored_mask_in_the_class_sets_colors_is_converted(tmp_path):
    rgb = np.array([[THREE.colors[2], THREE.colors[0], (0, 0, 0)]], np.uint8)
    assert read_label(saved(tmp_path, Image.fromarray(rgb)), THREE).tolist() == [[2, 0, 255]]


def test_colored_mask_with_another_color_is_refused(tmp_path):
    rgb = np.array([[THREE.colors[2], (1, 2, 3)]], np.uint8)
    with pytest.raises(ValueError, match=r"50.0% of its pixels .* \(1, 2, 3\).*Save class ids as an 8-bit"):
        read_label(saved(tmp_path, Image.fromarray(rgb)), THREE)


def test_ids_saved_in_three_channels_are_refused_with_a_hint(tmp_path):
    rgb = np.repeat(np.array([[[0], [1], [2]]], np.uint8), 3, axis=2)
    with pytest.raises(ValueError, match="three channels are equal.*save one channel"):
        read_label(saved(tmp_path, Image.fromarray(rgb)), THREE)


def test_colored_mask_that_is_all_black_is_refused(tmp_path):
    with pytest.raises(ValueError, match="class 0 or void"):
        read_label(saved(tmp_path, Image.new("RGB", (4, 4))), THREE)


def test_colored_mask_without_class_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no class list says what its colours mean"):
        read_label(saved(tmp_path, Image.new("RGB", (4, 4))), None)


def test_partly_transparent_mask_is_refused(tmp_path):
    with pytest.raises(ValueError, match="partly transparent"):
        read_label(saved(tmp_path, Image.new("RGBA", (4, 4), (70, 130, 180, 90))), THREE)


def test_opaque_mask_with_alpha_is_converted(tmp_path):
    path = saved(tmp_path, Image.new("RGBA", (2, 1), (*THREE.colors[1], 255)))
    assert read_label(path, THREE).tolist() == [[1, 1]]


def test_float_mask_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not class ids"):
        read_label(saved(tmp_path, Image.new("F", (2, 2)), "mask.tif"), THREE)


def test_masks_own_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = saved(tmp_path, Image.frombytes("L", (3, 1), bytes([0, 1, 2])), exif=exif)
    assert read_label(path, THREE).tolist() == [[0], [1], [2]]


def test_cut_off_mask_is_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.eye(40, dtype=np.uint8)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="mask.png is damaged or cut off"):
        read_label(path, THREE)


def test_class_color_wins_over_void_color():
    classes = ClassSet(("background", "thing"), ((0, 0, 0), (128, 0, 0)))
    rgb = np.array([[(0, 0, 0), (128, 0, 0)]], np.uint8)
    assert label_from_colors(rgb, classes, "mask").tolist() == [[0, 1]]


def test_two_classes_of_one_color_are_refused():
    classes = ClassSet(("a", "b"), ((1, 1, 1), (1, 1, 1)))
    with pytest.raises(ValueError, match="two classes share the colour"):
        label_from_colors(np.ones((1, 1, 3), np.uint8), classes, "mask")


def test_few_stray_colors_become_void_when_allowed():
    rgb = np.full((10, 10, 3), THREE.colors[1], np.uint8)
    rgb[0, 0] = (1, 2, 3)
    label = label_from_colors(rgb, THREE, "mask", max_unknown_share=0.01)
    assert label[0, 0] == 255 and (label.reshape(-1)[1:] == 1).all()
