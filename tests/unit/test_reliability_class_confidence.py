import pytest
import torch

from reliability.class_confidence import ClassConfidenceBank


def logits_of(*probabilities: list[float]) -> torch.Tensor:
    """One image of one row, a pixel per list."""
    return torch.tensor(probabilities).log().T.reshape(1, len(probabilities[0]), 1, len(probabilities))


def seen() -> dict[str, torch.Tensor]:
    """Class 0 twice, with 0.8 and 0.4; class 1 once, with 0.7; class 2 only on a pixel that is not valid."""
    logits = logits_of([0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8])
    label = torch.tensor([[[0, 0, 1, 2]]])
    return ClassConfidenceBank.sums(logits, label, torch.tensor([[[True, True, True, False]]]))


def test_sums_hold_the_probability_of_the_true_class():
    assert seen()["class_confidence_sum"][0].tolist() == pytest.approx([1.2, 0.7, 0.0])


def test_sums_count_valid_pixels_only():
    assert seen()["class_pixels"].tolist() == [[2.0, 1.0, 0.0]]


def test_ignored_pixels_may_hold_any_label():
    sums = ClassConfidenceBank.sums(torch.zeros(1, 3, 1, 1), torch.tensor([[[255]]]), torch.tensor([[[False]]]))
    assert sums["class_pixels"].tolist() == [[0.0, 0.0, 0.0]]


def test_a_new_bank_prefers_no_class():
    assert ClassConfidenceBank(4).confidence.tolist() == [0.25] * 4


def test_an_update_moves_by_what_the_momentum_leaves():
    bank = ClassConfidenceBank(3, momentum=0.9)
    bank.update(seen())
    assert bank.confidence[:2].tolist() == pytest.approx([0.3 + 0.06, 0.3 + 0.07])


def test_an_absent_class_keeps_its_value():
    bank = ClassConfidenceBank(3, momentum=0.9)
    bank.update(seen())
    assert bank.confidence[2].item() == pytest.approx(1 / 3)


def test_an_absent_class_may_enter_as_zero_as_released():
    bank = ClassConfidenceBank(3, momentum=0.9, absent="zero")
    bank.update(seen())
    assert bank.confidence[2].item() == pytest.approx(0.3)


def test_pixels_of_two_processes_count_alike():
    bank = ClassConfidenceBank(2, momentum=0.0)
    bank.update(
        {
            "class_confidence_sum": torch.tensor([[0.9, 0.0], [0.0, 0.0]]),
            "class_pixels": torch.tensor([[1.0, 0], [2, 0]]),
        }
    )
    assert bank.confidence[0].item() == pytest.approx(0.3)


def test_the_least_known_class_is_always_drawn():
    bank = ClassConfidenceBank(3)
    bank.confidence.copy_(torch.tensor([0.9, 0.6, 0.2]))
    assert bank.keep_probability().tolist() == pytest.approx([0.125, 0.5, 1.0])


def test_perfectly_known_classes_are_all_drawn():
    bank = ClassConfidenceBank(2)
    bank.confidence.fill_(1.0)
    assert bank.keep_probability().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("options", [{"momentum": 1.5}, {"absent": "drop"}], ids=str)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"option '{next(iter(options))}' must be"):
        ClassConfidenceBank(2, **options)
