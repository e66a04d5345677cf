"""Checkpoints: what is on disk at any moment, and what damaged ones say."""

import json

import pytest
import torch
from torch import nn

from datasets.labels import ClassSet
from tests.unit.training_cases import CLASS_NAMES
from training.checkpoint import (
    Checkpoint,
    fresh_student,
    has_checkpoint,
    load_checkpoint,
    load_optimizer,
    load_student,
    optimizer_tensors,
    save_checkpoint,
)
from training.config import TrainConfig
from training.config_json import write_config


def checkpoint_of(step: int) -> Checkpoint:
    tensors = {"student": {"a": torch.full((2, 3), float(step))}, "optimizer": {"0.step": torch.tensor(float(step))}}
    return Checkpoint(step, tensors, {"note": "x"})


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path):
    save_checkpoint(tmp_path, checkpoint_of(3))
    loaded = load_checkpoint(tmp_path)
    assert (loaded.step, loaded.values) == (3, {"note": "x"})
    assert torch.equal(loaded.tensors["student"]["a"], torch.full((2, 3), 3.0))
    assert torch.equal(loaded.tensors["optimizer"]["0.step"], torch.tensor(3.0))


def test_only_the_newest_checkpoint_stays(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, checkpoint_of(step))
    names = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert names == ["optimizer-000002.safetensors", "state.json", "student-000002.safetensors"]


@pytest.mark.parametrize("fails_at", ["student", "optimizer", "state.json"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, fails_at):
    save_checkpoint(tmp_path, checkpoint_of(1))
    from training import checkpoint as module  # noqa: PLC0415

    write = module.write_atomically

    def full_disk(path, content):
        if path.name.startswith(fails_at):
            raise OSError(28, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(module, "write_atomically", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, checkpoint_of(2))
    assert load_checkpoint(tmp_path).step == 1


def test_saving_the_same_step_again_keeps_its_files(tmp_path):
    for _ in range(2):
        save_checkpoint(tmp_path, checkpoint_of(5))
    assert load_checkpoint(tmp_path).step == 5


def test_a_changed_tensor_file_is_refused(tmp_path):
    save_checkpoint(tmp_path, checkpoint_of(1))
    path = tmp_path / "checkpoint" / "student-000001.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match=r"student-000001\.safetensors is damaged"):
        load_checkpoint(tmp_path)


def test_a_missing_tensor_file_is_named(tmp_path):
    save_checkpoint(tmp_path, checkpoint_of(1))
    (tmp_path / "checkpoint" / "student-000001.safetensors").unlink()
    with pytest.raises(ValueError, match=r"student-000001\.safetensors is missing"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}'], ids=["cut", "list", "keys-missing"])
def test_a_damaged_state_is_refused(tmp_path, content):
    save_checkpoint(tmp_path, checkpoint_of(1))
    (tmp_path / "checkpoint" / "state.json").write_text(content)
    with pytest.raises(ValueError, match=r"state\.json is damaged"):
        load_checkpoint(tmp_path)


def test_a_newer_format_asks_for_an_update(tmp_path):
    save_checkpoint(tmp_path, checkpoint_of(1))
    path = tmp_path / "checkpoint" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(ValueError, match="has format 2, this program reads 1; update Pixelsieve"):
        load_checkpoint(tmp_path)


def test_an_empty_folder_holds_no_checkpoint(tmp_path):
    assert not has_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)


def test_load_student_gives_the_saved_weights_in_eval_mode(tmp_path):
    config = TrainConfig(classes=ClassSet.from_names(CLASS_NAMES).to_json())
    write_config(tmp_path / "config.json", config)
    torch.manual_seed(4)
    student = fresh_student(config)
    save_checkpoint(tmp_path, Checkpoint(1, {"student": dict(student.state_dict())}))
    loaded, loaded_config = load_student(tmp_path)
    image = torch.randn(1, 3, 40, 40)
    with torch.no_grad():
        assert torch.equal(loaded(image).logits, student.eval()(image).logits)
    assert loaded_config == config and not loaded.training


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is no run folder: config\.json is missing"):
        load_student(tmp_path)


def test_weights_of_other_classes_do_not_load(tmp_path):
    config = TrainConfig(classes=ClassSet.from_names(CLASS_NAMES).to_json())
    write_config(tmp_path / "config.json", TrainConfig(classes=ClassSet.from_names(("a", "b")).to_json()))
    save_checkpoint(tmp_path, Checkpoint(1, {"student": dict(fresh_student(config).state_dict())}))
    with pytest.raises(ValueError, match=r"the weights do not fit the model in config\.json"):
        load_student(tmp_path)


@pytest.mark.parametrize(
    "make",
    [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.AdamW(p, lr=0.1)],
    ids=["sgd", "adamw"],
)
def test_optimizer_state_survives_as_tensors(make):
    torch.manual_seed(0)
    layer, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.load_state_dict(layer.state_dict())
    optimizer, restored = make(layer.parameters()), make(other.parameters())
    data = torch.randn(3, 4, 2)

    def step(module, with_optimizer, batch):
        with_optimizer.zero_grad()
        module(batch).square().sum().backward()
        with_optimizer.step()

    for batch in data[:2]:
        step(layer, optimizer, batch)
    other.load_state_dict(layer.state_dict())
    load_optimizer(restored, {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()})
    step(layer, optimizer, data[2])
    step(other, restored, data[2])
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), other.parameters(), strict=True))
