"""The decoded training set in the memory of the training device, so that crops are cut where they are used."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.labels import IGNORE_INDEX
from training.batches.drawn import DEVICE_RECIPES
from training.config import TrainConfig
from training.data import SamplePool, TrainingData, TrainingSample

logger = logging.getLogger(__name__)

PROBED = 64
"""Images whose mean size stands for all of them. Our choice, not measured: few enough to decode in seconds, and the
limit of twice the budget forgives a mean that is off by half."""


@dataclass(frozen=True)
class DevicePool:
    """All pixels of all images in one row each, image behind image: pictures of any size lie side by side.

    Attributes:
        pixels: (P,) int32, the bytes red, green, blue and label of a pixel, so that one access fetches all four.
        weight: (P,) float32, 0 where the label is ignored; None when it is 1 wherever `label` is a class.
        known: (P,) bool, where people decided; None when they decided everywhere.
        first_pixel: (items,) int64, where the item's image begins.
        size_hw: (items, 2) int64.
    """

    pixels: Tensor
    weight: Tensor | None
    known: Tensor | None
    first_pixel: Tensor
    size_hw: Tensor


def choose_device_pool(
    config: TrainConfig, data: TrainingData, recipes: tuple[str, ...], device: torch.device
) -> DevicePool | None:
    """The data set on the device, or None where OpenCV renders; `run.renderer` says how that is decided.

    Raises:
        ValueError: run.renderer=device, but a view of the host cannot be made there or the data set is too large.
    """
    wanted, budget_mb = config.run.renderer, config.data.cache_device_mb
    unknown = sorted(set(recipes) - set(DEVICE_RECIPES))
    if wanted == "opencv" or (wanted == "auto" and (device.type == "cpu" or unknown)):
        return None
    if unknown:
        raise ValueError(
            f"run.renderer: device cannot make the views {', '.join(unknown)} of host {config.host.name!r}; "
            "use auto or opencv"
        )
    pool = open_device_pool(data, budget_mb, device)
    if pool is None and wanted == "device":
        raise ValueError(
            f"run.renderer: the decoded data set does not fit into data.cache_device_mb={budget_mb}; "
            "raise it, or use auto or opencv"
        )
    return pool


def decode_within(pool: SamplePool, budget_mb: int) -> list[TrainingSample] | None:
    """All samples of a pool, or None as soon as they are found to need more than `budget_mb` MiB on a device.

    A set whose first images promise more than twice that is given up after PROBED of them, before decoding gigabytes.
    """
    samples: list[TrainingSample] = []
    free = budget_mb * 2**20
    for item in range(len(pool)):
        taken = budget_mb * 2**20 - free
        if item == PROBED and taken * len(pool) > 2 * PROBED * budget_mb * 2**20:
            return None
        sample = pool.read(item)
        pool.size_hw(item)  # remembered for drawing, which is done without decoding again
        free -= 4 * sample.label.size  # red, green, blue, label
        free -= 4 * sample.label.size * (sample.weight is not None) + sample.label.size * (sample.known is not None)
        if free < 0:
            return None
        samples.append(sample)
    return samples


def open_device_pool(data: TrainingData, budget_mb: int, device: torch.device) -> DevicePool | None:
    """Decode the data set and copy it to the device; None when it is larger than `budget_mb` MiB."""
    samples = decode_within(data.pool, budget_mb)
    if samples is None:
        return None
    pool = device_pool(samples, device)
    logger.info("%d images lie on %s, %.0f MiB", len(samples), device, _bytes_of(pool) / 2**20)
    return pool


def device_pool(samples: Iterable[TrainingSample], device: torch.device) -> DevicePool:
    """Put samples into one row. One with a weight or a known mask gives all of them one."""
    samples = tuple(samples)
    packed = np.concatenate([np.dstack([s.image, s.label]).reshape(-1, 4) for s in samples])
    size_hw = torch.tensor([sample.label.shape for sample in samples])
    pixels = size_hw.prod(dim=1)
    return DevicePool(
        pixels=torch.from_numpy(packed).view(torch.int32).flatten().to(device),
        weight=_row([_weight(s) for s in samples], device) if any(s.weight is not None for s in samples) else None,
        known=_row([_known(s) for s in samples], device) if any(s.known is not None for s in samples) else None,
        first_pixel=(pixels.cumsum(dim=0) - pixels).to(device),
        size_hw=size_hw.to(device),
    )


def _row(planes: list[NDArray[np.float32]] | list[NDArray[np.bool_]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.concatenate([plane.ravel() for plane in planes])).to(device)


def _weight(sample: TrainingSample) -> NDArray[np.float32]:
    given = np.float32(1) if sample.weight is None else sample.weight
    return np.where(sample.label != IGNORE_INDEX, given, np.float32(0)).astype(np.float32)


def _known(sample: TrainingSample) -> NDArray[np.bool_]:
    return np.ones(sample.label.shape, bool) if sample.known is None else sample.known


def _bytes_of(pool: DevicePool) -> int:
    return sum(row.nbytes for row in (pool.pixels, pool.weight, pool.known) if row is not None)
