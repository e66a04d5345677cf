"""What a pixel's prediction, its surroundings and its picture say about whether it is wrong; exports to ONNX.

Scores look at one pixel's distribution. Errors also lie together, at borders of areas, in classes that a student
confuses and in pictures that it finds hard: each of these is a map here, and `reliability.combined_score` weighs them.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad

from reliability.scores import probability_of, refine

SMALLEST = 2.0**-20
"""Probabilities below this one count as it: float32 softmaxes have little more to tell, and logarithms need a floor."""

WINDOWS = (3, 9, 25)
"""Sides in pixels of the windows around a pixel."""

CELL = 8
"""Side in pixels of the cells whose mean distribution stands for a pixel's wider surroundings."""

REACHES = (1, 1, 2, 4, 8)
"""Steps in which the distance to a border is measured: it is known up to their sum."""

PIXEL = ("log_odds", "runner_up", "residual")
NEIGHBORS = ("refined_margin", *(f"log_odds_{side}" for side in WINDOWS), "log_odds_max")
BORDER = ("distance", "border_share")
SURROUNDINGS = ("cell_share", "image_log_odds", "class_share", "class_log_odds")


def feature_groups(num_classes: int) -> dict[str, tuple[int, ...]]:
    """Which channels of `score_features` belong together: "pixel", "neighbors", "border", "surroundings", "classes"."""
    sizes = {
        "pixel": len(PIXEL),
        "neighbors": len(NEIGHBORS),
        "border": len(BORDER),
        "surroundings": len(SURROUNDINGS),
        "classes": 3 * num_classes,
    }
    groups, start = {}, 0
    for name, size in sizes.items():
        groups[name] = tuple(range(start, start + size))
        start += size
    return groups


def dropped_together(num_classes: int) -> tuple[tuple[int, ...], ...]:
    """Channels that say the same about many pixels: terms of picture and class, the wider surroundings, the classes."""
    names = (*PIXEL, *NEIGHBORS, *BORDER, *SURROUNDINGS)
    single = tuple((names.index(name),) for name in ("image_log_odds", "class_share", "class_log_odds"))
    far = tuple(names.index(name) for name in ("log_odds_25", "cell_share", "border_share"))
    starts = range(len(names), num_features(num_classes), num_classes)
    return (*single, far, *(tuple(range(start, start + num_classes)) for start in starts))


def num_features(num_classes: int) -> int:
    """F, channels of `score_features`."""
    return sum(len(channels) for channels in feature_groups(num_classes).values())


def score_features(probabilities: Tensor, label: Tensor) -> Tensor:
    """Everything that the combined score looks at, in the order of `feature_groups`.

    - pixel: log odds of being wrong as 1 - confidence says; log of 1 - margin; residual variance as a share of the
      largest that this confidence allows.
    - neighbors: S4MC's refined margin, negative where the neighbors make another class the winner; mean of the log odds
      in windows of 3, 9 and 25 pixels, and the largest within 5.
    - border: log of 1 + distance in pixels to where the predicted class changes, up to 16; share of such pixels in the
      window of 9.
    - surroundings: mean probability of the pixel's class in cells of 8 pixels, interpolated; mean log odds of the
      picture; log of the class's share of the picture, and the mean log odds of the picture's pixels of that class.
    - classes: log probabilities; the predicted class; the runner-up, each with a channel for every class.

    Args:
        probabilities: (N, C, H, W) float32, sums to 1 over C, C >= 2, finite.
        label: (N, H, W) int64, predicted class ids.

    Returns:
        (N, F, H, W) float32.
    """
    num_classes = probabilities.shape[1]
    classes = torch.arange(num_classes, device=label.device).view(1, -1, 1, 1)
    is_label = (label.unsqueeze(1) == classes).float()  # (N, C, H, W)
    own = probability_of(probabilities, label)
    wrong = (1 - own).clamp(SMALLEST, 1 - SMALLEST)
    log_odds = (wrong / (1 - wrong)).log()
    rest = probabilities * (1 - is_label)
    runner_up = rest.amax(dim=1, keepdim=True)
    refined = refine(probabilities)
    maps = [
        log_odds,
        (1 - own + runner_up.squeeze(1)).clamp_min(SMALLEST).log(),
        _relative_residual(rest, wrong),
        probability_of(refined, label) - (refined * (1 - is_label)).amax(dim=1),
        *_windows(log_odds),
        *_border(label),
        _cell_share(probabilities, label),
        *_image_terms(log_odds, is_label, label),
    ]
    channels = [
        torch.stack(maps, dim=1),
        probabilities.clamp_min(SMALLEST).log(),
        is_label,
        ((rest >= runner_up) & (is_label < 1)).float(),
    ]
    return torch.cat(channels, dim=1)


def _relative_residual(rest: Tensor, wrong: Tensor) -> Tensor:
    """(N, H, W): from 1 / (C - 1) (the rest is spread evenly) to 1 (one other class has all of it)."""
    return (rest.square().sum(dim=1) / wrong.square()).clamp(0, 1)


def _windows(log_odds: Tensor) -> list[Tensor]:
    plane = log_odds.unsqueeze(1)
    means = [_window_mean(plane, side).squeeze(1) for side in WINDOWS]
    return [*means, max_pool2d(plane, 5, 1, 2).squeeze(1)]


def _window_mean(plane: Tensor, side: int) -> Tensor:
    """Mean over the part of a square window that lies inside the picture; (N, 1, H, W) -> the same."""
    half = side // 2
    across = avg_pool2d(plane, (1, side), 1, (0, half), count_include_pad=False)
    return avg_pool2d(across, (side, 1), 1, (half, 0), count_include_pad=False)


def _border(label: Tensor) -> list[Tensor]:
    """Distance to the predicted class's border and share of border pixels around; both (N, H, W)."""
    plane = label.unsqueeze(1).float()
    largest, smallest = max_pool2d(plane, 3, 1, 1), -max_pool2d(-plane, 3, 1, 1)
    border = (largest > smallest).float()  # (N, 1, H, W)
    distance, near = 1 - border, border
    for reach in REACHES:
        near = max_pool2d(near, (1, 2 * reach + 1), 1, (0, reach))
        near = max_pool2d(near, (2 * reach + 1, 1), 1, (reach, 0))
        distance = distance + reach * (1 - near)
    return [torch.log1p(distance).squeeze(1), _window_mean(border, 9).squeeze(1)]


def _cell_share(probabilities: Tensor, label: Tensor) -> Tensor:
    height, width = label.shape[1], label.shape[2]
    below, right = (height + CELL - 1) // CELL * CELL - height, (width + CELL - 1) // CELL * CELL - width
    cells = avg_pool2d(pad(probabilities, (0, right, 0, below)), CELL, CELL)
    cells = cells / cells.sum(dim=1, keepdim=True)  # padding has no class
    whole = interpolate(cells, size=(height + below, width + right), mode="bilinear", align_corners=False)
    return probability_of(whole[:, :, :height, :width], label)


def _image_terms(log_odds: Tensor, is_label: Tensor, label: Tensor) -> list[Tensor]:
    """Three numbers of the whole picture or of the pixel's class in it, at every pixel; each (N, H, W)."""
    pixels = is_label.sum(dim=(2, 3))  # (N, C)
    total = pixels.sum(dim=1, keepdim=True)
    share = (pixels / total).clamp_min(SMALLEST).log()
    of_class = (is_label * log_odds.unsqueeze(1)).sum(dim=(2, 3))
    image = (of_class.sum(dim=1, keepdim=True) / total).unsqueeze(2)  # (N, 1, 1)
    tables = (share, of_class / pixels.clamp_min(1))
    by_class = [table.gather(1, label.flatten(1)).view_as(log_odds) for table in tables]
    return [image.expand_as(log_odds), *by_class]
