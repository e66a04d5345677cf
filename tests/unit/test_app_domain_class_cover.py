"""Classes that no label shows are named, and so are gold images that are too few for what is asked."""

import re

import pytest

from app.domain.class_cover import class_warnings, gold_warning
from datasets.calibration_split import SplitRule, split_for_calibration
from datasets.frames import FrameRule

PICTURES = SplitRule.usual(False, FrameRule(independent=True))
NAMES = ("road", "cross", "sky")


def test_classes_without_a_labeled_or_a_gold_pixel_are_named() -> None:
    labels, gold = class_warnings(NAMES, [[5, 0, 0], [0, 0, 9]], [[1, 2, 0]])
    assert "shows cross: the model learns that" in labels
    assert "No gold image shows sky" in gold


@pytest.mark.parametrize(
    ("labeled", "gold", "said"),
    [([[1, 1, 1]], [[1, 0, 0], [0, 1, 1]], 0), ([[1, 1, 1]], [], 0), ([], [[1, 1, 1]], 1)],
    ids=["all shown", "no gold at all", "no label at all"],
)
def test_nothing_else_is_said(labeled: list[list[int]], gold: list[list[int]], said: int) -> None:
    assert len(class_warnings(NAMES, labeled, gold)) == said


def warning(gold: int, alpha: float = 0.01, rule: SplitRule = PICTURES) -> str | None:
    return gold_warning(split_for_calibration([f"street_{place:04d}" for place in range(gold)], rule), rule, alpha)


def test_too_few_gold_images_for_the_asked_error_are_told() -> None:
    assert warning(132) is None and warning(131) is not None  # 33 of them fit curves
    assert "With 60 gold images (45 count for the promise, 15 fit the curves) no error under 2.17 %" in str(warning(60))
    assert "With 8 gold images no error under 11.1 %" in str(warning(8))
    assert "the asked 1 % takes 132 of them, so that 99 count." in str(warning(8))


def test_frames_of_one_recording_count_in_blocks() -> None:
    said = str(warning(132, rule=SplitRule.usual(False, FrameRule())))
    assert "With 132 gold images, which are 7 blocks of frames, no error under 12.5 %" in said
    assert "the asked 1 % takes about 132 blocks, so that 99 count." in said


@pytest.mark.parametrize("is_combined", [True, False], ids=["combined", "confidence"])
@pytest.mark.parametrize("alpha", [0.2, 0.1, 0.09, 0.05, 0.012])
def test_so_many_images_as_are_said_to_be_enough_are_enough(alpha: float, is_combined: bool) -> None:
    rule = SplitRule.usual(is_combined, FrameRule(independent=True))
    enough = int(re.search(r"takes (\d+) of them", str(warning(1, alpha, rule)))[1])
    assert warning(enough, alpha, rule) is None
    assert warning(enough - 1, alpha, rule) is not None
