"""U2PL's partition: the most uncertain pixels by entropy are dropped, fewer of them as training goes on.

Source: U2PL, arXiv:2203.03884 (CVPR 2022), and the released code Haochen-Wang409/U2PL at ab3d2be. A pixel is dropped
where its entropy reaches the (100 - alpha_t)-th percentile, alpha_t = 20 (1 - t / T) percent.
"""

import torch
from torch import Tensor

from reliability.checks import usable_inputs
from reliability.percentile_selection import PercentileOver, PercentileSelection
from reliability.scores import entropy
from reliability.selection import PixelSelection, SelectionInputs


class EntropyPercentile(PercentileSelection):
    """Keeps the pixels whose entropy is below a percentile; weight 0 or 1.

    Deviation: the percentile is taken per image. The released code takes it over the batch (percentile_over="batch"),
    so that an image's mask depends on the images it happens to be drawn with.
    """

    def sureness(self, probabilities: Tensor) -> Tensor:
        return -entropy(probabilities)

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        sureness = self.sureness(probabilities)
        threshold = self.sureness_threshold(sureness, usable, inputs.progress)
        reliable = usable & (sureness > threshold.view(-1, 1, 1))
        scores = {"entropy": torch.where(usable, -sureness, 0.0)}
        return PixelSelection(probabilities.argmax(dim=1), reliable.float(), reliable, scores)


def build(
    threshold: float | None = None, drop_share: float = 0.2, percentile_over: PercentileOver = "image"
) -> EntropyPercentile:
    """U2PL's entropy partition.

    Args:
        threshold: frozen entropy in nats, needed for export: pixels below it are kept. None: percentile by training
            progress.
        drop_share: share of pixels that are dropped at the start, in [0, 1], falling linearly to 0; alpha_0 = 20 % in
            the paper and the released configurations.
        percentile_over: "image", or "batch" as released.

    Raises:
        ValueError: an option is out of range.
    """
    method = EntropyPercentile(drop_share, percentile_over, low_is_sure=True)
    if threshold is not None:
        method.freeze_threshold(threshold)
    return method
