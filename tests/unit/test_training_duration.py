"""Steps from passes over the images."""

from dataclasses import replace

import pytest

from tests.unit.training_cases import tiny_config, write_blocks
from training.data import open_training_data
from training.duration import epoch_steps, with_steps
from training.loop import FitOptions, check_run_folder, fit


@pytest.fixture
def config(tmp_path):
    return tiny_config(write_blocks(tmp_path / "data", labeled=3, unlabeled=5), host="fixmatch")


def passes(config, epochs: int):
    return replace(config, run=replace(config.run, epochs=epochs))


@pytest.mark.parametrize(
    ("uses_unlabeled", "num_processes", "expected"),
    [
        pytest.param(True, 1, 3, id="5-images-in-batches-of-2"),
        pytest.param(True, 2, 2, id="two-processes"),
        pytest.param(False, 1, 2, id="3-labeled-images"),
        pytest.param(True, 100, 1, id="more-than-one-pass-in-a-step"),
    ],
)
def test_a_pass_is_rounded_up(config, uses_unlabeled, num_processes, expected):
    data = open_training_data(config.data)
    assert epoch_steps(config, data, uses_unlabeled, num_processes) == expected


def test_a_partly_reviewed_image_counts_as_its_share(config):
    data = replace(open_training_data(config.data), labeled_shares=(1.0, 0.05, 0.05))
    assert epoch_steps(config, data, uses_unlabeled=False, num_processes=1) == 1


def test_epochs_become_steps(config):
    assert with_steps(passes(config, 4), open_training_data(config.data), 1).run.steps == 12


def test_without_epochs_the_steps_stay(config):
    assert with_steps(config, open_training_data(config.data), 1) == config


def test_a_run_of_one_epoch_ends_after_its_steps_and_can_be_named_again(config, tmp_path):
    asked = passes(config, 1)
    summary = fit(asked, FitOptions(tmp_path / "run", quiet=True))
    assert summary["steps"] == 3
    assert check_run_folder(asked, FitOptions(tmp_path / "run", resume=True)) is True
