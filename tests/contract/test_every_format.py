"""What every file in datasets/formats must do. A new format needs one function here that writes a tiny example."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths
from scipy import io as scipy_io

from datasets.files import sha256_of
from datasets.formats import camvid, cityscapes, coco, scenes, voc
from datasets.formats.manifest import ManifestEntry, write_manifest
from datasets.images import encode_plane_png
from datasets.labels import IGNORE_INDEX, ClassSet
from datasets.lookup import build_dataset, dataset_names

IDS = np.array([[0, 1, 255, 0], [1, 1, 0, 255]], np.uint8)


def save_pair(image_path: Path, mask_path: Path) -> None:
    for path in (image_path, mask_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", IDS.shape[::-1], (9, 8, 7)).save(image_path)
    mask_path.write_bytes(encode_plane_png(IDS))


def save_folders(root: Path, class_set: ClassSet) -> None:
    for name in ("frame_1", "frame_2"):
        save_pair(root / f"images/train/{name}.png", root / f"masks/train/{name}.png")
    (root / "classes.json").write_text(json.dumps(class_set.to_json()))


def write_voc(root: Path) -> None:
    for name in ("2007_000001", "2007_000002"):
        save_pair(root / f"JPEGImages/{name}.jpg", root / f"SegmentationClass/{name}.png")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("2007_000001\n2007_000002\n")


def write_sbd(root: Path) -> None:
    base = root / "benchmark_RELEASE/dataset"
    for name in ("2008_000001", "2008_000002"):
        save_pair(base / f"img/{name}.jpg", base / f"cls/{name}.png")
        (base / f"cls/{name}.png").unlink()
        scipy_io.savemat(base / f"cls/{name}.mat", {"GTcls": {"Segmentation": IDS}})
    (base / "train.txt").write_text("2008_000001\n2008_000002\n")


def write_cityscapes(root: Path) -> None:
    """The ids of IDS as raw ids: road is 7, sidewalk 8, unlabeled 0."""
    for number in (19, 20):
        name = f"train/aachen/aachen_000000_{number:06d}"
        mask = root / f"gtFine/{name}_gtFine_labelIds.png"
        save_pair(root / f"leftImg8bit/{name}_leftImg8bit.png", mask)
        mask.write_bytes(encode_plane_png(np.where(IDS == IGNORE_INDEX, 0, IDS + 7).astype(np.uint8)))


def write_coco(root: Path) -> None:
    """The first category is class 1; a crowd is void."""
    images, annotations = [], []
    for image_id, name in enumerate(("000000000009.jpg", "000000000025.jpg"), start=1):
        save_pair(root / "train" / name, root / "unused.png")
        images.append({"id": image_id, "file_name": name, "height": IDS.shape[0], "width": IDS.shape[1]})
        for is_crowd, value in ((0, 1), (1, IGNORE_INDEX)):
            shape = run_lengths.encode(np.asfortranarray(IDS == value, dtype=np.uint8))
            segmentation = {"size": list(IDS.shape), "counts": shape["counts"].decode()}
            annotations.append({"id": len(annotations), "image_id": image_id, "category_id": 1, "iscrowd": is_crowd})
            annotations[-1]["segmentation"] = segmentation
    categories = [{"id": category_id, "name": name} for category_id, name in coco.CATEGORIES.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations").mkdir()
    (root / "annotations/instances_train.json").write_text(json.dumps(content))


def write_manifest_example(root: Path) -> None:
    save_folders(root, ClassSet.from_names(["a", "b"]))
    entries = [
        ManifestEntry(path.stem, path, sha256_of(path), root / "masks/train" / path.name)
        for path in sorted((root / "images/train").iterdir())
    ]
    write_manifest(root / "manifest.json", ClassSet.from_names(["a", "b"]), entries)


EXAMPLES = {
    "camvid": lambda root: save_folders(root, camvid.CLASSES),
    "cityscapes": write_cityscapes,
    "coco": write_coco,
    "folder": lambda root: save_folders(root, ClassSet.from_names(["a", "b"])),
    "manifest": write_manifest_example,
    "sbd": write_sbd,
    "scenes": lambda root: save_folders(root, scenes.CLASSES),
    "voc": write_voc,
}


@pytest.fixture(params=dataset_names())
def name(request):
    """Name of a format."""
    return request.param


@pytest.fixture
def dataset(name, tmp_path):
    """A tiny example of the format, with two labeled images and the ids in IDS."""
    assert name in EXAMPLES, f"add a function that writes a tiny example of the format '{name}' to {__file__}"
    EXAMPLES[name](tmp_path)
    return build_dataset(name, tmp_path, "train")


def test_format_has_a_docstring_and_a_build_function(name):
    module = __import__(f"datasets.formats.{name}", fromlist=["build"])
    assert module.__doc__ and callable(module.build)


def test_length_agrees_with_the_ids(dataset):
    assert len(dataset) == len(dataset.sample_ids) == len(set(dataset.sample_ids)) == 2


def test_every_index_gives_the_sample_of_its_id(dataset):
    assert tuple(dataset[index].sample_id for index in range(len(dataset))) == dataset.sample_ids


def test_image_is_rgb_bytes_of_the_file(dataset):
    sample = dataset[0]
    assert sample.image.shape == (2, 4, 3) and sample.image.dtype == np.uint8
    assert dataset.image_path(0).is_file()


def test_label_has_class_ids_and_void_only(dataset):
    label = dataset[0].label
    assert dataset.is_labeled(0) and label.dtype == np.uint8 and np.array_equal(label, IDS)
    dataset.class_set.check_label(label, "example")


def test_reading_twice_gives_the_same_pixels(dataset):
    assert np.array_equal(dataset[1].image, dataset[1].image) and np.array_equal(dataset[1].label, dataset[1].label)


def test_changing_a_sample_does_not_change_the_data_set(dataset):
    dataset[0].label[:] = 0
    assert np.array_equal(dataset[0].label, IDS)


def test_data_set_travels_to_worker_processes(dataset):
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[0].label, IDS)


def test_index_beyond_the_end_is_an_index_error(dataset):
    with pytest.raises(IndexError):
        dataset[2]


def test_damaged_image_names_its_file(dataset):
    path = dataset.image_path(0)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=path.name):
        dataset[0]


def test_missing_image_names_its_file(dataset):
    path = dataset.image_path(0)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=path.name):
        dataset[0]


def test_folder_without_data_is_refused(name, tmp_path):
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        build_dataset(name, tmp_path, "train")


def test_missing_folder_is_refused(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="no data set at .*nowhere"):
        build_dataset(name, tmp_path / "nowhere", "train")


@pytest.mark.parametrize("split", ["../train", "no_such_split", "/etc"])
def test_unknown_split_is_refused(name, tmp_path, split):
    EXAMPLES[name](tmp_path)
    with pytest.raises((FileNotFoundError, ValueError)):
        build_dataset(name, tmp_path, split)


def test_unknown_format_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="unknown data set format 'kitti'; choose one of camvid, .*, voc"):
        build_dataset("kitti", tmp_path, "train")


@pytest.mark.parametrize("module", [camvid, cityscapes, coco, scenes, voc], ids=lambda module: module.__name__)
def test_fixed_classes_have_different_colors(module):
    assert len(set(module.CLASSES.colors)) == len(module.CLASSES)
