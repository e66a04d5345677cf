"""Per-pixel scores of a prediction. Plain functions of probabilities; all of them export to ONNX.

Probabilities mean softmax at temperature 1 of logits that were resized first: resizing scores afterwards, or another
temperature, gives other maps than the methods were published with.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from reliability.checks import check_two_classes

NEIGHBOR_STRENGTH = math.exp(-0.5)
"""How much a neighbor's belief counts for a pixel: beta in the released code of S4MC, exp(-1/2)."""


def confidence(probabilities: Tensor) -> Tensor:
    """Largest probability.

    Args:
        probabilities: (N, C, H, W), sums to 1 over C.

    Returns:
        (N, H, W) in [1/C, 1].
    """
    return probabilities.amax(dim=1)


def flip_averaged(probabilities: Tensor, probabilities_of_mirrored: Tensor) -> Tensor:
    """Mean of what a model says about an image and about its mirror image.

    Args:
        probabilities: (N, C, H, W) of the images.
        probabilities_of_mirrored: (N, C, H, W) of the same images mirrored left to right, as the model gave them.

    Returns:
        (N, C, H, W), sums to 1 over C, in the places of the unmirrored images.
    """
    return (probabilities + probabilities_of_mirrored.flip(-1)) / 2


def probability_of(probabilities: Tensor, label: Tensor) -> Tensor:
    """The probability of a given class per pixel; with `flip_averaged` a sharper score than the confidence.

    Args:
        probabilities: (N, C, H, W).
        label: (N, H, W) int64, 0 to C - 1 everywhere.

    Returns:
        (N, H, W) in [0, 1].
    """
    return probabilities.gather(1, label.unsqueeze(1)).squeeze(1)


def margin(probabilities: Tensor) -> Tensor:
    """Largest minus second largest probability, 0 where two classes tie.

    Args:
        probabilities: (N, C, H, W), C >= 2.

    Returns:
        (N, H, W) in [0, 1].

    Raises:
        ValueError: fewer than two classes.

    Source: S4MC, arXiv:2308.13900.
    """
    check_two_classes(probabilities)
    # Two maxima give the bits of topk(2), which sorts: 2.4 times as fast with 11 classes on one CPU thread.
    largest, winner = probabilities.max(dim=1, keepdim=True)  # (N, 1, H, W)
    return largest.squeeze(1) - probabilities.scatter(1, winner, -1.0).amax(dim=1)


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy in nats; low means sure.

    The lower bound inside the logarithm only serves p = 0, where it makes the term 0 * log(1e-30) = 0. The usual
    `log(p + 1e-10)` must not be used: the ONNX exporter deletes additions that small and the result becomes NaN.

    Args:
        probabilities: (N, C, H, W).

    Returns:
        (N, H, W) in [0, log C].
    """
    return -(probabilities * probabilities.clamp_min(1e-30).log()).sum(dim=1)


def residual_variance(probabilities: Tensor) -> Tensor:
    """Spread of the probability that did not go to the winning class.

    High when one other class competes, near zero when the rest is spread thin.

    Args:
        probabilities: (N, C, H, W), sums to 1 over C, C >= 2.

    Returns:
        (N, H, W) in [0, (1 - confidence)**2 / (C - 1)].

    Raises:
        ValueError: fewer than two classes.

    Source: CSL, arXiv:2509.16704. The released code leaves a zero in the winner's place, which adds
    mean**2 / (C - 1) to a plain variance. We do the same; tests/paper compares the numbers.
    """
    return winner_features(probabilities)[2]


def winner_features(probabilities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Winning class, its probability and the residual variance, with one search for the winner.

    The winner is cleared in a copy of the probabilities: no one-hot tensor (64 bit per class and pixel in the released
    code), and bit-equal to the released code. The shorter `sum(p**2) - confidence**2` was measured 3 times faster, but
    it subtracts two numbers near 1 where the model is sure, and is wrong there in the eighth decimal: that is 30 times
    the tolerance of the reference numbers and moves pixels across the border of CSL's halves.

    Args:
        probabilities: (N, C, H, W), sums to 1 over C, C >= 2.

    Returns:
        confidence (N, H, W); pseudo_label (N, H, W) int64, the lowest class id on ties; residual_variance (N, H, W).

    Raises:
        ValueError: fewer than two classes.
    """
    check_two_classes(probabilities)
    others = probabilities.shape[1] - 1
    winner_probability, winner = probabilities.max(dim=1, keepdim=True)  # (N, 1, H, W)
    rest = probabilities.scatter(1, winner, 0.0)  # (N, C, H, W)
    mean = rest.sum(dim=1, keepdim=True) / others
    spread = rest.sub_(mean).square_().sum(dim=1) / others  # in place: two more copies would double the time
    return winner_probability.squeeze(1), winner.squeeze(1), spread


def refine(
    probabilities: Tensor,
    class_prior: Tensor | None = None,
    *,
    valid: Tensor | None = None,
    neighborhood: Literal[4, 8] = 4,
    strongest: int = 1,
    beta: float = NEIGHBOR_STRENGTH,
) -> Tensor:
    """Raise each class where the neighbors believe in it: probability of "this pixel or a neighbor", in one pass.

    Per class the `strongest` largest neighbor probabilities q are taken from the original map and merged one after the
    other: `p + beta * q - beta * joint`. With a prior `joint = max(p * q, p * prior)`, as in the released code;
    without, `joint = p * q`, the formula printed in the paper. With priors near 1 the released form is almost the
    blend 0.4 p + 0.6 q and can lower a probability; the printed one cannot.

    Args:
        probabilities: (N, C, H, W). Outside the map neighbors have probability 0.
        class_prior: (C,) chance that a 4-neighbor of a pixel has the pixel's class, or None.
        valid: (N, H, W) bool; pixels outside count as outside the map. None: every pixel is a neighbor, as released.
        neighborhood: 4 (up, down, left, right) or 8.
        strongest: how many neighbors are merged, 1 to `neighborhood`.
        beta: strength of a neighbor in [0, 1]; NEIGHBOR_STRENGTH in the released code.

    Returns:
        (N, C, H, W) in [0, 1]; does not sum to 1 over C.

    Source: S4MC, arXiv:2308.13900; s4mcontext/s4mc, `compute_unsupervised_loss`.
    """
    source = probabilities if valid is None else torch.where(valid.unsqueeze(1), probabilities, 0.0)
    refined = probabilities
    for neighbor in strongest_neighbors(source, neighborhood, strongest):
        joint = refined * neighbor
        if class_prior is not None:
            joint = torch.maximum(joint, refined * class_prior.view(1, -1, 1, 1))
        refined = refined + beta * neighbor - beta * joint
    return refined


def strongest_neighbors(values: Tensor, neighborhood: Literal[4, 8], strongest: int) -> list[Tensor]:
    """The largest values among the neighbors of each pixel, per channel, zeros beyond the border.

    Keeps a running list instead of sorting a stack of 4 or 8 shifted copies: an eighth of the memory.

    Args:
        values: (N, C, H, W), non-negative.
        neighborhood: 4 or 8.
        strongest: length of the result.

    Returns:
        `strongest` tensors (N, C, H, W), largest first.
    """
    height, width = values.shape[2], values.shape[3]
    padded = pad(values, (1, 1, 1, 1))
    best = [torch.zeros_like(values) for _ in range(strongest)]
    for down in range(3):
        for right in range(3):
            distance = abs(down - 1) + abs(right - 1)
            if distance == 0 or (distance == 2 and neighborhood == 4):
                continue
            candidate = padded[:, :, down : down + height, right : right + width]
            for rank in range(strongest):
                larger = torch.maximum(best[rank], candidate)
                candidate = torch.minimum(best[rank], candidate)
                best[rank] = larger
    return best
