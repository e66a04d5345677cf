"""Boxes drawn on the device and pixels pasted from other images, for hosts that decide inside the step what to mix.

Numbers come from torch's own generator of the device, which the loop seeds in every step. Nothing here waits for the
device: boxes are compared with pixel coordinates, pixels are gathered.
"""

import torch
from torch import Tensor


def filled_boxes(top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(N, H, W) bool, True from `top` and `left` up to, not including, `bottom` and `right`; each (N,)."""
    rows = torch.arange(size_hw[0], device=top.device).view(1, -1, 1)
    columns = torch.arange(size_hw[1], device=top.device).view(1, 1, -1)
    top, left, bottom, right = (edge.view(-1, 1, 1) for edge in (top, left, bottom, right))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def centered_boxes(share: Tensor, count: int, size_hw: tuple[int, int]) -> Tensor:
    """One box per image, all of the same size, cut off at the border; (N, H, W) bool.

    Sides have the same proportion as the image; centers are drawn uniformly, leaving out the first eighth.

    Args:
        share: 0-dim, of the image's area, in [0, 1].
        count: N.
        size_hw: of the image.

    Source: AugSeg, released code (`rand_bbox`).
    """
    edges = []
    for side in size_hw:
        half = (side * share.sqrt()).long() // 2
        center = torch.randint(side // 8, side, (count,), device=share.device)
        edges.append((center - half, center + half))
    (top, bottom), (left, right) = edges
    return filled_boxes(top, left, bottom, right, size_hw)


def half_boxes(count: int, size_hw: tuple[int, int], device: torch.device) -> Tensor:
    """One box of half the area per image, its height between half and all of the image's; (N, H, W) bool.

    Source: AEL, released code (`init_cutmix`): height share 0.5 ** U(0, 1), width share 0.5 / height share.
    """
    height_share = 0.5 ** torch.rand(count, device=device)
    edges = []
    for side, share in zip(size_hw, (height_share, 0.5 / height_share), strict=True):
        length = (side * share).round()
        start = ((side - length) * torch.rand(count, device=device)).round()
        edges.append((start, start + length))
    (top, bottom), (left, right) = edges
    return filled_boxes(top, left, bottom, right, size_hw)


def beta_draw(a: int, b: int, device: torch.device) -> Tensor:
    """A 0-dim draw from Beta(a, b) with whole parameters: the a-th smallest of a + b - 1 uniform numbers."""
    return torch.rand(a + b - 1, device=device).sort().values[a - 1]


def pasted(own: Tensor, foreign: Tensor, source: Tensor) -> Tensor:
    """Planes whose every pixel comes from the same place of the image that `source` names.

    Args:
        own: (N, H, W) or (N, C, H, W).
        foreign: (M, ...) of the same kind.
        source: (N, H, W) int64: n below N is image n of `own`, N + m is image m of `foreign`.
    """
    pool = torch.cat([own, foreign])
    index = source if own.ndim == 3 else source[:, None].expand(-1, own.shape[1], -1, -1)
    return pool.gather(0, index)
