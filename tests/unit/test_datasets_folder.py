"""A folder of images and masks."""

import json
import pickle

import numpy as np
import pytest
from PIL import ExifTags, Image

from datasets.formats import folder
from datasets.images import encode_plane_png
from datasets.labels import ClassSet

TWO = ClassSet.from_names(["ground", "thing"])


def add_image(root, name, size_wh=(6, 4), **options):
    path = root / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size_wh, (10, 20, 30)).save(path, **options)
    return path


def add_mask(root, name, ids=None, size_wh=(6, 4)):
    path = root / "masks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    plane = np.zeros(size_wh[::-1], np.uint8)
    if ids is not None:
        plane.reshape(-1)[: len(ids)] = ids
    path.write_bytes(encode_plane_png(plane))
    return path


def add_classes(root, class_set=TWO):
    root.mkdir(exist_ok=True)
    (root / "classes.json").write_text(json.dumps(class_set.to_json()))


@pytest.fixture
def root(tmp_path):
    """Two training images of which one has a mask, and one test image."""
    add_classes(tmp_path)
    add_image(tmp_path, "train/a.jpg")
    add_image(tmp_path, "train/city/b.png")
    add_mask(tmp_path, "train/a.png", [0, 1, 255])
    add_image(tmp_path, "test/c.png")
    add_mask(tmp_path, "test/c.png", [1])
    return tmp_path


def test_split_has_its_own_images_in_name_order(root):
    assert folder.build(root, "train").sample_ids == ("a", "city/b")


def test_image_without_mask_is_unlabeled(root):
    dataset = folder.build(root, "train")
    assert [dataset.is_labeled(0), dataset.is_labeled(1), dataset[1].label] == [True, False, None]


def test_label_is_that_of_the_mask(root):
    assert folder.build(root, "train")[0].label.reshape(-1)[:4].tolist() == [0, 1, 255, 0]


def test_dataset_travels_to_a_worker_process(root):
    dataset = pickle.loads(pickle.dumps(folder.build(root, "train")))
    assert dataset[0].label.reshape(-1)[:3].tolist() == [0, 1, 255]


def test_flat_folder_is_the_split_train(tmp_path):
    add_classes(tmp_path)
    add_image(tmp_path, "a.png")
    add_mask(tmp_path, "a.png", [1])
    assert folder.build(tmp_path, "train").is_labeled(0)


def test_flat_folder_is_no_other_split(tmp_path):
    add_classes(tmp_path)
    add_image(tmp_path, "a.png")
    with pytest.raises(FileNotFoundError, match="no split 'test' in .*images; found no folders"):
        folder.build(tmp_path, "test")


def test_flat_masks_serve_every_split(tmp_path):
    add_classes(tmp_path)
    add_image(tmp_path, "train/a.png")
    add_image(tmp_path, "pool/b.png")
    add_mask(tmp_path, "a.png", [1])
    assert [folder.build(tmp_path, split).is_labeled(0) for split in ("train", "pool")] == [True, False]


def test_unknown_split_lists_those_there_are(root):
    with pytest.raises(FileNotFoundError, match="no split 'val' in .*images; found test, train"):
        folder.build(root, "val")


def test_split_name_cannot_leave_the_folder(root):
    with pytest.raises(ValueError, match=r"contains '\.\.'"):
        folder.build(root, "../masks")


def test_folder_without_images_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no folder 'images'. Expected"):
        folder.build(tmp_path, "train")


def test_an_empty_folder_of_images_is_called_empty(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match="images holds no pictures"):
        folder.build(tmp_path, "train")


def test_of_many_folders_only_some_are_named(tmp_path):
    for number in range(5):
        (tmp_path / "images" / f"{number:02d}").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="found 00, 01, 02, ...[.] Pictures"):
        folder.build(tmp_path, "train")


def test_split_without_pictures_is_refused(root):
    (root / "images" / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        folder.build(root, "empty")


def test_two_images_of_one_name_are_refused(root):
    add_image(root, "train/a.png")
    with pytest.raises(ValueError, match=r"a.jpg and .*a.png would both be 'a'"):
        folder.build(root, "train")


def test_masks_that_fit_no_image_are_refused(tmp_path):
    add_classes(tmp_path)
    add_image(tmp_path, "train/a.png")
    add_mask(tmp_path, "train/a_mask.png", [1])
    with pytest.raises(ValueError, match=r"none of the 1 masks .* mask a_mask.png, image a.png"):
        folder.build(tmp_path, "train")


def test_single_mask_without_image_is_logged(root, caplog):
    add_mask(root, "train/orphan.png")
    folder.build(root, "train")
    assert "1 mask has no image and is left out: orphan.png" in caplog.text


def test_file_that_is_no_picture_is_left_out_and_logged(root, caplog):
    (root / "images" / "train" / "photo.heic").write_bytes(b"...")
    assert len(folder.build(root, "train")) == 2
    assert "photo.heic" in caplog.text


def test_link_out_of_the_folder_is_refused(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    Image.new("RGB", (6, 4)).save(outside)
    (root / "images" / "train" / "link.png").symlink_to(outside)
    with pytest.raises(ValueError, match="link.png leads out of"):
        folder.build(root, "train")


def test_mask_of_another_size_is_refused_with_both_names(root):
    add_mask(root, "train/a.png", size_wh=(5, 4))
    with pytest.raises(ValueError, match=r"masks/train/a.png is 5 x 4, but .*images/train/a.jpg is 6 x 4. .*same size"):
        folder.build(root, "train")[0]


def exif_with(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def test_mask_drawn_on_the_unrotated_picture_is_refused_with_the_cause(root):
    add_image(root, "train/a.jpg", (6, 4), exif=exif_with(6))
    with pytest.raises(ValueError, match="EXIF orientation 6 is applied: the mask was drawn on the unrotated picture"):
        folder.build(root, "train")[0]


def test_mask_of_the_upright_picture_fits(root):
    add_image(root, "train/a.jpg", (6, 4), exif=exif_with(6))
    add_mask(root, "train/a.png", [1], size_wh=(4, 6))
    assert folder.build(root, "train")[0].size_hw == (6, 4)


def test_mask_of_a_picture_turned_upside_down_is_logged(root, caplog):
    add_image(root, "train/a.jpg", (6, 4), exif=exif_with(3))
    folder.build(root, "train")[0]
    assert "EXIF orientation 3; a.png is taken as upright" in caplog.text


def test_mask_with_an_unknown_id_is_refused_on_access(root):
    path = add_mask(root, "train/a.png", [7])
    with pytest.raises(ValueError, match=rf"{path} contains class ids \[7\]"):
        folder.build(root, "train")[0]


def test_classes_are_inferred_from_all_masks(root, caplog):
    (root / "classes.json").unlink()
    add_mask(root, "test/c.png", [4])
    assert folder.build(root, "train").class_set.names == ("class_0", "class_1", "class_2", "class_3", "class_4")
    assert "no classes.json" in caplog.text


def test_masks_of_0_and_255_only_are_refused_without_classes(tmp_path):
    add_image(tmp_path, "train/a.png")
    add_mask(tmp_path, "train/a.png", [255])
    with pytest.raises(ValueError, match="hold only 0 and 255.*foreground, save it as 1"):
        folder.build(tmp_path, "train")


def test_masks_of_void_only_are_refused_without_classes(tmp_path):
    add_image(tmp_path, "train/a.png")
    add_mask(tmp_path, "train/a.png", [255] * 24)
    with pytest.raises(ValueError, match="is 255"):
        folder.build(tmp_path, "train")


def test_neither_classes_nor_masks_is_refused(tmp_path):
    add_image(tmp_path, "train/a.png")
    with pytest.raises(ValueError, match="neither classes.json nor masks"):
        folder.build(tmp_path, "train")


def test_damaged_mask_is_named_when_classes_are_inferred(root):
    (root / "classes.json").unlink()
    (root / "masks" / "test" / "c.png").write_bytes(b"not a mask")
    with pytest.raises(ValueError, match="masks/test/c.png is not a picture"):
        folder.build(root, "train")


def test_file_name_with_a_space_gives_a_plain_id(tmp_path):
    add_classes(tmp_path)
    add_image(tmp_path, "train/Bild 1.png")
    add_mask(tmp_path, "train/Bild 1.png", [1])
    dataset = folder.build(tmp_path, "train")
    assert " " not in dataset.sample_ids[0] and dataset.is_labeled(0)
