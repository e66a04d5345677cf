"""Pascal VOC in its published layout."""

import numpy as np
import pytest
from PIL import Image
from scipy import io as scipy_io

from datasets.formats import voc
from datasets.labels import voc_colors
from datasets.splits import find_split, read_split
from datasets.views import with_split


def add(base, name, ids, mask_folder="SegmentationClass", mode="P"):
    for folder in ("JPEGImages", mask_folder, "ImageSets/Segmentation"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (len(ids), 1)).save(base / "JPEGImages" / f"{name}.jpg")
    mask = Image.frombytes(mode, (len(ids), 1), bytes(ids))
    if mode == "P":
        mask.putpalette([channel for color in voc_colors(256) for channel in color])
    mask.save(base / mask_folder / f"{name}.png")


def write_list(base, split, text):
    (base / "ImageSets/Segmentation" / f"{split}.txt").write_text(text)


def add_sbd(folder, train, val):
    """SBD as downloaded, with masks of four bicycles."""
    for name in ("img", "cls"):
        (folder / "dataset" / name).mkdir(parents=True)
    for name in (*train, *val):
        mask = {"GTcls": {"Segmentation": np.full((1, 4), 2, np.uint8)}}
        scipy_io.savemat(folder / "dataset/cls" / f"{name}.mat", mask)
    (folder / "dataset/train.txt").write_text("\n".join(train))
    (folder / "dataset/val.txt").write_text("\n".join(val))


@pytest.fixture
def base(tmp_path):
    """VOC2012 below `tmp_path`, with one image per list."""
    base = tmp_path / "VOCdevkit" / "VOC2012"
    add(base, "2007_000032", [0, 1, 15, 255])
    add(base, "2007_000033", [0, 20, 20, 255])
    write_list(base, "train", "2007_000032\n")
    write_list(base, "val", "2007_000033\n")
    write_list(base, "trainval", "2007_000032\n2007_000033\n")
    return base


@pytest.mark.parametrize("above", [0, 1, 2], ids=["VOC2012", "VOCdevkit", "parent"])
def test_root_may_be_any_of_the_three_folders(base, above):
    root = [base, *base.parents][above]
    assert voc.build(root, "trainval").sample_ids == ("2007_000032", "2007_000033")


def test_palette_mask_gives_ids(base):
    assert voc.build(base, "train")[0].label.tolist() == [[0, 1, 15, 255]]


@pytest.mark.parametrize(
    ("class_id", "color"), [(0, (0, 0, 0)), (1, (128, 0, 0)), (15, (192, 128, 128)), (20, (0, 64, 128))]
)
def test_colors_are_those_of_the_development_kit(class_id, color):
    assert voc.CLASSES.colors[class_id] == color


def test_there_are_21_classes():
    assert len(voc.CLASSES) == 21 and voc.CLASSES.names[15] == "person"


@pytest.mark.parametrize(
    "line", ["2008_000008", "/JPEGImages/2008_000008.jpg /SegmentationClassAug/2008_000008.png"], ids=["id", "paths"]
)
def test_additional_masks_are_used_by_their_list(base, line):
    add(base, "2008_000008", [13, 13, 255], "SegmentationClassAug", mode="L")
    write_list(base, "trainaug", line)
    assert voc.build(base, "trainaug")[0].label.tolist() == [[13, 13, 255]]


def test_test_images_are_unlabeled(base):
    write_list(base, "test", "2007_000032\n")
    assert not voc.build(base, "test").is_labeled(0)


def test_missing_mask_is_named_with_its_line(base):
    (base / "SegmentationClass" / "2007_000033.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"trainval.txt, line 2: .*2007_000033.png does not exist"):
        voc.build(base, "trainval")


def test_missing_image_is_named_with_its_line(base):
    write_list(base, "train", "2007_000032\n\n2099_000001\n")
    with pytest.raises(FileNotFoundError, match=r"train.txt, line 3: .*2099_000001.jpg does not exist"):
        voc.build(base, "train")


@pytest.mark.parametrize("name", ["../../../secret", "/../../secret.jpg"])
def test_name_that_leaves_the_folder_is_refused(base, name):
    write_list(base, "train", f"{name}\n")
    with pytest.raises(ValueError, match=r"train.txt, line 1: .*contains '\.\.'"):
        voc.build(base, "train")


def test_unknown_list_names_those_there_are(base):
    with pytest.raises(FileNotFoundError, match="no list 'trainaug.txt' in .*; found train, trainval, val"):
        voc.build(base, "trainaug")


def test_empty_list_is_refused(base):
    write_list(base, "train", "\n")
    with pytest.raises(ValueError, match="train.txt lists no image"):
        voc.build(base, "train")


def test_folder_that_is_not_voc_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a VOC folder"):
        voc.build(tmp_path, "train")


def test_id_listed_twice_is_refused(base):
    write_list(base, "train", "2007_000032\n2007_000032\n")
    with pytest.raises(ValueError, match="would both be sample '2007_000032'"):
        voc.build(base, "train")


def test_image_is_rgb(base):
    assert voc.build(base, "train")[0].image.shape == (1, 4, 3) and voc.build(base, "train")[0].image.dtype == np.uint8


@pytest.mark.parametrize("place", ["VOCdevkit/sbd", "VOCdevkit/benchmark_RELEASE", "benchmark_RELEASE"])
def test_trainaug_adds_sbd_to_train_and_leaves_val_out(base, tmp_path, place):
    """2007_000033 is in VOC's val, 2007_000032 in its train."""
    add(base, "2008_000008", [0, 0, 0, 0], "JPEGImages")
    add_sbd(tmp_path / place, ["2007_000033", "2007_000032"], ["2008_000008"])
    assert voc.build(tmp_path, "trainaug").sample_ids == ("2007_000032", "2008_000008")


def test_own_mask_of_voc_wins_over_that_of_sbd(base, tmp_path):
    add(base, "2008_000008", [0, 0, 0, 0], "JPEGImages")
    add_sbd(tmp_path / "sbd", ["2007_000032"], ["2008_000008"])
    dataset = voc.build(base, "trainaug")
    assert [dataset[index].label.tolist() for index in (0, 1)] == [[[0, 1, 15, 255]], [[2, 2, 2, 2]]]


def test_list_of_additional_masks_chooses_among_those_of_sbd(base, tmp_path):
    add_sbd(tmp_path / "sbd", ["2007_000032", "2007_000033"], ["2008_000008"])
    write_list(base, "train_aug", "2007_000032\n")
    assert voc.build(base, "trainaug").sample_ids == ("2007_000032",)


def test_additional_masks_folder_wins_over_sbd(base, tmp_path):
    add_sbd(tmp_path / "sbd", ["2007_000032"], ["2007_000033"])
    add(base, "2007_000032", [7, 7, 7, 7], "SegmentationClassAug", mode="L")
    write_list(base, "trainaug", "2007_000032\n")
    assert voc.build(base, "trainaug")[0].label.tolist() == [[7, 7, 7, 7]]


def test_additional_masks_may_lie_in_the_usual_folder(base):
    add(base, "2008_000008", [13, 13, 255], mode="L")
    write_list(base, "trainaug", "2008_000008\n")
    assert voc.build(base, "trainaug")[0].label.tolist() == [[13, 13, 255]]


def test_trainaug_without_its_masks_says_where_they_may_come_from(base):
    with pytest.raises(FileNotFoundError, match="SegmentationClassAug, or put SBD as downloaded .* into .*VOCdevkit"):
        voc.build(base, "trainaug")


def test_listed_additional_mask_that_is_nowhere_says_where_it_may_come_from(base):
    add(base, "2008_000008", [0], "JPEGImages")
    write_list(base, "trainaug", "2008_000008\n")
    with pytest.raises(FileNotFoundError, match="neither SegmentationClassAug nor SBD .* beside VOC2012"):
        voc.build(base, "trainaug")


def test_trainaug_without_one_of_its_lists_names_it(base, tmp_path):
    add_sbd(tmp_path / "sbd", ["2007_000032"], ["2007_000033"])
    (base / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"made of four lists, and .*Segmentation/val.txt is missing"):
        voc.build(base, "trainaug")


def test_damaged_mask_is_named(base):
    path = base / "SegmentationClass" / "2007_000032.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"2007_000032.png is damaged or cut off"):
        voc.build(base, "train")[0]


def test_lists_of_semi_supervised_protocols_are_labeled_splits(base, tmp_path):
    folder = tmp_path / "splits" / "92"
    folder.mkdir(parents=True)
    (folder / "labeled.txt").write_text("JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png\n")
    (folder / "unlabeled.txt").write_text("JPEGImages/2007_000033.jpg SegmentationClass/2007_000033.png\n")
    labeled, unlabeled = with_split(voc.build(tmp_path, "trainval"), read_split(find_split(tmp_path, "92")))
    assert labeled[0].label.tolist() == [[0, 1, 15, 255]]
    assert (unlabeled.sample_ids, unlabeled[0].label) == (("2007_000033",), None)
