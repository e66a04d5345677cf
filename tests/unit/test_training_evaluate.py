"""Evaluation over a set, by hand-countable pictures."""

import numpy as np
import pytest
import torch
from torch import nn

from datasets.labels import ClassSet
from datasets.sample import Sample
from reliability.lookup import build_method
from training.evaluate import Inference, evaluate_student, iou_from_confusion, window_starts, windowed_probabilities
from training.models import StudentOutput

CLASSES = ClassSet.from_names(("a", "b", "c"))
INFERENCE = Inference(torch.device("cpu"), (0.0,) * 3, (1.0,) * 3)


class ColorStudent(nn.Module):
    """Predicts class 0, 1 or 2 where red, green or blue is strongest."""

    def forward(self, image):
        return StudentOutput(image * 8, image)


class Pictures:
    """Samples in memory; the image shows `predicted`, the truth is `label`."""

    class_set = CLASSES

    def __init__(self, pairs):
        self.samples = [
            Sample(f"s{n}", (np.eye(3)[np.array(predicted)] * 255).astype(np.uint8),
                   None if label is None else np.array(label, np.uint8))
            for n, (predicted, label) in enumerate(pairs)
        ]  # fmt: skip

    def __len__(self):
        return len(self.samples)

    def is_labeled(self, index):
        return self.samples[index].label is not None

    def __getitem__(self, index):
        return self.samples[index]


def evaluated(pairs):
    return evaluate_student(ColorStudent(), Pictures(pairs), INFERENCE, build_method("fixed_threshold", threshold=0.5))


def test_counts_are_summed_over_the_set_before_dividing():
    result = evaluated([([[0, 0]], [[0, 0]]), ([[0, 1]], [[1, 1]])])
    assert result["iou_per_class"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 2), "c": None}
    assert result["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_class_that_never_occurs_is_left_out_and_named():
    assert evaluated([([[0, 1]], [[0, 1]])])["absent_classes"] == ["c"]


def test_a_class_that_is_only_predicted_counts_as_0():
    result = evaluated([([[0, 2]], [[0, 0]])])
    assert result["iou_per_class"]["c"] == 0.0 and result["absent_classes"] == ["b"]


def test_void_pixels_do_not_count():
    assert evaluated([([[0, 1]], [[0, 255]])])["pixel_accuracy"] == 1.0


def test_images_without_a_label_are_skipped():
    assert evaluated([([[0, 1]], [[0, 1]]), ([[0, 1]], None)])["images"] == 1


def test_a_set_without_labels_is_refused():
    with pytest.raises(ValueError, match="none of the images to evaluate on has a label"):
        evaluated([([[0, 1]], None)])


def test_precision_and_coverage_of_the_selected_pixels():
    result = evaluated([([[0, 1, 2, 0]], [[0, 1, 0, 255]])])
    assert result["selection"] == {"precision": pytest.approx(2 / 3), "coverage": 1.0}


def test_numbers_that_do_not_exist_are_none():
    result = evaluated([([[0, 1]], [[0, 1]])])  # no error anywhere
    assert (
        result["reliability"]["confidence"]["auroc"] is None and result["reliability"]["confidence"]["error_rate"] == 0
    )


def test_progress_is_told_per_image():
    seen = []
    pairs = [([[0]], [[0]])] * 3
    evaluate_student(
        ColorStudent(), Pictures(pairs), INFERENCE, build_method("csl"), lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_students_mode_is_restored():
    student = ColorStudent().train()
    evaluate_student(student, Pictures([([[0]], [[0]])]), INFERENCE, build_method("csl"))
    assert student.training


@pytest.mark.parametrize(
    ("side", "window", "expected"),
    [
        pytest.param(10, 10, [0], id="fits"),
        pytest.param(4, 10, [0], id="smaller"),
        pytest.param(13, 9, [0, 4], id="last-shifted-inside"),
        pytest.param(21, 9, [0, 6, 12], id="exact"),
    ],
)
def test_windows_cover_the_side(side, window, expected):
    assert window_starts(side, window) == expected


def test_windows_of_a_pointwise_student_give_the_whole_images_probabilities():
    image = torch.randn(1, 3, 23, 31)
    windowed = windowed_probabilities(ColorStudent(), image, (9, 12))
    torch.testing.assert_close(windowed, torch.softmax(image * 8, dim=1))


def test_iou_of_a_confusion_matrix():
    iou = iou_from_confusion(torch.tensor([[3, 1, 0], [2, 4, 0], [0, 0, 0]]))
    assert iou[:2].tolist() == pytest.approx([3 / 6, 4 / 7]) and iou[2].isnan()
