"""Endless seeded batches. All randomness is a function of seed and step: a resumed run draws what it would have."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.labels import IGNORE_INDEX
from datasets.sample import Image
from reliability.boxes import NO_BOX
from training.batches.draws import draw_view
from training.batches.geometry import Mask, draw_geometry
from training.batches.opencv_views import block_mask, paste_mask, render_strong
from training.batches.sampler import Sampler, Stream, on_tensors
from training.config import RunConfig, ViewConfig
from training.data import SamplePool, TrainingData, TrainingSample
from training.detector.boxes import BoxArray
from training.processes import ALONE, ProcessPart
from training.step import LabeledBatch, StepBatch, StrongView, UnlabeledBatch

Prepared = TypeVar("Prepared")
"""What a loader hands over: finished pictures, or the numbers to make them from."""

BATCHES_AHEAD = 2  # one being copied, one being made


@dataclass(frozen=True)
class LabeledCrop:
    """Numpy form of one item of LabeledBatch."""

    image: Image
    label: NDArray[np.uint8]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class UnlabeledCrop:
    """Numpy form of one item of UnlabeledBatch; strong views as (image, paste mask, block mask)."""

    weak: Image
    strong: tuple[tuple[Image, Mask, Mask], ...]
    valid: Mask
    known_label: NDArray[np.uint8]
    boxes: BoxArray | None = None


def labeled_crop(rng: np.random.Generator, sample: TrainingSample, views: ViewConfig) -> LabeledCrop:
    """Weak view of a sample with its label and weight under the same geometry."""
    geometry = draw_geometry(rng, sample.image.shape[:2], views)
    label = geometry.of_label(sample.label)
    if sample.weight is None:
        weight = (label != IGNORE_INDEX).astype(np.float32)
    else:
        weight = np.where(label != IGNORE_INDEX, geometry.of_weight(sample.weight), np.float32(0))
    return LabeledCrop(geometry.of_image(sample.image), label, weight)


def unlabeled_crop(
    rng: np.random.Generator,
    sample: TrainingSample,
    views: ViewConfig,
    recipes: tuple[str, ...],
    boxes: BoxArray | None = None,
) -> UnlabeledCrop:
    """Weak view and the strong views made from it; people's labels and boxes come along under the same geometry."""
    geometry = draw_geometry(rng, sample.image.shape[:2], views)
    known = np.ones(sample.image.shape[:2], bool) if sample.known is None else sample.known
    void = known & (sample.label == IGNORE_INDEX)
    known_label = np.where(known, sample.label, np.uint8(IGNORE_INDEX))
    weak = geometry.of_image(sample.image)
    inside = geometry.inside(known.shape)
    strong = tuple(_strong(rng, weak, inside, views, recipe) for recipe in recipes)
    valid = inside & ~geometry.of_mask(void)
    moved = None if boxes is None else geometry.of_boxes(boxes)
    return UnlabeledCrop(weak, strong, valid, geometry.of_label(known_label), moved)


def _strong(
    rng: np.random.Generator, weak: Image, inside: Mask, views: ViewConfig, recipe: str
) -> tuple[Image, Mask, Mask]:
    draw = draw_view(rng, views, recipe)
    return render_strong(draw, weak, inside), paste_mask(draw, views), block_mask(draw, views)


def partners(count: int) -> NDArray[np.int64]:
    """Whose pixels each of `count` >= 2 images gets: neighbors swap, the last three of an odd batch go in a circle.

    Batches come in random order, so a neighbor is a random other image. A drawn permutation would do as well on one
    process, but neighbors stay the same when an even batch is split over processes: each pair lies in one of them.
    """
    partner = np.arange(count) ^ 1
    if count % 2:
        partner[-3:] = np.roll(np.arange(count)[-3:], 1)
    return partner


class Loader(ABC, Generic[Prepared]):
    """Draws the items of any step; iterating prepares the next batches in threads.

    Args:
        data: the samples.
        recipes: strong views that the host wants; None when it uses no unlabeled images.
        views, run: sizes and seeds.
        unlabeled_from: the first step that gets unlabeled images.
        part: of this process in every batch; each draws its own part of the same order.
    """

    def __init__(
        self,
        data: TrainingData,
        recipes: tuple[str, ...] | None,
        views: ViewConfig,
        run: RunConfig,
        unlabeled_from: int = 0,
        part: ProcessPart = ALONE,
    ) -> None:
        self._pool: SamplePool = data.pool
        self._boxes = data.boxes
        self._labeled = Sampler(data.labeled, run.seed, Stream.LABELED, data.labeled_shares)
        self._unlabeled = Sampler(data.unlabeled, run.seed, Stream.UNLABELED)
        self._recipes, self._views, self._run = recipes or (), views, run
        self._uses_unlabeled = recipes is not None
        self._unlabeled_from = unlabeled_from
        self._part = part

    @abstractmethod
    def batch(self, step: int) -> Prepared:
        """The batch of step number `step`, on the CPU."""

    def _has_unlabeled(self, step: int) -> bool:
        return self._uses_unlabeled and step >= self._unlabeled_from

    def _prepared(self, step: int, pinned: bool) -> Prepared:
        batch = self.batch(step)
        return on_tensors(batch, Tensor.pin_memory) if pinned else batch

    def _draws(self, step: int, batch: int) -> range:
        first = (step * self._part.count + self._part.number) * batch
        return range(first, first + batch)

    def batches(self, first: int, end: int, pinned: bool = False) -> Iterator[Prepared]:
        """Batches of steps `first` to `end` - 1 in order, prepared ahead by `run.loader_threads` threads.

        Args:
            first, end: steps.
            pinned: put the tensors where a GPU fetches them by itself, so that the copy holds nobody up.
        """
        cv2.setNumThreads(1)  # parallel over batches, not inside one small picture
        with ThreadPoolExecutor(self._run.loader_threads, thread_name_prefix="loader") as threads:
            ahead = max(BATCHES_AHEAD, self._run.loader_threads)
            waiting: list[Future[Prepared]] = [
                threads.submit(self._prepared, step, pinned) for step in range(first, min(first + ahead, end))
            ]
            try:
                for step in range(first, end):
                    batch = waiting.pop(0).result()
                    if step + ahead < end:
                        waiting.append(threads.submit(self._prepared, step + ahead, pinned))
                    yield batch
            finally:
                for future in waiting:
                    future.cancel()


class BatchLoader(Loader[StepBatch]):
    """Renders crops and views with OpenCV as uint8 images; `DeviceMover` brings them to the device."""

    def batch(self, step: int) -> StepBatch:
        """The batch of step number `step` as uint8 images on the CPU."""
        labeled = [
            labeled_crop(self._labeled.rng(draw), self._pool.read(self._labeled.item(draw)), self._views)
            for draw in self._draws(step, self._run.labeled_batch)
        ]
        return StepBatch(
            LabeledBatch(
                _images([crop.image for crop in labeled]),
                torch.from_numpy(np.stack([crop.label for crop in labeled])),
                torch.from_numpy(np.stack([crop.weight for crop in labeled])),
            ),
            self._unlabeled_batch(step - self._unlabeled_from) if self._has_unlabeled(step) else None,
        )

    def _unlabeled_batch(self, step: int) -> UnlabeledBatch:
        crops = [self._unlabeled_crop(draw) for draw in self._draws(step, self._run.unlabeled_batch)]
        return UnlabeledBatch(
            weak_view=_images([crop.weak for crop in crops]),
            strong_views=tuple(
                StrongView(
                    _images([crop.strong[view][0] for crop in crops]),
                    torch.from_numpy(np.stack([crop.strong[view][1] for crop in crops])),
                    torch.from_numpy(np.stack([crop.strong[view][2] for crop in crops])),
                )
                for view in range(len(self._recipes))
            ),
            valid=torch.from_numpy(np.stack([crop.valid for crop in crops])),
            known_label=torch.from_numpy(np.stack([crop.known_label for crop in crops])),
            partner=torch.from_numpy(partners(len(crops))),
            boxes=padded_boxes([crop.boxes for crop in crops if crop.boxes is not None]),
        )

    def _unlabeled_crop(self, draw: int) -> UnlabeledCrop:
        sample = self._pool.read(self._unlabeled.item(draw))
        boxes = None if self._boxes is None else self._boxes[sample.sample_id]
        return unlabeled_crop(self._unlabeled.rng(draw), sample, self._views, self._recipes, boxes)


def padded_boxes(boxes: list[BoxArray]) -> Tensor | None:
    """(N, B, 5) with rows of class NO_BOX for crops that have fewer boxes than the fullest one; None without crops."""
    if not boxes:
        return None
    rows = np.zeros((len(boxes), max(map(len, boxes)), 5), np.float32)
    rows[..., 4] = NO_BOX
    for row, of_crop in zip(rows, boxes, strict=True):
        row[: len(of_crop)] = of_crop
    return torch.from_numpy(rows)


def _images(crops: list[Image]) -> Tensor:
    """(N, 3, H, W) uint8 whose memory is (N, H, W, 3): channels last for free."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class DeviceMover:
    """Moves a batch to the device as uint8 and normalizes there.

    Attributes:
        mean, std: (3, 1, 1) in 0-255.
    """

    device: torch.device
    mean: Tensor
    std: Tensor
    memory_format: torch.memory_format

    def __call__(self, batch: StepBatch) -> StepBatch:
        """The same batch with float images and int64 labels on the device."""
        x, u = batch.labeled, batch.unlabeled
        labeled = LabeledBatch(self._image(x.image), self._move(x.label).long(), self._move(x.weight))
        if u is None:
            return StepBatch(labeled, None)
        strong_views = tuple(
            StrongView(self._image(view.image), self._move(view.paste_mask), self._move(view.block_mask))
            for view in u.strong_views
        )
        return StepBatch(
            labeled,
            UnlabeledBatch(
                self._image(u.weak_view),
                strong_views,
                self._move(u.valid),
                self._move(u.known_label).long(),
                self._move(u.partner),
                None if u.boxes is None else self._move(u.boxes),
            ),
        )

    def _move(self, plane: Tensor) -> Tensor:
        return plane.to(self.device, non_blocking=True)

    def _image(self, image_u8: Tensor) -> Tensor:
        image = (self._move(image_u8).float() - self.mean) / self.std
        return image.contiguous(memory_format=self.memory_format)


def device_mover(
    device: torch.device, mean: tuple[float, ...], std: tuple[float, ...], memory_format: torch.memory_format
) -> DeviceMover:
    """A mover for images whose statistics are given in [0, 1]."""
    as_plane = [torch.tensor(values, device=device).view(3, 1, 1) * 255 for values in (mean, std)]
    return DeviceMover(device, as_plane[0], as_plane[1], memory_format)
