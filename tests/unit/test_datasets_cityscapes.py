"""Cityscapes in its published layout."""

import numpy as np
import pytest
from PIL import Image

from datasets.formats import cityscapes
from datasets.images import encode_plane_png
from datasets.splits import find_split, read_split, sequence_of
from datasets.views import with_split


def add(root, split, name, ids=None, kind="labelIds"):
    """A frame such as "aachen_000000_000019", with a mask of one row unless `ids` is None."""
    city = name.split("_")[0]
    image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 1)).save(image)
    if ids is not None:
        mask = root / "gtFine" / split / city / f"{name}_gtFine_{kind}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.write_bytes(encode_plane_png(np.array([ids], np.uint8)))
    return image


@pytest.fixture
def root(tmp_path):
    """Two labeled frames of different cities."""
    add(tmp_path, "train", "zurich_000001_000019", [7, 8, 33, 0])
    add(tmp_path, "train", "aachen_000000_000019", [24, 26, 31, 4])
    return tmp_path


def test_ids_are_city_and_frame_in_name_order(root):
    assert cityscapes.build(root, "train").sample_ids == ("aachen/aachen_000000_000019", "zurich/zurich_000001_000019")


def test_frames_of_one_city_and_sequence_belong_together():
    names = ("aachen/aachen_000000_000019", "aachen/aachen_000000_000020", "aachen/aachen_000001_000019")
    assert [sequence_of(name) for name in names] == ["aachen/aachen_000000_"] * 2 + ["aachen/aachen_000001_"]


def test_raw_ids_become_training_ids(root):
    assert cityscapes.build(root, "train")[1].label.tolist() == [[0, 1, 18, 255]]


def test_19_of_34_raw_ids_are_classes(tmp_path):
    path = tmp_path / "a_gtFine_labelIds.png"
    path.write_bytes(encode_plane_png(np.arange(34, dtype=np.uint8)[None]))
    label = cityscapes.read_mask(path)[0]
    ignored = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]
    assert label[ignored].tolist() == [255] * 15 and label[label != 255].tolist() == list(range(19))


@pytest.mark.parametrize(("class_id", "name", "color"), [(0, "road", (128, 64, 128)), (18, "bicycle", (119, 11, 32))])
def test_classes_have_their_official_colors(class_id, name, color):
    assert (cityscapes.CLASSES.names[class_id], cityscapes.CLASSES.colors[class_id]) == (name, color)


def test_masks_of_training_ids_are_taken_as_they_are(tmp_path):
    add(tmp_path, "val", "bonn_000000_000019", [0, 18, 7, 255], "labelTrainIds")
    assert cityscapes.build(tmp_path, "val")[0].label.tolist() == [[0, 18, 7, 255]]


def test_raw_mask_wins_over_the_derived_one(root):
    add(root, "train", "aachen_000000_000019", [5, 5, 5, 5], "labelTrainIds")
    assert cityscapes.build(root, "train")[0].label.tolist() == [[11, 13, 16, 255]]


@pytest.mark.parametrize("split", ["test", "train_extra"])
def test_frames_without_usable_masks_are_unlabeled(tmp_path, split):
    add(tmp_path, split, "berlin_000000_000019", [0, 0, 0, 0])
    dataset = cityscapes.build(tmp_path, split)
    assert not dataset.is_labeled(0) and dataset[0].label is None


def test_frame_without_mask_is_refused(root):
    add(root, "train", "ulm_000000_000019")
    with pytest.raises(FileNotFoundError, match=r"frame ulm/ulm_000000_000019 .* has no mask .*_gtFine_labelIds.png"):
        cityscapes.build(root, "train")


def test_raw_mask_with_training_void_is_refused(root):
    add(root, "train", "aachen_000000_000019", [0, 18, 255, 0])
    with pytest.raises(ValueError, match=r"aachen.*contains the id 255, but raw ids end at 33\. .*labelTrainIds"):
        cityscapes.build(root, "train")[0]


def test_training_mask_with_raw_ids_is_refused(tmp_path):
    add(tmp_path, "val", "bonn_000000_000019", [0, 26, 7, 255], "labelTrainIds")
    with pytest.raises(ValueError, match=r"bonn.*contains class ids \[26\]"):
        cityscapes.build(tmp_path, "val")[0]


def test_damaged_mask_is_named(root):
    path = root / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"aachen_000000_000019_gtFine_labelIds.png is damaged or cut off"):
        cityscapes.build(root, "train")[0]


def test_frame_that_is_a_link_out_of_the_folder_is_refused(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "frame.png"
    image = add(root, "train", "ulm_000000_000019", [7, 7, 7, 7])
    image.rename(outside)
    image.symlink_to(outside)
    with pytest.raises(ValueError, match="ulm_000000_000019_leftImg8bit.png leads out of"):
        cityscapes.build(root, "train")


def test_split_that_leaves_the_folder_is_refused(root):
    with pytest.raises(ValueError, match=r"'../gtFine' contains '\.\.'"):
        cityscapes.build(root, "../gtFine")


def test_split_without_frames_is_refused(root):
    (root / "leftImg8bit/val/bonn").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"leftImg8bit/val holds no <city>/\*_leftImg8bit.png"):
        cityscapes.build(root, "val")


def test_unknown_split_names_those_there_are(root):
    add(root, "test", "berlin_000000_000019")
    with pytest.raises(FileNotFoundError, match="no split 'val' in .*leftImg8bit; found test, train"):
        cityscapes.build(root, "val")


def test_other_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a Cityscapes folder"):
        cityscapes.build(tmp_path, "train")


def test_lists_of_semi_supervised_protocols_are_labeled_splits(root):
    folder = root / "splits" / "1_2"
    folder.mkdir(parents=True)
    for name, city in (("labeled", "zurich_000001"), ("unlabeled", "aachen_000000")):
        path = f"train/{city.split('_')[0]}/{city}_000019"
        line = f"leftImg8bit/{path}_leftImg8bit.png gtFine/{path}_gtFine_labelTrainIds.png\n"
        (folder / f"{name}.txt").write_text(line)
    labeled, unlabeled = with_split(cityscapes.build(root, "train"), read_split(find_split(root, "1_2")))
    assert labeled.sample_ids == ("zurich/zurich_000001_000019",)
    assert unlabeled.sample_ids == ("aachen/aachen_000000_000019",)
