"""Pseudo-labels are measured with labels that training never sees."""

import dataclasses

import pytest

from datasets.splits import LabeledSplit, write_split
from tests.unit.training_cases import tiny_config, write_blocks
from training.config import DataConfig, EvaluationConfig
from training.loop import FitOptions, fit
from training.pseudo_images import open_pseudo_images
from training.records import read_metrics


@pytest.fixture
def split_root(tmp_path):
    """Eight training images, all with a mask on disk; the split 1_4 shows two of them."""
    root = write_blocks(tmp_path / "data", labeled=8, unlabeled=0)
    write_split(root / "splits" / "1_4", LabeledSplit(("p0", "p1"), tuple(f"p{n}" for n in range(2, 8))))
    return root


def data_config(root, split="1_4"):
    return DataConfig(format="folder", root=str(root), labeled_split=split)


def test_none_are_opened_for_a_count_of_0(split_root):
    assert open_pseudo_images(data_config(split_root), 0) is None


def test_they_come_from_the_unlabeled_list_only(split_root):
    assert set(open_pseudo_images(data_config(split_root), 6).sample_ids) == {f"p{n}" for n in range(2, 8)}


def test_they_have_their_labels(split_root):
    pseudo_images = open_pseudo_images(data_config(split_root), 3)
    assert all(pseudo_images.is_labeled(index) for index in range(3))


def test_the_choice_is_always_the_same(split_root):
    config = data_config(split_root)
    assert open_pseudo_images(config, 3).sample_ids == open_pseudo_images(config, 3).sample_ids


def test_more_than_there_are_is_refused(split_root):
    with pytest.raises(ValueError, match="only 6 unlabeled images of split '1_4' have a label"):
        open_pseudo_images(data_config(split_root), 7)


def test_a_run_without_a_labeled_split_is_refused(split_root):
    with pytest.raises(ValueError, match=r"data\.labeled_split is empty"):
        open_pseudo_images(data_config(split_root, ""), 3)


def measured_config(root, pseudo_images):
    config = tiny_config(root, host="fixmatch")
    evaluation = EvaluationConfig(split="none", every_steps=2, pseudo_images=pseudo_images)
    return dataclasses.replace(config, data=data_config(root), evaluation=evaluation)


def test_a_run_records_pseudo_label_quality_at_every_evaluation(split_root, tmp_path):
    fit(measured_config(split_root, 3), FitOptions(tmp_path / "run", quiet=True))
    events = [event for event in read_metrics(tmp_path / "run") if event["kind"] == "evaluation"]
    assert [event["step"] for event in events] == [2, 4]
    assert all({"pseudo/coverage", "pseudo/miou"} <= set(event) for event in events)


def test_measuring_pseudo_labels_changes_no_loss(split_root, tmp_path):
    losses = {}
    for count in (0, 3):
        fit(measured_config(split_root, count), FitOptions(tmp_path / str(count), quiet=True))
        losses[count] = [event["loss"] for event in read_metrics(tmp_path / str(count)) if event["kind"] == "train"]
    assert losses[0] == losses[3]
