"""U2PL's entropy percentile against numbers of released code that shares it (s4mcontext/s4mc at 63905af).

S4MC's code is built on U2PL's and computes the same percentile of the same entropy before it refines anything. Its
entropy adds 1e-10 inside the logarithm, ours does not; both are float32, so thresholds agree to 1e-6.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from reliability.lookup import build_method
from reliability.selection import SelectionInputs

VECTORS = Path(__file__).parent / "vectors"


def test_the_threshold_over_a_batch_equals_the_released_code():
    with np.load(VECTORS / "s4mc_entropy_n4_k1_c21.npz", allow_pickle=False) as data:
        probabilities = torch.softmax(torch.from_numpy(data["teacher_logits"]), dim=1)
        valid, threshold = torch.from_numpy(data["target_in"] != 255), data["threshold"]
        drop_share = 1 - data["percent"].item() / 100
    method = build_method("entropy_percentile", drop_share=drop_share, percentile_over="batch")
    inputs = SelectionInputs(probabilities, valid, progress=0.0)
    np.testing.assert_allclose(method.thresholds(inputs), threshold, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("progress", "percent"), [(0.0, 80.0), (0.5, 90.0), (1.0, 100.0)])
def test_the_percentile_rises_from_80_to_100_over_training(progress, percent):
    winner = torch.linspace(0.5, 0.999, 1001).view(1, 1, 1, -1)
    inputs = SelectionInputs(
        torch.cat([winner, 1 - winner], 1), torch.ones(1, 1, 1001, dtype=torch.bool), progress=progress
    )
    method = build_method("entropy_percentile")
    entropy = method(inputs).scores["entropy"].numpy()
    assert method.thresholds(inputs).item() == pytest.approx(np.percentile(entropy, percent), abs=1e-6)
