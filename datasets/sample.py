"""One image with what is known about its pixels, and the interface of everything that yields such samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from datasets.labels import ClassSet, LabelArray

Image = NDArray[np.uint8]
"""(H, W, 3) RGB, 0-255."""


@dataclass(frozen=True)
class Sample:
    """One decoded image.

    Attributes:
        sample_id: unique inside its data set; letters, digits, '.', '_', '-' and '/'.
        image: (H, W, 3) uint8 RGB, upright (EXIF orientation applied).
        label: (H, W) uint8 class ids and IGNORE_INDEX, or None for an unlabeled image.
        provenance: (H, W) uint8 `Provenance` codes; None means that people drew every pixel of `label`.
        weight: (H, W) float32 in [0, 1], the factor on the loss of PSEUDO pixels; None means 1 everywhere.
    """

    sample_id: str
    image: Image
    label: LabelArray | None = None
    provenance: NDArray[np.uint8] | None = None
    weight: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"{self.sample_id}: image must be (H, W, 3) uint8, got {self.image.shape} {self.image.dtype}"
            )
        for name in ("label", "provenance", "weight"):
            plane = getattr(self, name)
            if plane is not None and plane.shape != self.image.shape[:2]:
                raise ValueError(
                    f"{self.sample_id}: {name} is {plane.shape} (height, width), but its image {self.image.shape[:2]}"
                )

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


class SegmentationDataset(Protocol):
    """A finite, indexable set of samples. Reading one decodes its files; ids and paths are known without decoding."""

    class_set: ClassSet

    def __len__(self) -> int: ...

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """One id per index, unique."""
        ...

    def image_path(self, index: int) -> Path:
        """The file that holds the image's bytes, for importing them unchanged."""
        ...

    def is_labeled(self, index: int) -> bool:
        """Whether `self[index].label` is not None, without decoding anything."""
        ...

    def __getitem__(self, index: int) -> Sample: ...
