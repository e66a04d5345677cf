import pytest
import torch

from reliability.methods.class_balanced import ClassBalanced, build
from reliability.selection import Observation, SelectionInputs


def prepared(*confidence: float, **options: object) -> ClassBalanced:
    """A method whose bank holds these numbers."""
    method = build(**options)
    method.prepare(len(confidence), num_features=1)
    method.bank.confidence.copy_(torch.tensor(confidence))
    return method


def two_classes(*first: float, progress: float = 1.0) -> SelectionInputs:
    """A row of pixels, each with its probability of class 0."""
    row = torch.tensor(first).view(1, 1, 1, -1)
    valid = torch.ones(1, 1, len(first), dtype=torch.bool)
    return SelectionInputs(torch.cat([row, 1 - row], dim=1), valid, progress=progress)


def observation(**changes: object) -> Observation:
    logits = torch.tensor([[0.8, 0.4], [0.2, 0.6]]).log().view(1, 2, 1, 2)
    values = {"label": torch.zeros(1, 1, 2, dtype=torch.int64), "valid": torch.ones(1, 1, 2, dtype=torch.bool)}
    return Observation(logits, logits, **{**values, "is_labeled": True, **changes})


def test_outside_training_the_weight_is_what_the_draw_gives_on_average():
    weight = prepared(0.9, 0.6)(two_classes(0.8, 0.2)).weight.flatten()
    assert weight.tolist() == pytest.approx([0.64 * 0.25, 0.64 * 1.0])


def test_outside_training_nothing_is_drawn():
    method, inputs = prepared(0.9, 0.6), two_classes(*[0.8] * 50)
    assert torch.equal(method(inputs).weight, method(inputs).weight)


def test_in_training_pixels_of_a_known_class_are_drawn_as_often_as_the_bank_says():
    torch.manual_seed(0)
    reliable = prepared(0.9, 0.6)(two_classes(*[0.8] * 4000, progress=0.5)).reliable
    assert reliable.float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_in_training_drawn_pixels_weigh_the_square_of_their_confidence():
    torch.manual_seed(0)
    selection = prepared(0.9, 0.6)(two_classes(*[0.8] * 100, progress=0.5))
    torch.testing.assert_close(selection.weight, 0.64 * selection.reliable)


def test_the_same_seed_draws_the_same_pixels():
    method, inputs = prepared(0.9, 0.6), two_classes(*[0.8] * 50, progress=0.5)
    torch.manual_seed(1)
    first = method(inputs).reliable
    torch.manual_seed(1)
    assert torch.equal(method(inputs).reliable, first)


def test_below_the_threshold_a_pixel_teaches_nothing_but_stays_in_the_divisor():
    selection = prepared(0.5, 0.5)(two_classes(0.69, 0.71))
    assert selection.reliable.flatten().tolist() == [False, True]
    assert selection.weight.flatten().tolist() == pytest.approx([0.0, 0.71**2])
    assert selection.divisor_weight.flatten().tolist() == pytest.approx([0.69**2, 0.71**2])


def test_the_bank_learns_from_people_s_pixels():
    method = prepared(0.5, 0.5, momentum=0.0)
    method.absorb(method.collect(observation()))
    assert method.bank.confidence.tolist() == pytest.approx([0.6, 0.5])


def test_the_bank_does_not_learn_from_pseudo_labels():
    assert prepared(0.5, 0.5).collect(observation(is_labeled=False)) == {}


def test_two_processes_move_the_bank_as_one_with_both_batches_would():
    together, joined = prepared(0.5, 0.5, momentum=0.9), prepared(0.5, 0.5, momentum=0.9)
    half = torch.tensor([[[True, False]]])
    parts = [together.collect(observation(valid=half)), together.collect(observation(valid=~half))]
    together.absorb({key: torch.cat([part[key] for part in parts]) for key in parts[0]})
    joined.absorb(joined.collect(observation()))
    torch.testing.assert_close(together.bank.confidence, joined.bank.confidence)


def test_a_bank_of_another_class_set_is_refused():
    with pytest.raises(ValueError, match="prepared for 3 classes but the probabilities have 2"):
        prepared(0.5, 0.5, 0.5)(two_classes(0.8))


@pytest.mark.parametrize(("option", "value"), [("threshold", 7), ("momentum", -0.1), ("absent", "forget")])
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(ValueError, match=f"option '{option}' must be"):
        build(**{option: value})
