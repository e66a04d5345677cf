"""Evaluation over a set, by hand-countable pictures."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from datasets.labels import ClassSet
from datasets.sample import Sample
from reliability.lookup import build_method
from reliability.metrics import auroc
from reliability.selection import SelectionInputs, SelectionMethod
from training.config import EvaluationConfig, HostConfig, SelectionConfig, TrainConfig
from training.evaluate import EvaluationExtras, Inference, evaluate_student, window_starts, windowed_probabilities
from training.evaluation_counts import SCORE_EDGES, EvaluationCounts, iou_from_confusion
from training.models import StudentOutput
from training.session import build_recipe

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

    @property
    def sample_ids(self):
        return tuple(sample.sample_id for sample in self.samples)

    def __len__(self):
        return len(self.samples)

    def is_labeled(self, index):
        return self.samples[index].label is not None

    def __getitem__(self, index):
        return self.samples[index]


def evaluated(pairs, inference=INFERENCE, **extras):
    method = build_method("fixed_threshold", threshold=0.5)
    extra = EvaluationExtras(**extras)
    return evaluate_student(ColorStudent(), Pictures(pairs), inference, method, extras=extra)


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


class LeftRightStudent(nn.Module):
    """Sure of class 0 in the left half of what it sees, unsure (0.6 : 0.4 : 0) in the right half."""

    def forward(self, image):
        probabilities = torch.tensor([1 - 2e-6, 1e-6, 1e-6]).view(1, 3, 1, 1).expand(1, 3, *image.shape[-2:]).clone()
        probabilities[..., image.shape[-1] // 2 :] = torch.tensor([0.6, 0.4 - 1e-6, 1e-6]).view(1, 3, 1, 1)
        return StudentOutput(probabilities.log(), image)


def test_the_flip_score_averages_both_views_of_a_pixel():
    dataset, inference = Pictures([([[0, 0]], [[0, 1]])]), dataclasses.replace(INFERENCE, flip=True)
    result = evaluate_student(LeftRightStudent(), dataset, inference, build_method("fixed_threshold"))
    # Both pixels get (1 + 0.6) / 2: a tie, which ranks the error no better than chance. Alone, confidence finds it.
    assert result["reliability"]["flip_confidence"]["auroc"] == 0.5
    assert result["reliability"]["confidence"]["auroc"] == 1.0


def test_without_flip_no_second_pass_is_scored():
    assert "flip_confidence" not in evaluated([([[0]], [[0]])])["reliability"]


def test_flip_changes_no_prediction():
    pairs = [([[0, 1, 2, 2]], [[0, 1, 1, 2]])]
    flipped = evaluated(pairs, dataclasses.replace(INFERENCE, flip=True))
    assert flipped["iou_per_class"] == evaluated(pairs)["iou_per_class"]


BLOCK_PAIRS = [([[0, 1]], [[0, 1]]), ([[0, 2]], [[0, 1]]), ([[1, 1]], [[1, 255]])]


def test_each_image_is_counted_in_its_block():
    blocks = evaluated(BLOCK_PAIRS, block_of={"s0": "first", "s1": "second", "s2": "first"}.__getitem__)["blocks"]
    assert blocks["names"] == ["first", "second"]
    assert blocks["confusion"] == [[[1, 0, 0], [0, 2, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 1], [0, 0, 0]]]


def test_the_scores_of_a_block_hold_its_right_and_wrong_pixels():
    blocks = evaluated(BLOCK_PAIRS, block_of=lambda name: name)["blocks"]
    counts = np.array(blocks["scores"]["confidence"])  # (B, bins, right and wrong)
    assert counts.shape == (3, len(SCORE_EDGES) + 1, 2) and counts.sum(axis=1).tolist() == [[2, 0], [1, 1], [1, 0]]


def test_without_blocks_none_are_reported():
    assert "blocks" not in evaluated(BLOCK_PAIRS)


def test_the_bins_of_blocks_rank_nearly_as_well_as_exact_scores():
    generator = torch.Generator().manual_seed(0)
    score = torch.sigmoid(3 * torch.randn(20000, generator=generator) + 3)
    error = torch.rand(20000, generator=generator) > score
    bins = torch.bucketize(score, torch.tensor(SCORE_EDGES), right=True)
    assert auroc(bins.float(), error) == pytest.approx(auroc(score, error), abs=1e-3)


def test_the_edges_of_bins_ascend_to_exactly_one():
    assert list(SCORE_EDGES) == sorted(set(SCORE_EDGES)) and SCORE_EDGES[-1] == 1.0


def counts_of(pairs, blocks=("x",), block="x"):
    counts = EvaluationCounts(CLASSES.names, torch.device("cpu"), blocks)
    for sample in Pictures(pairs).samples:
        label = torch.from_numpy(sample.label).long()[None]
        probabilities = INFERENCE.prediction(ColorStudent(), sample.image).probabilities
        selection = build_method("fixed_threshold")(SelectionInputs(probabilities, label != 255))
        counts.add(probabilities, None, label, selection, block)
    return counts


def test_merged_parts_equal_the_whole():
    merged = counts_of(BLOCK_PAIRS[:1])
    merged.merge(counts_of(BLOCK_PAIRS[1:]))
    assert merged.summary() == counts_of(BLOCK_PAIRS).summary()


def test_adding_the_tensors_of_a_part_merges_it_too():
    summed, other = counts_of(BLOCK_PAIRS[:1]), counts_of(BLOCK_PAIRS[1:]).tensors()
    for name, tensor in summed.tensors().items():
        tensor += other[name]
    assert summed.summary() == counts_of(BLOCK_PAIRS).summary()


def test_parts_with_other_blocks_are_not_added():
    with pytest.raises(ValueError, match="different blocks"):
        counts_of(BLOCK_PAIRS).merge(counts_of(BLOCK_PAIRS, ("y",), "y"))


def test_the_selection_is_told_how_far_the_run_is():
    seen = []

    class Spy(SelectionMethod):
        def forward(self, inputs):
            seen.append(inputs.progress)
            return build_method("fixed_threshold")(inputs)

    extras = EvaluationExtras(progress=0.25)
    evaluate_student(ColorStudent(), Pictures([([[0]], [[0]])]), INFERENCE, Spy(), extras=extras)
    assert seen == [0.25]


def test_a_method_that_compares_features_is_refused_with_sliding_windows_before_anything_is_trained():
    config = TrainConfig(
        selection=SelectionConfig(name="rank_statistics", options={"trust": "confidence"}),
        host=HostConfig(name="unimatch"),
        evaluation=EvaluationConfig(window="sliding"),
    )
    with pytest.raises(ValueError, match=r"evaluation\.window: .*'rank_statistics' compares .* use whole"):
        build_recipe(config)
