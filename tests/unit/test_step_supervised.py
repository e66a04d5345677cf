"""The step that uses labels only."""

import pytest
import torch

from reliability.selection import SelectionMethod
from tests.unit.training_cases import TinyStudent, tiny_batch, tiny_context
from training.lookup import build_host
from training.models import StudentOutput


class Projecting(TinyStudent):
    """Has a projection with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Conv2d(3, 2, 1)

    def forward(self, image, **options):
        output = super().forward(image, **options)
        return StudentOutput(output.logits, output.features, self.head(output.features))


def test_unlabeled_images_change_nothing():
    host, batch = build_host("supervised"), tiny_batch()
    before = host.losses(tiny_context(TinyStudent()), batch).total
    batch.unlabeled.weak_view.fill_(9.0)
    assert torch.equal(before, host.losses(tiny_context(TinyStudent()), batch).total)


def test_a_projection_head_takes_part_with_a_gradient_of_0():
    student = Projecting()
    losses = build_host("supervised").losses(tiny_context(student), tiny_batch())
    losses.total.backward()
    assert torch.equal(losses.total, losses.parts["loss_x"]) and torch.equal(
        student.head.weight.grad, torch.zeros_like(student.head.weight)
    )


def test_a_method_that_needs_boxes_is_refused():
    selection = SelectionMethod()
    selection.needs = frozenset({"boxes"})
    with pytest.raises(ValueError, match=r"'detector' needs detected boxes .* selection\.name=csl"):
        build_host("supervised").check_selection("detector", selection)
