"""The step of AEL: what is pasted, who labels, three losses, and the bank of class confidences."""

import pytest
import torch

from datasets.labels import IGNORE_INDEX
from reliability.selection import SelectionMethod
from tests.unit.step_cases import RecordingStudent, context_of, tiny_host, written_out_loss
from tests.unit.training_cases import TinyStudent, tiny_batch
from training.class_pasting import ClassMix
from training.hosts import ael
from training.lookup import build_host


@pytest.fixture
def upper_half(monkeypatch):
    """Every image gets the upper half of the other one, and nothing is copied between labeled crops."""

    def boxes(label, valid, partner, *_):
        mask = torch.zeros_like(valid)
        mask[:, : mask.shape[1] // 2] = True
        return ClassMix(partner, mask)

    monkeypatch.setattr(ael, "boxes_around_classes", boxes)
    monkeypatch.setattr(ael, "with_pasted_classes", lambda x, *_: x)


def losses_of(batch, student=None, teacher=None, host=None, selection="csl"):
    context = context_of(student or TinyStudent(), teacher or TinyStudent(seed=1), selection)
    return (host or tiny_host("ael")).losses(context, batch)


def upper_halves_swapped(plane):
    half = plane.shape[-2] // 2
    return torch.cat([plane.flip(0)[..., :half, :], plane[..., half:, :]], dim=-2)


def test_the_teacher_sees_labeled_and_weak_crops_and_the_student_the_mixed_ones(upper_half):
    batch, student, teacher = tiny_batch(), RecordingStudent(), RecordingStudent(seed=1)
    losses_of(batch, student, teacher)
    x, u = batch.labeled.image, batch.unlabeled.weak_view
    assert len(student.seen) == len(teacher.seen) == 1
    assert torch.equal(teacher.seen[0], torch.cat([x, u]))
    assert torch.equal(student.seen[0], torch.cat([x, upper_halves_swapped(u)]))


def test_the_consistency_of_unlabeled_crops_is_that_of_the_mixed_pseudo_labels(upper_half):
    batch, student, teacher = tiny_batch(), TinyStudent(), TinyStudent(seed=1)
    u = batch.unlabeled
    with torch.no_grad():
        selected = context_of(student).select(teacher(u.weak_view), u)
        logits = student(upper_halves_swapped(u.weak_view)).logits
        target = [upper_halves_swapped(plane) for plane in (selected.pseudo_label, selected.weight, u.valid)]
    expected = written_out_loss(logits, *target)
    assert losses_of(batch, student, teacher).parts["loss_cons_u"].item() == pytest.approx(expected, rel=1e-5)


def test_labeled_crops_are_compared_with_the_teacher_too(upper_half):
    batch, student, teacher = tiny_batch(), TinyStudent(), TinyStudent(seed=1)
    x = batch.labeled
    x.label[:, :2] = IGNORE_INDEX
    with torch.no_grad():
        as_unlabeled = ael.without_labels(x)
        selected = context_of(student).select(teacher(x.image), as_unlabeled)
        expected = written_out_loss(student(x.image).logits, selected.pseudo_label, selected.weight, x.label != 255)
    assert losses_of(batch, student, teacher).parts["loss_cons_x"].item() == pytest.approx(expected, rel=1e-5)


def test_the_three_losses_have_unit_weight():
    losses = losses_of(tiny_batch())
    assert len(losses.parts) == 3
    assert losses.total.item() == pytest.approx(sum(losses.parts.values()).item(), rel=1e-6)


def test_the_bank_learns_how_sure_the_student_is_of_peoples_labels(upper_half):
    batch, host, student = tiny_batch(), tiny_host("ael"), TinyStudent()
    x = batch.labeled
    x.label[:] = 1
    x.weight[0] = 0.5  # a pseudo-label of a round before
    host.absorb(losses_of(batch, student, host=host).host_rows)
    with torch.no_grad():
        sure = student(x.image).logits.softmax(dim=1)[1, 1].mean().item()
    assert host.bank.confidence.tolist() == pytest.approx([1 / 3, 0.999 / 3 + 0.001 * sure, 1 / 3], rel=1e-5)


def test_labels_after_copy_paste_are_what_is_learned(monkeypatch):
    batch = tiny_batch()
    pasted = type(batch.labeled)(batch.labeled.image + 1, torch.full_like(batch.labeled.label, 2), batch.labeled.weight)
    monkeypatch.setattr(ael, "with_pasted_classes", lambda *_: pasted)
    student = TinyStudent()
    with torch.no_grad():
        expected = written_out_loss(student(pasted.image).logits, pasted.label, pasted.weight, pasted.weight > 0)
    assert losses_of(batch, student).parts["loss_x"].item() == pytest.approx(expected, rel=1e-5)


def test_pixels_outside_valid_change_no_loss(upper_half):
    batch = tiny_batch()
    before = losses_of(batch).total
    batch.unlabeled.weak_view[:, :, -1] = 99.0  # two rows away from every valid pixel
    assert torch.equal(before, losses_of(batch).total)


def test_without_a_valid_pixel_nothing_of_the_unlabeled_crops_is_left():
    batch = tiny_batch()
    batch.unlabeled.valid[:] = False
    assert losses_of(batch).parts["loss_cons_u"].item() == 0


def test_the_teacher_averages_parameters_and_normalizes_over_its_batch():
    host = build_host("ael")
    assert (host.ema_decay, host.teacher_mode, host.strong_recipes) == (0.99, "train", ())


def test_classes_that_must_not_be_pasted_are_marked():
    assert tiny_host("ael", never_pasted=[0, 2]).may_paste.tolist() == [False, True, False]


@pytest.mark.parametrize("classes", [[3], [0, 1, 2]], ids=["unknown", "all"])
def test_a_list_that_leaves_nothing_to_paste_is_refused(classes):
    with pytest.raises(ValueError, match="must be some, not all, of the class ids 0 to 2"):
        tiny_host("ael", never_pasted=classes)


def test_a_method_that_needs_boxes_is_refused():
    selection = SelectionMethod()
    selection.needs = frozenset({"boxes"})
    with pytest.raises(ValueError, match=r"'detector' needs detected boxes, .* selection\.name=class_balanced"):
        build_host("ael").check_selection("detector", selection)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"paste_classes": 0}, "paste_classes' must be a whole number of at least 1 but", id="classes"),
        pytest.param({"paste_probability": 1.5}, "at least 0 and at most 1 but is 1.5", id="p"),
        pytest.param({"never_pasted": "sky"}, "never_pasted: must be a list of class ids, got 'sky'", id="text"),
        pytest.param({"never_pasted": [True]}, "never_pasted: must be a list of class ids", id="bool"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        build_host("ael", **options)
