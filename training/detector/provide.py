"""Boxes for selection methods that need them: a detector learns from the run's labeled masks and looks at the rest.

Source: Howlader et al., arXiv:2407.12630. Everything is kept in `run_dir/detector`: the detector's checkpoint,
boxes.json (unlabeled images), held_out_boxes.json (images that are measured on) and summary.json. A stopped run
continues there: the detector after its last step, the boxes after the last image.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.files import sha256_of
from reliability.selection import SelectionMethod
from training.config import DetectorConfig, TrainConfig
from training.config_json import config_to_json
from training.data import HeldOut, TrainingData, training_sample
from training.detector.boxes import BoxArray, components_of, named_classes, thing_classes
from training.detector.fit import DetectorData, DetectorJob, load_detector, people_label, train_detector
from training.detector.model import Detector
from training.detector.quality import DetectorQuality
from training.detector.store import BoxStore, read_boxes
from training.detector.watch import Watch
from training.evaluate import BoxesFor
from training.records import SUMMARY_NAME, write_json
from training.session import Session
from training.signals import StopRequestedError

logger = logging.getLogger(__name__)

DETECTOR_FOLDER = "detector"
BOXES_NAME, HELD_OUT_BOXES_NAME = "boxes.json", "held_out_boxes.json"


def needs_boxes(session: Session) -> bool:
    """Whether the selection method looks at boxes in this run."""
    selection, host = session.selection, session.host
    return "boxes" in selection.needs or ("boxes" in selection.learns_from and host.uses_unlabeled)


def provide_boxes(session: Session, run_dir: Path, watch: Watch) -> BoxesFor | None:
    """Give the session's unlabeled images their boxes; returns those of the held-out images, if there are any.

    The first process trains and detects, the others wait for its files. If it fails, all of them stop.

    Raises:
        ValueError: the labeled masks give no boxes, or the configuration and the stored detector do not fit.
        StopRequestedError: stopped; everything so far is kept.
    """
    folder, accelerator = run_dir / DETECTOR_FOLDER, session.accelerator
    problem: Exception | None = None
    if accelerator.is_main_process:
        try:
            _make_boxes(session, folder, watch)
        except (StopRequestedError, ValueError, OSError) as error:
            problem = error
    failed = accelerator.gather(torch.tensor([float(problem is not None)], device=accelerator.device)).sum()
    if problem is not None:
        raise problem
    if failed:
        raise StopRequestedError("the first process could not finish the detector; see its message")
    session.data = dataclasses.replace(session.data, boxes=read_boxes(folder / BOXES_NAME))
    if session.held_out is None:
        return None
    return stored_boxes(read_boxes(folder / HELD_OUT_BOXES_NAME))


def stored_boxes(boxes: Mapping[str, BoxArray]) -> BoxesFor:
    """Look boxes up by sample id."""
    return lambda sample: _as_batch(boxes[sample.sample_id])


def detector_of_run(
    config: TrainConfig, selection: SelectionMethod, run_dir: Path, device: torch.device
) -> BoxesFor | None:
    """Boxes of any images from the detector of a finished run, for a method that cannot judge pixels without them.

    Raises:
        FileNotFoundError: the run has no detector.
        ValueError: it is damaged.
    """
    if "boxes" not in selection.needs:
        return None
    detector = load_detector(config.detector, run_dir / DETECTOR_FOLDER).to(device)
    return lambda sample: _as_batch(detector.detect(sample.image)[0])


def _as_batch(boxes: BoxArray) -> Tensor:
    return torch.from_numpy(boxes)[None]


def fingerprint(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    """What a stored detector must have been made with to be this run's."""
    return {
        "detector": config_to_json(config.detector),
        "seed": config.run.seed,
        "classes": list(data.class_set.names),
        "data_sha256": data.sha256,
    }


def _make_boxes(session: Session, folder: Path, watch: Watch) -> None:
    data, held_out = session.data, session.held_out
    made_with = fingerprint(session.config, data)
    unlabeled = {data.pool.sample_id(item): item for item in data.unlabeled}
    store = BoxStore(folder / BOXES_NAME, made_with)
    held_out_ids = () if held_out is None else _labeled_ids(held_out)
    held_out_store = BoxStore(folder / HELD_OUT_BOXES_NAME, {**made_with, "images": _digest(held_out)})
    if store.holds(unlabeled) and held_out_store.holds(held_out_ids) and (folder / SUMMARY_NAME).is_file():
        return
    boxes = labeled_boxes(session.config.detector, data)
    config = session.config
    job = DetectorJob(
        config.detector, config.run.seed, made_with, folder, config.run.checkpoint_every, session.accelerator.device
    )
    detector = train_detector(job, boxes, watch)

    def detect(sample_id: str) -> tuple[BoxArray, NDArray[np.float32]]:
        return detector.detect(data.pool.read(unlabeled[sample_id]).image)

    found = store.complete(unlabeled, detect, _stoppable(watch, "detecting objects"))
    summary = {**_describe(data, boxes), **_report(found, config.detector), "held_out": None}
    if held_out is not None:
        summary["held_out"] = _held_out_quality(held_out, held_out_store, detector, config.detector, watch)
    write_json(folder / SUMMARY_NAME, summary)


def labeled_boxes(config: DetectorConfig, data: TrainingData) -> DetectorData:
    """The boxes of people's labels.

    Raises:
        ValueError: there are none, or `detector.classes` names what is no class.
    """
    found = {
        item: components_of(people_label(data.pool.read(item))).at_least(config.min_box_px) for item in data.labeled
    }
    names = data.class_set.names
    if config.classes:
        wanted = named_classes(config.classes, data.class_set)
    else:
        wanted = thing_classes(found.values(), len(names))
    boxes = {item: rows.boxes[np.isin(rows.boxes[:, 4], wanted)] for item, rows in found.items()}
    present = tuple(int(number) for number in np.unique(np.concatenate([rows[:, 4] for rows in boxes.values()])))
    if not present:
        raise ValueError(
            f"the masks of {len(found)} labeled images give no box of {config.min_box_px} pixels or more for "
            f"{', '.join(names[number] for number in wanted) or 'any class: none looks like a thing'}. Name classes in "
            "detector.classes, lower detector.min_box_px, or choose a selection method that needs no boxes"
        )
    boxless = [f"{name} (id {number})" for number, name in enumerate(names) if number not in present]
    logger.info(
        "the detector learns %s from %d boxes; classes without boxes: %s",
        ", ".join(names[number] for number in present), sum(map(len, boxes.values())), ", ".join(boxless) or "none",
    )  # fmt: skip
    return DetectorData(data.pool, boxes, present)


def _describe(data: TrainingData, learned: DetectorData) -> dict[str, Any]:
    names = data.class_set.names
    rows = np.concatenate(list(learned.boxes.values()))
    counts = np.bincount(rows[:, 4].astype(np.int64), minlength=len(names))
    return {
        "labeled_images": len(learned.boxes),
        "labeled_boxes": {names[number]: int(counts[number]) for number in learned.class_ids},
        "classes_without_boxes": {name: number for number, name in enumerate(names) if number not in learned.class_ids},
    }


def _report(found: Mapping[str, BoxArray], config: DetectorConfig) -> dict[str, Any]:
    """How many unlabeled images got boxes; a detector that finds nothing is said to be useless."""
    with_boxes = sum(len(boxes) > 0 for boxes in found.values())
    share = with_boxes / len(found) if found else None
    if found and not with_boxes:
        logger.warning(
            "the detector found no object with a score of %g or more on any of %d unlabeled images (0 %% have boxes): "
            "train it longer (detector.steps), start from weights (detector.weights) or lower detector.min_score",
            config.min_score, len(found),
        )  # fmt: skip
    elif found:
        logger.info(
            "%d of %d unlabeled images have boxes (%.0f %%)", with_boxes, len(found), 100 * with_boxes / len(found)
        )
    return {
        "unlabeled_images": len(found),
        "share_with_boxes": share,
        "boxes_on_unlabeled": sum(map(len, found.values())),
    }


def _held_out_quality(
    held_out: HeldOut, store: BoxStore, detector: Detector, config: DetectorConfig, watch: Watch
) -> dict[str, Any]:
    dataset = held_out.dataset
    index_of = {dataset.sample_ids[index]: index for index in _labeled_indices(held_out)}
    on_image = _stoppable(watch, "detecting objects on held-out images")
    boxes = store.complete(index_of, lambda name: detector.detect(dataset[index_of[name]].image), on_image)
    quality = DetectorQuality(dataset.class_set.names, detector.class_ids, config.min_box_px)
    for name, index in index_of.items():
        quality.add(boxes[name], people_label(training_sample(dataset[index])))
    return {"split": held_out.split, **quality.summary()}


def _labeled_indices(held_out: HeldOut) -> list[int]:
    return [index for index in range(len(held_out.dataset)) if held_out.dataset.is_labeled(index)]


def _labeled_ids(held_out: HeldOut) -> tuple[str, ...]:
    return tuple(held_out.dataset.sample_ids[index] for index in _labeled_indices(held_out))


def _digest(held_out: HeldOut | None) -> str:
    """Hash over the held-out images' files, so that another split or a changed image is noticed."""
    digest = hashlib.sha256()
    if held_out is not None:
        for index in _labeled_indices(held_out):
            digest.update(sha256_of(held_out.dataset.image_path(index)).encode())
    return digest.hexdigest()


def _stoppable(watch: Watch, what: str) -> Callable[[int, int], None]:
    def on_image(done: int, total: int) -> None:
        watch.show(what, done, total)
        if watch.stop.is_set:
            raise StopRequestedError(f"stopped while {what}; continue with --resume")

    return on_image
