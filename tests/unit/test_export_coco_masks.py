"""Labels go to a COCO folder and come back pixel for pixel, and damaged files are refused by name."""

import contextlib
import hashlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools.coco import COCO

from datasets.images import read_label
from datasets.labels import IGNORE_INDEX, ClassSet
from export import coco_masks
from export.coco_masks import CocoItem, SkippedItem, open_coco, read_coco, verify_coco, write_coco

CLASSES = ClassSet.from_names(("sky", "road", "car"))
VOID = IGNORE_INDEX
HOLE = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, VOID]], np.uint8)
SHA = "5a" * 32


def item(label: np.ndarray, sample_id: str = "a") -> CocoItem:
    return CocoItem(f"images/{sample_id}.jpg", sample_id, label, SHA)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def load_pycocotools(folder: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(folder / "annotations.json"))


def rewrite(folder: Path, change) -> Path:
    """Change the parsed annotations.json in place."""
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export of two labels: one with a hole, 1-pixel parts and void, one that is void everywhere."""
    write_coco(tmp_path / "coco", CLASSES, [item(HOLE, "a"), item(np.full((3, 5), VOID, np.uint8), "b/c")])
    return tmp_path / "coco"


labels = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.sampled_from([0, 1, 2, VOID]),
    fill=st.sampled_from([0, VOID]),
)


@given(st.lists(labels, min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_every_label_comes_back_exactly(tmp_path_factory, several):
    folder = tmp_path_factory.mktemp("round") / "coco"
    write_coco(folder, CLASSES, [item(label, f"s{index}") for index, label in enumerate(several)])
    class_set, found = read_coco(folder)
    assert class_set == CLASSES
    assert list(found) == [f"s{index}" for index in range(len(several))]
    for label, read in zip(several, found.values(), strict=True):
        np.testing.assert_array_equal(read, label)


@given(st.lists(labels, min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_writing_what_was_read_gives_the_same_bytes(tmp_path_factory, several):
    root = tmp_path_factory.mktemp("twice")
    write_coco(root / "one", CLASSES, [item(label, f"s{index}") for index, label in enumerate(several)])
    reader = open_coco(root / "one")
    write_coco(root / "two", reader.class_set, reader)
    assert contents(root / "one") == contents(root / "two")


@given(labels)
@settings(max_examples=40, deadline=None)
def test_pycocotools_reads_the_same_masks_areas_and_boxes(tmp_path_factory, label):
    folder = tmp_path_factory.mktemp("reference") / "coco"
    write_coco(folder, CLASSES, [item(label)])
    reference = load_pycocotools(folder)
    for annotation in reference.loadAnns(reference.getAnnIds()):
        mask = reference.annToMask(annotation).astype(bool)
        np.testing.assert_array_equal(mask, label == annotation["category_id"] - 1)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
        assert (annotation["area"], annotation["bbox"]) == (mask.sum(), box)


def test_every_class_that_occurs_has_one_annotation_and_no_other(folder):
    reference = load_pycocotools(folder)
    found = [
        (entry["image_id"], entry["category_id"], entry["iscrowd"])
        for entry in reference.loadAnns(reference.getAnnIds())
    ]
    assert found == [(1, 1, 0), (1, 2, 0)]


def test_categories_are_class_ids_plus_one(folder):
    categories = json.loads((folder / "annotations.json").read_text())["categories"]
    assert [(entry["id"], entry["name"]) for entry in categories] == [(1, "sky"), (2, "road"), (3, "car")]


def test_an_image_that_is_void_everywhere_has_no_annotation_and_comes_back(folder):
    reference = load_pycocotools(folder)
    assert reference.getAnnIds(imgIds=[2]) == []
    np.testing.assert_array_equal(read_coco(folder)[1]["b/c"], np.full((3, 5), VOID, np.uint8))


def test_index_pngs_hold_the_ids_and_show_the_colors(folder):
    with Image.open(folder / "masks" / "a.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), HOLE)
        assert image.convert("RGB").getpixel((1, 1)) == CLASSES.colors[1]


def test_index_pngs_are_labels_for_the_importer(folder):
    np.testing.assert_array_equal(read_label(folder / "masks" / "a.png", CLASSES), HOLE)


def test_254_classes_keep_their_ids(tmp_path):
    many = ClassSet.from_names([f"class {index}" for index in range(254)])
    label = np.append(np.arange(254), [VOID, VOID]).astype(np.uint8).reshape(16, 16)
    write_coco(tmp_path / "coco", many, [item(label)])
    np.testing.assert_array_equal(read_coco(tmp_path / "coco")[1]["a"], label)


def test_the_manifest_holds_the_hash_of_every_other_file(folder):
    files = json.loads((folder / "manifest.json").read_text())["files"]
    expected = {
        name: hashlib.sha256(data).hexdigest() for name, data in contents(folder).items() if name != "manifest.json"
    }
    assert files == expected


def test_the_manifest_counts_void_pixels(folder):
    samples = json.loads((folder / "manifest.json").read_text())["samples"]
    assert [(entry["sample_id"], entry["void_pixels"]) for entry in samples] == [("a", 1), ("b/c", 15)]


def test_verify_finds_nothing_in_a_fresh_export(folder):
    assert verify_coco(folder) == ()


def test_verify_names_changed_and_missing_files(folder):
    (folder / "masks" / "a.png").write_bytes(b"other")
    (folder / "masks" / "b" / "c.png").unlink()
    assert verify_coco(folder) == ("masks/a.png has changed since it was exported", "masks/b/c.png is missing")


def test_verify_refuses_a_manifest_that_points_out_of_the_folder(folder):
    (folder / "manifest.json").write_text(json.dumps({"format": "pixelsieve-coco", "files": {"../secret": SHA}}))
    with pytest.raises(ValueError, match=r"\.\./secret"):
        verify_coco(folder)


BAD_ITEMS = {
    "unknown class": (item(np.full((2, 2), 9, np.uint8), "x"), "class ids \\[9\\]"),
    "leaves the folder": (item(HOLE, "../x"), r"'\.\.'"),
    "absolute": (item(HOLE, "/etc/x"), "absolute"),
    "sample id twice": (item(HOLE, "a"), "occurs twice"),
    "empty label": (item(np.zeros((0, 4), np.uint8), "x"), "not empty"),
    "wrong type": (item(np.zeros((4, 4), np.int64), "x"), "int64"),
    "image name leaves the folder": (CocoItem("../../x.jpg", "x", HOLE, SHA), r"'\.\.'"),
    "hash": (CocoItem("x.jpg", "x", HOLE, "123"), "64 hex"),
    "id too long": (item(HOLE, "x" * 300), "too long"),
    "half a character": (item(HOLE, "x\ud800"), "surrogates"),
    "folder where a mask is": (item(HOLE, "a.png/x"), "a.png"),
    "not readable": (SkippedItem("x", "x.png is truncated"), "truncated"),
}


@pytest.mark.parametrize(("bad", "reason"), BAD_ITEMS.values(), ids=BAD_ITEMS.keys())
def test_one_bad_item_does_not_stop_the_rest_and_is_reported(tmp_path, bad, reason):
    manifest = write_coco(tmp_path / "coco", CLASSES, [item(HOLE, "a"), bad, item(HOLE, "z")])
    assert list(read_coco(tmp_path / "coco")[1]) == ["a", "z"]
    assert [skipped.sample_id for skipped in manifest.skipped] == [bad.sample_id]
    with pytest.raises(ValueError, match=reason):
        raise ValueError(manifest.skipped[0].reason)


def test_nothing_is_written_outside_the_folder_by_a_hostile_sample_id(tmp_path):
    write_coco(tmp_path / "deep" / "coco", CLASSES, [item(HOLE, "a"), item(HOLE, "../../escaped")])
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["a.png"]


def test_an_export_without_a_single_item_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="nothing to export: 1 items.*x.png is truncated"):
        write_coco(tmp_path / "coco", CLASSES, [SkippedItem("x", "x.png is truncated")])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_nothing(tmp_path):
    def items():
        yield item(HOLE, "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_coco(tmp_path / "coco", CLASSES, items())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_the_export_and_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coco_masks.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_coco(tmp_path / "coco", CLASSES, [item(HOLE, "a")])
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(folder):
    before = contents(folder)
    with pytest.raises(FileExistsError, match="exists already"):
        write_coco(folder, CLASSES, [item(HOLE, "new")])
    assert contents(folder) == before


def test_an_old_export_is_replaced_on_purpose_and_nothing_of_it_stays(folder):
    write_coco(folder, CLASSES, [item(HOLE, "new")], replace=True)
    assert list(read_coco(folder)[1]) == ["new"]
    assert [path.name for path in folder.parent.iterdir()] == ["coco"]


def test_a_folder_that_is_no_export_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is no COCO export"):
        write_coco(tmp_path, CLASSES, [item(HOLE)], replace=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_progress_counts_items_and_names_them(tmp_path):
    seen = []
    write_coco(
        tmp_path / "c", CLASSES, [item(HOLE, "a"), SkippedItem("b", "no label")], lambda *args: seen.append(args)
    )
    assert seen == [(1, "images/a.jpg"), (2, "b")]


def set_counts(value):
    return lambda content: content["annotations"][0]["segmentation"].update(counts=value)


def set_polygon(*numbers):
    return lambda content: content["annotations"][0].update(segmentation=[list(numbers)])


def set_annotation(**values):
    return lambda content: content["annotations"][0].update(values)


def set_image(**values):
    return lambda content: content["images"][0].update(values)


BAD_ANNOTATIONS = {
    "run lengths too short": (set_counts("11"), "annotation 1: the run lengths cover 2 pixels"),
    "run lengths empty": (set_counts(""), "annotation 1: the run lengths cover 0"),
    "run lengths too long": (set_counts([0, 17]), "annotation 1: the run lengths cover 17"),
    "run lengths negative": (set_counts([20, -4]), "annotation 1: 'counts' must be"),
    "run lengths true": (set_counts([15, True]), "annotation 1: 'counts' must be"),
    "run lengths not ASCII": (set_counts("0é"), "annotation 1: 'counts' is damaged"),
    "run lengths cut off": (set_counts("0P"), "annotation 1: 'counts' is cut off"),
    "run lengths endless number": (set_counts("P" * 99), "annotation 1: 'counts' is damaged"),
    "run lengths of another size": (
        set_annotation(segmentation={"size": [2, 8], "counts": [16]}),
        r"annotation 1: .*\[2, 8\]",
    ),
    "no counts": (set_annotation(segmentation={"size": [4, 4]}), "annotation 1: 'counts'"),
    "no segmentation": (set_annotation(segmentation=None), "annotation 1: 'segmentation'"),
    "no polygons": (set_annotation(segmentation=[]), "annotation 1: 'segmentation'"),
    "polygon of two points": (set_polygon(0, 0, 3, 3), "annotation 1: .*three points"),
    "polygon of half a point": (set_polygon(0, 0, 3, 3, 0, 3, 1), "annotation 1: .*three points"),
    "polygon of texts": (set_polygon("0", 0, 3, 3, 0, 3), "annotation 1: .*finite numbers"),
    "polygon of huge whole numbers": (set_polygon(10**400, 0, 3, 3, 0, 3), "annotation 1: .*finite numbers"),
    "polygon far away": (set_polygon(1e6, 0, 3, 3, 0, 3), "annotation 1: .*far outside"),
    "polygon nested": (set_annotation(segmentation=[[[0, 0, 3, 3, 0, 3]]]), "annotation 1: .*three points"),
    "unknown category": (set_annotation(category_id=77), "annotation 1: category 77"),
    "category is a text": (set_annotation(category_id="1"), "annotation 1: category '1'"),
    "two classes on one pixel": (set_counts([0, 16]), "annotations 1 and 2 give 3 pixels to two classes"),
    "image without a size": (set_image(width=None), "image 1: 'width'"),
    "image of no pixels": (set_image(height=0), "image 1: .*'height'"),
    "image of too many pixels": (set_image(height=10**9, width=10**9), "image 1: .*limit"),
    "image name leaves the folder": (set_image(file_name="../../etc/passwd"), r"image 1: .*'\.\.'"),
    "image name is absolute": (set_image(file_name="C:/x.jpg"), "image 1: .*absolute"),
    "image name is a number": (set_image(file_name=3), "image 1: 'file_name'"),
    "sample id leaves the folder": (set_image(sample_id="a/../../b"), r"image 1: .*'\.\.'"),
    "hash is damaged": (set_image(sha256="xyz"), "image 1: 'sha256'"),
}


@pytest.mark.parametrize(("change", "reason"), BAD_ANNOTATIONS.values(), ids=BAD_ANNOTATIONS.keys())
def test_a_bad_image_is_left_out_with_the_reason_and_the_others_are_read(folder, change, reason):
    rewrite(folder, change)
    skipped, good = open_coco(folder)
    assert isinstance(skipped, SkippedItem)
    assert good.sample_id == "b/c"
    with pytest.raises(ValueError, match=reason):
        raise ValueError(skipped.reason)


def test_reading_everything_logs_what_was_left_out(folder, caplog):
    rewrite(folder, set_counts("11"))
    assert list(read_coco(folder)[1]) == ["b/c"]
    assert "a was left out: annotation 1: the run lengths cover 2 pixels" in caplog.text


def test_an_annotation_of_no_image_is_reported_by_its_id(folder):
    rewrite(folder, set_annotation(image_id=50))
    assert [entry.reason for entry in open_coco(folder).skipped] == [
        "annotation 1 belongs to image 50, which is not in the file"
    ]


def drop(key):
    return lambda content: content.pop(key)


BAD_FILES = {
    "no images": (drop("images"), "list of objects under 'images'"),
    "no annotations": (drop("annotations"), "list of objects under 'annotations'"),
    "no categories": (drop("categories"), "list of objects under 'categories'"),
    "empty categories": (lambda content: content.update(categories=[]), "at least|needs 1 to"),
    "category without a name": (lambda content: content["categories"][0].pop("name"), "'name'"),
    "category name twice": (lambda content: content["categories"][0].update(name="road"), "unique"),
    "category id twice": (lambda content: content["categories"][0].update(id=2), "id 2 occurs twice in 'categories'"),
    "image id twice": (set_image(id=2), "id 2 occurs twice in 'images'"),
    "image id is true": (set_image(id=True), "whole number 'id'"),
    "annotation id twice": (set_annotation(id=2), "id 2 occurs twice in 'annotations'"),
    "annotation is a list": (lambda content: content["annotations"].append([]), "list of objects"),
}


@pytest.mark.parametrize(("change", "reason"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_whose_ids_cannot_be_trusted_is_refused_by_name(folder, change, reason):
    path = rewrite(folder, change)
    with pytest.raises(ValueError, match=reason) as caught:
        open_coco(folder)
    assert str(path) in str(caught.value)


BAD_BYTES = {
    "empty": b"",
    "truncated": b'{"images": [',
    "binary": bytes(range(256)),
    "a list": b"[]",
    "NaN": b'{"images": [], "categories": [], "annotations": [{"id": NaN}]}',
    "infinity": b'{"images": [], "categories": [], "annotations": [{"id": -Infinity}]}',
    "deep": b"[" * 200_000,
    "endless number": b'{"images": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("data", BAD_BYTES.values(), ids=BAD_BYTES.keys())
def test_a_file_that_is_not_json_is_refused_by_name(tmp_path, data):
    path = tmp_path / "odd.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"odd\.json"):
        open_coco(path)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e999"])
def test_a_polygon_that_is_not_finite_never_reaches_pycocotools(folder, literal):
    path = rewrite(folder, set_polygon(0, 0, 3, 3, 0, 12321))
    path.write_text(path.read_text().replace("12321", literal))
    with pytest.raises(ValueError, match="not a number|finite"):
        raise ValueError(next(iter(open_coco(folder))).reason)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        read_coco(tmp_path / "nowhere.json")


def foreign(tmp_path: Path, annotations: list[dict], size_wh=(6, 4)) -> Path:
    """A COCO file as other tools write it: category ids with gaps, no colors, no sample ids."""
    path = tmp_path / "instances.json"
    content = {
        "images": [{"id": 7, "file_name": "street one.jpg", "width": size_wh[0], "height": size_wh[1]}],
        "categories": [{"id": 44, "name": "car"}, {"id": 3, "name": "road"}],
        "annotations": [{"id": 10 + index, "image_id": 7, **entry} for index, entry in enumerate(annotations)],
    }
    path.write_text(json.dumps(content))
    return path


def test_categories_of_other_tools_become_classes_in_the_order_of_their_ids(tmp_path):
    path = foreign(tmp_path, [{"category_id": 44, "segmentation": {"size": [4, 6], "counts": [0, 24]}}])
    class_set, found = read_coco(path)
    assert class_set.names == ("road", "car")
    assert {int(value) for label in found.values() for value in label.flat} == {1}


def test_polygons_are_read(tmp_path):
    path = foreign(
        tmp_path, [{"category_id": 3, "segmentation": [[1, 1, 5, 1, 5, 3, 1, 3]], "area": 8, "bbox": [1, 1, 4, 2]}]
    )
    expected = np.full((4, 6), VOID, np.uint8)
    expected[1:3, 1:5] = 0
    np.testing.assert_array_equal(next(iter(read_coco(path)[1].values())), expected)


def test_instances_of_one_class_may_overlap(tmp_path):
    runs = {"size": [4, 6], "counts": [0, 12, 12]}
    path = foreign(tmp_path, [{"category_id": 3, "segmentation": runs}, {"category_id": 3, "segmentation": runs}])
    (label,) = read_coco(path)[1].values()
    assert (label == 0).sum() == 12


def test_an_outline_that_would_fill_the_memory_is_refused(tmp_path):
    zigzag = [value for index in range(4000) for value in (0 if index % 2 else 16000, index % 16000)]
    path = foreign(tmp_path, [{"category_id": 3, "segmentation": [zigzag]}], size_wh=(4000, 16000))
    assert "far outside" in next(iter(open_coco(path))).reason or "too many" in next(iter(open_coco(path))).reason
    assert math.prod((4000, 16000)) <= 64_000_000


@given(st.text(alphabet=[chr(code) for code in range(48, 112)], max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_of_run_lengths_is_read_exactly_or_refused(tmp_path_factory, text):
    path = foreign(
        tmp_path_factory.mktemp("text"), [{"category_id": 3, "segmentation": {"size": [4, 6], "counts": text}}]
    )
    (entry,) = open_coco(path)
    assert isinstance(entry, SkippedItem) or set(np.unique(entry.label)) <= {0, VOID}
