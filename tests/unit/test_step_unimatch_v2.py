"""The step of UniMatch V2 against the same loss written out pixel by pixel."""

import pytest
import torch

from tests.unit.step_cases import RecordingStudent, boxed_batch, context_of, pasted_by_hand, written_out_loss
from tests.unit.training_cases import TinyStudent
from training.lookup import build_host


def losses_of(batch, student=None, teacher=None):
    return build_host("unimatch_v2").losses(context_of(student or TinyStudent(), teacher or TinyStudent(seed=1)), batch)


def written_out(batch):
    """The three terms from their ingredients: the first view without its red channel, the second with twice as much."""
    student, teacher, x, u = TinyStudent(), TinyStudent(seed=1), batch.labeled, batch.unlabeled
    with torch.no_grad():
        selected = context_of(student).select(teacher(u.weak_view), u)
        parts = {"loss_x": written_out_loss(student(x.image).logits, x.label, x.weight, x.weight > 0)}
        for name, view, red in zip(("loss_s1", "loss_s2"), u.strong_views, (0.0, 2.0), strict=True):
            planes = [view.image, selected.pseudo_label, selected.weight, u.valid]
            image, *target = pasted_by_hand(planes, view.paste_mask, u.partner)
            image[:, 0] *= red
            parts[name] = written_out_loss(student(image).logits, *target)
    return parts


@pytest.mark.parametrize("part", ["loss_x", "loss_s1", "loss_s2"])
def test_each_branch_equals_the_loss_written_out(part):
    batch = boxed_batch()
    assert losses_of(batch).parts[part].item() == pytest.approx(written_out(batch)[part], rel=1e-5)


def test_the_strong_views_count_half_of_the_labels_each():
    batch = boxed_batch()
    part = written_out(batch)
    by_hand = part["loss_x"] / 2 + part["loss_s1"] / 4 + part["loss_s2"] / 4
    assert losses_of(batch).total.item() == pytest.approx(by_hand, rel=1e-5)


def test_the_strong_views_are_the_complementary_part_of_one_pass():
    student = RecordingStudent()
    losses_of(boxed_batch(), student)
    assert [len(images) for images in student.seen] == [6] and student.options == [{"complement_last": 4}]


def test_the_teacher_sees_the_weak_view_only():
    batch, teacher = boxed_batch(), RecordingStudent(seed=1)
    losses_of(batch, teacher=teacher)
    assert len(teacher.seen) == 1 and torch.equal(teacher.seen[0], batch.unlabeled.weak_view)


def test_the_teacher_is_an_average_in_eval_mode_with_the_released_decay():
    host = build_host("unimatch_v2")
    assert (host.ema_decay, host.teacher_mode) == (0.996, "eval")


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


@pytest.mark.parametrize("decay", [1.0, -0.1, True, "high"])
def test_a_decay_outside_0_to_1_is_refused(decay):
    with pytest.raises(ValueError, match=r"host\.options\.ema_decay' must be a number of at least 0 and below 1"):
        build_host("unimatch_v2", ema_decay=decay)
