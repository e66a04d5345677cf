"""How a model did on the gold images, and which images those were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.bootstrap import Interval
from app.domain.pixel_counts import PixelCounts


@dataclass(frozen=True)
class GoldImage:
    """One gold image as it was when a model was measured on it.

    Attributes:
        image_id: its row in the store.
        sample_id: its name.
        sha256: of the picture's bytes.
        label_sha256: of its label file.
    """

    image_id: int
    sample_id: str
    sha256: str
    label_sha256: str


@dataclass(frozen=True)
class GoldCounts:
    """The pixels behind a score.

    Attributes:
        images: in the order of their names.
        counts: (N, C), one line per image.
    """

    images: tuple[GoldImage, ...]
    counts: PixelCounts


@dataclass(frozen=True)
class GoldScore:
    """How one model did on the gold images; all IoU values are fractions.

    Attributes:
        miou: mean IoU over classes, counted over all gold pixels; None without valid gold pixels.
        iou_per_class: by class id; None for a class that occurs nowhere.
        per_image: mean IoU by sample id.
        num_images: how many gold images.
        gold_sha256: hash over the gold images and labels.
        miou_interval: 95 % over gold images; None when there are too few, or when an earlier version measured.
        pixels: None when they were not kept: intervals and pictures then take another measurement.
    """

    miou: float | None
    iou_per_class: Sequence[float | None]
    per_image: Mapping[str, float | None]
    num_images: int
    gold_sha256: str
    miou_interval: Interval | None = None
    pixels: GoldCounts | None = field(default=None, compare=False)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], pixels: GoldCounts | None = None) -> "GoldScore":
        """Read what a model's row keeps; other keys are ignored."""
        interval = content.get("miou_interval")
        return cls(
            miou=content["miou"],
            iou_per_class=tuple(content["iou_per_class"]),
            per_image=dict(content.get("per_image", {})),
            num_images=int(content["num_images"]),
            gold_sha256=str(content["gold_sha256"]),
            miou_interval=None if interval is None else Interval(*interval),
            pixels=pixels,
        )
