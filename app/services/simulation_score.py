"""How good labels are while they are being corrected, and what is promised about those that nobody looks at."""

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from app.domain.pixel_counts import PixelCounts, confusion_matrix, iou_per_class, mean_iou
from app.domain.promises import Cut, Promise, promise_of
from app.storage.database import Store
from app.storage.models import Model, Proposal
from datasets.labels import IGNORE_INDEX, LabelArray


class LabelScore:
    """Pixel counts of all images together. A pixel that the labels call void is a miss of its true class."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._confusion: NDArray[np.int64] = np.zeros((num_classes + 1, num_classes + 1), np.int64)

    def add(self, truth: LabelArray, label: LabelArray) -> None:
        """Count an image, or a part of one."""
        self._confusion += self._count(truth, label)

    def change(self, truth: LabelArray, before: LabelArray, after: LabelArray) -> None:
        """Count a part of an image again whose labels are other ones now."""
        self._confusion += self._count(truth, after) - self._count(truth, before)

    @property
    def miou(self) -> float | None:
        """Mean over the classes that occur."""
        size = self._num_classes
        counts = PixelCounts(
            np.diag(self._confusion)[:size], self._confusion.sum(axis=1)[:size], self._confusion.sum(axis=0)[:size]
        )
        return mean_iou(iou_per_class(counts))

    @property
    def num_wrong(self) -> int:
        """Pixels whose label is not the true one."""
        return int(self._confusion.sum() - np.trace(self._confusion))

    @property
    def num_pixels(self) -> int:
        """Pixels whose truth is known."""
        return int(self._confusion.sum())

    def _count(self, truth: LabelArray, label: LabelArray) -> NDArray[np.int64]:
        with_void = np.where(label == IGNORE_INDEX, np.uint8(self._num_classes), label)
        return confusion_matrix(truth, with_void, self._num_classes + 1)


def promise_for(store: Store, image_ids: frozenset[int]) -> Promise:
    """Of the models that proposed the labels of some images, at the thresholds at which they were cut."""
    with store.reader() as session:
        asked = select(Proposal.image_id, Proposal.model_id, Proposal.threshold).where(Proposal.active)
        used = {(row.model_id, row.threshold) for row in session.execute(asked) if row.image_id in image_ids}
        models = {model.id: model for model in session.scalars(select(Model))}
    return promise_of(
        [Cut((models[model_id].gold or {}).get("calibration"), threshold) for model_id, threshold in used]
    )
