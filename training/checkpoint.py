"""Checkpoints of a run folder: tensors as safetensors, everything else as JSON, never a pickled class.

`checkpoint/state.json` names the tensor files it belongs to and is replaced in one rename after they are on disk, so a
reader sees either the previous checkpoint or the new one, whenever the writer is stopped.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from datasets.files import sha256_of, write_atomically
from reliability.lookup import build_method
from reliability.selection import SelectionMethod
from training.config import TrainConfig
from training.config_json import read_config
from training.models import Student, build_student

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
PROJECTION = "projection."
"""What the names of a projection head's tensors begin with."""


@dataclass(frozen=True)
class Checkpoint:
    """What is needed to go on as if nothing had happened. Random state is not: it is a function of seed and step.

    Attributes:
        step: finished optimizer steps.
        tensors: groups of named tensors: student, optimizer, and teacher and selection where there are any.
        values: JSON values: hyperparameters of the optimizer, the loss scaler, the data's hash.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    values: dict[str, Any] = field(default_factory=dict)


def has_checkpoint(run_dir: Path) -> bool:
    """Whether a run folder holds a checkpoint."""
    return _state_path(run_dir).is_file()


def save_checkpoint(run_dir: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and then remove the one before.

    Raises:
        OSError: disk full or no permission; the checkpoint before is untouched.
    """
    folder = _state_path(run_dir).parent
    files = {}
    for group, tensors in checkpoint.tensors.items():
        name = f"{group}-{checkpoint.step:06d}.safetensors"
        write_atomically(folder / name, safetensors.torch.save({key: _plain(value) for key, value in tensors.items()}))
        files[group] = {"name": name, "sha256": sha256_of(folder / name)}
    state = {"format": FORMAT_VERSION, "step": checkpoint.step, "files": files, "values": checkpoint.values}
    write_atomically(_state_path(run_dir), json.dumps(state, indent=2).encode())
    current = {entry["name"] for entry in files.values()}
    for old in folder.glob("*.safetensors"):
        if old.name not in current:
            old.unlink()


def load_checkpoint(run_dir: Path, groups: tuple[str, ...] | None = None) -> Checkpoint:
    """Read a checkpoint, or only some of its groups of tensors.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: a file is damaged or from a newer version; names it.
    """
    path = _state_path(run_dir)
    if not path.is_file():
        raise FileNotFoundError(f"{run_dir} holds no checkpoint ({path.name} is missing in {path.parent.name}/)")
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        files, step, values, version = state["files"], state["step"], state["values"], state["format"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}. Start the run again in another folder") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format {version}, this program reads {FORMAT_VERSION}; update Pixelsieve")
    wanted = files if groups is None else {group: files[group] for group in groups}
    tensors = {group: _read(path.parent / entry["name"], entry["sha256"]) for group, entry in wanted.items()}
    return Checkpoint(step, tensors, values)


def load_student(run_dir: Path) -> tuple[Student, TrainConfig]:
    """The result of a run folder on the CPU in eval mode, with the configuration it was trained by.

    That is the student, or the teacher of hosts whose papers measure the teacher (`Host.result`). A projection head
    (U2PL) only serves training and is left out.

    Raises:
        FileNotFoundError: no such run, or it has no checkpoint yet.
        ValueError: the folder is damaged.
    """
    config_path = run_dir / CONFIG_NAME
    if not config_path.is_file():
        raise FileNotFoundError(
            f"{run_dir} is no run folder: {CONFIG_NAME} is missing. Make one: python -m training fit"
        )
    config = read_config(config_path)
    student = fresh_student(config)
    group = load_checkpoint(run_dir, groups=()).values.get("result", "student")  # runs from before had no such value
    tensors = load_checkpoint(run_dir, (group,)).tensors[group]
    load_tensors(student, {name: value for name, value in tensors.items() if not name.startswith(PROJECTION)}, run_dir)
    return student.eval(), config


def load_trained_method(
    run_dir: Path, student: Student, config: TrainConfig, name: str, options: Mapping[str, Any]
) -> SelectionMethod:
    """A selection method with what it learned in a run, on the CPU: it then selects what training selected.

    Args:
        run_dir: of the run.
        student, config: what `load_student` gives for it.
        name, options: of the method; the run's own, or another one that learns nothing.

    Raises:
        ValueError: unknown method or option, the folder is damaged, or the method learns while a student trains and
            this run trained with another one.
    """
    method = build_method(name, **options)
    if not method.learns_from:
        return method
    if config.selection.name != name:
        raise ValueError(
            f"selection method '{name}' learns while a student trains, but {run_dir} trained with "
            f"'{config.selection.name}'; use that one, or one that learns nothing such as csl"
        )
    method.prepare(len(config.class_set), student.num_features)
    load_tensors(method, load_checkpoint(run_dir, ("selection",)).tensors["selection"], run_dir)
    return method


def fresh_student(config: TrainConfig) -> Student:
    """The student's architecture with random weights, whatever `config.model.pretrained` says."""
    return build_student(dataclasses.replace(config.model, pretrained="none"), len(config.class_set))


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into a module.

    Raises:
        ValueError: names or shapes differ; names `source`.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise ValueError(f"{source}: the weights do not fit the model in {CONFIG_NAME}: {error}") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's per-parameter state, named `<parameter index>.<key>`."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": value
        for index, entry in state.items()
        for key, value in entry.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer over the same parameters its state back; its hyperparameters stay as configured."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _state_path(run_dir: Path) -> Path:
    return run_dir / "checkpoint" / "state.json"


def _plain(tensor: Tensor) -> Tensor:
    """On the CPU, contiguous and not sharing memory, as safetensors wants it."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _read(path: Path, sha256: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path} is missing; the checkpoint is incomplete")
    if sha256_of(path) != sha256:
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one in state.json. Restore it from a backup")
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
