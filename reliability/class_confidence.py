"""How sure the student is of each class, as a moving average: AEL's confidence bank.

Source: AEL (Hu et al., NeurIPS 2021) and the released code hzhupku/SemiSeg-AEL at 747c797.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from reliability.checks import checked_choice, checked_number

AbsentClass = Literal["keep", "zero"]
"""What a batch without any pixel of a class does to its value, see `ClassConfidenceBank`."""


class ClassConfidenceBank(nn.Module):
    """Moving average of the probability that the student gives to the true class of people's pixels, per class.

    Two deviations from the released code:
    - It starts at 1 / C, what a network that knows nothing gives to each class, instead of at random numbers from
      U(0, 1): runs repeat, and until labels were seen no class is preferred.
    - A class that is absent from a batch keeps its value. The released code lets it enter as 0, so that a rare class
      falls towards 0 however well it is known: its value then measures how often it occurs. absent="zero" does that.

    Attributes:
        confidence: (C,) float32 buffer in [0, 1].
    """

    confidence: Tensor

    def __init__(self, num_classes: int, momentum: float = 0.999, absent: AbsentClass = "keep") -> None:
        """An untrained bank.

        Args:
            num_classes: C.
            momentum: share of the old value that an update keeps, in [0, 1]; 0.999 in the released code.
            absent: whether a class that is absent from a batch keeps its value or enters as 0.

        Raises:
            ValueError: momentum outside [0, 1], or another word for `absent`.
        """
        super().__init__()
        self.momentum = checked_number("momentum", momentum, 0.0, 1.0)
        checked_choice("absent", absent, ("keep", "zero"))
        self.absent = absent
        self.register_buffer("confidence", torch.full((num_classes,), 1.0 / num_classes))

    @staticmethod
    @torch.no_grad()
    def sums(logits: Tensor, label: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """What one process's batch adds to the next update; the sums of several processes add up.

        Masked sums over a comparison with every class instead of a scatter: adding half a million pixels into a few
        bins queues up on a GPU, and the order of its additions, hence the last digit, changes from run to run.

        Args:
            logits: (N, C, H, W) of the student.
            label: (N, H, W) int64, people's classes; anything outside `valid`.
            valid: (N, H, W) bool.

        Returns:
            "class_confidence_sum" and "class_pixels", each (1, C) float32.
        """
        num_classes = logits.shape[1]
        probabilities = logits.float().softmax(dim=1)
        classes = torch.arange(num_classes, device=label.device).view(1, -1, 1, 1)
        own = (label.unsqueeze(1) == classes) & valid.unsqueeze(1)  # (N, C, H, W)
        return {
            "class_confidence_sum": torch.where(own, probabilities, 0.0).sum(dim=(0, 2, 3)).unsqueeze(0),
            "class_pixels": own.sum(dim=(0, 2, 3)).float().unsqueeze(0),
        }

    @torch.no_grad()
    def update(self, rows: dict[str, Tensor]) -> None:
        """Move towards the mean of a batch.

        Args:
            rows: `sums` of all processes, stacked along the first dimension: each (R, C).
        """
        pixels = rows["class_pixels"].sum(dim=0)
        mean = rows["class_confidence_sum"].sum(dim=0) / pixels.clamp_min(1.0)  # 0 where absent
        moved = self.momentum * self.confidence + (1.0 - self.momentum) * mean
        seen = pixels > 0
        self.confidence.copy_(moved if self.absent == "zero" else torch.where(seen, moved, self.confidence))

    def keep_probability(self) -> Tensor:
        """Chance of a pixel of each class to be drawn, (1 - confidence) / max(1 - confidence); (C,) in [0, 1].

        1 for the class the student knows least; 1 for all when it knows all perfectly.
        """
        doubt = 1.0 - self.confidence
        largest = doubt.amax(dim=0)
        return torch.where(largest > 0, doubt / largest.clamp_min(1e-12), 1.0)
