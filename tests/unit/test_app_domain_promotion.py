"""Comparing a candidate with the current model on the same gold images."""

import numpy as np
import pytest

from app.domain.gold_scores import GoldCounts, GoldImage, GoldScore
from app.domain.pixel_counts import PixelCounts, confusion_matrix, iou_per_class, mean_iou
from app.domain.promotion import Verdict, checked_reason, compare_rounds, is_earlier
from app.domain.states import ModelStatus

NAMES = ("sky", "road", "car")


def score(miou=0.6, iou=(0.9, 0.6, 0.3), per_image=None, num_images=30, sha="a"):
    return GoldScore(miou, iou, per_image or {}, num_images, sha)


def test_the_confusion_matrix_counts_valid_pixels_by_truth_and_prediction():
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    predicted = np.array([[0, 2, 1, 1]], np.uint8)
    assert confusion_matrix(truth, predicted, 3).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_iou_is_intersection_over_union_and_none_for_a_class_that_occurs_nowhere():
    counts = PixelCounts(np.array([6, 4, 0]), np.array([8, 4, 0]), np.array([6, 6, 0]))
    assert iou_per_class(counts) == [pytest.approx(6 / 8), pytest.approx(4 / 6), None]
    assert mean_iou(iou_per_class(counts)) == pytest.approx((6 / 8 + 4 / 6) / 2)


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
        (score(), None, "never measured"),
        (None, score(), "never measured"),
        (score(sha="a"), score(sha="b"), "gold images changed"),
        (score(), score(miou=float("nan")), "not a number"),
        (score(), score(num_images=0), "never measured"),
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


def measured(hits, num_images=6, label_shas=None, names=None):
    """A score with its pixels: every image has 100 labeled pixels of each class, of which `hits` (C,) or (N, C) hit."""
    hits = np.broadcast_to(np.asarray(hits), (num_images, len(NAMES)))
    full = np.full(hits.shape, 100)
    counts = PixelCounts(hits, full, full)
    names = names or [f"g{line}" for line in range(num_images)]
    shas = label_shas or ["0"] * num_images
    images = tuple(
        GoldImage(10 + line, name, name, sha) for line, (name, sha) in enumerate(zip(names, shas, strict=True))
    )
    per_image = {
        name: mean_iou(iou_per_class(PixelCounts(counts.hits[n], full[n], full[n]))) for n, name in enumerate(names)
    }
    iou = iou_per_class(counts.total())
    sha256 = " ".join([*names, *shas])
    return GoldScore(mean_iou(iou), iou, per_image, num_images, sha256, pixels=GoldCounts(images, counts))


def test_kept_pixels_give_every_number_its_interval():
    comparison = compare_rounds(measured([90, 80, 70]), measured([80, 80, 90]), NAMES)
    assert all(change.interval is not None for change in (comparison.miou, *comparison.classes))
    assert comparison.classes[0].interval.high == pytest.approx(comparison.classes[0].difference)
    assert comparison.has_pictures


def test_without_the_pixels_of_one_round_there_are_numbers_and_a_sentence_but_no_intervals():
    old = measured([90, 80, 70])
    comparison = compare_rounds(score(sha=old.gold_sha256, num_images=6), old, NAMES)
    assert comparison.miou.interval is None and not comparison.has_pictures
    assert any("of the old round" in warning and "measure it again" in warning for warning in comparison.warnings)


def test_a_difference_whose_interval_includes_zero_may_be_chance():
    hits = np.array([[90, 80, 70]] * 6)
    swaying = hits + np.array([[9], [-9], [9], [-9], [9], [-8]])
    comparison = compare_rounds(measured(hits), measured(swaying), NAMES)
    assert any("may be chance" in warning and "includes 0" in warning for warning in comparison.warnings)


def test_fewer_than_five_gold_images_give_no_interval_and_a_sentence_says_so():
    comparison = compare_rounds(measured([90, 80, 70], 4), measured([95, 85, 75], 4), NAMES)
    assert comparison.miou.interval is None
    assert any("fewer than 5 give no interval" in warning for warning in comparison.warnings)


def test_an_image_names_the_classes_that_fell_most_in_it():
    worse = np.full((6, 3), 90)
    worse[2] = [90, 50, 70]
    comparison = compare_rounds(measured([90, 90, 90]), measured(worse), NAMES)
    first = comparison.images[0]
    assert (first.name, first.image_id) == ("g2", 12)
    assert [name for name, _ in first.worst_classes] == ["road", "car"]


def test_a_fall_that_rounds_to_nothing_is_no_fall():
    worse = np.full((6, 3), 900)
    worse[2] = [899, 500, 898]
    comparison = compare_rounds(measured(np.full((6, 3), 900)), measured(worse), NAMES)
    assert [name for name, _ in comparison.images[0].worst_classes] == ["road"]


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (measured([90, 80, 70], 3), "2 were added (g1, g2)"),
        (measured([90, 80, 70], 1, names=["g9"]), "1 were added (g9), 1 are gone (g0)"),
        (measured([90, 80, 70], 1, label_shas=["1"]), "1 have another label (g0)"),
    ],
    ids=["added", "exchanged", "label"],
)
def test_other_gold_images_are_named(new, sentence):
    comparison = compare_rounds(measured([90, 80, 70], 1), new, NAMES)
    assert comparison.verdict is Verdict.UNKNOWN
    assert sentence in comparison.reasons[0]


@pytest.mark.parametrize("reason", [None, "", "   ", "ok", "as told", " as \n told "])
def test_a_reason_of_fewer_than_three_words_is_none(reason):
    with pytest.raises(ValueError, match="at least 3 words"):
        checked_reason(reason)


def test_a_reason_is_kept_without_surplus_spaces():
    assert checked_reason("  the camera\n changed ") == "the camera changed"


@pytest.mark.parametrize(
    ("status", "number", "expected"),
    [
        (ModelStatus.RETIRED, 2, True),
        (ModelStatus.RETIRED, 7, True),
        (ModelStatus.REJECTED, 2, True),
        (ModelStatus.REJECTED, 7, False),
        (ModelStatus.CANDIDATE, 7, False),
        (ModelStatus.CURRENT, 2, False),
    ],
)
def test_a_model_can_be_gone_back_to_when_it_was_in_use_or_came_earlier(status, number, expected):
    assert is_earlier(status, number, current_number=5) is expected
