"""AEL's two ways to show classes that the student knows little: pasting their pixels, and mixing in boxes around them.

Source: AEL (Hu et al., NeurIPS 2021, arXiv:2110.05474) and its released code (commit 747c797). There both run on the
CPU, with the bank of the whole data set; here on the device, within the batch, without waiting for it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from datasets.labels import IGNORE_INDEX
from training.pasting import filled_boxes, half_boxes
from training.step import LabeledBatch

CELL = 8
"""Side in pixels of the cells in which `boxes_around` looks for connected regions; ours."""


def drawn_classes(probability: Tensor, count: int) -> Tensor:
    """`count` classes, drawn independently.

    Args:
        probability: (C,), need not sum to 1; 0 is never drawn.
        count: how many.

    Returns:
        (count,) int64. The class whose exponential waiting time is the shortest wins; `torch.multinomial` would check
        its input on the CPU.
    """
    noise = -torch.rand(count, len(probability), device=probability.device).clamp(min=1e-20).log()
    return (probability / noise).argmax(dim=1)


@dataclass(frozen=True)
class CopyPaste:
    """Numbers of the adaptive copy-paste; defaults: released Cityscapes configuration.

    Attributes:
        classes: how many are drawn per batch, with replacement (Pascal: 1).
        probability: chance of an image to receive them.
        scale_range: factor on the crop that they are taken from.
    """

    classes: int = 3
    probability: float = 0.5
    scale_range: tuple[float, float] = (0.1, 2.0)


def with_pasted_classes(x: LabeledBatch, confidence: Tensor, may_paste: Tensor, rule: CopyPaste) -> LabeledBatch:
    """Adaptive copy-paste: pixels of classes the student is unsure of, from another labeled crop at another size.

    Classes are drawn by softmax(sqrt(1 - confidence)) over those that may be pasted. Pixels without a label and those
    whose weight is 0 are not pasted; labels and weights go with the pixels.

    Args:
        x: labeled crops.
        confidence: (C,) of the bank.
        may_paste: (C,) bool.
        rule: how many, how often, how large.

    Returns:
        a new batch of the same size.
    """
    count, device = len(x.image), x.image.device
    likely = (1 - confidence).sqrt().masked_fill(~may_paste, -torch.inf).softmax(dim=0)
    classes = drawn_classes(likely, rule.classes)
    is_drawn = (classes[:, None] == torch.arange(len(confidence), device=device)).any(dim=0)

    other = (torch.arange(count, device=device) + torch.randint(1, max(count, 2), (), device=device)) % count
    grid = resizing_grid(x.label.shape, rule.scale_range, device)
    image = functional.grid_sample(x.image[other], grid.to(x.image.dtype), padding_mode="border", align_corners=False)
    planes = torch.stack([x.label.float() + 1, x.weight], dim=1)[other]
    sampled = functional.grid_sample(planes, grid, mode="nearest", align_corners=False)  # 0 outside the crop
    label, weight = sampled[:, 0].round().long() - 1, sampled[:, 1]

    has_class = (label >= 0) & (label != IGNORE_INDEX) & (weight > 0)
    chosen = (torch.rand(count, device=device) < rule.probability).view(-1, 1, 1)
    pasted = has_class & chosen & is_drawn[torch.where(has_class, label, 0)]
    return LabeledBatch(
        torch.where(pasted[:, None], image, x.image),
        torch.where(pasted, label, x.label),
        torch.where(pasted, weight, x.weight),
    )


def resizing_grid(shape_nhw: torch.Size, scale_range: tuple[float, float], device: torch.device) -> Tensor:
    """A resize by a uniform factor per image, at a random place: inside the crop when smaller, covering it when larger.

    Returns:
        (N, H, W, 2) as `grid_sample` reads it.
    """
    count, height, width = shape_nhw
    low, high = scale_range
    scale = low + (high - low) * torch.rand(count, device=device)
    center = (2 * torch.rand(count, 2, device=device) - 1) * (1 - scale).abs()[:, None]  # of the resized image
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / scale
    matrix[:, :, 2] = -center / scale[:, None]
    return functional.affine_grid(matrix, [count, 1, height, width], align_corners=False)


@dataclass(frozen=True)
class ClassMix:
    """What each image gets pasted.

    Attributes:
        partner: (N,) int64, from whom; never the image itself.
        paste_mask: (N, H, W) bool, where.
    """

    partner: Tensor
    paste_mask: Tensor


def boxes_around_classes(
    label: Tensor, valid: Tensor, partner: Tensor, confidence: Tensor, least_area: float
) -> ClassMix:
    """Adaptive CutMix: a box around one region of a class the student is unsure of, else a random half of the image.

    Each image draws a class by softmax(1 - confidence) and, among the other images of the batch that show it on at
    least `least_area` of their pixels, one to take it from. The box surrounds the region of that class around one of
    its pixels. The released code draws from all images of the data set by a bank of what they contained when last
    seen, and among connected components that are large enough; here a component is met the more often the larger it
    is, and regions are connected in cells of 8 pixels.

    Args:
        label: (N, H, W) int64 pseudo-labels.
        valid: (N, H, W) bool.
        partner: (N,) int64, whom to take the random half from.
        confidence: (C,) of the bank.
        least_area: share of the image, in [0, 1].
    """
    count, (height, width) = len(label), (label.shape[1], label.shape[2])
    wanted = drawn_classes((1 - confidence).softmax(dim=0), count)
    shows = (label[None] == wanted.view(-1, 1, 1, 1)) & valid[None]  # (N wanting, N showing, H, W)
    myself = torch.eye(count, dtype=torch.bool, device=label.device)
    pixels = shows.sum(dim=(2, 3))
    enough = (pixels > 0) & (pixels >= least_area * height * width) & ~myself
    found = torch.where(enough, torch.rand(count, count, device=label.device), -1.0).max(dim=1)

    one_hot = torch.arange(count, device=label.device)
    boxes, area = boxes_around(shows[one_hot, found.indices])
    use = (found.values >= 0) & (area >= least_area)
    halves = half_boxes(count, (height, width), label.device)
    return ClassMix(
        torch.where(use, found.indices, partner),
        torch.where(use.view(-1, 1, 1), boxes, halves),
    )


def boxes_around(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The box around the region that one random pixel of each mask belongs to.

    A region grows from its pixel in cells of CELL pixels, one ring per round, for as many rounds as the image has rows
    and columns of cells: enough unless it winds a lot, and no round asks whether the region still grows.

    Args:
        mask: (N, H, W) bool.

    Returns:
        (N, H, W) bool boxes, and (N,) the regions' shares of the image; without a pixel both are empty.
    """
    count, height, width = mask.shape
    padded = functional.pad(mask.float()[:, None], (0, -width % CELL, 0, -height % CELL))
    pixels = functional.avg_pool2d(padded, CELL) * CELL**2  # (N, 1, h, w), how many of a cell's pixels are in the mask
    cells = (pixels > 0).float()
    seed = (torch.rand(pixels.shape, device=mask.device).pow(1 / pixels.clamp(min=1)) * cells).flatten(1).argmax(dim=1)
    places = torch.arange(pixels[0].numel(), device=mask.device)
    region = (places == seed[:, None]).view_as(pixels).float() * cells
    for _ in range(pixels.shape[2] + pixels.shape[3]):
        region = functional.max_pool2d(region, 3, stride=1, padding=1) * cells

    edges = []
    for side in (3, 2):  # rows have a cell of the region in some column
        occupied = region.amax(dim=(1, side)) > 0
        first, last = occupied.byte().argmax(dim=1), occupied.shape[1] - occupied.flip(1).byte().argmax(dim=1)
        edges.append((first * CELL, torch.where(occupied.any(dim=1), last, 0) * CELL))
    (top, bottom), (left, right) = edges
    share = (region * pixels).sum(dim=(1, 2, 3)) / (height * width)
    return filled_boxes(top, left, bottom, right, (height, width)), share
