"""Labeled and unlabeled parts of one data set."""

import numpy as np
import pytest

from datasets.formats.scenes import SceneCounts, build, write_scenes
from datasets.splits import LabeledSplit
from datasets.views import select, with_split


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three scenes, train_0000 to train_0002."""
    root = tmp_path_factory.mktemp("scenes") / "demo"
    write_scenes(root, SceneCounts(train=3, labeled=1, gold=1, test=1), (64, 64))
    return build(root, "train")


@pytest.fixture
def parts(dataset):
    """Labeled: the last scene. Unlabeled: the first. The middle one is in neither list."""
    return with_split(dataset, LabeledSplit(("train_0002",), ("train_0000",)))


def test_parts_hold_the_listed_samples_only(parts):
    assert [part.sample_ids for part in parts] == [("train_0002",), ("train_0000",)]


def test_labeled_part_shows_labels(dataset, parts):
    assert parts[0].is_labeled(0) and np.array_equal(parts[0][0].label, dataset[2].label)


def test_unlabeled_part_hides_labels(parts):
    assert not parts[1].is_labeled(0) and parts[1][0].label is None


def test_unlabeled_part_shows_the_same_image(dataset, parts):
    assert np.array_equal(parts[1][0].image, dataset[0].image) and parts[1].image_path(0) == dataset.image_path(0)


def test_unlabeled_part_does_not_even_read_its_masks(tmp_path):
    write_scenes(tmp_path / "demo", SceneCounts(2, 1, 1, 1), (64, 64))
    (tmp_path / "demo/masks/train/train_0001.png").write_bytes(b"damaged")
    _, unlabeled = with_split(build(tmp_path / "demo", "train"), LabeledSplit(("train_0000",), ("train_0001",)))
    assert unlabeled[0].label is None


def test_view_of_a_view_keeps_labels_hidden(parts):
    assert select(parts[1], ["train_0000"])[0].label is None


def test_selection_keeps_the_given_order(dataset):
    view = select(dataset, ["train_0002", "train_0000"])
    assert [view[index].sample_id for index in range(len(view))] == ["train_0002", "train_0000"]


def test_unknown_id_is_named(dataset):
    with pytest.raises(ValueError, match="1 listed samples are not in the data set of 3, for example elsewhere_7"):
        with_split(dataset, LabeledSplit(("train_0000",), ("elsewhere_7",)))


def test_labeled_id_without_mask_is_named(parts):
    with pytest.raises(ValueError, match="1 samples of the labeled list have no mask, for example train_0000"):
        with_split(parts[1], LabeledSplit(("train_0000",), ()))


def test_image_paths_name_samples_too(dataset):
    labeled, unlabeled = with_split(dataset, LabeledSplit(("demo/images/train/train_0002",), ("train/train_0000",)))
    assert (labeled.sample_ids, unlabeled.sample_ids) == (("train_0002",), ("train_0000",))


def test_path_of_no_image_is_named(dataset):
    with pytest.raises(ValueError, match="1 listed samples are not in the data set of 3, for example val/train_0000"):
        with_split(dataset, LabeledSplit(("train_0001",), ("val/train_0000",)))


def test_sample_listed_by_id_and_by_path_is_refused(dataset):
    with pytest.raises(ValueError, match="1 samples are listed twice, once by id and once by path.* train_0002"):
        with_split(dataset, LabeledSplit(("train_0002",), ("train/train_0002",)))
