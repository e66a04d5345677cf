"""CSL's selection as the paper describes it: one-hot features, one SVD of all pixels per image, a loop over images.

Written for comparison with the closed form in reliability/methods/csl.py; nothing else uses it.
"""

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-8


def select_by_svd(
    probabilities: Tensor, valid: Tensor, alpha: float = 8.0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Weights and pseudo-labels.

    Args:
        probabilities: (N, C, H, W).
        valid: (N, H, W) bool.
        alpha: width of the fall-off.
        dtype: precision of the SVD and the statistics; float32 is what training code uses.

    Returns:
        weight (N, H, W) float32 and pseudo_label (N, H, W) int64.
    """
    confidence, residual = one_hot_features(probabilities)
    weight = torch.zeros_like(confidence)
    for image in range(len(probabilities)):
        chosen = valid[image]
        if chosen.any():
            points = torch.stack((confidence[image][chosen], residual[image][chosen])).to(dtype)  # (2, P)
            weight[image][chosen] = weights_of_points(points, alpha).float()
    return weight, probabilities.argmax(dim=1)


def one_hot_features(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Confidence and residual variance by a one-hot mask of the winner; both (N, H, W)."""
    num_classes = probabilities.shape[1]
    confidence, winner = probabilities.max(dim=1)
    is_winner = functional.one_hot(winner, num_classes).movedim(-1, 1)  # (N, C, H, W) int64
    rest = probabilities * (1 - is_winner)
    mean = rest.sum(dim=1, keepdim=True) / (num_classes - 1)
    return confidence, (rest - mean).square().sum(dim=1) / (num_classes - 1)


def split_by_svd(points: Tensor) -> Tensor:
    """(P,) bool, True where the second right-singular vector of the (2, P) points dominates."""
    vectors = torch.linalg.svd(points, full_matrices=False).Vh.abs()
    return vectors[1] > vectors[0] if len(vectors) == 2 else torch.zeros(points.shape[1], dtype=torch.bool)


def weights_of_points(points: Tensor, alpha: float) -> Tensor:
    """(P,) weights of the pixels of one image; points are (2, P), confidence and residual variance."""
    second = split_by_svd(points)
    halves = [points[:, group] for group in (~second, second) if group.any()]
    reliable = max(halves, key=lambda half: half[0].mean().item())
    variance = reliable.var(dim=1) if reliable.shape[1] > 1 else torch.zeros_like(reliable[:, 0])
    z = (points - reliable.mean(dim=1, keepdim=True)) / (variance + EPSILON).sqrt().unsqueeze(1)
    z_confidence, z_residual = z[0], -z[1]
    falling = torch.exp(-(z_confidence.square() + z_residual.square()) / alpha)
    return torch.where((z_confidence > 0) | (z_residual > 0), torch.ones_like(falling), falling)
