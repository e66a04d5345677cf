"""Comparing a candidate with the current model on the same gold images."""

import numpy as np
import pytest

from app.domain.promotion import GoldScore, Verdict, compare_rounds, confusion_matrix, iou_per_class, mean_iou

NAMES = ("sky", "road", "car")


def score(miou=0.6, iou=(0.9, 0.6, 0.3), per_image=None, num_images=30, sha="a"):
    return GoldScore(miou, iou, per_image or {}, num_images, sha)


def test_the_confusion_matrix_counts_valid_pixels_by_truth_and_prediction():
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    predicted = np.array([[0, 2, 1, 1]], np.uint8)
    assert confusion_matrix(truth, predicted, 3).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_iou_is_intersection_over_union_and_none_for_a_class_that_occurs_nowhere():
    confusion = np.array([[6, 2, 0], [0, 4, 0], [0, 0, 0]])
    assert iou_per_class(confusion) == [pytest.approx(6 / 8), pytest.approx(4 / 6), None]
    assert mean_iou(iou_per_class(confusion)) == pytest.approx((6 / 8 + 4 / 6) / 2)


def test_an_id_beyond_the_classes_is_refused():
    with pytest.raises(ValueError, match="not below 2"):
        confusion_matrix(np.array([[0]], np.uint8), np.array([[2]], np.uint8), 2)


def test_a_better_round_may_be_promoted():
    comparison = compare_rounds(score(), score(0.65, (0.9, 0.65, 0.4)), NAMES)
    assert comparison.verdict is Verdict.PROMOTE
    assert "rises by 5.0 points from 60.0% to 65.0%" in comparison.reasons[0]


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (score(0.595), Verdict.PROMOTE),
        (score(0.594), Verdict.REFUSE),
        (score(0.60, (0.9, 0.55, 0.35)), Verdict.PROMOTE),
        (score(0.60, (0.9, 0.549, 0.351)), Verdict.REFUSE),
        (score(0.60, (0.9, 0.6, float("nan"))), Verdict.REFUSE),
    ],
    ids=["mean-at-limit", "mean-beyond", "class-at-limit", "class-beyond", "class-not-a-number"],
)
def test_a_fall_beyond_a_limit_is_refused(new, verdict):
    assert compare_rounds(score(), new, NAMES).verdict is verdict


def test_a_refusal_names_the_class_the_fall_and_the_limit():
    comparison = compare_rounds(score(), score(0.65, (0.9, 0.9, 0.15)), NAMES)
    assert comparison.reasons == ("car falls by 15.0 points (from 30.0% to 15.0%); the limit is 5.0 points.",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (score(), None, "no gold images"),
        (None, score(), "never measured"),
        (score(sha="a"), score(sha="b"), "gold images changed"),
        (score(), score(miou=float("nan")), "not a number"),
        (score(), score(num_images=0), "no gold images"),
    ],
    ids=["candidate-unmeasured", "current-unmeasured", "other-gold", "nan", "no-gold"],
)
def test_what_cannot_be_compared_is_unknown_and_says_why(old, new, reason):
    comparison = compare_rounds(old, new, NAMES)
    assert comparison.verdict is Verdict.UNKNOWN
    assert reason in comparison.reasons[0]


def test_images_that_got_worse_come_first():
    old = score(per_image={"a": 0.5, "b": 0.5, "c": 0.5})
    new = score(per_image={"a": 0.6, "b": 0.2, "c": 0.4})
    assert [change.name for change in compare_rounds(old, new, NAMES).images] == ["b", "c", "a"]


def test_few_gold_images_and_classes_nobody_measured_are_warned_about():
    comparison = compare_rounds(score(iou=(0.9, 0.6, None)), score(iou=(0.9, 0.6, None), num_images=4), NAMES)
    assert any("Only 4 gold images" in warning for warning in comparison.warnings)
    assert any("car" in warning for warning in comparison.warnings)
