"""What training may believe: the rules by which a label's provenance becomes a frozen label and its weights."""

import numpy as np
from numpy.typing import NDArray

from app.domain.decisions import LabelState
from datasets.labels import IGNORE_INDEX, LabelArray, Provenance

FULL_WEIGHT = 255
"""A factor of 1 on the loss; weights are stored as round(255 * weight)."""


def without_pseudo_labels(provenance: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy in which pixels that only a model vouches for count as unreviewed."""
    return np.where(provenance == Provenance.PSEUDO, np.uint8(Provenance.UNREVIEWED), provenance)


def frozen_label(state: LabelState) -> LabelArray:
    """The label without the guesses nobody reviewed: IGNORE_INDEX instead, so that no reader takes them for truth."""
    return np.where(state.provenance == Provenance.UNREVIEWED, np.uint8(IGNORE_INDEX), state.label)


def frozen_weight(provenance: NDArray[np.uint8], pseudo_weight: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) uint8 factors on the loss: human 255, pseudo their own weight, unreviewed 0."""
    weight = np.where(provenance == Provenance.PSEUDO, pseudo_weight, np.uint8(0))
    weight[provenance == Provenance.HUMAN] = FULL_WEIGHT
    return weight
