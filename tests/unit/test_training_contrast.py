"""U2PL's contrastive loss: who is anchor, member and negative of a class, and what is compared with what."""

import math
from dataclasses import replace

import pytest
import torch

from reliability.feature_memory import FeatureMemory
from training.contrast import (
    Cells,
    ClassSets,
    ContrastRule,
    cells_of,
    class_sets,
    contrastive_loss,
    random_members,
    rows_to_keep,
)

SMALL = ContrastRule(anchors=6, negatives=4, kept=3)


def cells(probabilities, label, labeled, known=None):
    label = torch.tensor(label)
    is_known = torch.ones(len(label), dtype=torch.bool) if known is None else torch.tensor(known)
    return Cells(torch.tensor(probabilities), label, is_known, torch.full((len(label),), labeled))


def test_a_cell_shows_the_pixel_at_which_corners_are_aligned():
    logits = torch.zeros(1, 2, 8, 8)
    label = torch.arange(64).view(1, 8, 8)
    found = cells_of(logits, label, torch.ones(1, 8, 8, dtype=torch.bool), 1, (2, 2))
    assert found.label.tolist() == [0, 7, 56, 63]


def test_cells_spread_over_the_image_whatever_their_stride():
    label = torch.arange(7).view(1, 1, 7)  # 4 cells on 7 pixels, a stride of 1.75 as DPT's
    found = cells_of(torch.zeros(1, 2, 1, 7), label, torch.ones(1, 1, 7, dtype=torch.bool), 1, (1, 4))
    assert found.label.tolist() == [0, 2, 4, 6] and found.known.all()


def test_the_first_images_of_a_batch_are_the_labeled_ones():
    found = cells_of(torch.zeros(3, 2, 2, 2), torch.zeros(3, 2, 2).long(), torch.ones(3, 2, 2).bool(), 2, (2, 2))
    assert found.is_labeled.tolist() == [True] * 8 + [False] * 4


def test_a_labeled_cell_is_a_member_whatever_the_teacher_thinks():
    sets = class_sets(cells([[0.1, 0.5, 0.4]], [0], labeled=True), SMALL, 0.0)
    assert sets.members[:, 0].tolist() == [True, False, False]


@pytest.mark.parametrize(("own", "is_anchor"), [(0.31, True), (0.29, False)])
def test_an_anchors_own_class_has_more_than_three_tenths(own, is_anchor):
    sets = class_sets(cells([[own, 0.6, 0.4 - own]], [0], labeled=True), SMALL, 0.0)
    assert sets.anchors[0, 0].item() is is_anchor


def test_a_labeled_cell_is_a_negative_of_classes_it_is_confused_with():
    rule = replace(SMALL, low_rank=2)
    sets = class_sets(cells([[0.4, 0.5, 0.07, 0.03]], [0], labeled=True), rule, 0.0)
    assert sets.negatives[:, 0].tolist() == [
        False,
        True,
        False,
        False,
    ]  # own; second of the ranks 0 and 1; too unlikely


def unlabeled_cells():
    """Five cells, each less sure than the one before; the classes of all are ranked 0, 1, 2, 3."""
    rows = [[1 - 3 * rest - 0.003, rest + 0.002, rest + 0.001, rest] for rest in (0.01, 0.05, 0.1, 0.15, 0.2)]
    return cells(rows, [0, 0, 0, 0, 0], labeled=False)


def test_the_surest_fifth_of_unlabeled_cells_are_members_at_the_start():
    assert class_sets(unlabeled_cells(), SMALL, 0.0).members[0].tolist() == [True, False, False, False, False]


def test_the_least_sure_fifth_of_unlabeled_cells_are_negatives_of_classes_they_rank_low():
    sets = class_sets(unlabeled_cells(), replace(SMALL, low_rank=2), 0.0)
    assert sets.negatives.int().tolist() == [[0] * 5, [0] * 5, [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]


def test_ranks_from_the_high_one_on_are_left_out():
    sets = class_sets(unlabeled_cells(), replace(SMALL, low_rank=2, high_rank=3), 0.0)
    assert sets.negatives[:, 4].tolist() == [False, False, True, False]


def test_the_shares_shrink_with_progress():
    rule = replace(SMALL, entropy_share=0.8)
    counts = [class_sets(unlabeled_cells(), rule, progress).members[0].sum().item() for progress in (0.0, 0.5, 1.0)]
    assert counts == [4, 2, 1]


def test_with_two_classes_the_second_one_counts_as_unlikely():
    sets = class_sets(cells([[0.9, 0.1], [0.6, 0.4]], [0, 0], labeled=False), SMALL, 0.0)
    assert sets.negatives.tolist() == [[False, False], [False, True]]


def test_a_cell_is_no_negative_of_its_own_label():
    found = cells([[0.4, 0.3, 0.2, 0.1]], [3], labeled=False)  # people's label 3, which the teacher ranks last
    assert not class_sets(found, replace(SMALL, low_rank=2), 0.0).negatives[3].any()


def test_unknown_cells_play_no_part():
    sets = class_sets(cells([[0.4, 0.3, 0.2, 0.1]] * 2, [0, 1], False, known=[False, False]), SMALL, 0.0)
    assert not (sets.members | sets.anchors | sets.negatives).any()


def test_drawn_members_are_members_and_all_of_them_come_up():
    torch.manual_seed(0)
    mask = torch.tensor([[False, True, False, True, True], [True, False, False, False, False]])
    drawn = random_members(mask, 60)
    assert set(drawn[0].tolist()) == {1, 3, 4} and set(drawn[1].tolist()) == {0}


def test_a_class_without_members_draws_positions_inside_the_batch():
    drawn = random_members(torch.zeros(1, 5, dtype=torch.bool), 7)
    assert ((drawn >= 0) & (drawn < 5)).all()


def two_classes(rows=4):
    """Two classes of one cell each, on the axes of a plane; negatives of both point down."""
    on = torch.eye(2, dtype=torch.bool)
    sets = ClassSets(on, on.clone(), torch.zeros(2, 2, dtype=torch.bool))
    memory = FeatureMemory(2, rows, 3)
    memory.push(torch.tensor([0.0, 0.0, -1.0]).expand(1, 2, rows, 3), torch.ones(1, 2, rows, dtype=torch.bool))
    return torch.eye(2, 3), sets, memory


def by_hand(to_mean, to_negative, rule=SMALL):
    """Cross entropy of one positive against K equal negatives."""
    positive, negative = math.exp(to_mean / rule.temperature), math.exp(to_negative / rule.temperature)
    return -math.log(positive / (positive + rule.negatives * negative))


def test_the_loss_is_the_cross_entropy_of_the_mean_among_the_negatives():
    features, sets, memory = two_classes()
    loss = contrastive_loss(features, features, sets, memory, SMALL)
    assert loss.item() == pytest.approx(by_hand(1.0, 0.0), rel=1e-5)


def test_only_directions_count():
    features, sets, memory = two_classes()
    loss = contrastive_loss(5 * features, 0.1 * features, sets, memory, SMALL)
    assert loss.item() == pytest.approx(by_hand(1.0, 0.0), rel=1e-5)


def test_each_class_is_compared_with_its_own_mean_and_its_own_negatives():
    features, sets, memory = two_classes()
    student = torch.stack([features[0], features[0]])  # the anchor of class 1 lies where class 0 is
    memory.rows[0] = features[1]  # negatives of class 0
    memory.rows[1] = -features[0]
    expected = (by_hand(1.0, 0.0) + by_hand(0.0, -1.0)) / 2
    assert contrastive_loss(student, features, sets, memory, SMALL).item() == pytest.approx(expected, rel=1e-5)


def test_the_classes_present_need_not_be_the_first_ones():
    features, sets, memory = two_classes()
    shifted = ClassSets(*(torch.cat([torch.zeros(1, 2, dtype=torch.bool), each]) for each in vars(sets).values()))
    wider = FeatureMemory(3, 4, 3)
    wider.rows[1:], wider.count[1:] = memory.rows, memory.count
    loss = contrastive_loss(features, features, shifted, wider, SMALL)
    assert loss.item() == pytest.approx(by_hand(1.0, 0.0), rel=1e-5)


@pytest.mark.parametrize("missing", ["anchors", "negatives"])
def test_a_class_with_nothing_to_compare_adds_0_but_counts_as_present(missing):
    features, sets, memory = two_classes()
    if missing == "anchors":
        sets.anchors[1] = False
    else:
        memory.count[1] = 0
    loss = contrastive_loss(features, features, sets, memory, SMALL)
    assert loss.item() == pytest.approx(by_hand(1.0, 0.0) / 2, rel=1e-5)


def test_a_batch_of_one_class_compares_nothing():
    features, sets, memory = two_classes()
    sets.members[1] = False
    assert contrastive_loss(features, features, sets, memory, SMALL).item() == 0


def test_only_the_anchors_get_a_gradient():
    features, sets, memory = two_classes()
    student, teacher = features.clone().requires_grad_(), features.clone().requires_grad_()
    sets.anchors[1] = False
    contrastive_loss(student + 0.3, teacher.detach(), sets, memory, SMALL).backward()
    assert student.grad[0].any() and not student.grad[1].any() and teacher.grad is None


def test_every_feature_gets_a_finite_gradient_when_there_is_nothing_to_compare():
    student = torch.zeros(4, 3, requires_grad=True)
    nothing = torch.zeros(2, 4, dtype=torch.bool)
    contrastive_loss(
        student, torch.zeros(4, 3), ClassSets(nothing, nothing, nothing), FeatureMemory(2, 4, 3), SMALL
    ).backward()
    assert torch.equal(student.grad, torch.zeros(4, 3))


def test_only_stored_negatives_are_drawn():
    features, sets, memory = two_classes(rows=8)
    memory.count[:] = 1
    memory.rows[:, 1:] = features[0]  # rows beyond the count
    loss = contrastive_loss(features, features, sets, memory, SMALL)
    assert loss.item() == pytest.approx(by_hand(1.0, 0.0), rel=1e-5)


def test_kept_rows_are_different_negatives_of_unit_length():
    torch.manual_seed(0)
    features = torch.eye(5) * 7
    kept = rows_to_keep(features, torch.tensor([[True, True, False, True, True]]), SMALL)
    where = kept["rows"][0, 0].argmax(dim=1).tolist()
    assert len(set(where)) == 3 and 2 not in where
    assert torch.allclose(kept["rows"].norm(dim=3), torch.ones(1, 1, 3)) and kept["is_row"].all()


def test_too_few_negatives_are_marked_not_left_out():
    kept = rows_to_keep(torch.eye(5), torch.tensor([[True, False, False, False, False]] * 2), SMALL)
    assert kept["rows"].shape == (1, 2, 3, 5) and kept["is_row"][0].sum(dim=1).tolist() == [1, 1]
