"""What a frozen label says about pixels that nobody reviewed."""

import numpy as np

from app.domain.decisions import LabelState
from app.domain.provenance import frozen_label, frozen_weight, without_pseudo_labels
from datasets.labels import IGNORE_INDEX, Provenance

PROVENANCE = np.array([[Provenance.HUMAN, Provenance.PSEUDO, Provenance.UNREVIEWED]], np.uint8)
LABEL = np.array([[1, 2, 1]], np.uint8)


def test_an_unreviewed_guess_is_not_written_into_a_frozen_label():
    assert frozen_label(LabelState(LABEL, PROVENANCE)).tolist() == [[1, 2, IGNORE_INDEX]]


def test_human_pixels_weigh_one_pseudo_pixels_their_weight_and_unreviewed_ones_nothing():
    assert frozen_weight(PROVENANCE, np.array([[10, 20, 30]], np.uint8)).tolist() == [[255, 20, 0]]


def test_without_pseudo_labels_only_human_pixels_remain():
    expected = [[Provenance.HUMAN, Provenance.UNREVIEWED, Provenance.UNREVIEWED]]
    assert without_pseudo_labels(PROVENANCE).tolist() == expected
