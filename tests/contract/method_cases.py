"""What the contract tests show to a selection method, and a method as it is in the middle of a run."""

from dataclasses import fields

import torch
from torch import Tensor

from reliability.lookup import build_method
from reliability.selection import Observation, SelectionInputs, SelectionMethod

NUM_CLASSES, NUM_FEATURES, STRIDE = 5, 16, 4
IN_ORDER = torch.arange(NUM_CLASSES)


def features_of(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Features at a stride that say something about the class, and noise."""
    mixture = torch.randn(NUM_FEATURES, NUM_CLASSES, generator=torch.Generator().manual_seed(7))
    cells = torch.einsum("dc,nchw->ndhw", mixture, logits[:, :, ::STRIDE, ::STRIDE])
    return (cells + torch.randn(cells.shape, generator=generator)).relu()


def random_inputs(images: int, height: int, width: int, seed: int = 0, progress: float = 1.0) -> SelectionInputs:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, NUM_CLASSES, height, width, generator=generator)
    valid = torch.rand(images, height, width, generator=generator) < 0.8
    boxes = torch.rand(logits.shape, generator=generator) < 0.7
    return SelectionInputs(torch.softmax(logits, dim=1), valid, features_of(logits, generator), boxes, progress)


def tensors_of(inputs: SelectionInputs) -> dict[str, Tensor]:
    return {field.name: getattr(inputs, field.name) for field in fields(inputs) if field.name != "progress"}


def observation(is_labeled: bool, seed: int = 0, order: Tensor = IN_ORDER) -> Observation:
    """A batch to learn from; `order` renames its classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, NUM_CLASSES, 32, 40, generator=generator)
    valid = torch.rand(2, 32, 40, generator=generator) < 0.8
    boxes = torch.rand(logits.shape, generator=generator) < 0.7
    features, renamed = features_of(logits, generator), logits[:, order]
    confidence, label = renamed.softmax(dim=1).max(dim=1)
    return Observation(renamed, features, label, valid, is_labeled, None if is_labeled else confidence, boxes[:, order])


def kinds(method: SelectionMethod) -> list[bool]:
    """Whether it learns from batches that are labeled (True), not labeled (False), or both."""
    return [kind for kind, name in ((True, "labeled"), (False, "unlabeled")) if name in method.learns_from]


def ready(name: str, order: Tensor = IN_ORDER) -> SelectionMethod:
    """A method as it is in the middle of a run."""
    method = build_method(name)
    method.prepare(NUM_CLASSES, NUM_FEATURES)
    torch.manual_seed(0)
    for is_labeled in kinds(method):
        method.absorb(method.collect(observation(is_labeled, order=order)))
    return method


def frozen(name: str) -> SelectionMethod:
    method = ready(name)
    if "progress" in method.needs:
        method.freeze_threshold(method.thresholds(random_inputs(2, 40, 48, progress=0.5)).mean().item())
    return method
