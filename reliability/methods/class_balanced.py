"""AEL's selection: pixels of classes the student knows well are drawn less often, sure pixels weigh more.

Source: AEL (Hu et al., "Semi-Supervised Semantic Segmentation via Adaptive Equalization Learning", NeurIPS 2021,
arXiv:2110.05474) and the released code hzhupku/SemiSeg-AEL at 747c797. With the confidence bank b (one number per
class, reliability/class_confidence.py) a pixel of class c is kept with probability (1 - b_c) / max(1 - b), and

    loss = sum(w CE) / sum(w),   w = confidence^2 where kept.

Below `threshold` a pixel teaches nothing but stays in the divisor.
"""

import torch
from torch import Tensor

from reliability.checks import checked_number, usable_inputs
from reliability.class_confidence import AbsentClass, ClassConfidenceBank
from reliability.selection import Observation, PixelSelection, SelectionInputs, SelectionMethod


class ClassBalanced(SelectionMethod):
    """Draws pixels by what the student does not know yet and weighs them by the square of their confidence.

    The draw uses torch's global generator, which the training loop seeds at every step. At progress 1, that is outside
    training, nothing is drawn: a file, a mask that people look at and a measurement must not change from call to call.
    There the weight is what the draw gives on average, confidence^2 times the chance to be kept, and `reliable` are the
    pixels that pass the threshold: to be drawn rarely says that a class is known well, not that a pixel is wrong.

    Deviations from the released code:
    - It draws by the class that the student predicts in the mixed image and weighs by the teacher's confidence. A
      selection sees one prediction, the weak view's, and takes both from it.
    - See `ClassConfidenceBank` for the bank's first value and for classes that are absent from a batch.

    Attributes:
        bank: how sure the student is of each class, None before `prepare`.
    """

    normalizer = "weight"
    learns_from = frozenset({"labeled"})
    bank: ClassConfidenceBank | None

    def __init__(self, threshold: float, momentum: float, absent: AbsentClass) -> None:
        super().__init__()
        self.threshold = checked_number("threshold", threshold, 0.0, 1.0)
        ClassConfidenceBank(2, momentum, absent)  # refuses wrong options now, not when the student is known
        self.momentum, self.absent = momentum, absent
        self.bank = None

    def prepare(self, num_classes: int, num_features: int) -> None:
        """A bank without knowledge."""
        self.bank = ClassConfidenceBank(num_classes, self.momentum, self.absent)

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        confidence, label = probabilities.max(dim=1)
        chance = self._keep_probability(probabilities.shape[1])[label]  # (N, H, W)
        drawn = torch.rand_like(chance) < chance if inputs.progress < 1.0 else None
        share = chance if drawn is None else drawn.float()
        passes = usable & (confidence >= self.threshold)
        weight = confidence.clamp(max=1.0).square() * share
        maps = {"confidence": confidence, "keep_probability": chance}
        return PixelSelection(
            label,
            weight=torch.where(passes, weight, 0.0),
            reliable=passes if drawn is None else passes & drawn,
            scores={name: torch.where(usable, score, 0.0) for name, score in maps.items()},
            divisor_weight=torch.where(usable, weight, 0.0),
        )

    def _keep_probability(self, num_classes: int) -> Tensor:
        if self.bank is None:
            raise ValueError("class_balanced has no confidence bank yet; call prepare(num_classes, num_features) first")
        if self.bank.confidence.shape[0] != num_classes:
            raise ValueError(
                f"class_balanced was prepared for {self.bank.confidence.shape[0]} classes but the probabilities have "
                f"{num_classes}; use it with the class set it was trained with"
            )
        return self.bank.keep_probability()

    @torch.no_grad()
    def collect(self, observation: Observation) -> dict[str, Tensor]:
        """Sums for the bank, from people's labels only."""
        if not observation.is_labeled:
            return {}
        return ClassConfidenceBank.sums(observation.logits, observation.label, observation.valid)

    @torch.no_grad()
    def absorb(self, rows: dict[str, Tensor]) -> None:
        """Update the bank with the mean over all processes."""
        assert self.bank is not None
        if rows:
            self.bank.update(rows)


def build(threshold: float = 0.7, momentum: float = 0.999, absent: AbsentClass = "keep") -> ClassBalanced:
    """AEL's sampling and re-weighting.

    Args:
        threshold: confidence that a pixel needs to teach, in [0, 1]; 0.7 in the released configuration for Pascal VOC,
            0 in that for Cityscapes. 0.7 by default, because with 0 every pixel would count as reliable.
        momentum: share of the bank's old value that an update keeps, in [0, 1]; 0.999 in the released code.
        absent: whether a class that is absent from a batch keeps its value in the bank ("keep") or enters as 0
            ("zero"), as released.

    Raises:
        ValueError: an option is out of range.
    """
    return ClassBalanced(threshold, momentum, absent)
