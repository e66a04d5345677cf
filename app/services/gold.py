"""Measuring a model on the workspace's gold images: the same frozen pixels for every round."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from app.domain.promotion import confusion_matrix, iou_per_class, mean_iou
from app.domain.states import ImageRole
from app.services.processes import Monitor
from app.storage.database import Store
from app.storage.models import Image
from app.storage.settings import check_same_classes, require_class_set
from datasets.files import sha256_of
from datasets.images import read_image, read_label
from datasets.labels import IGNORE_INDEX, LabelArray
from datasets.progress import Progress
from export.session import Prediction, load_predictor


def evaluate_gold(store: Store, onnx: Path, monitor: Monitor) -> tuple[dict[str, Any] | None, str]:
    """Predict every gold image with the ONNX file and compare with its label.

    Returns:
        What the model's row keeps (None without gold images) and the selection method in the file.

    Raises:
        ValueError: the file is not ours or has other classes than the workspace.
        WorkCancelledError: stopped on request.
    """
    predictor = load_predictor(onnx)
    images = gold_images(store)
    with store.reader() as session:
        class_set = require_class_set(session)
    check_same_classes(class_set, predictor.class_set, str(onnx))
    tally = _Tally(len(class_set))
    for index, image in enumerate(images):
        monitor.raise_if_cancelled()
        monitor.progress(Progress(index, len(images), image.sample_id))
        picture, label = _read(store, image)
        class_set.check_label(label, image.sample_id)
        tally.add(image.sample_id, predictor.predict(picture), label)
    if not images:
        return None, predictor.metadata.method
    return {**tally.summary(), "gold_sha256": gold_fingerprint(store, images)}, predictor.metadata.method


def gold_images(store: Store) -> list[Image]:
    """The gold images by name."""
    with store.reader() as session:
        is_gold = (Image.role == ImageRole.GOLD) & Image.deleted_at.is_(None)
        return list(session.scalars(select(Image).where(is_gold).order_by(Image.sample_id)))


def gold_fingerprint(store: Store, images: list[Image]) -> str:
    """Hash over the gold images and their labels; numbers are comparable only where it is equal."""
    digest = hashlib.sha256()
    for image in images:
        label = sha256_of(store.workspace.absolute(image.label_path or ""))
        digest.update(f"{image.sha256} {label}\n".encode())
    return digest.hexdigest()


class _Tally:
    """Pixel counts over images; every mean below is over pixels, not over images."""

    def __init__(self, num_classes: int) -> None:
        self._confusion = np.zeros((num_classes, num_classes), dtype=np.int64)  # [truth, predicted]
        self._per_image: dict[str, float | None] = {}
        self._reliable = self._reliable_right = 0

    def add(self, sample_id: str, prediction: Prediction, label: LabelArray) -> None:
        """Count one image; pixels that are IGNORE_INDEX in `label` do not count."""
        confusion = confusion_matrix(label, prediction.label, len(self._confusion))
        self._confusion += confusion
        self._per_image[sample_id] = mean_iou(iou_per_class(confusion))
        reliable = prediction.reliable & (label != IGNORE_INDEX)
        self._reliable += int(reliable.sum())
        self._reliable_right += int((prediction.label == label)[reliable].sum())

    def summary(self) -> dict[str, Any]:
        """What `GoldScore.from_json` reads, and how far `reliable` can be trusted; fractions, None without pixels."""
        total = int(self._confusion.sum())
        iou = iou_per_class(self._confusion)
        return {
            "miou": mean_iou(iou),
            "iou_per_class": iou,
            "per_image": self._per_image,
            "num_images": len(self._per_image),
            "pixel_accuracy": int(np.trace(self._confusion)) / total if total else None,
            "reliable_coverage": self._reliable / total if total else None,
            "reliable_precision": self._reliable_right / self._reliable if self._reliable else None,
        }


def _read(store: Store, image: Image) -> tuple[NDArray[np.uint8], LabelArray]:
    workspace = store.workspace
    if image.label_path is None:
        raise ValueError(f"the gold image {image.sample_id} has no label; the store is inconsistent, restore a backup")
    return read_image(workspace.absolute(image.path)), read_label(workspace.absolute(image.label_path), None)
