"""What the two processes of tests/unit/test_training_processes.py do; started once, because starting takes longest."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from datasets.labels import IGNORE_INDEX
from reliability.selection import Normalizer, Observation, PixelSelection, SelectionInputs, SelectionMethod
from tests.unit.training_cases import CLASS_NAMES, StopAfter, tiny_config
from training import loop, models, session
from training.config import ModelConfig, TrainConfig
from training.config_json import apply_changes
from training.hosts.fixmatch import FixMatch
from training.lookup import host_names
from training.loop import FitOptions, fit
from training.losses import Targets, consistency_loss, supervised_loss
from training.models import Student
from training.signals import StopFlag, StopRequestedError
from training.step import StepBatch, StepContext, StepLosses

STOP_AT = 2


def joint_config(root: Path, processes: int) -> TrainConfig:
    """Four labeled and four unlabeled images per step over all processes, without dropout or batch statistics.

    SGD, because Adam divides gradients by their size and so makes a large step of a rounding error.
    """
    changes = [f"run.labeled_batch={4 // processes}", f"run.unlabeled_batch={4 // processes}"]
    plain = ["model.batch_norm=frozen", "optimizer.name=sgd", "optimizer.lr=0.01", "optimizer.clip_norm=0.5"]
    return apply_changes(tiny_config(root, "fixmatch", steps=4, teacher="ema", ema_decay=0.9), [*changes, *plain])


@contextmanager
def no_dropout() -> Iterator[None]:
    """Students whose decoder drops nothing: each process would drop something else."""

    def build_student(config: ModelConfig, num_classes: int) -> Student:
        student = models.build_student(config, num_classes)
        for layer in student.modules():
            if isinstance(layer, nn.Dropout2d):
                layer.p = 0.0
        return student

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "build_student", build_student)
        yield


def stop_early(config: TrainConfig, run_dir: Path, asks: bool = True) -> None:
    """Train `STOP_AT` steps; `asks` says whether this process is the one that was told to stop."""
    flag = StopAfter(STOP_AT - 1) if asks else StopFlag()
    try:
        fit(config, FitOptions(run_dir, quiet=True), flag)
    except StopRequestedError:
        return
    raise AssertionError("the run was not stopped")


class MeanLogits(SelectionMethod):
    """Remembers the mean logits of what it saw, and how many processes showed them."""

    learns_from = frozenset({"labeled", "unlabeled"})

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(CLASS_NAMES)))
        self.register_buffer("most_processes", torch.zeros(()))

    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        weight = inputs.valid.float()
        return PixelSelection(inputs.probabilities.argmax(1), weight, inputs.valid)

    def collect(self, observation: Observation) -> dict[str, Tensor]:
        return {"mean": observation.logits.mean(dim=(0, 2, 3))[None]}

    def absorb(self, rows: dict[str, Tensor]) -> None:
        for row in rows["mean"]:  # the order of the rows counts
            self.mean.lerp_(row, 0.3)
        self.most_processes.clamp_(min=len(rows["mean"]))


class Remembering(FixMatch):
    """FixMatch that keeps the last labeled losses of all processes."""

    def __init__(self) -> None:
        super().__init__(ema_decay=0.9)
        self.register_buffer("last", torch.zeros(2))

    def losses(self, context: StepContext, batch: StepBatch) -> StepLosses:
        losses = super().losses(context, batch)
        return StepLosses(losses.total, losses.parts, observed=losses.observed, host_rows={"x": losses.total[None]})

    def absorb(self, rows: dict[str, Tensor]) -> None:
        self.last.copy_(rows["x"].detach())


@contextmanager
def state_kept(path: Path) -> Iterator[None]:
    """Writes what this process holds after each step: student, teacher, selection method and host."""
    original = loop.train_step

    def train_step(now: session.Session, batch: StepBatch) -> tuple[StepLosses, Tensor]:
        result = original(now, batch)
        parts = {"student": now.bare_student, "teacher": now.teacher, "selection": now.selection, "host": now.host}
        torch.save({name: dict(part.state_dict()) for name, part in parts.items() if part is not None}, path)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", train_step)
        yield


def learn_state(root: Path, folder: Path, rank: int) -> None:
    """Train with a host and a method that keep state."""
    config = apply_changes(tiny_config(root, "fixmatch", steps=3), ["evaluation.split=none"])
    with pytest.MonkeyPatch.context() as patch, state_kept(folder / f"state-{rank}.pt"):
        patch.setattr(session, "build_method", lambda name, **options: MeanLogits())
        patch.setattr(session, "build_host", lambda name, **options: Remembering())
        fit(config, FitOptions(folder / "state", quiet=True))


SELECTION_OF = {"ael": "class_balanced", "unimatch": "rank_statistics", "u2pl": "entropy_percentile"}
"""Selection methods that keep state, each with one host; the other hosts use csl."""


def train_every_host(root: Path, folder: Path, rank: int) -> None:
    """A step of labels only and a step of each host."""
    for host in host_names():
        changes = [f"selection.name={SELECTION_OF.get(host, 'csl')}", "host.supervised_share=0.5"]
        changes += ['selection.options={"trust": "confidence"}'] if host == "unimatch" else []
        config = apply_changes(tiny_config(root, host, steps=2), ["evaluation.split=none", *changes])
        with state_kept(folder / f"{host}-{rank}.pt"):
            fit(config, FitOptions(folder / host, quiet=True))


def uneven_branch() -> tuple[Tensor, Targets]:
    """Logits and targets of four images, of which the first and the last have hardly a valid pixel."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, 6, 7)
    valid = torch.rand(shape, generator=generator) < torch.tensor([0.1, 0.9, 0.5, 0.0]).view(4, 1, 1)
    weight = torch.rand(shape, generator=generator).round(decimals=1) * valid
    label = torch.randint(0, 5, shape, generator=generator)
    return torch.randn(4, 5, 6, 7, generator=generator), Targets(label, weight, valid, (weight + 1) / 2)


def branch_losses(images: slice) -> dict[str, Tensor]:
    """Losses of some of these images under every normalizer, and of their labels."""
    logits, whole = uneven_branch()
    target = Targets(*(getattr(whole, plane.name)[images] for plane in fields(Targets)))
    losses = {name: consistency_loss(logits[images], target, name) for name in get_args(Normalizer)}
    label = torch.where(target.valid, target.pseudo_label, IGNORE_INDEX)
    return {**losses, "labels": supervised_loss(logits[images], label, target.weight)}


def diverge(root: Path, folder: Path, rank: int) -> None:
    """Train with a loss that is no number in the second process alone, and write how it ended here."""
    original = loop.train_step

    def train_step(now: session.Session, batch: StepBatch) -> tuple[StepLosses, Tensor]:
        losses, norm = original(now, batch)
        return losses, norm * (float("nan") if rank == 1 else 1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", train_step)
        try:
            fit(tiny_config(root, "supervised", steps=2), FitOptions(folder / "diverged", quiet=True))
        except loop.DivergedError as error:
            (folder / f"diverged-{rank}.txt").write_text(str(error))


def everything(rank: int, root: Path, folder: Path, port: int) -> None:
    """All runs of two processes, one after the other."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
    )  # fmt: skip
    torch.set_num_threads(1)
    with no_dropout():
        fit(joint_config(root, 2), FitOptions(folder / "two", quiet=True))
        stop_early(joint_config(root, 2), folder / "two_then_one", asks=rank == 1)
        fit(joint_config(root, 2), FitOptions(folder / "one_then_two", resume=True, quiet=True))
    torch.save(branch_losses(slice(2 * rank, 2 * rank + 2)), folder / f"branch-{rank}.pt")
    learn_state(root, folder, rank)
    train_every_host(root, folder, rank)
    diverge(root, folder, rank)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
