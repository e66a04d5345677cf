"""Class lists: what is read back, and what is refused."""

import json

import numpy as np
import pytest

from datasets.labels import ClassSet, are_default_colors, default_colors, voc_colors
from tests.color_vision import VISION, contrast, seen_by, smallest_distance


def test_class_set_is_read_back_from_its_own_json(tmp_path):
    classes = ClassSet(("sky", "road"), ((1, 2, 3), (4, 5, 6)))
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(classes.to_json()))
    assert ClassSet.from_file(path) == classes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected a list 'classes'"),
        ({"classes": "sky"}, "expected a list 'classes'"),
        ({"classes": [{"id": 0}]}, "expected a list 'classes'"),
        ({"classes": [{"id": 1, "name": "a"}]}, r"ids must be 0 to 0 in order, got \[1\]"),
        ({"classes": [{"name": "a"}, {"name": "a"}]}, "must be unique"),
        ({"classes": [{"name": "a", "color": [1, 2]}]}, "three numbers"),
        ({"classes": [{"name": "a", "color": 7}]}, "classes.json"),
        ({"classes": []}, "needs 1 to 254 classes"),
        ({"classes": [{"name": "a"}], "ignore_index": 0}, "void is always 255"),
    ],
)
def test_wrong_class_list_is_refused_with_the_file(tmp_path, content, message):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        ClassSet.from_file(path)
    assert "classes.json" in str(caught.value)


def test_file_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "classes.json").write_bytes(b"\xff{")
    with pytest.raises(ValueError, match=r"classes.json is not a JSON file"):
        ClassSet.from_file(tmp_path / "classes.json")


def test_default_colors_are_all_different_up_to_48_classes():
    assert len(set(default_colors(48))) == 48


@pytest.mark.parametrize("vision", list(VISION))
@pytest.mark.parametrize(("num_classes", "at_least"), [(8, 10.0), (16, 9.0), (24, 5.5), (34, 3.0), (48, 3.0)])
def test_default_colors_stay_apart_whatever_somebody_sees(vision, num_classes, at_least):
    colors = np.array(default_colors(num_classes)) / 255
    assert smallest_distance(seen_by(vision, colors)) >= at_least


BLACK_AND_WHITE = ((0, 0, 0), (255, 255, 255))


def earlier_colors(num_classes):
    """As a version before gave them."""
    shades = (0.0, -0.6, 0.5, -0.35, 0.75, -0.8)
    hues = default_colors(8)
    mixed = []
    for class_id in range(num_classes):
        shade = shades[class_id // 8]
        mixed.append(
            tuple(round(part + ((255 if shade > 0 else 0) - part) * abs(shade)) for part in hues[class_id % 8])
        )
    return tuple(mixed)


@pytest.mark.parametrize("colors", [default_colors(48), earlier_colors(48), (*default_colors(7), (136, 136, 136))])
def test_default_colors_of_every_version_are_known(colors):
    assert are_default_colors(colors)


@pytest.mark.parametrize(
    "colors", [voc_colors(21), ((0, 114, 178), (230, 159, 9)), default_colors(9)[1:], BLACK_AND_WHITE]
)
def test_colors_that_somebody_chose_are_told_apart(colors):
    assert not are_default_colors(colors)


def test_default_colors_are_seen_on_dark_pages():
    assert contrast(np.array(default_colors(48)) / 255, np.array([11, 15, 25]) / 255).min() >= 2


def test_label_with_all_ids_and_void_passes():
    ClassSet.from_names(["a", "b"]).check_label(np.array([[0, 1, 255]], np.uint8), "mask.png")
