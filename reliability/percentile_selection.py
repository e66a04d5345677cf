"""What the methods share that drop a share of each image's pixels, a share that falls to 0 over training."""

from typing import Literal

import torch
from torch import Tensor

from reliability.checks import checked_choice, checked_number, usable_inputs
from reliability.percentile import lower_quantile
from reliability.selection import SelectionInputs, SelectionMethod

PercentileOver = Literal["image", "batch"]


class PercentileSelection(SelectionMethod):
    """A threshold at a percentile of a score, or one frozen threshold for export and for the review of single images.

    Subclasses say which score, in `sureness`, and compare with `sureness_threshold`.

    Attributes:
        frozen_threshold: scalar buffer or None, in units of the score; replaces the percentile.
    """

    normalizer = "kept"
    frozen_threshold: Tensor | None

    def __init__(self, drop_share: float, percentile_over: PercentileOver, low_is_sure: bool) -> None:
        """A method without a frozen threshold.

        Args:
            drop_share: share of pixels at or below the threshold at progress 0, in [0, 1]; it falls linearly to 0.
            percentile_over: "image", or "batch", where a verdict depends on the other images of the batch.
            low_is_sure: whether low values of the score are sure (entropy).

        Raises:
            ValueError: drop_share outside [0, 1], or another word for `percentile_over`.
        """
        super().__init__()
        self.drop_share = checked_number("drop_share", drop_share, 0.0, 1.0)
        checked_choice("percentile_over", percentile_over, ("image", "batch"))
        self.percentile_over = percentile_over
        self.sign = -1.0 if low_is_sure else 1.0
        self.needs = frozenset({"progress"})
        self.register_buffer("frozen_threshold", None)

    def sureness(self, probabilities: Tensor) -> Tensor:
        """(N, H, W) score times `sign`, so that larger is surer; a percentile turns with it."""
        raise NotImplementedError

    def freeze_threshold(self, value: float) -> None:
        """Use one threshold for every image from now on.

        Args:
            value: in units of the score, for example the mean of `thresholds` over held-out images.

        Raises:
            ValueError: not a number of at least 0.
        """
        buffer = next(self.buffers(), None)
        device = None if buffer is None else buffer.device
        self.frozen_threshold = torch.tensor(checked_number("threshold", value, 0.0), device=device)
        self.needs = frozenset()

    @torch.no_grad()
    def thresholds(self, inputs: SelectionInputs) -> Tensor:
        """(N,) threshold of each image in units of the score at `inputs.progress`."""
        probabilities, usable = usable_inputs(inputs)
        threshold = self.sureness_threshold(self.sureness(probabilities), usable, inputs.progress)
        return (self.sign * threshold).expand(usable.shape[0])

    def sureness_threshold(self, sureness: Tensor, usable: Tensor, progress: float) -> Tensor:
        """(N,) or (1,) largest sureness that is dropped.

        Raises:
            ValueError: progress outside [0, 1], or an export without a frozen threshold.
        """
        if self.frozen_threshold is not None:
            return self.sign * self.frozen_threshold.view(1)
        if torch.compiler.is_exporting():
            name = type(self).__module__.rpartition(".")[2]
            raise ValueError(
                f"{name} cannot be exported while its threshold depends on training progress; build it with "
                f"threshold=..., for example the mean of {type(self).__name__}.thresholds over held-out images"
            )
        share = self.drop_share * (1.0 - checked_number("progress", progress, 0.0, 1.0))
        if self.percentile_over == "batch":
            return lower_quantile(sureness.reshape(1, -1), usable.reshape(1, -1), share)
        return lower_quantile(sureness.flatten(1), usable.flatten(1), share)
