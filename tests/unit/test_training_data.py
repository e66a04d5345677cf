"""What may be learned from a sample, and which stream it enters."""

import json

import numpy as np
import pytest

from datasets.files import sha256_of
from datasets.formats.manifest import ManifestEntry, write_manifest
from datasets.images import encode_plane_png
from datasets.labels import IGNORE_INDEX, ClassSet, Provenance
from datasets.sample import Sample
from tests.unit.training_cases import CLASS_NAMES, color_blocks, provenance_halves, write_blocks
from training.config import DataConfig
from training.data import SamplePool, open_held_out, open_training_data, training_sample

UNREVIEWED, HUMAN, PSEUDO = Provenance.UNREVIEWED, Provenance.HUMAN, Provenance.PSEUDO


def one_row(label, provenance, weight=None):
    shape = (1, len(label))
    plane = None if weight is None else np.array(weight, np.float32).reshape(shape)
    return training_sample(
        Sample(
            "s",
            np.zeros((*shape, 3), np.uint8),
            np.array(label, np.uint8).reshape(shape),
            None if provenance is None else np.array(provenance, np.uint8).reshape(shape),
            plane,
        )
    )


def test_each_provenance_gets_its_weight():
    sample = one_row([0, 1, 2, 1], [HUMAN, PSEUDO, UNREVIEWED, PSEUDO], weight=[0.3, 0.25, 0.9, 0.0])
    assert sample.weight.tolist() == [[1.0, 0.25, 0.0, 0.0]]


def test_unreviewed_and_worthless_pixels_lose_their_label():
    sample = one_row([0, 1, 2, 1], [HUMAN, PSEUDO, UNREVIEWED, PSEUDO], weight=[0.3, 0.25, 0.9, 0.0])
    assert sample.label.tolist() == [[0, 1, IGNORE_INDEX, IGNORE_INDEX]]


def test_a_label_without_provenance_is_peoples():
    sample = one_row([0, 255, 2], None)
    assert sample.is_complete and sample.has_truth and sample.weight is None


@pytest.mark.parametrize(
    ("label", "provenance", "has_truth", "is_complete"),
    [
        pytest.param([0, 1], [HUMAN, HUMAN], True, True, id="all-human"),
        pytest.param([0, 1], [HUMAN, UNREVIEWED], True, False, id="half-reviewed"),
        pytest.param([0, 1], [HUMAN, PSEUDO], True, False, id="half-pseudo"),
        pytest.param([0, 1], [UNREVIEWED, UNREVIEWED], False, False, id="nobody-looked"),
        pytest.param([0, 1], [PSEUDO, PSEUDO], False, False, id="only-pseudo"),
        pytest.param([255, 255], [HUMAN, HUMAN], False, True, id="all-void"),
    ],
)
def test_streams_by_provenance(label, provenance, has_truth, is_complete):
    sample = one_row(label, provenance)
    assert (sample.has_truth, sample.is_complete) == (has_truth, is_complete)


def write_round(tmp_path, provenances):
    """A manifest with one 64 x 80 image per provenance plane; None is an unlabeled image."""
    entries = []
    for number, provenance in enumerate(provenances):
        image, label = color_blocks(number)
        files = {"image": tmp_path / f"{number}.png"}
        files["image"].write_bytes(_png(image))
        if provenance is not None:
            for kind, plane in (("label", label), ("provenance", provenance), ("weight", np.full_like(label, 128))):
                files[kind] = tmp_path / f"{number}_{kind}.png"
                files[kind].write_bytes(encode_plane_png(plane))
        entries.append(ManifestEntry(sample_id=f"s{number}", image_sha256=sha256_of(files["image"]), **files))
    write_manifest(tmp_path / "manifest.json", ClassSet.from_names(CLASS_NAMES), entries)
    return DataConfig(format="manifest", root=str(tmp_path))


def _png(image):
    import cv2  # noqa: PLC0415

    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def test_a_manifest_fills_both_streams(tmp_path):
    human = np.full((64, 80), HUMAN, np.uint8)
    unreviewed = np.full((64, 80), UNREVIEWED, np.uint8)
    data = open_training_data(write_round(tmp_path, [human, provenance_halves(), unreviewed, None]))
    assert (data.labeled, data.unlabeled) == ((0, 1), (1, 2, 3))
    assert data.labeled_shares == (1.0, (provenance_halves() == HUMAN).mean())


def test_complete_images_enter_the_unlabeled_stream_on_request(tmp_path):
    config = write_round(tmp_path, [np.full((64, 80), HUMAN, np.uint8)])
    wider = DataConfig(format="manifest", root=config.root, labeled_as_unlabeled=True)
    assert open_training_data(wider).unlabeled == (0,)


def test_training_without_any_reviewed_pixel_is_refused(tmp_path):
    config = write_round(tmp_path, [np.full((64, 80), UNREVIEWED, np.uint8), None])
    with pytest.raises(ValueError, match="none of the 2 images .* has a reviewed pixel"):
        open_training_data(config)


def test_the_datas_hash_changes_with_one_provenance_pixel(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before, after = provenance_halves(), provenance_halves()
    after[0, 0] = UNREVIEWED
    first = open_training_data(write_round(tmp_path / "a", [before]))
    second = open_training_data(write_round(tmp_path / "b", [after]))
    same = open_training_data(write_round(_made(tmp_path / "c"), [before]))
    assert first.sha256 != second.sha256 and first.sha256 == same.sha256


def _made(folder):
    folder.mkdir()
    return folder


def test_a_labeled_split_that_is_not_there_names_the_key_before_any_image_is_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="data.labeled_split is 'half', by --labeled-split or by the preset"):
        open_training_data(DataConfig(format="folder", root=str(tmp_path), labeled_split="half"))


def test_a_labeled_split_hides_the_other_labels(tmp_path):
    root = write_blocks(tmp_path, labeled=4, unlabeled=0)
    folder = root / "splits" / "half"
    folder.mkdir(parents=True)
    (folder / "labeled.txt").write_text("p0\np2\n")
    (folder / "unlabeled.txt").write_text("p1\np3\n")
    data = open_training_data(DataConfig(format="folder", root=str(root), labeled_split="half"))
    hidden = [data.pool.read(item) for item in data.unlabeled]
    assert len(data.labeled) == 2 and all((sample.label == IGNORE_INDEX).all() for sample in hidden)


def test_a_split_with_images_that_are_not_there_is_named_with_its_folder(tmp_path):
    root = write_blocks(tmp_path, labeled=4, unlabeled=0)
    folder = root / "splits" / "half"
    folder.mkdir(parents=True)
    (folder / "labeled.txt").write_text("p0\nq7\n")
    (folder / "unlabeled.txt").write_text("p1\n")
    with pytest.raises(ValueError, match=r"splits/half: 1 listed samples are not in the data set of 4, for example q7"):
        open_training_data(DataConfig(format="folder", root=str(root), labeled_split="half"))


def test_samples_beyond_the_cache_are_read_again(tmp_path):
    root = write_blocks(tmp_path)
    data = open_training_data(DataConfig(format="folder", root=str(root), cache_mb=0))
    assert data.pool.read(0) is not data.pool.read(0)


def test_samples_within_the_cache_are_decoded_once(tmp_path):
    data = open_training_data(DataConfig(format="folder", root=str(write_blocks(tmp_path))))
    assert data.pool.read(0) is data.pool.read(0)


def test_auto_evaluates_on_gold_first(tmp_path):
    held_out = open_held_out(DataConfig(format="folder", root=str(write_blocks(tmp_path))), "auto")
    assert held_out is not None and held_out.split == "gold" and len(held_out.dataset) == 2


def test_auto_evaluates_on_nothing_without_a_held_out_split(tmp_path):
    root = write_blocks(tmp_path)
    for kind in ("images", "masks"):
        (root / kind / "gold").rename(root / kind / "other")
    assert open_held_out(DataConfig(format="folder", root=str(root)), "auto") is None


def test_a_named_split_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no split 'test'"):
        open_held_out(DataConfig(format="folder", root=str(write_blocks(tmp_path))), "test")


def test_an_empty_root_is_named():
    with pytest.raises(ValueError, match=r"data\.root is empty"):
        open_training_data(DataConfig(format="folder"))


def test_a_pool_knows_labels_without_decoding(tmp_path):
    data = open_training_data(DataConfig(format="folder", root=str(write_blocks(tmp_path, labeled=1, unlabeled=1))))
    assert isinstance(data.pool, SamplePool)
    assert [data.pool.has_label(item) for item in range(len(data.pool))] == [True, False]


def test_classes_come_from_the_data(tmp_path):
    root = write_blocks(tmp_path)
    stored = json.loads((root / "classes.json").read_text())
    stored["classes"][0]["name"] = "crimson"
    (root / "classes.json").write_text(json.dumps(stored))
    data = open_training_data(DataConfig(format="folder", root=str(root)))
    assert data.class_set.names == ("crimson", "green", "blue")
