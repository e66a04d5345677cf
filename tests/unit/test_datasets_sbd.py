"""The Semantic Boundaries Dataset in its published layout."""

import numpy as np
import pytest
from PIL import Image
from scipy import io as scipy_io

from datasets.formats import sbd, voc


def add(base, name, ids):
    for folder in ("img", "cls"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (len(ids), 1)).save(base / "img" / f"{name}.jpg")
    fields = {"Boundaries": np.zeros((20, 1), object), "Segmentation": np.array([ids], np.uint8)}
    scipy_io.savemat(base / "cls" / f"{name}.mat", {"GTcls": fields}, do_compression=True)


@pytest.fixture
def base(tmp_path):
    """benchmark_RELEASE/dataset below `tmp_path`, with one image per list."""
    base = tmp_path / "benchmark_RELEASE" / "dataset"
    add(base, "2008_000002", [0, 20, 20])
    add(base, "2008_000003", [0, 1, 15])
    (base / "train.txt").write_text("2008_000002\n")
    (base / "val.txt").write_text("2008_000003\n")
    return base


@pytest.mark.parametrize("above", [0, 1, 2], ids=["dataset", "benchmark_RELEASE", "parent"])
def test_root_may_be_any_of_the_three_folders(base, above):
    assert sbd.build([base, *base.parents][above], "train").sample_ids == ("2008_000002",)


def test_masks_hold_the_ids_of_voc(base):
    assert sbd.build(base, "val")[0].label.tolist() == [[0, 1, 15]] and sbd.CLASSES is voc.CLASSES


def test_trainval_is_both_published_lists(base):
    assert sbd.build(base, "trainval").sample_ids == ("2008_000002", "2008_000003")


def test_own_lists_are_splits_too(base):
    (base / "train_noval.txt").write_text("2008_000003\n")
    assert sbd.build(base, "train_noval").sample_ids == ("2008_000003",)


def test_missing_mask_is_named_with_its_line(base):
    (base / "cls" / "2008_000002.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"train.txt, line 1: .*2008_000002.mat does not exist"):
        sbd.build(base, "train")


def test_missing_image_is_named_with_its_line(base):
    (base / "train.txt").write_text("2008_000002\n\n2099_000001\n")
    with pytest.raises(FileNotFoundError, match=r"train.txt, line 3: .*2099_000001.jpg does not exist"):
        sbd.build(base, "train")


@pytest.mark.parametrize("length", [60, 130, 140, 250], ids=lambda length: f"{length} bytes left")
def test_mask_that_is_cut_off_is_refused(base, length):
    path = base / "cls" / "2008_000002.mat"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"2008_000002.mat cannot be read as a mask of SBD: .* Unpack it again"):
        sbd.build(base, "train")[0]


def test_mask_larger_than_the_limit_is_refused(base):
    with (base / "cls" / "2008_000002.mat").open("ab") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(ValueError, match=r"2008_000002.mat has 16,777,217 bytes, more than the limit of 16,777,216"):
        sbd.build(base, "train")[0]


def test_id_that_is_no_class_is_refused(base):
    add(base, "2008_000002", [0, 21, 255])
    with pytest.raises(ValueError, match=r"2008_000002.mat contains class ids \[21\]"):
        sbd.build(base, "train")[0]


def test_mask_of_another_size_is_refused(base):
    Image.new("RGB", (5, 1)).save(base / "img" / "2008_000002.jpg")
    with pytest.raises(ValueError, match=r"2008_000002.mat is 3 x 1, but .*2008_000002.jpg is 5 x 1"):
        sbd.build(base, "train")[0]


def test_name_that_leaves_the_folder_is_refused(base):
    (base / "train.txt").write_text("../../../secret\n")
    with pytest.raises(ValueError, match=r"train.txt, line 1: .*contains '\.\.'"):
        sbd.build(base, "train")


def test_empty_list_is_refused(base):
    (base / "train.txt").write_text("\n")
    with pytest.raises(ValueError, match="train.txt lists no image"):
        sbd.build(base, "train")


def test_list_that_is_no_text_is_refused(base):
    (base / "train.txt").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ValueError, match="train.txt is not a text file in UTF-8"):
        sbd.build(base, "train")


def test_unknown_list_names_those_there_are(base):
    with pytest.raises(FileNotFoundError, match="no list 'test.txt' in .*; found train, trainval, val"):
        sbd.build(base, "test")


def test_folder_that_is_not_sbd_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="not an SBD folder: expected benchmark_RELEASE/dataset"):
        sbd.build(tmp_path, "train")
