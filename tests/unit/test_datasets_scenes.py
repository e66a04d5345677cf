"""Generated scenes: the same for the same seed, complete or absent on disk."""

import itertools

import numpy as np
import pytest

from datasets.formats.scenes import LABELED_SPLIT, SceneCounts, build, write_scenes
from datasets.scene_generator import CLASSES, PERSON, POLE, generate_scene
from datasets.splits import find_split, read_split

FEW = SceneCounts(train=4, labeled=2, gold=1, test=1)
SMALL = (64, 80)


def files_of(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A small generated data set."""
    folder = tmp_path_factory.mktemp("scenes") / "demo"
    write_scenes(folder, FEW, SMALL, seed=3)
    return folder


@pytest.mark.parametrize(("split", "count"), [("train", 4), ("gold", 1), ("test", 1)])
def test_every_split_has_its_scenes_all_labeled(root, split, count):
    dataset = build(root, split)
    assert len(dataset) == count and all(dataset.is_labeled(index) for index in range(count))


def test_sample_ids_are_unique_across_splits(root):
    ids = list(itertools.chain.from_iterable(build(root, split).sample_ids for split in ("train", "gold", "test")))
    assert len(set(ids)) == len(ids) == 6


def test_split_covers_all_training_scenes(root):
    split = read_split(find_split(root, LABELED_SPLIT))
    assert len(split.labeled) == 2 and sorted(split.labeled + split.unlabeled) == list(build(root, "train").sample_ids)


def test_same_seed_writes_the_same_files(root, tmp_path):
    write_scenes(tmp_path / "again", FEW, SMALL, seed=3)
    assert files_of(tmp_path / "again") == files_of(root)


def test_other_seed_paints_other_scenes():
    assert not np.array_equal(generate_scene((0,), SMALL)[0], generate_scene((1,), SMALL)[0])


@pytest.mark.parametrize("size_hw", [(64, 64), (96, 131), (192, 256)], ids=str)
def test_scene_has_the_asked_size_and_known_ids(size_hw):
    image, label = generate_scene((5,), size_hw)
    assert image.shape == (*size_hw, 3) and image.dtype == np.uint8 and label.shape == size_hw
    CLASSES.check_label(label, "scene")


@pytest.fixture(scope="module")
def class_counts():
    """Pixels of each id in 40 scenes."""
    return sum(np.bincount(generate_scene((7, number), SMALL)[1].reshape(-1), minlength=256) for number in range(40))


def test_every_class_and_void_occur(class_counts):
    assert (class_counts[[*range(len(CLASSES)), 255]] > 0).all()


def test_people_and_poles_are_rare(class_counts):
    shares = class_counts / class_counts.sum()
    assert shares[PERSON] < 0.03 and shares[POLE] < 0.06


def test_void_is_a_small_share(class_counts):
    assert 0 < class_counts[255] / class_counts.sum() < 0.08


def test_color_alone_does_not_tell_the_classes_apart():
    """Otherwise the model would never be unsure: nearest mean colour must stay well below what a network reaches."""
    scenes = [generate_scene((11, number), SMALL) for number in range(12)]
    pixels = np.concatenate([image.reshape(-1, 3) for image, _ in scenes]).astype(np.float32)
    ids = np.concatenate([label.reshape(-1) for _, label in scenes])
    means = np.stack([pixels[ids == class_id].mean(axis=0) for class_id in range(len(CLASSES))])
    nearest = ((pixels[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
    valid = ids != 255
    assert 0.25 < (nearest == ids)[valid].mean() < 0.75


def test_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="exists already; choose another folder"):
        write_scenes(tmp_path, FEW, SMALL)
    assert files_of(tmp_path) == {"mine.txt": b"keep"}


def test_interrupted_generation_leaves_nothing(tmp_path):
    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "demo", FEW, SMALL, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_scene(tmp_path):
    seen = []
    write_scenes(tmp_path / "demo", FEW, SMALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize("counts", [{"train": 0}, {"gold": 0}, {"train": 4, "labeled": 5}], ids=str)
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="every count must be at least 1, and labeled at most train"):
        SceneCounts(**counts)


def test_tiny_scene_is_refused():
    with pytest.raises(ValueError, match="at least 64 x 64"):
        generate_scene((0,), (32, 80))


def test_folder_with_other_classes_is_refused(root, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes((root / "images/train/train_0000.jpg").read_bytes())
    (tmp_path / "classes.json").write_text('{"classes": [{"name": "x"}]}')
    with pytest.raises(ValueError, match="is not that of generated scenes"):
        build(tmp_path, "train")
