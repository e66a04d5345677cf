"""Measuring a model on the workspace's gold images: the same frozen pixels for every round."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, update

from app.domain.bootstrap import draw_images, interval_of, resampled_iou, resampled_miou
from app.domain.gold_scores import GoldImage
from app.domain.pixel_counts import PixelCounts, iou_per_class, mean_iou
from app.domain.shift import appearance_of
from app.domain.states import ImageRole
from app.services.gold_files import GoldFolderWriter, remove_other_measurements
from app.services.predicting import require_unchanged
from app.services.processes import Monitor
from app.services.proposals import seen_of
from app.storage.database import Store
from app.storage.models import Image, Model
from app.storage.settings import check_same_classes, require_class_set
from datasets.files import sha256_of
from datasets.images import read_image, read_label
from datasets.labels import IGNORE_INDEX, ClassSet, LabelArray
from datasets.progress import Progress
from export.session import Prediction, Predictor, load_predictor


@dataclass(frozen=True)
class Measurement:
    """What one measurement says.

    Attributes:
        gold: what the model's row keeps; None without gold images.
        method: the selection method in the model file.
    """

    gold: dict[str, Any] | None
    method: str


def evaluate_gold(store: Store, onnx: Path, monitor: Monitor) -> Measurement:
    """Predict every gold image with the ONNX file, compare with its label, and keep predictions beside the file.

    Raises:
        ValueError: the file is not ours, has other classes than the workspace or predicts values that are no numbers;
            or a gold image is missing or was changed. Nothing is kept.
        WorkCancelledError: stopped on request; nothing is kept.
        OSError: disk full; nothing is kept.
    """
    predictor = load_predictor(onnx)
    with store.reader() as session:
        class_set = require_class_set(session)
    check_same_classes(class_set, predictor.class_set, str(onnx))
    images = require_frozen_gold(store)
    if not images:
        return Measurement(None, predictor.metadata.method)
    with GoldFolderWriter(onnx) as folder:
        tally = _Tally(len(class_set))
        for index, image in enumerate(images):
            monitor.raise_if_cancelled()
            monitor.progress(Progress(index, len(images), image.name))
            label, prediction, looks = _predict(store, image, predictor, class_set)
            tally.see(prediction, looks)
            folder.add(_identity(image), prediction.label, tally.add(image.sample_id, prediction, label))
        kept = store.workspace.relative(folder.publish())
    gold = {**tally.summary(), "gold_sha256": gold_fingerprint(images), "folder": kept}
    gold["calibration"] = predictor.metadata.calibration
    return Measurement(gold, predictor.metadata.method)


def measure_again(store: Store, model: Model, monitor: Monitor) -> dict[str, Any] | None:
    """Measure a registered model on the gold images as they are today, and keep that in its row.

    Raises:
        ValueError, WorkCancelledError, OSError: as `evaluate_gold`; the row keeps the earlier measurement.
    """
    path = store.workspace.absolute(model.onnx_path)
    require_unchanged(path, model.onnx_sha256)
    gold = evaluate_gold(store, path, monitor).gold
    with store.session() as session:
        session.get_one(Model, model.id).gold = gold
    if gold is not None:
        remove_other_measurements(store.workspace.absolute(gold["folder"]))
    return gold


def gold_images(store: Store) -> list[Image]:
    """The gold images by name."""
    with store.reader() as session:
        is_gold = (Image.role == ImageRole.GOLD) & Image.deleted_at.is_(None)
        return list(session.scalars(select(Image).where(is_gold).order_by(Image.sample_id)))


def require_frozen_gold(store: Store) -> list[Image]:
    """The gold images by name, after checking that pictures and labels are those of the import.

    Labels of workspaces from before labels were hashed count as frozen from the first look on.

    Raises:
        ValueError: a file is missing or changed; names it.
    """
    images = gold_images(store)
    unhashed = []
    for image in images:
        _require_file(store, image.path, image.sha256, image.name, "picture")
        if image.label_path is None:
            raise ValueError(f"the gold image {image.name} has no label; restore a backup of the workspace")
        if image.label_sha256 is None:
            image.label_sha256 = _hash(store, image.label_path, image.name, "label")
            unhashed.append(image)
        _require_file(store, image.label_path, image.label_sha256, image.name, "label")
    if unhashed:
        with store.session() as session:
            for image in unhashed:
                mine = (Image.id == image.id) & Image.label_sha256.is_(None)
                session.execute(update(Image).where(mine).values(label_sha256=image.label_sha256))
    return images


def gold_fingerprint(images: Sequence[Image]) -> str:
    """Hash over the gold images and their labels; numbers are comparable only where it is equal."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.sha256} {image.label_sha256}\n".encode())
    return digest.hexdigest()


def _identity(image: Image) -> GoldImage:
    return GoldImage(image.id, image.sample_id, image.sha256, image.label_sha256 or "")


def _require_file(store: Store, stored: str, sha256: str, name: str, what: str) -> None:
    if _hash(store, stored, name, what) != sha256:
        raise ValueError(
            f"the {what} of the gold image {name} was changed after import ({store.workspace.absolute(stored)}): "
            "rounds measured before and after could not be compared. Nothing was measured; import the same "
            "folder again, or put the original file back from a backup of the workspace."
        )


def _hash(store: Store, stored: str, name: str, what: str) -> str:
    path = store.workspace.absolute(stored)
    try:
        return sha256_of(path)
    except FileNotFoundError as error:
        raise ValueError(
            f"the {what} of the gold image {name} is missing ({path}). Nothing was measured; import the same "
            "folder again, or put the file back from a backup of the workspace."
        ) from error


def _predict(
    store: Store, image: Image, predictor: Predictor, class_set: ClassSet
) -> tuple[LabelArray, Prediction, tuple[float, ...]]:
    """Label and prediction of one image, both checked, and how the picture looks."""
    label = read_label(store.workspace.absolute(image.label_path or ""), None)
    class_set.check_label(label, image.sample_id)
    picture = read_image(store.workspace.absolute(image.path))
    prediction = predictor.predict(picture)
    if not np.isfinite(prediction.confidence).all():
        raise ValueError(
            f"the model's confidence on the gold image {image.name} is not a number everywhere: its weights are "
            "damaged, or its training diverged. Train another round."
        )
    return label, prediction, appearance_of(picture)


class _Tally:
    """Pixel counts over images; every mean below is over pixels, not over images."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._counts: dict[str, PixelCounts] = {}
        self._reliable = self._reliable_right = 0
        self._seen: list[tuple[float, ...]] = []

    def see(self, prediction: Prediction, looks: tuple[float, ...]) -> None:
        """Keep what pictures of the pool are compared by."""
        self._seen.append((*seen_of(prediction), *looks))

    def add(self, sample_id: str, prediction: Prediction, label: LabelArray) -> PixelCounts:
        """Count one image; pixels that are IGNORE_INDEX in `label` do not count."""
        counts = PixelCounts.of(label, prediction.label, self._num_classes)
        self._counts[sample_id] = counts
        reliable: NDArray[np.bool_] = prediction.reliable & (label != IGNORE_INDEX)
        self._reliable += int(reliable.sum())
        self._reliable_right += int((prediction.label == label)[reliable].sum())
        return counts

    def summary(self) -> dict[str, Any]:
        """What `GoldScore.from_json` reads, and how far `reliable` can be trusted; fractions, None without pixels."""
        counts = PixelCounts.stacked(list(self._counts.values()))
        whole = counts.total()
        labeled = int(whole.labeled.sum())
        iou = iou_per_class(whole)
        means = resampled_miou(resampled_iou(counts, draw_images(len(self._counts))))
        interval = interval_of(means, len(self._counts))
        return {
            "miou": mean_iou(iou),
            "miou_interval": None if interval is None else [interval.low, interval.high],
            "iou_per_class": iou,
            "per_image": {name: mean_iou(iou_per_class(each)) for name, each in self._counts.items()},
            "num_images": len(self._counts),
            "seen": [list(each) for each in self._seen],
            "pixel_accuracy": int(whole.hits.sum()) / labeled if labeled else None,
            "reliable_coverage": self._reliable / labeled if labeled else None,
            "reliable_precision": self._reliable_right / self._reliable if self._reliable else None,
        }
