"""Fits a `CombinedScore` to pixels whose errors are known, and says on pixels left out whether it is worth it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from reliability.combined_score import CombinedScore, through_layers
from reliability.score_features import dropped_together, num_features

HIDDEN = (32, 16)
"""Values of the layers between; chosen with DROPPED_SHARE on held-out training frames of CamVid."""

DROPPED_SHARE = 0.5
"""How often a group of `reliability.score_features.dropped_together` is left out for a pixel while the network learns.
What is true of a whole picture or class has few distinct values among few images, and is learned by heart otherwise."""

STEPS = 800
BATCH_PIXELS = 4096
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1e-3
"""Of AdamW, with a one-cycle schedule. Ours; a fit takes seconds on a CPU."""

_LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class PixelSamples:
    """Some pixels of every image, as many of each.

    Attributes:
        features: (images, pixels, F) float32, `reliability.score_features.score_features` of these pixels.
        is_wrong: (images, pixels) bool.
    """

    features: Tensor
    is_wrong: Tensor

    def of(self, images: Tensor) -> "PixelSamples":
        """Those of some images, given as a bool mask or as indices."""
        return PixelSamples(self.features[images], self.is_wrong[images])


def fit_combined(
    samples: PixelSamples, num_classes: int, seed: int = 0, hidden: Sequence[int] = HIDDEN
) -> CombinedScore:
    """The network with little log loss on the sampled pixels; the same samples and seed give the same one.

    Args:
        samples: of the images to learn from.
        num_classes: C.
        seed: of the first weights and of the batches.
        hidden: values of the layers between; none makes it a logistic regression.
    """
    features, is_wrong = samples.features.flatten(0, 1), samples.is_wrong.flatten().float()
    mean, spread = features.mean(dim=0), features.std(dim=0).clamp_min(_LEAST_SPREAD)
    standard = (features - mean) / spread
    generator = torch.Generator().manual_seed(seed)
    layers = _fresh_layers((features.shape[1], *hidden, 1), generator)
    parameters = [parameter for layer in layers for parameter in layer]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
    droppable = _droppable(num_classes)
    for _ in range(STEPS):
        batch = torch.randint(len(standard), (BATCH_PIXELS,), generator=generator)
        kept = torch.rand(BATCH_PIXELS, len(droppable), generator=generator) >= DROPPED_SHARE
        factor = kept.float() @ droppable / (1 - DROPPED_SHARE) + (1 - droppable.sum(dim=0))
        loss = binary_cross_entropy_with_logits(through_layers(standard[batch] * factor, layers), is_wrong[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    weights = [weight.detach() for weight, _ in layers]
    biases = [bias.detach() for _, bias in layers]
    weights[0] = weights[0] / spread  # so that features need no standardization
    biases[0] = biases[0] - weights[0] @ mean
    return CombinedScore(weights, biases, num_classes)


def _droppable(num_classes: int) -> Tensor:
    """(groups, F), 1 for the channels of each group."""
    groups = dropped_together(num_classes)
    member = torch.zeros(len(groups), num_features(num_classes))
    for row, channels in zip(member, groups, strict=True):
        row[list(channels)] = 1
    return member


def _fresh_layers(sizes: Sequence[int], generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each layer, drawn as nn.Linear starts."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        bound = inputs**-0.5
        weight = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
        bias = torch.empty(outputs).uniform_(-bound, bound, generator=generator)
        layers.append((weight.requires_grad_(), bias.requires_grad_()))
    return layers


def sample_log_loss(score: CombinedScore, samples: PixelSamples) -> float:
    """Nats per pixel."""
    odds = through_layers(samples.features.flatten(0, 1), score.layers())
    return float(binary_cross_entropy_with_logits(odds, samples.is_wrong.flatten().float()))


def folds(blocks: Sequence[str], most: int = 4) -> Tensor:
    """Cuts images into folds so that no block lies in two: (images,) int64, the number of each image's fold.

    Args:
        blocks: name of each image's block, blocks in order.
        most: folds; fewer where there are fewer blocks.
    """
    number = {name: index for index, name in enumerate(dict.fromkeys(blocks))}
    count = min(most, len(number))
    return torch.tensor([number[name] * count // len(number) for name in blocks])
