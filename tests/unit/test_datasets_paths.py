"""Names from outside: none leaves its folder, and each gives one id."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.paths import file_name_of, is_file_name, safe_relative_path, sample_id_of, shown_name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../secret.png", "contains '..'"),
        ("images/../../secret.png", "contains '..'"),
        ("/etc/passwd", "is an absolute path"),
        ("C:/windows/system.ini", "is an absolute path"),
        ("images\\train\\a.png", "contains a backslash"),
        ("..\\secret.png", "contains a backslash"),
        ("a\x00.png", "contains a control character"),
        ("a\n.png", "contains a control character"),
        ("", "is empty"),
        ("   ", "is empty"),
    ],
)
def test_unsafe_name_is_refused(tmp_path, name, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        safe_relative_path(tmp_path, name)


@pytest.mark.parametrize("name", ["a.png", "images/train/a.png", "..a/b..png", "Bild 1.png"])
def test_ordinary_name_is_joined(tmp_path, name):
    assert safe_relative_path(tmp_path, name) == tmp_path / name


def test_link_that_leads_out_is_refused(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    with pytest.raises(ValueError, match=r"leads out of .*root, to .*outside"):
        safe_relative_path(root, "link/a.png")


def test_link_within_the_folder_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert safe_relative_path(tmp_path, "link/a.png") == tmp_path / "link/a.png"


def test_folder_that_is_itself_a_link_is_accepted(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert safe_relative_path(tmp_path / "root", "a.png") == tmp_path / "root/a.png"


def test_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ValueError, match="loop"):
        safe_relative_path(tmp_path, "loop/a.png")


@pytest.mark.parametrize(
    ("name", "sample_id"),
    [
        ("0001TP_006690.jpg", "0001TP_006690"),
        ("city/frame-1.PNG", "city/frame-1"),
        ("v1.2", "v1.2"),
        ("archive.tar.png", "archive.tar"),
    ],
)
def test_ordinary_file_name_gives_its_stem(name, sample_id):
    assert sample_id_of(name) == sample_id


@pytest.mark.parametrize("name", ["Bild 1.jpg", "図0001.png", "a/..png.jpg", ".hidden.jpg", "-flag.png", "ä/ö 12.png"])
def test_unusual_file_name_gives_a_plain_id(name):
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*", sample_id_of(name))


def test_frame_number_stays_at_the_end_of_an_unusual_name():
    assert sample_id_of("Bild 0001.jpg").rsplit("-", 1) == [sample_id_of("Bild 0002.jpg").rsplit("-", 1)[0], "0001"]


@given(st.text(min_size=1, max_size=6), st.text(min_size=1, max_size=6))
@settings(deadline=None, max_examples=50)
def test_different_names_give_different_ids(first, second):
    assert (sample_id_of(f"x{first}.png") == sample_id_of(f"x{second}.png")) == (first == second)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("street_07.jpg", "street_07"),
        ("Foto 0 ü.JPG", "Foto 0 ü"),
        ("aachen/ünï 日本.png", "aachen/ünï 日本"),
        ("two\nlines.png", sample_id_of("two\nlines.png")),
        ("r\u202eevil.png", sample_id_of("r\u202eevil.png")),
    ],
    ids=["plain", "spaces", "folders", "control", "direction"],
)
def test_people_are_shown_the_files_name_without_its_ending(name, shown):
    sample_id = sample_id_of(name)
    assert file_name_of(Path("/data/images") / name, sample_id) == name
    assert shown_name(sample_id, name) == shown


def test_an_id_that_is_not_made_from_the_files_name_is_shown_itself():
    assert shown_name("aachen/aachen_000", "aachen/aachen_000_leftImg8bit.png") == "aachen/aachen_000"


def test_bytes_that_are_no_text_can_be_written_down():
    assert file_name_of(Path("/data/a\udcff.png"), "x") == "a\ufffd.png"


@pytest.mark.parametrize("name", ["", "../a.png", "a\\b.png", "a//b.png", "ü" * 128 + ".png", "a\n.png"])
def test_what_no_disk_takes_is_no_file_name(name):
    assert is_file_name("ü" * 125 + ".png") and not is_file_name(name)
