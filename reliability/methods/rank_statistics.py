"""Rank statistics: a pixel counts the more of its strongest feature channels are those of its class's prototype.

Source: Howlader et al., "Weighting Pseudo-Labels via High-Activation Feature Index Similarity and Object Detection for
Semi-Supervised Segmentation", arXiv:2407.12630 (ECCV 2024), and the released code cvlab-stonybrook/Weighting-Pseudo-
Labels at b049223. P_c are the k strongest channels of the prototype of class c, F_i those of pixel i, and

    s_i = |F_i intersect P_label(i)|,   loss = sum(w_i CE_i [confidence_i >= threshold]) / sum(w_i) over valid pixels.

The paper writes w = s / k, the released code w = 1 + s / k. The loss does not change when all weights are halved, so
the released one is (1 + s / k) / 2 here, in [0.5, 1].
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import embedding

from reliability.checks import checked_choice, checked_count, checked_number, usable_inputs
from reliability.feature_grid import features_at, nearest_cells, upsampled
from reliability.feature_memory import FeatureMemory, prototypes, random_pixels
from reliability.scores import probability_of
from reliability.selection import Observation, PixelSelection, SelectionInputs, SelectionMethod

TRUSTED_CONFIDENCE = 0.95
"""How sure a pixel must be to enter a memory: above it on people's pixels, at or above it elsewhere. Released code."""


@dataclass(frozen=True)
class RankStatisticsOptions:
    """What can be chosen.

    Attributes:
        channels: k, how many of the strongest channels are compared; 5 in the released configurations.
        threshold: confidence that a pixel needs to be learned from, in [0, 1]. 0.95 for Pascal VOC; 0 for Cityscapes,
            where no pixel is left out.
        form: "released" is (1 + s / k) / 2, "paper" is s / k, which can silence a pixel altogether.
        min_overlap: channels in common that a reliable pixel needs, 0 to k. None: more than half of them.
        at: "stride" finds the channels in the cells of the feature map, each pixel takes its nearest cell's; "pixel"
            enlarges the features first, as released. See `RankStatistics`.
        trust: which pseudo-labels enter the memory: "detector" those inside a detected box of their class, as
            published; "confidence" all sure ones, for data without a detector.
        memory_rows: length of each class's memory; 256 as released.
        rows_per_image: rows per class and image of a batch; 1 as released for Cityscapes and Pascal VOC.
    """

    channels: int = 5
    threshold: float = 0.95
    form: Literal["released", "paper"] = "released"
    min_overlap: int | None = None
    at: Literal["stride", "pixel"] = "stride"
    trust: Literal["detector", "confidence"] = "detector"
    memory_rows: int = 256
    rows_per_image: int = 1

    def __post_init__(self) -> None:
        checked_count("channels", self.channels, 1)
        checked_number("threshold", self.threshold, 0.0, 1.0)
        checked_choice("form", self.form, ("released", "paper"))
        if self.min_overlap is not None:
            checked_count("min_overlap", self.min_overlap, 0, self.channels)
        checked_choice("at", self.at, ("stride", "pixel"))
        checked_choice("trust", self.trust, ("detector", "confidence"))
        checked_count("memory_rows", self.memory_rows, 1)
        checked_count("rows_per_image", self.rows_per_image, 1)


class RankStatistics(SelectionMethod):
    """Weighs pixels by the overlap of their strongest channels with those of their class.

    `reliable` is ours, the paper has no such set: a pixel that passes the threshold and shares at least `min_overlap`
    channels. All k of 5 would be too strict: a prototype is a mean, and its last channels change with every batch.

    Deviations from the released code:
    - Channels are found at feature stride by default. at="pixel" enlarges the features first, one image after the
      other so that only one enlarged map exists. It took 22 times as long (2 x 256 channels, stride 4, 192 x 192
      pixels, one CPU thread), and on smooth random features 99.9 % of the overlaps differed by at most one channel.
    - A channel that is no larger than one left out is not among the strongest. After a ReLU fewer than k channels may
      be active, and which of the others a sort puts next is chance: it would differ between devices.
    - The memories move after the step, so that every process holds the same rows: weights compare with the prototypes
      of the steps before, where the released code has put the rows of this step in already.

    Attributes:
        class_channels: (C, D + 1) float32 buffer, 1 where a channel is among the strongest of a class's prototype; the
            last column stands for "none". All zero before the first labels were seen.
        labeled, unlabeled: the memories, None before `prepare`.
    """

    normalizer = "weight"
    class_channels: Tensor | None
    labeled: FeatureMemory | None
    unlabeled: FeatureMemory | None

    def __init__(self, options: RankStatisticsOptions) -> None:
        super().__init__()
        self.options = options
        half = (options.channels + 2) // 2
        self.min_overlap = half if options.min_overlap is None else options.min_overlap
        self.needs = frozenset({"features"})
        self.learns_from = frozenset({"labeled", "unlabeled"} | ({"boxes"} if options.trust == "detector" else set()))
        self.register_buffer("class_channels", None)
        self.labeled = self.unlabeled = None

    def prepare(self, num_classes: int, num_features: int) -> None:
        """Empty memories.

        Raises:
            ValueError: fewer feature channels than are compared.
        """
        if num_features < self.options.channels:
            raise ValueError(
                f"option 'channels' of rank_statistics is {self.options.channels}, but the student has only "
                f"{num_features} feature channels; choose a smaller number"
            )
        self.labeled = FeatureMemory(num_classes, self.options.memory_rows, num_features)
        self.unlabeled = FeatureMemory(num_classes, self.options.memory_rows, num_features)
        self.class_channels = torch.zeros(num_classes, num_features + 1)

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        features = self._checked_features(inputs.features)
        confidence, label = probabilities.max(dim=1)
        share = self.overlap(features, label) / self.options.channels
        strength = (1.0 + share) / 2.0 if self.options.form == "released" else share
        passes = usable & (confidence >= self.options.threshold)
        enough = share >= self.min_overlap / self.options.channels - 1e-4  # a share is a multiple of 1 / k
        maps = {"confidence": confidence, "overlap": share}
        return PixelSelection(
            label,
            weight=torch.where(passes, strength, 0.0),
            reliable=passes & enough,
            scores={name: torch.where(usable, score, 0.0) for name, score in maps.items()},
            divisor_weight=torch.where(usable, strength, 0.0),
        )

    @torch.no_grad()
    def overlap(self, features: Tensor, label: Tensor) -> Tensor:
        """How many of a pixel's strongest channels are those of its class; 0 for a class without a prototype.

        Args:
            features: (N, D, h, w) float32.
            label: (N, H, W) int64.

        Returns:
            (N, H, W) float32, whole numbers 0 to k.
        """
        if self.options.at == "stride":
            return self._overlap_of_cells(features, label)
        size_hw = (label.shape[1], label.shape[2])
        if torch.compiler.is_exporting():  # the number of images is not known, and people look at one at a time
            return self._overlap_of_cells(upsampled(features, size_hw), label)
        images = zip(torch.split(features, 1), torch.split(label, 1), strict=True)
        return torch.cat([self._overlap_of_cells(upsampled(one, size_hw), its) for one, its in images])

    def _overlap_of_cells(self, features: Tensor, label: Tensor) -> Tensor:
        """The overlap with every class in each cell, then that of the pixel's class in its nearest cell."""
        assert self.class_channels is not None
        channels = strongest_channels(features, self.options.channels)  # (N, k, h, w)
        per_class = embedding(channels, self.class_channels.T).sum(dim=1)  # (N, h, w, C)
        cell = nearest_cells((label.shape[1], label.shape[2]), (features.shape[2], features.shape[3]), label.device)
        place = cell * per_class.shape[3] + label  # (N, H, W), into (h, w, C)
        return per_class.flatten(1).gather(1, place.flatten(1)).view(label.shape)

    def _checked_features(self, features: Tensor | None) -> Tensor:
        if self.class_channels is None:
            raise ValueError("rank_statistics has no memory yet; call prepare(num_classes, num_features) first")
        if features is None:
            raise ValueError(
                "rank_statistics compares decoder features, but there are none; predict whole images instead of "
                "sliding windows, or choose a method that works on probabilities, for example csl"
            )
        if features.shape[1] != self.class_channels.shape[1] - 1:
            raise ValueError(
                f"rank_statistics was prepared for {self.class_channels.shape[1] - 1} feature channels but got "
                f"{features.shape[1]}; use it with the student it was trained with"
            )
        return features.float()

    @torch.no_grad()
    def collect(self, observation: Observation) -> dict[str, Tensor]:
        """Feature rows of trusted pixels, at most `rows_per_image` times the number of images per class.

        People's pixels: the prediction is right and surer than 0.95. Others: see the option `trust`.

        Returns:
            "<memory>_rows" (1, C, R, D) and "<memory>_is_row" (1, C, R), with memory "labeled" or "unlabeled".
        """
        logits, label = observation.logits, observation.label
        count = self.options.rows_per_image * logits.shape[0]
        trusted = self._trusted(observation)
        pixel, is_row = random_pixels(label.flatten(), trusted.flatten(), logits.shape[1], count)
        rows = features_at(observation.features, pixel, (label.shape[1], label.shape[2]))  # (C, R, D)
        memory = "labeled" if observation.is_labeled else "unlabeled"
        return {f"{memory}_rows": rows.unsqueeze(0), f"{memory}_is_row": is_row.unsqueeze(0)}

    def _trusted(self, observation: Observation) -> Tensor:
        """(N, H, W) bool."""
        if observation.is_labeled:
            confidence, predicted = observation.logits.float().softmax(dim=1).max(dim=1)
            right = predicted == observation.label
            return observation.valid & right & (confidence > TRUSTED_CONFIDENCE)
        assert observation.confidence is not None  # Observation: pseudo-labels come with it
        sure = observation.valid & (observation.confidence >= TRUSTED_CONFIDENCE)
        if self.options.trust == "confidence":
            return sure
        assert observation.box_class_mask is not None  # learns_from
        return sure & probability_of(observation.box_class_mask, observation.label)

    @torch.no_grad()
    def absorb(self, rows: dict[str, Tensor]) -> None:
        """Push the rows of all processes, the last process's being the newest, and find the prototypes anew."""
        assert self.labeled is not None and self.unlabeled is not None and self.class_channels is not None
        for name, memory in (("labeled", self.labeled), ("unlabeled", self.unlabeled)):
            if f"{name}_rows" in rows:
                memory.push(rows[f"{name}_rows"], rows[f"{name}_is_row"])
        mean, exists = prototypes(self.labeled, self.unlabeled)
        self.class_channels.copy_(channel_table(mean, exists, self.options.channels))


def strongest_channels(features: Tensor, count: int) -> Tensor:
    """The channels of the largest values in each cell, largest first.

    Args:
        features: (N, D, ...).
        count: k.

    Returns:
        (N, k, ...) int64; D, "none", in place of a channel that is no larger than the largest one left out.
    """
    num_features = features.shape[1]
    values, channels = features.topk(min(count + 1, num_features), dim=1)
    if count == num_features:
        return channels  # none is left out
    return torch.where(values[:, :count] > values[:, count:], channels[:, :count], num_features)


def channel_table(prototype: Tensor, exists: Tensor, count: int) -> Tensor:
    """Which channels are the strongest of each class.

    Args:
        prototype: (C, D).
        exists: (C,) bool, which classes have one.
        count: k.

    Returns:
        (C, D + 1) float32, 1 for a strong channel; the last column, "none", is 0.
    """
    table = prototype.new_zeros(prototype.shape[0], prototype.shape[1] + 1)
    table.scatter_(1, strongest_channels(prototype, count), exists.to(table.dtype).unsqueeze(1).expand(-1, count))
    table[:, -1] = 0.0
    return table


def build(
    channels: int = 5,
    threshold: float = 0.95,
    form: Literal["released", "paper"] = "released",
    min_overlap: int | None = None,
    at: Literal["stride", "pixel"] = "stride",
    trust: Literal["detector", "confidence"] = "detector",
    memory_rows: int = 256,
    rows_per_image: int = 1,
) -> RankStatistics:
    """Rank statistics; see `RankStatisticsOptions`.

    Raises:
        ValueError: an option is out of range.
    """
    return RankStatistics(
        RankStatisticsOptions(
            channels=channels,
            threshold=threshold,
            form=form,
            min_overlap=min_overlap,
            at=at,
            trust=trust,
            memory_rows=memory_rows,
            rows_per_image=rows_per_image,
        )
    )
