"""CoVar: CSL with a second feature that weighs the spread of the losing classes more, the surer the winner is.

Source: arXiv:2601.11670; ljs11528/CoVar_Pseudo_Label_Selection at 181f147, released code. A second-order expansion
of the entropy leads to r = a * residual_variance / (1 - confidence), a = (C - 1)^2 / 2, in place of CSL's residual
variance. The pixels of an image are split as in CSL; the reliable half is the one with the larger
mean(confidence) - 0.25 * mean(r).
"""

from dataclasses import replace

import torch
from torch import Tensor

from reliability.checks import checked_number, usable_inputs
from reliability.methods.csl import CSL, EPSILON_INVERSE
from reliability.scores import winner_features
from reliability.selection import PixelSelection, SelectionInputs


class CoVar(CSL):
    """Weights as in CSL, from confidence and scaled residual variance.

    Two forms of the residual variance occur in the released code. We take CSL's; the other one lets ignored pixels leak
    into the statistics of their image.
    """

    def __init__(self, alpha: float, require_confidence: bool, spread_penalty: float) -> None:
        super().__init__(alpha, require_confidence)
        self.spread_penalty = checked_number("spread_penalty", spread_penalty, 0.0)

    @torch.no_grad()
    def forward(self, inputs: SelectionInputs) -> PixelSelection:
        probabilities, usable = usable_inputs(inputs)
        confidence, pseudo_label, variance = winner_features(probabilities)
        scaled = scaled_variance(confidence, variance, probabilities.shape[1])
        selection = self.select(confidence, scaled, pseudo_label, usable)
        names = {"residual_variance": "scaled_variance"}
        return replace(selection, scores={names.get(key, key): score for key, score in selection.scores.items()})


def scaled_variance(confidence: Tensor, residual_variance: Tensor, num_classes: int) -> Tensor:
    """a * residual_variance / (1 - confidence + 1e-8), a = (C - 1)^2 / 2.

    Both sides of the fraction are multiplied by 1e8: the ONNX exporter deletes an addition of 1e-8, and a pixel with
    confidence 1 would become 0 / 0.

    Args:
        confidence: (N, H, W).
        residual_variance: (N, H, W).
        num_classes: C.

    Returns:
        (N, H, W) float32 in [0, (C - 1) (1 - confidence) / 2].
    """
    doubt = 1.0 - confidence.double()
    factor = (num_classes - 1) ** 2 / 2 * EPSILON_INVERSE
    return (factor * residual_variance.double() / (EPSILON_INVERSE * doubt + 1.0)).float()


def build(alpha: float = 8.0, require_confidence: bool = False, spread_penalty: float = 0.25) -> CoVar:
    """CoVar.

    Args:
        alpha: width of the fall-off; 8 in the released UniMatch V2 host. The CSL host runs with 2, because a default
            argument hides the 8 of its configuration.
        require_confidence: a pixel is reliable only if it is better in both features, see CSL.
        spread_penalty: what a half loses for its mean scaled variance; 0.25 in the released code, 0 takes the surer
            half as CSL does.

    Raises:
        ValueError: an option is out of range.
    """
    return CoVar(alpha, require_confidence, spread_penalty)
