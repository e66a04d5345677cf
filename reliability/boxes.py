"""Detected boxes as planes of pixels: where a detector believes in a class."""

import torch
from torch import Tensor

NO_BOX = -1
"""Class id of the rows that fill up an image with fewer boxes than the others of its batch."""


def box_class_mask(boxes: Tensor, num_classes: int, size_hw: tuple[int, int]) -> Tensor:
    """Pixels inside any box of a class, both corners included, coordinates truncated to whole pixels.

    No loop over boxes or classes: each box adds +1 and -1 at its corners, and two running sums fill it.

    Args:
        boxes: (N, B, 5) float: left, top, right, bottom in pixels, class id; rows of class NO_BOX are skipped. Parts
            beyond the image are cut off.
        num_classes: C.
        size_hw: height and width of the planes.

    Returns:
        (N, C, H, W) bool.

    Source: Howlader et al., arXiv:2407.12630, released code (boxes are drawn truncated to int and filled).
    """
    height, width = size_hw
    left, top, right, bottom, class_id = boxes.unbind(dim=2)  # each (N, B)
    left, top = left.trunc().clamp(0, width), top.trunc().clamp(0, height)
    right, bottom = (right.trunc() + 1).clamp(0, width), (bottom.trunc() + 1).clamp(0, height)
    drawn = (class_id != NO_BOX) & (right > left) & (bottom > top)
    plane = class_id.clamp(min=0).long() * (height + 1) * (width + 1)

    corners = torch.zeros(boxes.shape[0], num_classes * (height + 1) * (width + 1), device=boxes.device)
    for y, x, sign in ((top, left, 1.0), (top, right, -1.0), (bottom, left, -1.0), (bottom, right, 1.0)):
        corners.scatter_add_(1, plane + y.long() * (width + 1) + x.long(), sign * drawn.to(corners.dtype))
    counts = corners.view(-1, num_classes, height + 1, width + 1).cumsum(dim=2).cumsum(dim=3)
    return counts[:, :, :height, :width] > 0.5
