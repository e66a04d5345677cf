"""One score out of many: a small network over `score_features` that learned where a student is wrong.

Not to be confused with the selection method `combined`, which multiplies the verdicts of methods.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from reliability.score_features import num_features, score_features


class CombinedScore(nn.Module):
    """Probability that the predicted class is right, from features of the pixel and its surroundings.

    Args:
        weights: of the layers, each (outputs, inputs); the first has F inputs, the last one output. ReLU lies between.
        biases: of the layers, each (outputs,).
        num_classes: C.

    Raises:
        ValueError: shapes do not fit each other or C, or a number is not finite.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor], num_classes: int) -> None:
        super().__init__()
        _check_layers(weights, biases, num_classes)
        self.num_classes = num_classes
        self.num_layers = len(weights)
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            self.register_buffer(f"weight_{index}", weight.float().clone())
            self.register_buffer(f"bias_{index}", bias.float().clone())

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of every layer."""
        return [(self.get_buffer(f"weight_{k}"), self.get_buffer(f"bias_{k}")) for k in range(self.num_layers)]

    @torch.no_grad()
    def forward(self, probabilities: Tensor, label: Tensor) -> Tensor:
        """Score every pixel.

        Args:
            probabilities: (N, C, H, W) float32, sums to 1 over C.
            label: (N, H, W) int64, predicted class ids.

        Returns:
            (N, H, W) in [0, 1], NaN where a probability is NaN; such a pixel does not spoil the others' scores.
        """
        total = probabilities.sum(dim=1, keepdim=True)
        is_number = total == total
        values = score_features(torch.where(is_number, probabilities, 1 / self.num_classes), label)
        for index, (weight, bias) in enumerate(self.layers()):
            values = conv2d(torch.relu(values) if index else values, weight[:, :, None, None], bias)
        return torch.where(is_number, torch.sigmoid(-values), torch.nan).squeeze(1)


def through_layers(features: Tensor, layers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """(P, F) features of single pixels -> (P,) log odds of being wrong, as `CombinedScore` computes them."""
    values = features
    for index, (weight, bias) in enumerate(layers):
        values = linear(torch.relu(values) if index else values, weight, bias)
    return values.squeeze(1)


def _check_layers(weights: Sequence[Tensor], biases: Sequence[Tensor], num_classes: int) -> None:
    expected = num_features(num_classes)
    for weight, bias in zip(weights, biases, strict=True):
        if weight.ndim != 2 or weight.shape[1] != expected or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"a layer of {tuple(weight.shape)} weights and {tuple(bias.shape)} biases does not take "
                f"{expected} values; fit the score again"
            )
        if not bool(weight.isfinite().all() and bias.isfinite().all()):
            raise ValueError("a weight of the combined score is not a finite number; fit the score again")
        expected = len(weight)
    if not weights or expected != 1:
        raise ValueError(f"the last layer of a combined score has one output, got {expected}")
