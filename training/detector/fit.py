"""Training a detector on the boxes of the labeled masks, step by step, so that it can be stopped and continued."""

import logging
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from datasets.labels import IGNORE_INDEX, LabelArray
from datasets.sample import Image
from training.batches.geometry import draw_geometry
from training.batches.sampler import Sampler, Stream
from training.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
)
from training.config import DetectorConfig, ViewConfig
from training.data import SamplePool, TrainingSample
from training.detector.boxes import BoxArray
from training.detector.model import MEAN_COLOR, Detector, build_detector, load_start_weights
from training.detector.watch import Watch
from training.signals import StopRequestedError

logger = logging.getLogger(__name__)

_GROUP = "detector"
_STEP_SEED = 2  # keeps the seeds of steps apart from those of the order (0) and the views (1), see loader.Sampler
_SMALLEST_CROP = 32  # of ViewConfig; smaller images are padded


@dataclass(frozen=True)
class DetectorJob:
    """What one detector is made from.

    Attributes:
        config: architecture and schedule.
        seed: of weights, order and views.
        made_with: JSON values that a stored detector must agree with, see `detector.fingerprint`.
        folder: where its checkpoint is kept.
        save_every: steps between two checkpoints.
        device: where it computes.
    """

    config: DetectorConfig
    seed: int
    made_with: Mapping[str, Any]
    folder: Path
    save_every: int
    device: torch.device


@dataclass(frozen=True)
class DetectorData:
    """Images with their boxes.

    Attributes:
        pool: the samples.
        boxes: of every labeled item of `pool`, also of those without any.
        class_ids: the classes of the boxes, sorted.
    """

    pool: SamplePool
    boxes: Mapping[int, BoxArray]
    class_ids: tuple[int, ...]


def people_label(sample: TrainingSample) -> LabelArray:
    """(H, W) uint8: what people drew; pseudo-labels are left out, a detector would repeat the student's mistakes."""
    return sample.label if sample.known is None else np.where(sample.known, sample.label, np.uint8(IGNORE_INDEX))


def detector_crop(
    rng: np.random.Generator, sample: TrainingSample, boxes: BoxArray, config: DetectorConfig
) -> tuple[Image, BoxArray]:
    """A scaled, shifted and maybe mirrored copy of the image's size with its boxes.

    Pixels that nobody decided are painted over: whatever is there would count as background. Boxes that the crop
    cuts below `config.min_box_px` are dropped.
    """
    height, width = sample.image.shape[:2]
    size_hw = max(height, _SMALLEST_CROP), max(width, _SMALLEST_CROP)
    geometry = draw_geometry(rng, (height, width), ViewConfig(crop_hw=size_hw, scale_range=config.scale_range))
    image = sample.image
    if sample.known is not None:
        image = np.where(sample.known[..., None], image, np.array(MEAN_COLOR, np.uint8))
    moved = geometry.of_boxes(boxes)
    sides = moved[:, 2:4] - moved[:, :2] + 1
    return geometry.of_image(image), moved[sides.min(axis=1, initial=np.inf) >= config.min_box_px]


def train_detector(job: DetectorJob, data: DetectorData, watch: Watch) -> Detector:
    """The finished detector: as stored, or trained from its last checkpoint or from the beginning.

    Adam with a constant learning rate, as released. The same seed gives the same detector, also when it was stopped on
    the way: all random numbers depend on seed and step.

    Raises:
        ValueError: the weights do not fit, the stored ones are damaged, or the loss is not finite.
        StopRequestedError: stopped after a step; the checkpoint is written.
    """
    torch.manual_seed(job.seed)
    detector = build_detector(job.config, data.class_ids).to(job.device)
    optimizer = torch.optim.Adam((p for p in detector.parameters() if p.requires_grad), lr=job.config.lr)
    first = _restore(job, detector, optimizer)
    if first == 0:
        load_start_weights(detector, job.config)
    total = torch.zeros((), device=job.device)
    for step, (images, boxes) in _batches(job, data, first):
        detector.train()
        torch.manual_seed(_step_seed(job.seed, step))
        loss = torch.stack(list(detector.losses(images, boxes).values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total = total + loss.detach()
        finished = step + 1
        is_last, stopping = finished == job.config.steps, watch.stop.is_set
        if is_last or stopping or finished % job.save_every == 0:
            _require_finite(total, finished)
            _save(job, detector, None if is_last else optimizer, finished)
        watch.show("training the detector", finished, job.config.steps)
        if stopping and not is_last:
            raise StopRequestedError(
                f"stopped after step {finished}/{job.config.steps} of the detector; continue with --resume"
            )
    return detector.eval()


def _step_seed(seed: int, step: int) -> int:
    """Seed of torchvision's random anchors and proposals in one step."""
    return int(np.random.SeedSequence([seed, Stream.DETECTOR, _STEP_SEED, step]).generate_state(1)[0])


def _batches(
    job: DetectorJob, data: DetectorData, first: int
) -> Iterator[tuple[int, tuple[list[Image], list[BoxArray]]]]:
    """Step numbers with their batches; the next one is prepared while a step computes."""
    sampler = Sampler(tuple(data.boxes), job.seed, Stream.DETECTOR)

    def batch(step: int) -> tuple[list[Image], list[BoxArray]]:
        crops = []
        for draw in range(step * job.config.batch, (step + 1) * job.config.batch):
            item = sampler.item(draw)
            crops.append(detector_crop(sampler.rng(draw), data.pool.read(item), data.boxes[item], job.config))
        return [image for image, _ in crops], [boxes for _, boxes in crops]

    cv2.setNumThreads(1)  # parallel to the step, not inside one small picture
    with ThreadPoolExecutor(1, thread_name_prefix="detector") as thread:
        upcoming: Future[tuple[list[Image], list[BoxArray]]] | None = None
        for step in range(first, job.config.steps):
            ready = thread.submit(batch, step) if upcoming is None else upcoming
            upcoming = thread.submit(batch, step + 1)
            yield step, ready.result()


def _require_finite(total: torch.Tensor, finished: int) -> None:
    if not math.isfinite(float(total)):
        raise ValueError(
            f"the detector's loss is not a finite number at or before step {finished}: lower detector.lr. "
            "What it learned before is kept"
        )


def _save(job: DetectorJob, detector: Detector, optimizer: torch.optim.Optimizer | None, finished: int) -> None:
    groups = {_GROUP: dict(detector.network.state_dict())}
    if optimizer is not None:
        groups["optimizer"] = optimizer_tensors(optimizer)
    values = {"made_with": dict(job.made_with), "class_ids": list(detector.class_ids)}
    save_checkpoint(job.folder, Checkpoint(finished, groups, values))


def _restore(job: DetectorJob, detector: Detector, optimizer: torch.optim.Optimizer) -> int:
    """Finished steps of the stored detector, whose weights are now in `detector`; 0 if there is none of this run."""
    if not has_checkpoint(job.folder):
        return 0
    stored = _load(job.folder)
    other = [key for key in job.made_with if stored.values.get("made_with", {}).get(key) != job.made_with[key]]
    if other:
        logger.warning("%s: the detector there is of another run (%s differ); training it again", job.folder, other)
        return 0
    detector.network.load_state_dict(stored.tensors[_GROUP])
    if stored.step < job.config.steps:
        load_optimizer(optimizer, stored.tensors["optimizer"])
        logger.info("the detector continues after step %d", stored.step)
    return stored.step


def _load(folder: Path, groups: tuple[str, ...] | None = None) -> Checkpoint:
    try:
        return load_checkpoint(folder, groups)
    except ValueError as error:
        raise ValueError(f"{error}. Or remove {folder} to train the detector again") from error


def load_detector(config: DetectorConfig, folder: Path) -> Detector:
    """The finished detector of a run folder, on the CPU in eval mode.

    Raises:
        FileNotFoundError: the folder holds none.
        ValueError: it is damaged or not finished.
    """
    stored = _load(folder, (_GROUP,))
    if stored.step < config.steps:
        raise ValueError(
            f"{folder}: the detector stopped after step {stored.step}/{config.steps}; finish its run first"
        )
    detector = build_detector(config, stored.values["class_ids"])
    detector.network.load_state_dict(stored.tensors[_GROUP])
    return detector.eval()
