import pytest
import torch

from reliability.checks import checked_count, usable_inputs
from reliability.selection import SelectionInputs


def everywhere(*size: int) -> torch.Tensor:
    return torch.ones(size, dtype=torch.bool)


@pytest.mark.parametrize(
    ("probabilities", "valid", "message"),
    [
        (torch.ones(3, 4, 5), everywhere(4, 5), r"\(N, C, H, W\).*\(3, 4, 5\); add a batch dimension"),
        (torch.ones(1, 1, 4, 5), everywhere(1, 4, 5), "at least 2 classes"),
        (torch.ones(1, 3, 4, 5), torch.ones(1, 4, 5), "valid must be bool but is torch.float32"),
        (torch.ones(1, 3, 4, 5), everywhere(1, 5, 4), r"shape \(1, 4, 5\).* has \(1, 5, 4\)"),
        (torch.ones(1, 3, 4, 5, dtype=torch.int64), everywhere(1, 4, 5), "floating point"),
    ],
    ids=["no batch", "one class", "valid not bool", "sizes differ", "integers"],
)
def test_wrong_inputs_are_refused(probabilities, valid, message):
    with pytest.raises(ValueError, match=message):
        usable_inputs(SelectionInputs(probabilities, valid))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")], ids=str)
def test_a_pixel_that_is_not_finite_is_not_usable(poison):
    probabilities = torch.full((1, 3, 2, 2), 1 / 3)
    probabilities[0, 1, 1, 0] = poison
    assert usable_inputs(SelectionInputs(probabilities, everywhere(1, 2, 2)))[1].tolist() == [
        [[True, True], [False, True]]
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_precisions_become_float32(dtype):
    inputs = SelectionInputs(torch.full((1, 2, 2, 2), 0.5, dtype=dtype), everywhere(1, 2, 2))
    assert usable_inputs(inputs)[0].dtype == torch.float32


@pytest.mark.parametrize("value", [0, 4, 2.0, True, "2", None], ids=repr)
def test_what_is_no_count_in_range_is_refused(value):
    with pytest.raises(ValueError, match="option 'rows' must be a whole number of at least 1 and at most 3 but is"):
        checked_count("rows", value, 1, 3)


@pytest.mark.parametrize("value", [1, 3])
def test_a_count_may_lie_on_either_end_of_its_range(value):
    assert checked_count("rows", value, 1, 3) == value
