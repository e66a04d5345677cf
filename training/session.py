"""Everything a run consists of once its configuration has met its data: built and checked here."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from reliability.lookup import build_method
from reliability.selection import SelectionMethod
from training.batch_norm import average_statistics, share_batch_statistics
from training.batches.device_pool import DevicePool, choose_device_pool
from training.batches.device_views import DeviceRenderer
from training.batches.drawn_loader import DrawnLoader
from training.batches.loader import BatchLoader, Loader, device_mover
from training.batches.sampler import Stream
from training.checkpoint import Checkpoint, optimizer_tensors
from training.config import ModelConfig, TrainConfig
from training.data import HeldOut, TrainingData
from training.duration import epoch_steps
from training.environment import resolve_device, resolve_memory_format, resolve_precision
from training.evaluate import Inference
from training.lookup import build_host
from training.losses import HardMining, supervised_loss
from training.models import Student, StudentOutput, build_student, check_model, make_teacher
from training.processes import ProcessPart, fresh_accelerator
from training.schedule import build_optimizer
from training.step import Host, StepBatch, StepContext, StepLosses
from training.step_parts import TEACHER, step_part
from training.teacher import update_teacher


@dataclass
class Session:
    """One process's part of a run.

    Attributes:
        config: with the class set filled in.
        data: what is trained on.
        held_out: what is measured on, or None.
        host: the step.
        accelerator: devices and precision.
        student: possibly wrapped for several devices; `bare_student` is the module inside.
        teacher: moving average, or None.
        optimizer: as accelerate wrapped it.
        selection: which pseudo-labels count.
        finished: optimizer steps done.
    """

    config: TrainConfig
    data: TrainingData
    held_out: HeldOut | None
    host: Host
    accelerator: Accelerator
    student: nn.Module
    bare_student: Student
    teacher: Student | None
    optimizer: Any
    selection: SelectionMethod
    memory_format: torch.memory_format
    finished: int = 0

    @functools.cached_property
    def device_pool(self) -> DevicePool | None:
        """The decoded data set on the device if views are rendered there; loaded when first asked for."""
        recipes = self.host.strong_recipes if self.host.uses_unlabeled else ()
        return choose_device_pool(self.config, self.data, recipes, self.accelerator.device)

    @functools.cached_property
    def training_student(self) -> nn.Module:
        """The student as steps call it, compiled if `run.compile` says so.

        The compiled module wraps the same weights: checkpoints and evaluation keep using the plain one inside, whose
        names do not change and whose input may have any size.
        """
        if not self.config.run.compile:
            return self.student
        return cast("nn.Module", torch.compile(self.student, dynamic=False))

    def loader(self) -> Loader[Any]:
        """Batches for this process; `mover` makes what a step takes of them."""
        recipes = self.host.strong_recipes if self.host.uses_unlabeled else None
        config = self.config
        kind: type[Loader[Any]] = BatchLoader if self.device_pool is None else DrawnLoader
        return kind(self.data, recipes, config.views, config.run, self.supervised_steps(), self.process_part())

    def supervised_steps(self) -> int:
        """How many steps use labels only before the host begins."""
        return round(self.config.host.supervised_share * self.config.run.steps)

    def progress(self) -> float:
        """Share of the host's own steps that are done, in [0, 1]; what percentiles of S4MC and U2PL relax with.

        Labels-only steps do not count: in the papers they are one epoch of 80, here they may be most of a short run,
        and a threshold that relaxed meanwhile would never have kept anything out.
        """
        first, last = self.supervised_steps(), self.config.run.steps
        return min(1.0, max(0, self.finished - first) / max(1, last - first))

    def teaches(self) -> bool:
        """Whether the host has begun: before, its teacher is as empty as the student was."""
        return self.finished > self.supervised_steps()

    def result(self) -> Student:
        """The network that is measured and exported: the student, or the teacher of hosts whose papers measure it."""
        return self.teacher if self.teacher is not None and self.result_group() == "teacher" else self.bare_student

    def result_group(self) -> Literal["student", "teacher"]:
        """In which group of a checkpoint the result lies."""
        return self.host.result if self.teaches() else "student"

    def average_teacher(self) -> None:
        """Move the teacher after a step; it begins as a copy of the student after the last step with labels only."""
        step = self.finished - max(0, self.supervised_steps() - 1)
        if self.teacher is not None and step >= 0:
            update_teacher(self.teacher, self.bare_student, self.host.ema_decay_at(step, self.epoch_steps()))

    @functools.cached_property
    def _labels_only(self) -> Host:
        return build_host("supervised")

    def active_host(self) -> Host:
        """The host of the next step: labels only in the first `host.supervised_share` of them."""
        return self._labels_only if self.finished < self.supervised_steps() else self.host

    def images_per_step(self) -> dict[str, int]:
        """How many images of each kind all processes together draw for one step."""
        run, processes = self.config.run, int(self.accelerator.num_processes)
        images = {"labeled": run.labeled_batch * processes}
        if self.host.uses_unlabeled:
            images["unlabeled"] = run.unlabeled_batch * processes
        return images

    def epoch_steps(self) -> int:
        """Steps of one pass over the unlabeled images, over the labeled ones for a host that uses no others."""
        return epoch_steps(self.config, self.data, self.host.uses_unlabeled, self.accelerator.num_processes)

    def process_part(self) -> ProcessPart:
        """What this process does of the work that all do together."""
        return ProcessPart(self.accelerator.process_index, self.accelerator.num_processes)

    def learn(self, losses: StepLosses) -> None:
        """Let selection method and host take in what the step showed, the same in every process."""
        for observation in losses.observed:
            self.selection.absorb(self.accelerator.gather(self.selection.collect(observation)))
        if losses.host_rows:
            self.host.absorb(self.accelerator.gather(losses.host_rows))

    def agree_on_statistics(self) -> None:
        """Give batch-norm layers the same running statistics in every process where the layers do not do so."""
        accelerator = self.accelerator
        if accelerator.num_processes == 1 or accelerator.device.type != "cpu":
            return
        for module in (self.bare_student, self.teacher):
            if module is not None and module.training and not module.freezes_statistics:
                average_statistics(module)

    def mover(self) -> Callable[[Any], StepBatch]:
        """From the loader's batches to normalized ones on this process's device."""
        mover = device_mover(self.accelerator.device, self.config.mean, self.config.std, self.memory_format)
        if self.device_pool is None:
            return mover
        return DeviceRenderer(self.device_pool, self.config.views, mover.mean, mover.std, self.memory_format)

    def inference(self) -> Inference:
        """As the configuration wants evaluation done."""
        return inference_for(self.config, self.accelerator.device, self.memory_format)

    def context(self) -> StepContext:
        """What the next step computes with."""
        loss = self.config.loss
        mining = HardMining(loss.ohem_threshold, loss.ohem_min_kept) if loss.ohem else None
        return StepContext(
            student=self.training_student,
            teacher=None if self.teacher is None else self._teach,
            selection=self.selection,
            supervised_loss=functools.partial(supervised_loss, hard_mining=mining),
            progress=self.progress(),
        )

    def _teach(self, image: Tensor) -> StudentOutput:
        assert self.teacher is not None
        with step_part(TEACHER), self.accelerator.autocast(), torch.no_grad():
            output: StudentOutput = self.teacher(image)
        return output

    def step_seed(self) -> int:
        """Seed of dropout in the next step of this process."""
        entropy = [self.config.run.seed, Stream.STEP, self.finished, self.accelerator.process_index]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def checkpoint(self) -> Checkpoint:
        """The state after the last finished step."""
        groups = {
            "student": dict(self.bare_student.state_dict()),
            "optimizer": optimizer_tensors(self.optimizer.optimizer),
            "selection": dict(self.selection.state_dict()),
            "host": dict(self.host.state_dict()),
        }
        if self.teacher is not None:
            groups["teacher"] = dict(self.teacher.state_dict())
        values: dict[str, Any] = {"data_sha256": self.data.sha256, "images_per_step": self.images_per_step()}
        values["result"] = self.result_group()
        if self.accelerator.scaler is not None:
            values["scaler"] = self.accelerator.scaler.state_dict()
        return Checkpoint(self.finished, groups, values)


@dataclass(frozen=True)
class Recipe:
    """What a configuration asks for before any data is read."""

    host: Host
    selection: SelectionMethod


def build_recipe(config: TrainConfig) -> Recipe:
    """Host and selection method with their options.

    Raises:
        ValueError: an unknown option, a value that is refused, or a host and a method that do not fit together.
    """
    host = build_host(config.host.name, **config.host.options)
    selection = build_method(config.selection.name, **config.selection.options)
    host.check_selection(config.selection.name, selection)
    if "features" in selection.needs and config.evaluation.window == "sliding":
        raise ValueError(
            f"evaluation.window: selection method {config.selection.name!r} compares decoder features, and those of "
            "sliding windows do not fit together; use whole, or choose a method that works on probabilities"
        )
    return Recipe(host, selection)


def check_before_data(config: TrainConfig, will_load_weights: bool = False) -> Recipe:
    """Refuse before data is read or anything is written what needs no data to be wrong.

    Args:
        config: of a run that is about to start.
        will_load_weights: they come from a checkpoint, so a file of pretrained ones need not be there.

    Raises:
        FileNotFoundError, ValueError: host, selection, backbone, its weight file or the device cannot be used.
    """
    recipe = build_recipe(config)
    resolve_device(config.run.device)
    check_model(dataclasses.replace(config.model, pretrained="none") if will_load_weights else config.model)
    return recipe


def prepared_student(model: ModelConfig, recipe: Recipe, num_classes: int) -> Student:
    """A student with what its host wants on it; host and selection method get room for what they will learn."""
    student = build_student(model, num_classes)
    if recipe.host.projection_channels:
        student.add_projection(recipe.host.projection_channels)
    for stateful in (recipe.host, recipe.selection):
        stateful.prepare(num_classes, student.num_features)
    return student


def build_session(
    config: TrainConfig, recipe: Recipe, data: TrainingData, held_out: HeldOut | None, will_load_weights: bool = False
) -> Session:
    """Build student, teacher and optimizer with fresh weights.

    Args:
        config, recipe, data, held_out: what belongs together.
        will_load_weights: weights come from a checkpoint next, so pretrained ones are not even looked for.

    Raises:
        ValueError: host, device and data do not fit together; says which key to change.
    """
    check_classes(config, data)
    config = dataclasses.replace(config, classes=data.class_set.to_json())
    host, selection = recipe.host, recipe.selection
    check_streams(config, host, data)
    device = resolve_device(config.run.device)
    precision = resolve_precision(config.run.precision, device)
    memory_format = resolve_memory_format(config.run.channels_last, device, precision)
    # A projection head gets no gradient while labels alone are learned.
    accelerator = fresh_accelerator(device, precision, some_unused=host.projection_channels > 0)
    torch.manual_seed(config.run.seed)
    model = dataclasses.replace(config.model, pretrained="none") if will_load_weights else config.model
    bare_student = prepared_student(model, recipe, len(data.class_set))
    if config.model.batch_norm == "train":
        share_batch_statistics(bare_student, accelerator)
    bare_student = bare_student.to(memory_format=memory_format)
    teacher = (
        make_teacher(bare_student, host.teacher_mode).to(accelerator.device) if host.ema_decay is not None else None
    )
    optimizer = build_optimizer(bare_student, config.optimizer)
    student, wrapped_optimizer = accelerator.prepare(bare_student, optimizer)
    return Session(
        config=config, data=data, held_out=held_out, host=host.to(accelerator.device),
        accelerator=accelerator, student=student.train(),
        bare_student=bare_student, teacher=teacher, optimizer=wrapped_optimizer,
        selection=selection.to(accelerator.device), memory_format=memory_format,
    )  # fmt: skip


def check_classes(config: TrainConfig, data: TrainingData) -> None:
    """Refuse to repeat a run on data whose class list has changed.

    Raises:
        ValueError: the configuration comes from a run with other classes.
    """
    if config.classes and config.class_set.names != data.class_set.names:
        raise ValueError(
            f"classes: the run of this configuration had {', '.join(config.class_set.names)}, but the data has "
            f"{', '.join(data.class_set.names)}. Use the data it was made for, or start from a preset"
        )


def check_streams(config: TrainConfig, host: Host, data: TrainingData) -> None:
    """Refuse a host that has nothing to learn from.

    Raises:
        ValueError: the host wants unlabeled images and there are none.
    """
    if host.uses_unlabeled and not data.unlabeled:
        raise ValueError(
            f"host.name: {config.host.name!r} needs unlabeled images, but people labeled every pixel of all "
            f"{len(data.labeled)} images. Name a labeled split (--labeled-split), set data.labeled_as_unlabeled=true, "
            "or use host.name=supervised"
        )


def inference_for(config: TrainConfig, device: torch.device, memory_format: torch.memory_format) -> Inference:
    """How images are predicted under a configuration."""
    window_hw = config.views.crop_hw if config.evaluation.window == "sliding" else None
    return Inference(device, config.mean, config.std, window_hw, memory_format, config.evaluation.flip)
