"""COCO in its published layout: labels drawn from instances, and stored masks."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from datasets import coco_instances, coco_json
from datasets.coco_instances import AnnotatedImage, Instance, draw_label
from datasets.formats import coco
from datasets.images import encode_plane_png
from datasets.splits import find_split, read_split
from datasets.views import with_split

PERSON, BICYCLE, TOOTHBRUSH = 1, 2, 90
CATEGORIES = [{"id": category_id, "name": name} for category_id, name in coco.CATEGORIES.items()]


def square(left, top, side):
    return [[left, top, left + side, top, left + side, top + side, left, top + side]]


def annotation(number, category_id=PERSON, segmentation=None, **other):
    shape = square(0, 0, 2) if segmentation is None else segmentation
    return {"id": number, "image_id": 9, "category_id": category_id, "segmentation": shape, "iscrowd": 0} | other


def write(root, annotations, *, names=("000000000009.jpg",), split="val2017", **other):
    """Images of 4 x 4 pixels; the first has the id 9 and the annotations."""
    (root / split).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (4, 4)).save(root / split / name)
    images = [{"id": 9 + n, "file_name": name, "height": 4, "width": 4} for n, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES} | other
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def save_mask(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_plane_png(np.full((4, 4), ids, np.uint8)))


def drawn(root):
    return coco.build(root, "val2017")[0].label.tolist()


def label_of(*shapes):
    """Draw (class id, segmentation, whether it is a crowd) on 4 x 4 pixels."""
    instances = tuple(
        Instance(number, class_id, is_crowd, shape) for number, (class_id, shape, is_crowd) in enumerate(shapes)
    )
    return draw_label(AnnotatedImage(9, "9.jpg", (4, 4), instances)).tolist()


def test_classes_are_background_and_80_categories_without_gaps():
    assert len(coco.CLASSES) == 81 and coco.CLASSES.names[:2] == ("background", "person")
    assert (coco.CATEGORIES[90], coco.CLASSES.names[80]) == ("toothbrush", "toothbrush")


@pytest.mark.parametrize(
    ("category_id", "name"),
    [(11, "fire hydrant"), (13, "stop sign"), (67, "dining table"), (84, "book")],
)
def test_categories_after_gaps_keep_their_ids(category_id, name):
    assert coco.CATEGORIES[category_id] == name


def test_polygon_is_drawn_on_background(tmp_path):
    assert drawn(write(tmp_path, [annotation(1, TOOTHBRUSH)])) == [[80, 80, 0, 0]] * 2 + [[0, 0, 0, 0]] * 2


def test_run_lengths_are_drawn_column_by_column(tmp_path):
    shape = {"size": [4, 4], "counts": [1, 2, 13]}
    assert drawn(write(tmp_path, [annotation(1, BICYCLE, shape)])) == [[0] * 4, [2, 0, 0, 0], [2, 0, 0, 0], [0] * 4]


def test_image_without_instances_is_background(tmp_path):
    assert drawn(write(tmp_path, [])) == [[0] * 4] * 4


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["large first", "small first"])
def test_smaller_instance_is_seen_where_two_overlap(order):
    shapes = [(5, square(0, 0, 4), False), (7, square(1, 1, 2), False)]
    assert label_of(*(shapes[index] for index in order)) == [[5] * 4, [5, 7, 7, 5], [5, 7, 7, 5], [5] * 4]


def test_later_of_two_instances_of_one_size_is_seen():
    assert label_of((5, square(0, 0, 4), False), (7, square(0, 0, 4), False)) == [[7] * 4] * 4


def test_crowd_is_void_where_no_instance_covers_it():
    shapes = [(7, square(1, 1, 2), False), (1, square(0, 0, 4), True)]
    assert label_of(*shapes) == [[255] * 4, [255, 7, 7, 255], [255, 7, 7, 255], [255] * 4]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[0, 0, 1e400, 0, 1, 1]], "is not a JSON file that can be read: .*Infinity"),
        ([[0, 0, 10**400, 0, 1, 1]], "val2017.json: image 9, annotation 3: a polygon must hold finite numbers"),
        ([[0, 0, 1, 1]], "val2017.json: image 9, annotation 3: a polygon must be a list of at least three points"),
        ([["a"] * 6], "val2017.json: image 9, annotation 3: a polygon must hold finite numbers"),
        ({"size": [4, 4], "counts": [1, 2]}, "val2017.json: image 9, annotation 3: the run lengths cover 3 pixels"),
        ([], "val2017.json: image 9, annotation 3: 'segmentation' must be run lengths"),
    ],
    ids=["infinity", "no float holds it", "two points", "text", "short", "empty"],
)
def test_damaged_shape_is_refused_before_pycocotools_sees_it(tmp_path, segmentation, message):
    with pytest.raises(ValueError, match=message):
        drawn(write(tmp_path, [annotation(3, segmentation=segmentation)]))


def test_damaged_shape_of_one_image_does_not_keep_others_from_being_read(tmp_path):
    write(tmp_path, [annotation(3, segmentation=[])], names=("000000000009.jpg", "000000000025.jpg"))
    assert coco.build(tmp_path, "val2017")[1].label.tolist() == [[0] * 4] * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 7}, "annotation 3 belongs to image 7, which is not in the file"),
        ({"category_id": 12}, "annotation 3 has the category 12, which is not in the file"),
        ({"iscrowd": "no"}, "annotation 3: 'iscrowd' must be 0 or 1, found 'no'"),
    ],
    ids=["image", "category", "crowd"],
)
def test_wrong_annotation_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f"instances_val2017.json: {message}"):
        coco.build(write(tmp_path, [annotation(3) | changes]), "val2017")


def test_other_categories_are_refused(tmp_path):
    write(tmp_path, [], categories=[*CATEGORIES[:-1], {"id": 90, "name": "leaf"}])
    with pytest.raises(ValueError, match="'categories' has 'leaf' as 90, COCO 'toothbrush'. .* format 'folder'"):
        coco.build(tmp_path, "val2017")


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", ""])
def test_name_that_leaves_the_folder_is_refused(tmp_path, name):
    write(tmp_path, [], images=[{"id": 9, "file_name": name, "height": 4, "width": 4}])
    with pytest.raises(ValueError, match="instances_val2017.json: image 9: the name .* (contains|is)"):
        coco.build(tmp_path, "val2017")


def test_listed_image_that_is_missing_is_named(tmp_path):
    (write(tmp_path, [], names=("000000000009.jpg", "000000000025.jpg")) / "val2017/000000000025.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="lists 1 images that are not in .*, for example 000000000025.jpg"):
        coco.build(tmp_path, "val2017")


def test_image_of_another_size_than_annotated_is_refused(tmp_path):
    Image.new("RGB", (5, 4)).save(write(tmp_path, []) / "val2017/000000000009.jpg")
    with pytest.raises(ValueError, match=r"instances_val2017.json/image 9 is 4 x 4, but .*000000000009.jpg is 5 x 4"):
        drawn(tmp_path)


def test_annotations_without_images_are_refused(tmp_path):
    write(tmp_path, [], images=[])
    with pytest.raises(ValueError, match=r"instances_val2017.json lists no image"):
        coco.build(tmp_path, "val2017")


def test_file_larger_than_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_json, "MAX_JSON_BYTES", 100)
    with pytest.raises(ValueError, match=r"instances_val2017.json has [\d,]+ bytes, at most 100 are read"):
        coco.build(write(tmp_path, []), "val2017")


def test_more_images_than_the_limit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_instances, "MAX_IMAGES", 1)
    write(tmp_path, [], names=("000000000009.jpg", "000000000025.jpg"))
    with pytest.raises(ValueError, match=r"instances_val2017.json lists 2 images, at most 1 are read"):
        coco.build(tmp_path, "val2017")


def test_file_that_is_no_json_is_refused(tmp_path):
    (write(tmp_path, []) / "annotations/instances_val2017.json").write_text('{"images": [')
    with pytest.raises(ValueError, match="instances_val2017.json is not a JSON file that can be read"):
        coco.build(tmp_path, "val2017")


def test_polygons_take_eight_bytes_a_number(tmp_path):
    polygon = [[float(number % 4) for number in range(2000)]]
    dataset = coco.build(
        write(tmp_path, [annotation(number, segmentation=polygon) for number in range(100)]), "val2017"
    )
    assert len(pickle.dumps(dataset)) < 100 * 2000 * 8.2


@pytest.mark.parametrize("place", ["masks/val2017", "masks"])
def test_stored_masks_win_over_annotations_which_are_not_even_read(tmp_path, place):
    (write(tmp_path, []) / "annotations/instances_val2017.json").write_text("damaged")
    save_mask(tmp_path / place / "000000000009.png", 80)
    assert drawn(tmp_path) == [[80] * 4] * 4


def test_image_without_stored_mask_is_unlabeled_and_counted(tmp_path, caplog):
    save_mask(write(tmp_path, [], names=("a.jpg", "b.jpg")) / "masks/a.png", 1)
    dataset = coco.build(tmp_path, "val2017")
    assert [dataset.is_labeled(index) for index in (0, 1)] == [True, False]
    assert "1 of 2 images of val2017 have no mask" in caplog.text


def test_masks_of_another_split_do_not_hide_the_annotations(tmp_path):
    save_mask(write(tmp_path, [annotation(1)]) / "masks/000000000025.png", 80)
    assert drawn(tmp_path)[0] == [1, 1, 0, 0]


def test_stored_mask_with_an_id_that_is_no_class_is_refused(tmp_path):
    save_mask(write(tmp_path, []) / "masks/000000000009.png", 81)
    with pytest.raises(ValueError, match=r"000000000009.png contains class ids \[81\]"):
        drawn(tmp_path)


def test_damaged_stored_mask_is_named(tmp_path):
    path = write(tmp_path, []) / "masks/000000000009.png"
    save_mask(path, 1)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="000000000009.png is damaged or cut off"):
        drawn(tmp_path)


def test_mask_that_is_a_link_out_of_the_folder_is_refused(tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "mask.png"
    save_mask(outside, 1)
    (write(tmp_path, []) / "masks").mkdir()
    (tmp_path / "masks/000000000009.png").symlink_to(outside)
    with pytest.raises(ValueError, match="000000000009.png leads out of"):
        coco.build(tmp_path, "val2017")


def test_images_without_labels_by_design_are_unlabeled(tmp_path):
    write(tmp_path, [], split="unlabeled2017")
    (tmp_path / "annotations/instances_unlabeled2017.json").unlink()
    assert not coco.build(tmp_path, "unlabeled2017").is_labeled(0)


def test_split_without_labels_says_where_they_may_be(tmp_path):
    (write(tmp_path, []) / "annotations/instances_val2017.json").unlink()
    with pytest.raises(FileNotFoundError, match="expected .*instances_val2017.json, or PNGs named like its images in"):
        coco.build(tmp_path, "val2017")


def test_pictures_may_lie_in_a_folder_of_images(tmp_path):
    write(tmp_path, [annotation(1)])
    (tmp_path / "images").mkdir()
    (tmp_path / "val2017").rename(tmp_path / "images/val2017")
    assert coco.build(tmp_path, "val2017").sample_ids == ("000000000009",)


def test_unknown_split_names_those_there_are(tmp_path):
    write(tmp_path, [])
    with pytest.raises(FileNotFoundError, match="no folder 'train2017' with images in .*; found val2017"):
        coco.build(tmp_path, "train2017")


def test_split_that_leaves_the_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'../val2017' contains '\.\.'"):
        coco.build(write(tmp_path, []), "../val2017")


def test_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "val2017").mkdir()
    with pytest.raises(ValueError, match="val2017 holds no pictures"):
        coco.build(tmp_path, "val2017")


def test_lists_of_semi_supervised_protocols_are_labeled_splits(tmp_path):
    write(tmp_path, [annotation(1)], names=("000000000009.jpg", "000000000025.jpg"), split="train2017")
    folder = tmp_path / "splits" / "1_512"
    folder.mkdir(parents=True)
    (folder / "labeled.txt").write_text("train2017/000000000009.jpg masks/000000000009.png\n")
    (folder / "unlabeled.txt").write_text("train2017/000000000025.jpg masks/000000000025.png\n")
    labeled, unlabeled = with_split(coco.build(tmp_path, "train2017"), read_split(find_split(tmp_path, "1_512")))
    assert (labeled[0].label[0, 0], unlabeled[0].label) == (PERSON, None)
