"""Classes that no label shows are named, and so are gold images that are too few for what is asked."""

import pytest

from app.domain.class_cover import class_warnings, gold_warning

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


def test_too_few_gold_images_for_the_asked_error_are_told() -> None:
    assert gold_warning(131, 0.01) is None and gold_warning(130, 0.01) is not None
    assert "With 60 gold images no error under 2.17 %" in str(gold_warning(60, 0.01))  # 15 of them fit curves
    assert "With 8 gold images no error under 11.1 %" in str(gold_warning(8, 0.01))
    assert "the asked 1 % takes 131 of them" in str(gold_warning(8, 0.01))
