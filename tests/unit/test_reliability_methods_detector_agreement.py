import pytest
import torch

from reliability.methods.detector_agreement import build
from reliability.selection import SelectionInputs


def inputs() -> SelectionInputs:
    """Sure of class 0, of class 1, unsure of class 0, sure but void; the box of class 0 is everywhere."""
    first = torch.tensor([0.96, 0.03, 0.9, 0.99]).view(1, 1, 1, 4)
    boxes = torch.tensor([True, False]).view(1, 2, 1, 1).expand(1, 2, 1, 4)
    valid = torch.tensor([[[True, True, True, False]]])
    return SelectionInputs(torch.cat([first, 1 - first], dim=1), valid, box_class_mask=boxes)


def test_sure_valid_pixels_inside_a_box_of_their_class_are_reliable():
    assert build()(inputs()).reliable.flatten().tolist() == [True, False, False, False]


def test_for_a_class_without_boxes_the_confidence_decides():
    assert build(boxless_classes=[1])(inputs()).reliable.flatten().tolist() == [True, True, False, False]


def test_the_threshold_is_an_option():
    assert build(threshold=0.9)(inputs()).weight.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_boxless_class_that_does_not_exist_is_refused_before_training():
    with pytest.raises(ValueError, match="'boxless_classes' of detector_agreement holds 2, but class ids end at 1"):
        build(boxless_classes=[2]).prepare(num_classes=2, num_features=1)


@pytest.mark.parametrize("value", ["1", 1, [0.5], [-1]], ids=repr)
def test_boxless_classes_that_are_no_class_ids_are_refused(value):
    with pytest.raises(ValueError, match="option 'boxless_classes' must be"):
        build(boxless_classes=value)


def test_boxless_classes_export():
    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.method = build(boxless_classes=[1])

        def forward(self, probabilities, valid, boxes):
            return self.method(SelectionInputs(probabilities, valid, box_class_mask=boxes)).reliable

    given, graph = (inputs().probabilities, inputs().valid, inputs().box_class_mask.contiguous()), Graph().eval()
    program = torch.onnx.export(graph, given, dynamo=True, opset_version=18)
    assert torch.equal(program(*given)[0], graph(*given))
