from dataclasses import replace

import pytest
import torch

from reliability.methods.rank_statistics import RankStatistics, build, channel_table, strongest_channels
from reliability.selection import Observation, SelectionInputs

CHANNELS = {0: (5.0, 4.0, 3.0, 0.0, 0.0, 0.0), 1: (0.0, 0.0, 0.0, 3.0, 4.0, 5.0)}
"""Six feature channels: class 0 uses the first three, class 1 the last three."""


def method_with_prototypes(**options: object) -> RankStatistics:
    method = build(channels=3, trust="confidence", **options)
    method.prepare(num_classes=3, num_features=6)
    method.absorb(method.collect(seen()))
    return method


def row_of(*pixels: tuple[float, ...]) -> torch.Tensor:
    """(1, D, 1, W) features of one row of pixels."""
    return torch.tensor(pixels).T.reshape(1, len(pixels[0]), 1, len(pixels))


def seen(is_labeled: bool = True, **changes: object) -> Observation:
    """A row of four pixels of the classes 0, 0, 1, 2, all predicted as 0, 0, 1, 1 and surely."""
    logits = 20 * torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]).T.reshape(1, 3, 1, 4)
    features = row_of(CHANNELS[0], CHANNELS[0], CHANNELS[1], CHANNELS[1])
    label, valid = torch.tensor([[[0, 0, 1, 2]]]), torch.ones(1, 1, 4, dtype=torch.bool)
    confidence = None if is_labeled else torch.tensor([[[0.99, 0.9, 0.95, 0.99]]])
    return replace(Observation(logits, features, label, valid, is_labeled, confidence), **changes)


def inputs(confidence: float, *pixels: tuple[float, ...], label: int = 0) -> SelectionInputs:
    probabilities = torch.full((1, 3, 1, len(pixels)), (1 - confidence) / 2)
    probabilities[:, label] = confidence
    return SelectionInputs(probabilities, torch.ones(1, 1, len(pixels), dtype=torch.bool), row_of(*pixels))


SHARING = {
    3: (3.0, 4.0, 5.0, 0.0, 0.0, 0.0),  # in another order
    2: (3.0, 4.0, 0.0, 5.0, 0.0, 0.0),
    1: (3.0, 0.0, 0.0, 5.0, 4.0, 0.0),
    0: CHANNELS[1],
}


@pytest.mark.parametrize("shared", SHARING)
def test_the_weight_grows_with_the_channels_in_common(shared):
    weight = method_with_prototypes()(inputs(0.99, SHARING[shared])).weight
    assert weight.item() == pytest.approx((1 + shared / 3) / 2)


@pytest.mark.parametrize("shared", SHARING)
def test_the_weight_of_the_paper_is_the_share_of_channels(shared):
    weight = method_with_prototypes(form="paper")(inputs(0.99, SHARING[shared])).weight
    assert weight.item() == pytest.approx(shared / 3)


@pytest.mark.parametrize(("min_overlap", "reliable"), [(None, 2), (3, 1), (0, 4)])
def test_reliable_pixels_share_more_than_half_of_the_channels_or_what_is_asked(min_overlap, reliable):
    selection = method_with_prototypes(min_overlap=min_overlap)(inputs(0.99, *SHARING.values()))
    assert selection.reliable.flatten().tolist() == [True] * reliable + [False] * (4 - reliable)


def test_an_unsure_pixel_has_no_weight_but_counts_in_the_divisor():
    selection = method_with_prototypes()(inputs(0.9, CHANNELS[0]))
    assert (selection.weight.item(), selection.divisor_weight.item()) == (0.0, 1.0)


def test_without_a_gate_every_pixel_has_weight():
    assert method_with_prototypes(threshold=0.0)(inputs(0.5, CHANNELS[0])).weight.item() == 1.0


def test_a_class_without_labeled_rows_shares_no_channel():
    assert method_with_prototypes()(inputs(0.99, CHANNELS[1], label=2)).scores["overlap"].item() == 0.0


@pytest.mark.parametrize(
    ("values", "strongest"),
    [
        pytest.param([0.0, 2.0, 0.0, 0.0], [1, 4, 4], id="switched-off-by-a-relu"),
        pytest.param([3.0, 2.0, 2.0, 2.0], [0, 4, 4], id="as-large-as-one-left-out"),
        pytest.param([-0.3, 2.0, -0.1, -0.2], [1, 2, 3], id="negative"),
        pytest.param([1.0, 2.0, 0.0, -1.0], [1, 0, 2], id="a-single-zero"),
    ],
)
def test_the_strongest_channels_are_larger_than_all_that_are_left_out(values, strongest):
    assert strongest_channels(torch.tensor([values]), 3).flatten().tolist() == strongest


def test_all_channels_are_the_strongest_where_none_is_left_out():
    assert sorted(strongest_channels(torch.tensor([[0.0, 2.0, 0.0]]), 3).flatten().tolist()) == [0, 1, 2]


def test_the_table_marks_the_strongest_channels_of_classes_that_have_a_prototype():
    prototype = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 3.0], [3.0, 2.0, 1.0]])
    table = channel_table(prototype, torch.tensor([True, True, False]), 2)
    assert table.tolist() == [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def kept(method: RankStatistics, observation: Observation) -> list[int]:
    """How many rows of each class are collected."""
    return method.collect(observation)[f"{'' if observation.is_labeled else 'un'}labeled_is_row"].sum(dim=2)[0].tolist()


def test_people_s_pixels_enter_where_the_prediction_is_right():
    assert kept(method_with_prototypes(rows_per_image=4), seen()) == [2, 1, 0]


def test_people_s_pixels_enter_where_the_prediction_is_sure():
    unsure = seen().logits / 10  # confidence 0.79
    assert kept(method_with_prototypes(rows_per_image=4), seen(logits=unsure)) == [0, 0, 0]


def test_pixels_that_are_not_valid_never_enter():
    valid = torch.tensor([[[False, True, True, True]]])
    assert kept(method_with_prototypes(rows_per_image=4), seen(valid=valid)) == [1, 1, 0]


def test_one_row_per_class_and_image_is_taken_by_default():
    assert kept(method_with_prototypes(), seen()) == [1, 1, 0]


def test_sure_pseudo_labels_enter_when_confidence_is_trusted():
    assert kept(method_with_prototypes(rows_per_image=4), seen(is_labeled=False)) == [1, 1, 1]


def test_pseudo_labels_enter_inside_a_box_of_their_class_when_a_detector_is_trusted():
    method = build(channels=3, rows_per_image=4)
    boxes = torch.zeros(1, 3, 1, 4, dtype=torch.bool)
    boxes[0, 0] = True  # class 0 everywhere
    assert kept(method, seen(is_labeled=False, box_class_mask=boxes)) == [1, 0, 0]


def test_boxes_are_asked_for_only_by_who_trusts_the_detector():
    assert build(trust="detector").learns_from - build(trust="confidence").learns_from == {"boxes"}


def test_collected_rows_are_the_features_of_the_class():
    rows = method_with_prototypes().collect(seen())["labeled_rows"]
    assert rows[0, :2, 0].tolist() == [list(CHANNELS[0]), list(CHANNELS[1])]


def test_two_processes_are_absorbed_one_after_the_other():
    together, apart = method_with_prototypes(), method_with_prototypes()
    first, second = together.collect(seen()), together.collect(seen(features=seen().features + 1))
    together.absorb({key: torch.cat([first[key], second[key]]) for key in first})
    apart.absorb(first)
    apart.absorb(second)
    assert torch.equal(together.labeled.rows, apart.labeled.rows)


def between_two_cells() -> SelectionInputs:
    """Six pixels over one cell of class 0 and one of class 1, all predicted as class 0."""
    cells = inputs(0.99, CHANNELS[0], CHANNELS[1])
    probabilities = cells.probabilities[..., :1].expand(1, 3, 1, 6)
    return replace(cells, probabilities=probabilities, valid=torch.ones(1, 1, 6, dtype=torch.bool))


def test_cells_of_a_coarse_map_serve_the_pixels_around_them():
    overlap = 3 * method_with_prototypes()(between_two_cells()).scores["overlap"]
    assert overlap.round().flatten().tolist() == [3, 3, 3, 0, 0, 0]


def test_enlarged_features_blend_between_the_cells():
    overlap = 3 * method_with_prototypes(at="pixel")(between_two_cells()).scores["overlap"]
    assert overlap.round().flatten().tolist() == [3, 3, 2, 1, 0, 0]  # third pixel: 3.0 2.4 1.8 | 1.2 1.6 2.0


def test_more_channels_than_the_student_has_are_refused():
    with pytest.raises(ValueError, match="'channels' of rank_statistics is 5, but the student has only 3"):
        build().prepare(num_classes=2, num_features=3)


def test_features_of_another_student_are_refused():
    with pytest.raises(ValueError, match="prepared for 6 feature channels but got 2"):
        method_with_prototypes()(inputs(0.9, (1.0, 2.0)))


@pytest.mark.parametrize(
    ("option", "value"),
    [("channels", 0), ("channels", 2.5), ("min_overlap", 6), ("form", "sum"), ("at", "half"), ("rows_per_image", True)],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(ValueError, match=f"option '{option}' must be"):
        build(**{option: value})
