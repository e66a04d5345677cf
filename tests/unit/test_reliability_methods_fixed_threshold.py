import torch

from reliability.lookup import build_method
from reliability.selection import SelectionInputs


def select(confidence: list[float], threshold: float, valid: list[bool] | None = None):
    top = torch.tensor(confidence).view(1, 1, 1, -1)
    mask = torch.tensor(valid if valid is not None else [True] * len(confidence)).view(1, 1, -1)
    return build_method("fixed_threshold", threshold=threshold)(SelectionInputs(torch.cat([top, 1 - top], dim=1), mask))


def test_a_confidence_at_the_threshold_is_reliable():
    assert select([0.74, 0.75, 0.76], 0.75).reliable.tolist() == [[[False, True, True]]]


def test_weight_is_one_where_reliable_and_zero_elsewhere():
    assert select([0.9, 0.6], 0.75).weight.tolist() == [[[1.0, 0.0]]]


def test_no_weight_outside_valid():
    assert select([0.9, 0.9], 0.5, [True, False]).weight.tolist() == [[[1.0, 0.0]]]
