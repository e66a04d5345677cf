"""The step of UniMatch against the same loss written out pixel by pixel."""

import pytest
import torch

from tests.unit.step_cases import RecordingStudent, boxed_batch, pasted_by_hand, written_out_loss
from tests.unit.training_cases import TinyStudent, tiny_context
from training.lookup import build_host


def losses_of(batch, student=None):
    return build_host("unimatch").losses(tiny_context(student or TinyStudent()), batch)


def written_out(batch):
    """The four terms from their ingredients, without the host."""
    student, u = TinyStudent(), batch.unlabeled
    with torch.no_grad():
        selected = tiny_context(student).select(student(u.weak_view), u)
        x = batch.labeled
        parts = {"loss_x": written_out_loss(student(x.image).logits, x.label, x.weight, x.weight > 0)}
        for name, view in zip(("loss_s1", "loss_s2"), u.strong_views, strict=True):
            planes = [view.image, selected.pseudo_label, selected.weight, u.valid]
            image, *target = pasted_by_hand(planes, view.paste_mask, u.partner)
            parts[name] = written_out_loss(student(image).logits, *target)
        perturbed = student(u.weak_view, perturb_last=len(u.weak_view)).logits[len(u.weak_view) :]
        parts["loss_fp"] = written_out_loss(perturbed, selected.pseudo_label, selected.weight, u.valid)
    return parts


@pytest.mark.parametrize("part", ["loss_x", "loss_s1", "loss_s2", "loss_fp"])
def test_each_branch_equals_the_loss_written_out(part):
    batch = boxed_batch()
    assert losses_of(batch).parts[part].item() == pytest.approx(written_out(batch)[part], rel=1e-5)


def test_the_branches_are_added_with_the_released_factors():
    batch = boxed_batch()
    part = written_out(batch)
    by_hand = (part["loss_x"] + 0.25 * part["loss_s1"] + 0.25 * part["loss_s2"] + 0.5 * part["loss_fp"]) / 2
    assert losses_of(batch).total.item() == pytest.approx(by_hand, rel=1e-5)


def test_each_strong_view_is_mixed_with_its_own_box():
    batch, student = boxed_batch(), RecordingStudent()
    losses_of(batch, student)
    first, second = batch.unlabeled.strong_views
    expected = [pasted_by_hand([view.image], view.paste_mask, batch.unlabeled.partner)[0] for view in (first, second)]
    assert torch.equal(student.seen[1], torch.cat(expected))


def test_two_passes_of_the_student_in_train_mode_are_enough():
    student = RecordingStudent().train()
    losses_of(boxed_batch(), student)
    assert [len(images) for images in student.seen] == [4, 4] and student.modes == [True, True]


def test_only_the_weak_crops_get_a_perturbed_copy():
    batch, student = boxed_batch(), RecordingStudent()
    losses_of(batch, student)
    shown = student.seen[0][-student.options[0]["perturb_last"] :]
    assert torch.equal(shown, batch.unlabeled.weak_view)


def test_pixels_outside_valid_change_no_loss():
    batch = boxed_batch()
    before = losses_of(batch).total
    for view in batch.unlabeled.strong_views:
        view.image[:, :, -1] = 99.0  # outside `valid`, two rows away from every valid pixel
    assert torch.equal(before, losses_of(batch).total)


def test_without_a_valid_pixel_half_of_the_supervised_loss_is_left():
    batch = boxed_batch()
    batch.unlabeled.valid[:] = False
    losses = losses_of(batch)
    assert losses.total.item() == pytest.approx(losses.parts["loss_x"].item() / 2)
