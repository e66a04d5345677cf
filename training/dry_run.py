"""What a configuration would do, without training: sizes, steps, memory and time, and whether its data is complete.

Memory and operations come from one whole step on torch's meta device, which has shapes and no numbers. The time is that
of two real crops, forward and backward, on the device that would be used, times the ratio of operations: a rough
estimate, and without loading, augmentation, selection, evaluation, and the detector of methods that look at boxes.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from datasets.lookup import build_dataset
from datasets.sample import SegmentationDataset
from reliability.selection import SelectionMethod
from training.config import HostConfig, SelectionConfig, TrainConfig
from training.config_json import config_to_json
from training.data import open_held_out, open_training_data
from training.display import Display
from training.duration import with_steps
from training.environment import device_name, resolve_device, resolve_precision
from training.losses import supervised_loss
from training.models import build_student, make_teacher
from training.processes import process_count
from training.session import Recipe, build_recipe, check_before_data, check_classes, check_streams, prepared_student
from training.step import Host, LabeledBatch, StepBatch, StepContext, StrongView, UnlabeledBatch

BOXES = 16  # stands for what a detector finds on one crop
TIMED_PASSES = 3
SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class StepEstimate:
    """What one step of one process needs.

    Attributes:
        parameters: of the student, those that are trained.
        operations: floating point operations of matrix products and convolutions, forward and backward.
        activation_bytes: tensors kept for the backward pass, as if everything were float32.
        state_bytes: weights, gradients, the optimizer's averages and the teacher, float32.
    """

    parameters: int
    operations: int
    activation_bytes: int
    state_bytes: int

    def memory_bytes(self, precision: str) -> int:
        """Activations and state; bf16 and fp16 halve the activations (an estimate: some stay in float32)."""
        return self.state_bytes + (self.activation_bytes if precision == "no" else self.activation_bytes // 2)


def estimate_step(config: TrainConfig, num_classes: int) -> StepEstimate:
    """One step of the configured host and selection on the meta device.

    Raises:
        ValueError: the host or the method does something for which shapes alone are not enough; names it.
    """
    recipe = build_recipe(config)
    student = prepared_student(replace(config.model, pretrained="none"), recipe, num_classes).to("meta").train()
    host, selection = recipe.host.to("meta"), recipe.selection.to("meta")
    teacher = make_teacher(student, host.teacher_mode) if host.ema_decay is not None else None
    context = StepContext(student, teacher, selection, supervised_loss, progress=0.5)
    kept: dict[int, torch.UntypedStorage] = {}  # by address; holding them keeps the addresses apart

    def remember(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    try:
        with FlopCounterMode(display=False) as counter:
            with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
                losses = host.losses(context, _meta_batch(config, host, selection))
            losses.total.backward()  # type: ignore[no-untyped-call]
    except NotImplementedError as error:
        raise ValueError(
            f"the cost of host {config.host.name!r} with selection {config.selection.name!r} cannot be estimated: "
            f"{error}"
        ) from error
    weights = {parameter.untyped_storage()._cdata for parameter in student.parameters()}
    trained = [parameter.numel() for parameter in student.parameters() if parameter.requires_grad]
    total = sum(parameter.numel() for parameter in student.parameters())
    averages = 2 if config.optimizer.name == "adamw" else 1
    copies = total * (1 if teacher is None else 2) + sum(trained) * (1 + averages)
    activations = sum(storage.nbytes() for address, storage in kept.items() if address not in weights)
    return StepEstimate(sum(trained), counter.get_total_flops(), activations, 4 * copies)


def _meta_batch(config: TrainConfig, host: Host, selection: SelectionMethod) -> StepBatch:
    height, width = config.views.crop_hw
    run = config.run

    def plane(count: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(count, height, width, dtype=dtype, device="meta")

    def image(count: int) -> Tensor:
        return torch.empty(count, 3, height, width, device="meta")

    labeled = LabeledBatch(
        image(run.labeled_batch), plane(run.labeled_batch, torch.int64), plane(run.labeled_batch, torch.float32)
    )
    if not host.uses_unlabeled:
        return StepBatch(labeled, None)
    count = run.unlabeled_batch
    views = tuple(
        StrongView(image(count), plane(count, torch.bool), plane(count, torch.bool)) for _ in host.strong_recipes
    )
    with_boxes = "boxes" in selection.needs | selection.learns_from
    boxes = torch.empty(count, BOXES, 5, device="meta") if with_boxes else None
    partner = torch.empty(count, dtype=torch.int64, device="meta")
    known = plane(count, torch.int64)
    return StepBatch(labeled, UnlabeledBatch(image(count), views, plane(count, torch.bool), known, partner, boxes))


def _parts(config: TrainConfig, estimate: StepEstimate, num_classes: int) -> list[tuple[StepEstimate, float]]:
    """The kinds of steps a run consists of with their shares: labels only first, then the host's."""
    labels_only = config.host.supervised_share
    if labels_only == 0:
        return [(estimate, 1.0)]
    baseline = replace(config, host=HostConfig(name="supervised"), selection=SelectionConfig(name="fixed_threshold"))
    supervised = estimate_step(baseline, num_classes)
    return [(supervised, labels_only), (estimate, 1 - labels_only)]


def seconds_per_operation(config: TrainConfig, num_classes: int) -> float:
    """Of two real crops through the student and back; loading, augmentation and selection are not in it."""
    device = resolve_device(config.run.device)
    precision = resolve_precision(config.run.precision, device)
    student = build_student(replace(config.model, pretrained="none"), num_classes).to(device).train()
    image = torch.zeros(2, 3, *config.views.crop_hw, device=device)
    with FlopCounterMode(display=False) as counter:
        _forward_backward(student, image, precision)  # also the warm-up
    started = time.perf_counter()
    for _ in range(TIMED_PASSES):
        _forward_backward(student, image, precision)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return float((time.perf_counter() - started) / TIMED_PASSES / counter.get_total_flops())


def _forward_backward(student: nn.Module, image: Tensor, precision: str) -> None:
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    with torch.autocast(image.device.type, dtype=dtype, enabled=dtype is not None):
        logits: Tensor = student(image).logits
    logits.float().mean().backward()  # type: ignore[no-untyped-call]


def unreadable(dataset: SegmentationDataset, on_image: Callable[[int, int], None]) -> list[str]:
    """Decode every image and label once; one sentence for each that cannot be read, in the order of the data set."""
    problems = []
    for index in range(len(dataset)):
        try:
            dataset[index]
        except (ValueError, OSError) as error:
            problems.append(f"{dataset.sample_ids[index]}: {error}")
        on_image(index + 1, len(dataset))
    return problems


def check_files(config: TrainConfig, display: Display) -> None:
    """Read everything that training and evaluation would read.

    Raises:
        FileNotFoundError, ValueError: no such data, or files that are damaged or missing; lists the first of them.
    """
    if not config.data.root:
        raise ValueError(f"data.root is empty: say where the {config.data.format} data is (--data-root)")
    held_out = open_held_out(config.data, config.evaluation.split)
    datasets = {config.data.split: build_dataset(config.data.format, Path(config.data.root), config.data.split)}
    if held_out is not None:
        datasets[held_out.split] = held_out.dataset
    problems = []
    for split, dataset in datasets.items():
        problems += unreadable(dataset, functools.partial(_show_reading, display, split))
    if problems:
        listed = "\n  ".join(problems[:SHOWN_PROBLEMS])
        raise ValueError(f"{len(problems)} images of {config.data.root} cannot be used, first of all:\n  {listed}")


def _not_counted(config: TrainConfig, recipe: Recipe) -> list[str]:
    """What takes time and memory beside the estimate."""
    looks_at_boxes = "boxes" in recipe.selection.needs | recipe.selection.learns_from
    detector = [f"a detector that trains {config.detector.steps} steps first"] if looks_at_boxes else []
    return [*detector, "loading and augmentation", "selection", "evaluation", "what torch itself occupies"]


def _show_reading(display: Display, split: str, done: int, total: int) -> None:
    display.show(f"reading {split}", done, total, {})


def dry_run(config: TrainConfig, display: Display) -> dict[str, Any]:
    """Everything a run would be, as JSON: the configuration, the data and the cost of each of its equal processes.

    Raises:
        FileNotFoundError, ValueError: the configuration, the data and the host do not fit together.
    """
    recipe = check_before_data(config)
    check_files(config, display)
    data = open_training_data(config.data)
    check_classes(config, data)
    check_streams(config, recipe.host, data)
    config = with_steps(config, data, process_count())
    held_out = open_held_out(config.data, config.evaluation.split)
    num_classes = len(data.class_set)
    estimate = estimate_step(config, num_classes)
    device = resolve_device(config.run.device)
    precision = resolve_precision(config.run.precision, device)
    per_operation = seconds_per_operation(config, num_classes)
    operations = sum(part.operations * share for part, share in _parts(config, estimate, num_classes))
    return {
        "config": config_to_json(config),
        "data": {
            "labeled_images": len(data.labeled),
            "unlabeled_images": len(data.unlabeled),
            "evaluated_images": 0 if held_out is None else len(held_out.dataset),
            "evaluated_split": None if held_out is None else held_out.split,
            "classes": list(data.class_set.names),
        },
        "estimate": {
            "steps": config.run.steps,
            "processes": process_count(),
            "device": device_name(device),
            "precision": precision,
            "million_parameters": round(estimate.parameters / 1e6, 2),
            "teraflop_per_step": round(estimate.operations / 1e12, 3),
            "memory_gib": round(estimate.memory_bytes(precision) / 2**30, 2),
            "seconds_per_step": round(per_operation * estimate.operations, 4),
            "hours": round(per_operation * operations * config.run.steps / 3600, 2),
            "not_counted": _not_counted(config, recipe),
        },
    }
