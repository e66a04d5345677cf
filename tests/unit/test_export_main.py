"""The commands that write and verify COCO folders."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.images import encode_plane_png
from datasets.labels import ClassSet
from export.__main__ import main, parse_options
from export.coco_masks import read_coco

CLASSES = ClassSet.from_names(("sky", "road"))
LABEL = np.array([[0, 0, 1], [255, 1, 1]], np.uint8)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """A folder data set: a good sample, one whose mask is truncated, one without a mask."""
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    (root / "classes.json").write_text(json.dumps(CLASSES.to_json()))
    for name in ("good", "torn", "unlabeled"):
        Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(root / "images" / f"{name}.png")
    (root / "masks" / "good.png").write_bytes(encode_plane_png(LABEL))
    (root / "masks" / "torn.png").write_bytes(encode_plane_png(LABEL)[:-30])
    return root


def coco(data_root: Path, out: Path, *flags: str) -> int:
    return main(["coco", "--data-format", "folder", "--data-root", str(data_root), "--out", str(out), *flags])


def test_coco_writes_what_it_can_read_and_reports_the_rest(data_root, tmp_path, capsys):
    assert coco(data_root, tmp_path / "coco") == 0
    class_set, labels = read_coco(tmp_path / "coco")
    assert (class_set, list(labels)) == (CLASSES, ["good"])
    np.testing.assert_array_equal(labels["good"], LABEL)
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'coco'}: 1 images, 2 annotations, 2 left out\n"
    assert [line.split(":")[0] for line in printed.err.splitlines()] == ["left out torn", "left out unlabeled"]


def test_coco_names_images_by_their_path_below_the_data_root(data_root, tmp_path):
    coco(data_root, tmp_path / "coco")
    (image,) = json.loads((tmp_path / "coco" / "annotations.json").read_text())["images"]
    assert (data_root / image["file_name"]).is_file()


def test_coco_keeps_an_existing_export_unless_told_to_replace_it(data_root, tmp_path, capsys):
    assert [coco(data_root, tmp_path / "coco"), coco(data_root, tmp_path / "coco")] == [0, 2]
    assert "exists already" in capsys.readouterr().err.splitlines()[-1]
    assert coco(data_root, tmp_path / "coco", "--replace") == 0


def test_coco_of_a_missing_folder_ends_with_2_and_one_line(tmp_path, capsys):
    assert coco(tmp_path / "nowhere", tmp_path / "coco") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_coco_reports_progress(data_root, tmp_path):
    coco(data_root, tmp_path / "coco", "--progress-file", str(tmp_path / "progress.json"))
    content = json.loads((tmp_path / "progress.json").read_text())
    assert (content["done"], content["total"]) == (3, 3)


def test_verify_coco_accepts_a_fresh_export(data_root, tmp_path):
    coco(data_root, tmp_path / "coco")
    assert main(["verify-coco", str(tmp_path / "coco")]) == 0


def test_verify_coco_ends_with_4_and_names_a_changed_mask(data_root, tmp_path, capsys):
    coco(data_root, tmp_path / "coco")
    (tmp_path / "coco" / "masks" / "good.png").write_bytes(b"")
    assert main(["verify-coco", str(tmp_path / "coco")]) == 4
    assert "masks/good.png has changed" in capsys.readouterr().err


def test_verify_coco_of_another_folder_ends_with_2(tmp_path, capsys):
    assert main(["verify-coco", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_option_values_are_json_where_possible():
    assert parse_options(["alpha=4", "require_confidence=false", "score=margin", "class_prior=[0.9, 1]"]) == {
        "alpha": 4,
        "require_confidence": False,
        "score": "margin",
        "class_prior": [0.9, 1],
    }
