"""Manifests: provenance and weights come back exactly, and a changed image is noticed."""

import json

import numpy as np
import pytest
from PIL import Image

from datasets.files import sha256_of
from datasets.formats.manifest import ManifestEntry, build, read_manifest, write_manifest
from datasets.images import encode_plane_png
from datasets.labels import ClassSet

CLASSES = ClassSet(("sky", "road"), ((1, 2, 3), (4, 5, 6)))
LABEL = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
PROVENANCE = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
WEIGHT = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


def save(path, plane):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_plane_png(plane))
    return path


def save_image(path, value=7):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2), (value, value, value)).save(path)
    return path


def full_entry(folder, sample_id="a", split="train"):
    image = save_image(folder / "images" / f"{sample_id}.png")
    return ManifestEntry(
        sample_id=sample_id,
        image=image,
        image_sha256=sha256_of(image),
        label=save(folder / "labels" / f"{sample_id}.png", LABEL),
        provenance=save(folder / "provenance" / f"{sample_id}.png", PROVENANCE),
        weight=save(folder / "weights" / f"{sample_id}.png", WEIGHT),
        split=split,
    )


@pytest.fixture
def path(tmp_path):
    """A manifest with one full training sample, one unlabeled one and one gold sample."""
    image = save_image(tmp_path / "images" / "b.png")
    entries = [full_entry(tmp_path), ManifestEntry("b", image, sha256_of(image)), full_entry(tmp_path, "c", "gold")]
    write_manifest(tmp_path / "manifest.json", CLASSES, entries)
    return tmp_path / "manifest.json"


def change(path, **changes):
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))


def change_sample(path, **changes):
    content = json.loads(path.read_text())
    content["samples"][0].update(changes)
    path.write_text(json.dumps(content))


def test_entries_are_read_back(tmp_path, path):
    class_set, entries = read_manifest(path)
    assert class_set == CLASSES
    assert entries[0] == full_entry(tmp_path) and [entry.sample_id for entry in entries] == ["a", "b", "c"]


def test_label_provenance_and_weight_are_read_back(path):
    sample = build(path, "train")[0]
    assert np.array_equal(sample.label, LABEL) and np.array_equal(sample.provenance, PROVENANCE)
    assert sample.weight.dtype == np.float32
    assert np.array_equal(np.round(sample.weight * 255), WEIGHT) and sample.weight.max() == 1


def test_sample_without_label_is_unlabeled(path):
    dataset = build(path, "train")
    assert not dataset.is_labeled(1) and dataset[1].label is None


def test_split_holds_its_own_samples(path):
    assert [build(path, split).sample_ids for split in ("train", "gold")] == [("a", "b"), ("c",)]


def test_folder_of_the_manifest_may_be_given(path):
    assert build(path.parent, "gold").sample_ids == ("c",)


def test_manifest_may_be_moved_with_its_folder(path, tmp_path_factory):
    moved = tmp_path_factory.mktemp("elsewhere") / "copy"
    path.parent.rename(moved)
    assert build(moved, "train")[0].sample_id == "a"


def test_images_may_lie_above_a_rounds_folder(tmp_path):
    path = tmp_path / "rounds" / "003" / "manifest.json"
    write_manifest(path, CLASSES, [full_entry(tmp_path)])
    assert json.loads(path.read_text())["base"] == "../.."
    assert np.array_equal(build(path, "train")[0].label, LABEL)


def test_files_too_far_above_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is not within 3 folders above the manifest"):
        write_manifest(tmp_path / "a/b/c/d" / "manifest.json", CLASSES, [full_entry(tmp_path)])


def test_changed_image_is_named(path):
    save_image(path.parent / "images" / "a.png", value=8)
    with pytest.raises(ValueError, match="images/a.png has changed since the manifest was written"):
        build(path, "train")[0]


@pytest.mark.parametrize("key", ["label", "provenance", "weight"])
def test_plane_of_another_size_is_named(path, key):
    name = json.loads(path.read_text())["samples"][0][key]
    save(path.parent / name, np.zeros((5, 5), np.uint8))
    with pytest.raises(ValueError, match=f"{name} is 5 x 5, but .*images/a.png is 3 x 2"):
        build(path, "train")[0]


def test_unknown_provenance_code_is_refused(path):
    save(path.parent / "provenance" / "a.png", np.full((2, 3), 3, np.uint8))
    with pytest.raises(ValueError, match="provenance/a.png contains the provenance code 3"):
        build(path, "train")[0]


def test_label_id_outside_the_classes_is_refused(path):
    save(path.parent / "labels" / "a.png", np.full((2, 3), 9, np.uint8))
    with pytest.raises(ValueError, match=r"labels/a.png contains class ids \[9\]"):
        build(path, "train")[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "has manifest version 2, but this program reads version 1"),
        ({"format": "coco"}, "is not a manifest"),
        ({"samples": {}}, "expected a list 'samples'"),
        ({"classes": []}, "needs 1 to 254 classes"),
        ({"base": "/"}, "'base' must be"),
        ({"base": "../../../.."}, "'base' must be"),
        ({"base": "../etc"}, "'base' must be"),
        ({"base": 3}, "'base' must be"),
    ],
    ids=str,
)
def test_wrong_manifest_is_refused_with_its_name(path, changes, message):
    change(path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        build(path, "train")
    assert "manifest.json" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "../secret.png"}, r"contains '\.\.'"),
        ({"label": "/etc/passwd"}, "is an absolute path"),
        ({"image": None}, "'image' must be text, got None"),
        ({"weight": 3}, "'weight' must be text, got 3"),
        ({"split": "val"}, "split is 'val', expected train or gold or test"),
        ({"label": None}, "has provenance or weight but no label"),
        ({"colour": "red"}, "unknown keys colour"),
    ],
    ids=str,
)
def test_wrong_sample_is_refused_with_its_number(path, changes, message):
    change_sample(path, **changes)
    with pytest.raises(ValueError, match=rf"manifest.json, sample 0: .*{message}"):
        build(path, "train")


def test_link_out_of_the_folder_is_refused(path, tmp_path_factory):
    outside = save_image(tmp_path_factory.mktemp("outside") / "x.png")
    (path.parent / "images" / "a.png").unlink()
    (path.parent / "images" / "a.png").symlink_to(outside)
    with pytest.raises(ValueError, match="sample 0: .*leads out of"):
        build(path, "train")


def test_file_that_is_no_json_is_refused(path):
    path.write_text("{")
    with pytest.raises(ValueError, match="manifest.json is not a JSON file"):
        build(path, "train")


def test_missing_manifest_says_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match="no manifest at .*manifest.json. Give the file"):
        build(tmp_path, "train")


def test_split_without_samples_names_those_there_are(path):
    with pytest.raises(FileNotFoundError, match="has no sample of split 'test'; found gold, train"):
        build(path, "test")


def test_repeated_id_is_refused_before_writing(tmp_path):
    entry = full_entry(tmp_path)
    with pytest.raises(ValueError, match="would both be sample 'a'"):
        write_manifest(tmp_path / "manifest.json", CLASSES, [entry, entry])
    assert not (tmp_path / "manifest.json").exists()
