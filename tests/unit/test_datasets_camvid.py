"""CamVid in its three layouts."""

import json

import numpy as np
import pytest
from PIL import Image

from datasets.formats import camvid
from datasets.images import encode_plane_png
from datasets.labels import ClassSet
from datasets.splits import find_split, read_split
from datasets.views import with_split

SKY, BUILDING, POLE, ROAD = range(4)


def save_gray(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_plane_png(np.array(ids, np.uint8)))


def save_rgb(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(pixels, np.uint8)).save(path)


def original(root, names=("0001TP_006690", "0016E5_07959", "Seq05VD_f00000")):
    for name in names:
        save_rgb(root / "701_StillsRaw_full" / f"{name}.png", [[[1, 2, 3]] * 4])
        colors = [[[128, 128, 128], [192, 0, 128], [128, 0, 192], [0, 0, 0]]]  # Sky, Archway, LaneMkgsDriv, Void
        save_rgb(root / "LabeledApproved_full" / f"{name}_L.png", colors)
    return root


def tutorial(root):
    for split, name in (("train", "0001TP_006690"), ("val", "0016E5_07959"), ("test", "Seq05VD_f00000")):
        save_rgb(root / split / f"{name}.png", [[[1, 2, 3]] * 3])
        save_gray(root / f"{split}annot" / f"{name}.png", [[0, 10, 11]])
    return root


@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101), ("test", 233)])
def test_shared_layout_has_the_published_counts(camvid_root, split, count):
    dataset = camvid.build(camvid_root, split)
    assert len(dataset) == count and all(dataset.is_labeled(index) for index in range(count))


@pytest.mark.parametrize("split", camvid.SPLITS)
def test_frame_numbers_give_the_split_of_every_real_frame(camvid_root, split):
    assert {camvid.split_of(name) for name in camvid.build(camvid_root, split).sample_ids} == {split}


def test_real_sample_has_ids_of_the_class_set(camvid_root):
    sample = camvid.build(camvid_root, "train")[0]
    assert (sample.sample_id, sample.size_hw) == ("0001TP_006690", (360, 480))
    assert set(np.unique(sample.label)) <= {*range(11), 255}


def test_real_classes_are_those_of_the_code(camvid_root):
    assert ClassSet.from_file(camvid_root / "classes.json") == camvid.CLASSES


def test_real_split_shows_46_labels_and_hides_321(camvid_root):
    split = read_split(find_split(camvid_root, "1_8"))
    labeled, unlabeled = with_split(camvid.build(camvid_root, "train"), split)
    assert (len(labeled), len(unlabeled), unlabeled[0].label) == (46, 321, None)


def test_tutorial_void_11_becomes_255(tmp_path):
    dataset = camvid.build(tutorial(tmp_path), "train")
    assert dataset[0].label.tolist() == [[0, 10, 255]]


def test_tutorial_is_found_in_its_repository_folder(tmp_path):
    tutorial(tmp_path / "CamVid")
    assert camvid.build(tmp_path, "test").sample_ids == ("Seq05VD_f00000",)


def test_tutorial_id_12_is_refused(tmp_path):
    save_gray(tutorial(tmp_path) / "trainannot" / "0001TP_006690.png", [[0, 12, 11]])
    with pytest.raises(ValueError, match=r"0001TP_006690.png contains class ids \[12\]"):
        camvid.build(tmp_path, "train")[0]


def test_original_colors_are_grouped_into_11_classes(tmp_path):
    assert camvid.build(original(tmp_path), "train")[0].label.tolist() == [[SKY, BUILDING, ROAD, 255]]


def test_original_frames_are_split_by_recording(tmp_path):
    root = original(tmp_path)
    assert [camvid.build(root, split).sample_ids for split in camvid.SPLITS] == [
        ("0001TP_006690",),
        ("0016E5_07959",),
        ("Seq05VD_f00000",),
    ]


def test_original_mask_of_other_colors_is_refused(tmp_path):
    root = original(tmp_path)
    save_rgb(root / "LabeledApproved_full" / "0001TP_006690_L.png", [[[1, 1, 1], [2, 2, 2], [0, 0, 0], [0, 0, 0]]])
    with pytest.raises(ValueError, match=r"0001TP_006690_L.png is a coloured mask, and 50.0%"):
        camvid.build(root, "train")[0]


def test_original_frame_without_mask_is_refused(tmp_path):
    root = original(tmp_path)
    (root / "LabeledApproved_full" / "0001TP_006690_L.png").unlink()
    with pytest.raises(FileNotFoundError, match="0001TP_006690.png has no mask"):
        camvid.build(root, "train")


def test_original_folder_without_frames_of_a_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="701_StillsRaw_full holds no frame of split 'test' among 1 pictures"):
        camvid.build(original(tmp_path, ("0001TP_006690",)), "test")


def test_mask_that_is_a_link_out_of_the_folder_is_refused(tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "mask.png"
    save_gray(outside, [[0, 0, 0]])
    mask = tutorial(tmp_path) / "trainannot" / "0001TP_006690.png"
    mask.unlink()
    mask.symlink_to(outside)
    with pytest.raises(ValueError, match="0001TP_006690.png leads out of"):
        camvid.build(tmp_path, "train")


def test_all_32_original_classes_have_different_colors_and_a_group():
    colors = [color for color, _ in camvid._ORIGINAL_CLASSES.values()]
    groups = {group for _, group in camvid._ORIGINAL_CLASSES.values()}
    assert len(set(colors)) == 31 and groups == set(camvid.CLASSES.names)  # the 32nd is Void


def test_published_color_file_is_accepted(tmp_path):
    lines = [f"{r} {g} {b}\t\t{name}" for name, ((r, g, b), _) in camvid._ORIGINAL_CLASSES.items()]
    (original(tmp_path) / "label_colors.txt").write_text("\n".join([*lines, "0 0 0\tVoid"]) + "\n")
    assert len(camvid.build(tmp_path, "train")) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("128 128 128\tRoad", "line 1: Road has the colour .* which is Sky"),
        ("red\tRoad", "line 1: expected three numbers"),
    ],
    ids=["swapped", "words"],
)
def test_other_color_file_is_refused_with_its_line(tmp_path, line, message):
    (original(tmp_path) / "label_colors.txt").write_text(line)
    with pytest.raises(ValueError, match=message):
        camvid.build(tmp_path, "train")


def test_foreign_frame_name_in_the_original_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'holiday_1' is not the name of a CamVid frame"):
        camvid.build(original(tmp_path, ("holiday_1",)), "train")


def test_other_classes_are_refused(tmp_path):
    save_rgb(tmp_path / "images/train/a.png", [[[0, 0, 0]]])
    (tmp_path / "classes.json").write_text(json.dumps(ClassSet.from_names(["a", "b"]).to_json()))
    with pytest.raises(ValueError, match="lists a, b, but CamVid here has the classes sky, building"):
        camvid.build(tmp_path, "train")


def test_unknown_layout_lists_the_known_ones(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a CamVid folder .* trainannot/, or 701_StillsRaw_full/"):
        camvid.build(tmp_path, "train")


def test_unknown_split_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="CamVid has no split 'gold'; choose one of train, val, test"):
        camvid.build(tmp_path, "gold")
