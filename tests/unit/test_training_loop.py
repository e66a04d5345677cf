"""Whole runs: resuming, stopping, diverging, starting from another run."""

import dataclasses
import json
import shutil

import pytest
import torch

from datasets.formats.scenes import SceneCounts, write_scenes
from tests.unit.training_cases import StopAfter, tiny_config, write_blocks
from training import loop
from training.checkpoint import load_checkpoint, load_student
from training.config_json import apply_changes, read_config
from training.loop import DivergedError, FitOptions, fit
from training.presets import build_preset
from training.records import read_metrics
from training.scenes import ensure_scenes
from training.signals import StopRequestedError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_blocks(tmp_path_factory.mktemp("blocks"))


def train(config, run_dir, **options):
    return fit(config, FitOptions(run_dir, quiet=True, **options))


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    """A run folder of one step, to be read only."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    train(tiny_config(root, "supervised", steps=1), run_dir)
    return run_dir


def stopped_run(config, run_dir, step):
    with pytest.raises(StopRequestedError, match=rf"stopped after step {step}/\d+; continue with --resume"):
        fit(config, FitOptions(run_dir, quiet=True), StopAfter(step - 1))


@pytest.mark.parametrize(
    ("host", "host_options", "changes"),
    [
        pytest.param("csl", {}, [], id="csl-adamw"),
        pytest.param("fixmatch", {"teacher": "ema"}, ["optimizer.name=sgd", "optimizer.lr=0.01"], id="teacher-sgd"),
        pytest.param("augseg", {}, [], id="augseg", marks=pytest.mark.slow),
        pytest.param("u2pl", {"projection_channels": 8, "low_rank": 1}, ["selection.name=s4mc"], id="u2pl-memory"),
        pytest.param("ael", {}, ["selection.name=class_balanced"], id="ael-bank", marks=pytest.mark.slow),
    ],
)
def test_resuming_equals_not_stopping_to_the_last_bit(root, tmp_path, host, host_options, changes):
    config = apply_changes(tiny_config(root, host, steps=5, **host_options), changes)
    whole = train(config, tmp_path / "whole")
    stopped_run(config, tmp_path / "parts", 3)
    parts = train(config, tmp_path / "parts", resume=True)
    one, two = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    assert one.step == two.step == 5 and one.tensors.keys() == two.tensors.keys()
    for group, tensors in one.tensors.items():
        assert tensors.keys() == two.tensors[group].keys()
        assert all(torch.equal(tensors[name], two.tensors[group][name]) for name in tensors)
    assert whole["final"] == parts["final"]


def test_every_step_is_recorded_once_after_resuming(root, tmp_path):
    config = tiny_config(root, steps=5)
    stopped_run(config, tmp_path, 3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(
            '{"kind": "train", "step": 4, "loss": 99.0}\n{"kind": "tra'
        )  # steps after the checkpoint, then a crash
    train(config, tmp_path, resume=True)
    events = [event for event in read_metrics(tmp_path) if event["kind"] == "train"]
    assert [event["step"] for event in events] == [1, 2, 3, 4, 5] and events[3]["loss"] != 99.0


def test_the_same_seed_gives_the_same_student(root, tmp_path):
    for name in ("a", "b"):
        train(tiny_config(root, steps=2), tmp_path / name)
    one, two = (load_student(tmp_path / name)[0].state_dict() for name in ("a", "b"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_first_steps_may_use_labels_only(root, tmp_path):
    train(apply_changes(tiny_config(root, steps=4), ["host.supervised_share=0.5"]), tmp_path)
    events = [event for event in read_metrics(tmp_path) if event["kind"] == "train"]
    assert ["coverage" in event for event in events] == [False, False, True, True]


def test_a_run_folder_holds_what_the_readme_says(root, tmp_path):
    summary = train(tiny_config(root), tmp_path)
    found = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert found == {
        "checkpoint", "config.json", "environment.json", "metrics.jsonl", "plots", "summary.json", "tensorboard"
    }  # fmt: skip
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["evaluated_split"] == "gold" and 0 <= summary["final"]["miou"] <= 1
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"loss.png", "pseudo_labels.png", "miou.png"}


def test_environment_names_no_path(finished):
    text = (finished / "environment.json").read_text()
    assert str(finished.parent) not in text and "/" not in json.loads(text)["device"]


def test_progress_ends_at_its_total(root, tmp_path):
    train(tiny_config(root, "supervised", steps=2), tmp_path / "run", progress_file=tmp_path / "progress.json")
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert progress["done"] == progress["total"] and "miou" in progress["metrics"]


def diverging(step):
    """A train_step whose loss is NaN from `step` on."""
    original = loop.train_step

    def train_step(session, batch):
        losses, norm = original(session, batch)
        if session.finished >= step:
            losses = dataclasses.replace(losses, total=losses.total * float("nan"))
        return losses, norm

    return train_step


def test_nan_keeps_the_last_good_checkpoint(root, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "train_step", diverging(step=4))
    with pytest.raises(DivergedError, match="at or before step 4; the checkpoint before is kept"):
        train(tiny_config(root, steps=6), tmp_path)
    assert load_checkpoint(tmp_path).step == 2


def test_nan_before_the_first_checkpoint_says_so(root, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "train_step", diverging(step=1))
    with pytest.raises(DivergedError, match="there is no checkpoint yet"):
        train(tiny_config(root), tmp_path)


def test_a_run_folder_in_use_is_not_overwritten(root, finished):
    with pytest.raises(ValueError, match="already holds a run; continue it with --resume"):
        train(tiny_config(root, "supervised", steps=1), finished)


def test_resuming_with_another_configuration_names_the_keys(root, tmp_path):
    config = tiny_config(root, steps=4)
    stopped_run(config, tmp_path, 2)
    changed = apply_changes(config, ["optimizer.lr=0.5", "host.name=fixmatch"])
    with pytest.raises(ValueError, match=r"--resume: host\.name, optimizer\.lr differ"):
        train(changed, tmp_path, resume=True)


def test_resuming_on_changed_data_is_refused(tmp_path):
    blocks = write_blocks(tmp_path / "blocks")
    config = tiny_config(blocks, steps=4)
    stopped_run(config, tmp_path / "run", 2)
    (blocks / "masks" / "train" / "p3.png").unlink()
    with pytest.raises(ValueError, match="the training data changed since its checkpoint"):
        train(config, tmp_path / "run", resume=True)


def test_resuming_a_finished_run_changes_no_weight(root, finished, tmp_path):
    run_dir = shutil.copytree(finished, tmp_path / "run")
    assert train(tiny_config(root, "supervised", steps=1), run_dir, resume=True)["steps"] == 1
    before, after = (load_student(folder)[0].state_dict() for folder in (finished, run_dir))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_run_can_start_from_another_ones_weights(root, finished, tmp_path, monkeypatch):
    expected = load_student(finished)[0].state_dict()
    starts = []
    original = loop.train_step

    def recording(session, batch):
        starts.append({key: value.clone() for key, value in session.bare_student.state_dict().items()})
        return original(session, batch)

    monkeypatch.setattr(loop, "train_step", recording)
    summary = train(tiny_config(root, "supervised", steps=1), tmp_path / "second", init_from=finished)
    assert all(torch.equal(starts[0][key], expected[key]) for key in expected)
    assert summary["init_from"] == str(finished)


def test_weights_of_another_backbone_are_refused(root, finished, tmp_path):
    other = apply_changes(tiny_config(root, "supervised", steps=1), ["model.backbone=segformer_mit_b0"])
    with pytest.raises(ValueError, match="use --set model.backbone=fpn_resnet10t"):
        train(other, tmp_path / "second", init_from=finished)


def test_weights_of_other_classes_are_refused(root, finished, tmp_path):
    blocks = write_blocks(tmp_path / "blocks")
    classes = (blocks / "classes.json").read_text().replace('"blue"', '"azure"')
    (blocks / "classes.json").write_text(classes)
    with pytest.raises(ValueError, match="its classes are red, green, blue, the data's are red, green, azure"):
        train(tiny_config(blocks, "supervised", steps=1), tmp_path / "second", init_from=finished)


def test_repeating_a_run_on_data_with_other_classes_is_refused(root, finished, tmp_path):
    blocks = write_blocks(tmp_path / "blocks")
    (blocks / "classes.json").write_text((blocks / "classes.json").read_text().replace('"blue"', '"azure"'))
    repeated = apply_changes(read_config(finished / "config.json"), [f"data.root={blocks}"])
    with pytest.raises(ValueError, match="had red, green, blue, but the data has red, green, azure"):
        train(repeated, tmp_path / "second")


def test_a_host_without_unlabeled_images_says_what_to_do(tmp_path):
    blocks = write_blocks(tmp_path / "blocks", labeled=3, unlabeled=0)
    with pytest.raises(ValueError, match=r"'csl' needs unlabeled images, .* or use host\.name=supervised"):
        train(tiny_config(blocks), tmp_path / "run")


def test_wrong_options_are_refused_before_data_is_read(tmp_path):
    config = apply_changes(tiny_config(tmp_path / "nowhere"), ["selection.options.beta=3"])
    with pytest.raises(ValueError, match="selection method 'csl' has no option 'beta'; its options are alpha"):
        train(config, tmp_path / "run")


def test_evaluation_during_training_is_recorded(root, tmp_path):
    config = apply_changes(tiny_config(root, "supervised", steps=4), ["evaluation.every_steps=2"])
    train(config, tmp_path)
    assert [event["step"] for event in read_metrics(tmp_path) if event["kind"] == "evaluation"] == [2, 4]


def test_without_a_held_out_split_nothing_is_claimed(root, tmp_path):
    config = apply_changes(tiny_config(root, "supervised", steps=1), ["evaluation.split=none"])
    summary = train(config, tmp_path)
    assert summary["final"] == {} and summary["evaluated_split"] is None


def test_the_debug_preset_lowers_the_loss(tmp_path):
    write_scenes(tmp_path / "scenes", SceneCounts(train=8, labeled=4, gold=1, test=1), (64, 80))
    shorter = ["run.steps=12", "run.log_every=3", "run.labeled_batch=2", "run.unlabeled_batch=2"]
    data = [f"data.root={tmp_path / 'scenes'}", "evaluation.split=none"]
    train(apply_changes(build_preset("debug"), [*data, *shorter]), tmp_path / "run")
    losses = [event["loss_x"] for event in read_metrics(tmp_path / "run")]
    assert losses[-1] < 0.8 * losses[0]


def test_generated_scenes_are_made_once(tmp_path):
    root = ensure_scenes(tmp_path / "scenes", seed=0, counts=SceneCounts(train=2, labeled=1, gold=1, test=1))
    changed = (root / "classes.json").stat().st_mtime_ns
    assert ensure_scenes(root, seed=0) == root and (root / "classes.json").stat().st_mtime_ns == changed


def test_gradients_are_clipped_to_their_limit(root, tmp_path, monkeypatch):
    norms = []
    original = loop.train_step

    def recording(session, batch):
        result = original(session, batch)
        gradients = [parameter.grad.norm() for parameter in session.bare_student.parameters()]
        norms.append(torch.stack(gradients).norm().item())
        return result

    monkeypatch.setattr(loop, "train_step", recording)
    train(apply_changes(tiny_config(root, steps=2), ["optimizer.clip_norm=0.01"]), tmp_path)
    assert norms == pytest.approx([0.01, 0.01], rel=1e-3)
