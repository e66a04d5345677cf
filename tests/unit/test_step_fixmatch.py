"""FixMatch: who teaches, and what the loss is."""

import pytest
import torch

from tests.unit.step_cases import RecordingStudent
from tests.unit.training_cases import TinyStudent, tiny_batch, tiny_context
from training.lookup import build_host
from training.losses import consistency_loss
from training.step import StepContext, mixed, mixed_targets


def test_the_loss_is_half_the_sum_of_both_branches():
    losses = build_host("fixmatch").losses(tiny_context(TinyStudent()), tiny_batch(recipes=1))
    assert losses.total.item() == pytest.approx((losses.parts["loss_x"] + losses.parts["loss_s"]).item() / 2)


def test_the_teacher_labels_the_weak_view():
    batch, student, teacher = tiny_batch(recipes=1), TinyStudent(seed=0), TinyStudent(seed=1)
    plain = tiny_context(student)
    context = StepContext(student, teacher, plain.selection, plain.supervised_loss, plain.progress)
    losses = build_host("fixmatch", teacher="ema").losses(context, batch)
    u = batch.unlabeled
    (view,) = u.strong_views
    with torch.no_grad():
        target = mixed_targets(context.select(teacher(u.weak_view), u), u.valid, view, u.partner)
        logits = student(mixed(view.image, view.paste_mask, u.partner)).logits
        expected = consistency_loss(logits, target, "valid")
    assert losses.parts["loss_s"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_student_labels_the_weak_view_in_eval_mode_and_learns_in_train_mode():
    batch, student = tiny_batch(recipes=1), RecordingStudent().train()
    build_host("fixmatch").losses(tiny_context(student), batch)
    assert torch.equal(student.seen[0], batch.unlabeled.weak_view) and student.modes == [False, True]
    assert student.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"teacher": "frozen"}, "teacher' must be one of 'none', 'ema' but", id="teacher"),
        pytest.param({"ema_decay": 1.0}, "must be a number of at least 0 and below 1 but is 1.0", id="decay-1"),
        pytest.param({"ema_decay": "high"}, "must be a number", id="decay-text"),
        pytest.param({"decay": 0.9}, "has no option 'decay'; it takes teacher, ema_decay", id="unknown"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        build_host("fixmatch", **options)


def test_without_a_teacher_there_is_no_decay():
    assert build_host("fixmatch").ema_decay is None and build_host("fixmatch", teacher="ema").ema_decay == 0.996
