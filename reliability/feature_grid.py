"""Reading decoder features, which come at a stride, at the pixels of the picture.

Corners are aligned as in every bilinear upsampling of UniMatch and the repositories built on it (`align_corners=True`)
and in the heads of our students: the centers of the four corner pixels are the centers of the four corner cells.
Exact for sides that are multiples of the student's stride. Other sides were padded, the cells of the padding cut off,
and the last cells lie up to one cell off.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def upsampled(features: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(N, D, h, w) -> (N, D, H, W), bilinear."""
    return interpolate(features, size=size_hw, mode="bilinear", align_corners=True)


def nearest_cells(size_hw: tuple[int, int], grid_hw: tuple[int, int], device: torch.device) -> Tensor:
    """Which cell of a flattened grid is nearest to each pixel, in whole numbers so that no border depends on rounding.

    Returns:
        (H, W) int64 in 0 .. h * w - 1.
    """
    rows = _nearest(size_hw[0], grid_hw[0], device).unsqueeze(1)
    columns = _nearest(size_hw[1], grid_hw[1], device).unsqueeze(0)
    return rows * grid_hw[1] + columns


def _nearest(size: int, cells: int, device: torch.device) -> Tensor:
    """round(pixel * (cells - 1) / (size - 1)) for each pixel; (size,) int64."""
    pixel = torch.arange(size, device=device)
    last = pixel.amax(dim=0).clamp_min(1)  # a tensor, so that a size that the exporter does not know may be 1
    return (2 * pixel * (cells - 1) + last) // (2 * last)


def features_at(features: Tensor, pixel: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """What `upsampled` gives at a few pixels, without making the large map.

    Args:
        features: (N, D, h, w).
        pixel: (...) int64, indices into the flattened (N, H, W).
        size_hw: H and W.

    Returns:
        (..., D) float32.
    """
    height, width = features.shape[2], features.shape[3]
    image, within = pixel // (size_hw[0] * size_hw[1]), pixel % (size_hw[0] * size_hw[1])
    y = (within // size_hw[1]).double() * ((height - 1) / max(size_hw[0] - 1, 1))
    x = (within % size_hw[1]).double() * ((width - 1) / max(size_hw[1] - 1, 1))
    top, left = y.floor().long(), x.floor().long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    down, along = (y - top).float().unsqueeze(-1), (x - left).float().unsqueeze(-1)

    cells = features.permute(0, 2, 3, 1)  # (N, h, w, D)
    above = torch.lerp(cells[image, top, left].float(), cells[image, top, right].float(), along)
    below = torch.lerp(cells[image, bottom, left].float(), cells[image, bottom, right].float(), along)
    return torch.lerp(above, below, down)
