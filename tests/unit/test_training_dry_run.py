"""Dry runs: what they count can be counted by hand, and what they check is broken on purpose."""

import json
import tempfile
from dataclasses import replace

import pytest
import torch

from tests.unit.training_cases import allowed_pairs, tiny_config, write_blocks
from training.__main__ import main
from training.config import ModelConfig, SelectionConfig, TrainConfig
from training.display import Display
from training.dry_run import dry_run, estimate_step
from training.lookup import build_host
from training.models import build_student


@pytest.fixture(autouse=True)
def time_one_pass(monkeypatch):
    monkeypatch.setattr("training.dry_run.TIMED_PASSES", 1)


@pytest.fixture
def config(tmp_path) -> TrainConfig:
    return tiny_config(write_blocks(tmp_path / "data", labeled=3, unlabeled=5), host="supervised")


def with_host(config: TrainConfig, host: str, selection: str = "fixed_threshold") -> TrainConfig:
    changed = replace(config, host=replace(config.host, name=host))
    return replace(changed, selection=SelectionConfig(name=selection))


def test_generated_scenes_of_a_dry_run_do_not_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["fit", "--preset", "debug", "--run-dir", str(tmp_path / "run"), "--dry-run"]) == 0
    assert list(tmp_path.iterdir()) == [] and json.loads(capsys.readouterr().out)["data"]["labeled_images"] > 0


def test_parameters_are_those_of_the_student(config):
    expected = sum(parameter.numel() for parameter in build_student(ModelConfig(), 3).parameters())
    assert estimate_step(config, 3).parameters == expected


def test_a_doubled_batch_doubles_operations_and_activations(config):
    single = estimate_step(config, 3)
    double = estimate_step(replace(config, run=replace(config.run, labeled_batch=4)), 3)
    assert double.operations == 2 * single.operations
    assert double.activation_bytes == pytest.approx(2 * single.activation_bytes, rel=0.02)


def test_a_teacher_and_adams_averages_are_counted_as_state(config):
    weights = 4 * sum(parameter.numel() for parameter in build_student(ModelConfig(), 3).parameters())
    sgd = replace(config, optimizer=replace(config.optimizer, name="sgd"))
    taught = replace(with_host(sgd, "fixmatch"), host=replace(sgd.host, name="fixmatch", options={"teacher": "ema"}))
    assert [estimate_step(each, 3).state_bytes // weights for each in (sgd, config, taught)] == [3, 4, 4]


@pytest.fixture(scope="module")
def operations_with_labels_only(tmp_path_factory) -> float:
    return estimate_step(tiny_config(tmp_path_factory.mktemp("none"), host="supervised"), 3).operations


ESTIMATED = [
    # Costs add up: one host with every method and one method with every host say nearly all in a quarter of the time.
    pytest.param(host, method, marks=[] if host == "unimatch" or method == "csl" else pytest.mark.slow)
    for host, method in allowed_pairs()
    if build_host(host).uses_unlabeled
]


@pytest.mark.parametrize(("host", "selection"), ESTIMATED)
def test_every_combination_that_is_allowed_can_be_estimated(config, host, selection, operations_with_labels_only):
    assert estimate_step(with_host(config, host, selection), 3).operations > operations_with_labels_only


def test_activations_are_what_torch_keeps_for_the_backward_pass(config):
    student, kept = build_student(ModelConfig(), 3).train(), {}

    def remember(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        logits = student(torch.randn(2, 3, 32, 32)).logits
    pointers = {parameter.untyped_storage().data_ptr() for parameter in student.parameters()}
    real = sum(size for pointer, size in kept.items() if pointer not in pointers)
    assert logits.requires_grad and real < estimate_step(config, 3).activation_bytes < 1.5 * real  # and the loss


def test_a_dry_run_writes_nothing_and_prints_json(config, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    code = main(["fit", "--preset", "debug", "--data-format", "folder", "--data-root", config.data.root, "--dry-run"])
    said = json.loads(capsys.readouterr().out)
    assert code == 0 and sorted(tmp_path.rglob("*")) == before
    assert (said["data"]["labeled_images"], said["data"]["unlabeled_images"], said["estimate"]["steps"]) == (3, 5, 30)


def test_labels_only_steps_shorten_the_estimate(config):
    asked = with_host(config, "csl", "csl")
    first_half = replace(asked, host=replace(asked.host, supervised_share=1.0), run=replace(asked.run, steps=36_000))
    with Display(enabled=False) as display:
        estimate = dry_run(first_half, display)["estimate"]
    assert estimate["hours"] < 0.9 * 10 * estimate["seconds_per_step"]


@pytest.mark.parametrize(("method", "trains"), [("rank_statistics", True), ("csl", False)])
def test_a_detector_that_is_trained_first_is_named(config, method, trains):
    asked = with_host(config, "unimatch", method)
    with Display(enabled=False) as display:
        said = dry_run(asked, display)["estimate"]["not_counted"]
    assert ("a detector that trains 2000 steps first" in said) == trains


def test_every_damaged_file_is_listed(config, tmp_path, capsys):
    for name in ("p0.png", "p1.png"):
        (tmp_path / "data" / "images" / "train" / name).write_bytes(b"not a picture")
    arguments = ["fit", "--preset", "debug", "--data-format", "folder", "--data-root", config.data.root, "--dry-run"]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "2 images of" in said and "p0" in said and "p1" in said


def test_without_a_run_folder_there_is_only_a_dry_run(capsys):
    assert main(["fit", "--preset", "debug"]) == 2
    assert "--run-dir DIR (or only look: --dry-run)" in capsys.readouterr().err
