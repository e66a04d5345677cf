"""Weak and strong views of a whole batch, made in torch on the training device from numbers drawn on the CPU.

The second renderer of draws.py; the first is opencv_views.py. Label planes agree exactly. Pictures agree within
rounding: OpenCV keeps 8 bits after every operation, this renderer keeps floating point
(tests/unit/test_training_device_views.py states how close). No line waits for the device: everything that decides a
shape is known on the CPU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from datasets.labels import IGNORE_INDEX
from reliability.methods.csl import enlarge_cells
from training.batches.device_pool import DevicePool
from training.batches.drawn import DrawnBatch, DrawnBlur, DrawnCrops, DrawnHue, DrawnUnlabeled, DrawnView
from training.batches.sampler import on_tensors
from training.config import ViewConfig
from training.pasting import filled_boxes
from training.step import LabeledBatch, StepBatch, StrongView, UnlabeledBatch

LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in gray (ITU-R BT.601), as OpenCV and torchvision have it."""


@dataclass(frozen=True)
class Crops:
    """Cut out crops.

    Attributes:
        image: (N, 3, h, w) float32, whole numbers 0-255; black outside the source.
        label: (N, h, w) uint8, IGNORE_INDEX outside.
        inside: (N, h, w) bool.
        nearest: (N, h, w) int64, the pixel of the pool that each pixel shows; any pixel where it is not inside.
    """

    image: Tensor
    label: Tensor
    inside: Tensor
    nearest: Tensor


@dataclass(frozen=True)
class DeviceRenderer:
    """Renders batches on the pool's device.

    Attributes:
        mean, std: (3, 1, 1) in 0-255.
    """

    pool: DevicePool
    views: ViewConfig
    mean: Tensor
    std: Tensor
    memory_format: torch.memory_format

    def __call__(self, batch: DrawnBatch) -> StepBatch:
        """The batch with normalized images and int64 labels on the device."""
        device = self.pool.pixels.device
        drawn = on_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True))
        unlabeled = None if drawn.unlabeled is None else self._unlabeled(drawn.unlabeled)
        return StepBatch(self._labeled(drawn.labeled), unlabeled)

    def _labeled(self, drawn: DrawnCrops) -> LabeledBatch:
        crops = cut_out(self.pool, drawn, self.views.crop_hw)
        has_class = crops.label != IGNORE_INDEX
        if self.pool.weight is None:
            weight = has_class.float()
        else:
            weight = torch.where(has_class, self.pool.weight[crops.nearest], 0.0)
        return LabeledBatch(self._normalized(crops.image), crops.label.long(), weight)

    def _unlabeled(self, drawn: DrawnUnlabeled) -> UnlabeledBatch:
        crops = cut_out(self.pool, drawn.crops, self.views.crop_hw)
        known = crops.inside if self.pool.known is None else crops.inside & self.pool.known[crops.nearest]
        void = known & (crops.label == IGNORE_INDEX)
        return UnlabeledBatch(
            weak_view=self._normalized(crops.image),
            strong_views=tuple(self._strong(view, crops) for view in drawn.views),
            valid=crops.inside & ~void,
            known_label=torch.where(known, crops.label, IGNORE_INDEX).long(),
            partner=drawn.partner,
            boxes=drawn.boxes,
        )

    def _strong(self, drawn: DrawnView, crops: Crops) -> StrongView:
        image = recolored(crops.image, drawn) * crops.inside[:, None]
        size_hw = self.views.crop_hw
        blocks = enlarge_cells(drawn.cells.permute(1, 2, 0), size_hw).permute(2, 0, 1).contiguous()
        top, left, bottom, right = drawn.box.unbind(dim=1)
        pasted = filled_boxes(top, left, bottom, right, size_hw)
        return StrongView(self._normalized(image), pasted, blocks)

    def _normalized(self, image: Tensor) -> Tensor:
        return ((image - self.mean) / self.std).contiguous(memory_format=self.memory_format)


def cut_out(pool: DevicePool, drawn: DrawnCrops, size_hw: tuple[int, int]) -> Crops:
    """Resize, crop and flip: the image bilinearly, repeating its border; the label by nearest neighbor.

    Pixels are fetched from the pool's row by their number, which works for sources of different sizes at once.
    torch's grid_sample would want a stack of images of one size, in floating point.
    """
    source = torch.arange(max(size_hw), device=drawn.step.device)
    y, x = (drawn.offset[:, axis, None] + source[: size_hw[axis]] * drawn.step[:, axis, None] for axis in (0, 1))
    height, width = (pool.size_hw[drawn.item, axis, None] for axis in (0, 1))
    first_pixel = pool.first_pixel[drawn.item, None]

    def number_of(rows: Tensor, columns: Tensor) -> Tensor:
        """(N, h, w) place in the pool of each pair of a row (N, h) and a column (N, w)."""
        rows, columns = rows.clamp(min=0).minimum(height - 1), columns.clamp(min=0).minimum(width - 1)
        return (first_pixel + rows * width)[:, :, None] + columns[:, None, :]

    row, column = y.round().long(), x.round().long()
    inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None, :]
    nearest = number_of(row, column)
    label = torch.where(inside, _bytes(pool.pixels, nearest)[..., 3], IGNORE_INDEX)

    above, left = y.floor().long(), x.floor().long()
    beside, below = (x - left)[:, None, :, None], (y - above)[:, :, None, None]
    upper, lower = (
        torch.lerp(
            _bytes(pool.pixels, number_of(rows, left))[..., :3].float(),
            _bytes(pool.pixels, number_of(rows, left + 1))[..., :3].float(),
            beside,
        )
        for rows in (above, above + 1)
    )
    image = torch.lerp(upper, lower, below).round() * inside[..., None]  # (N, h, w, 3)
    return Crops(image.permute(0, 3, 1, 2), label, inside, nearest)


def _bytes(pixels: Tensor, number: Tensor) -> Tensor:
    """(N, h, w, 4) uint8: red, green, blue and label of some pixels of the pool."""
    return pixels[number].view(torch.uint8).view(*number.shape, 4)


def recolored(image: Tensor, drawn: DrawnView) -> Tensor:
    """Jitter, gray and blur of (N, 3, h, w) in 0-255."""
    for turn, hue in enumerate(drawn.hue):
        factor, mean_share, gray_share = (
            table[turn, :, None, None, None] for table in (drawn.factor, drawn.mean_share, drawn.gray_share)
        )
        gray = gray_of(image)
        reference = mean_share * gray.mean(dim=(2, 3), keepdim=True) + gray_share * gray
        image = (factor * image + (1 - factor) * reference).clamp(0, 255)
        image = image if hue is None else _with_hue_turned(image, hue)
    image = torch.where(drawn.is_gray[:, None, None, None], gray_of(image), image)
    return image if drawn.blur is None else _with_blur(image, drawn.blur)


def gray_of(image: Tensor) -> Tensor:
    """(N, 1, h, w) brightness of (N, 3, h, w)."""
    red, green, blue = image.unbind(dim=1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]


def _with_hue_turned(image: Tensor, hue: DrawnHue) -> Tensor:
    turned = hue_turned(image.index_select(0, hue.rows), hue.turn)
    return image.index_copy(0, hue.rows, turned)


def hue_turned(image: Tensor, turn: Tensor) -> Tensor:
    """Move the hue of (n, 3, h, w) by (n,) `turn` sixths of the circle, keeping HSV's saturation and value.

    A channel is value - chroma * clamp(min(k, 4 - k), 0, 1) with k = (n + hue) mod 6 and n = 5, 3, 1 for red, green,
    blue: the usual closed form of HSV to RGB.
    """
    red, green, blue = image.unbind(dim=1)
    value = image.amax(dim=1)
    chroma = value - image.amin(dim=1)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    in_blue_or_green = torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    hue = torch.where(value == red, (green - blue) / divisor, in_blue_or_green) + turn[:, None, None]  # (n, h, w)
    channels = []
    for start in (5, 3, 1):
        k = (start + hue).remainder(6)
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def _with_blur(image: Tensor, blur: DrawnBlur) -> Tensor:
    return image.index_copy(0, blur.rows, blurred(image.index_select(0, blur.rows), blur.kernels))


def blurred(image: Tensor, kernels: Tensor) -> Tensor:
    """Blur (n, 3, h, w) along rows and columns, each image with its own kernel of (n, K); mirrored at the border."""
    count, channels, height, width = image.shape
    radius = kernels.shape[1] // 2
    weight = kernels.repeat_interleave(channels, dim=0)[:, None, None, :]  # (n * 3, 1, 1, K)
    planes = image.reshape(1, count * channels, height, width)
    planes = planes.index_select(3, _mirrored(width, radius, image.device))
    planes = functional.conv2d(planes, weight, groups=count * channels)
    planes = planes.index_select(2, _mirrored(height, radius, image.device))
    planes = functional.conv2d(planes, weight.transpose(2, 3), groups=count * channels)
    return planes.reshape(count, channels, height, width)


def _mirrored(size: int, radius: int, device: torch.device) -> Tensor:
    """(size + 2 radius,) places along an axis, continued as a mirror in its border pixels (OpenCV's BORDER_DEFAULT)."""
    place = torch.arange(-radius, size + radius, device=device).abs() % (2 * size - 2)
    return torch.minimum(place, 2 * size - 2 - place)
