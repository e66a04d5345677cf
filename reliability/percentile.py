"""Percentiles over the usable pixels of each image, on the device and without a loop over images."""

import torch
from torch import Tensor


def lower_quantile(score: Tensor, usable: Tensor, share: float) -> Tensor:
    """The value below which `share` of the usable pixels of an image lie, interpolated linearly as numpy does.

    Args:
        score: (N, P) float.
        usable: (N, P) bool.
        share: in [0, 1]; 0 gives the smallest usable score, 1 the largest.

    Returns:
        (N,) of score's type; 0 for an image without a usable pixel.
    """
    ordered = torch.where(usable, score, torch.inf).sort(dim=1).values  # usable scores first
    count = usable.sum(dim=1, keepdim=True)
    last = (count - 1).clamp_min(0)
    position = last.double() * share
    lower = position.floor().long()
    upper = torch.minimum(lower + 1, last)
    low, high = ordered.gather(1, lower), ordered.gather(1, upper)
    value = low + (high - low) * (position - lower).to(score.dtype)
    return torch.where(count > 0, value, 0.0).squeeze(1)
