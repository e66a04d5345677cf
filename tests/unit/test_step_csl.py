"""The step of CSL against the same loss written out pixel by pixel."""

import pytest
import torch

from tests.unit.step_cases import RecordingStudent, pasted_by_hand, written_out_loss
from tests.unit.training_cases import TinyStudent, tiny_batch, tiny_context
from training.lookup import build_host


def written_out(batch):
    """L = (L_x + 0.25 L_s + 0.25 L_m + 0.5 L_fp) / 2 from the ingredients, without the host."""
    student, u = TinyStudent(), batch.unlabeled
    context = tiny_context(student)
    view_s, view_m = u.strong_views
    with torch.no_grad():
        weak = student(u.weak_view)
        selected = context.select(weak, u)
        loss_x = written_out_loss(
            student(batch.labeled.image).logits, batch.labeled.label, batch.labeled.weight, batch.labeled.weight > 0
        )
        planes = [view_s.image, selected.pseudo_label, selected.weight, u.valid]
        pasted = pasted_by_hand(planes, view_s.paste_mask, u.partner)
        loss_s = written_out_loss(student(pasted[0]).logits, *pasted[1:])
        masked = view_m.image.clone()
        for n, y, x in (selected.reliable & view_m.block_mask).nonzero().tolist():
            masked[n, :, y, x] = 0.0
        loss_m = written_out_loss(student(masked).logits, selected.pseudo_label, selected.weight, u.valid)
        perturbed = student(u.weak_view, perturb_last=len(u.weak_view)).logits[len(u.weak_view) :]
        loss_fp = written_out_loss(perturbed, selected.pseudo_label, selected.weight, u.valid)
    return {"loss_x": loss_x, "loss_s": loss_s, "loss_m": loss_m, "loss_fp": loss_fp}


@pytest.mark.parametrize("part", ["loss_x", "loss_s", "loss_m", "loss_fp"])
def test_each_branch_equals_the_loss_written_out(part):
    batch = tiny_batch()
    losses = build_host("csl").losses(tiny_context(TinyStudent()), batch)
    assert losses.parts[part].item() == pytest.approx(written_out(batch)[part], rel=1e-5)


def test_the_branches_are_added_with_the_released_factors():
    batch = tiny_batch()
    expected = written_out(batch)
    total = build_host("csl").losses(tiny_context(TinyStudent()), batch).total.item()
    by_hand = (
        expected["loss_x"] + 0.25 * expected["loss_s"] + 0.25 * expected["loss_m"] + 0.5 * expected["loss_fp"]
    ) / 2
    assert total == pytest.approx(by_hand, rel=1e-5)


def test_two_passes_of_the_student_are_enough():
    student = RecordingStudent()
    build_host("csl").losses(tiny_context(student), tiny_batch())
    assert [len(images) for images in student.seen] == [4, 4]


def test_trusted_pixels_are_hidden_inside_the_blocks_only():
    batch, student = tiny_batch(), RecordingStudent()
    build_host("csl").losses(tiny_context(student), batch)
    u = batch.unlabeled
    view, shown = u.strong_views[1], student.seen[1][2:]
    with torch.no_grad():
        selected = tiny_context(student).select(TinyStudent()(u.weak_view), u)
    hidden = (shown == 0).all(dim=1)
    assert torch.equal(hidden, selected.reliable & view.block_mask) and hidden.any()


def test_no_gradient_reaches_the_student_through_the_pseudo_labels():
    batch, student = tiny_batch(), TinyStudent()
    selected = tiny_context(student).select(student(batch.unlabeled.weak_view), batch.unlabeled)
    assert not selected.weight.requires_grad


def test_pixels_outside_valid_change_no_loss():
    batch = tiny_batch()
    losses = build_host("csl").losses(tiny_context(TinyStudent()), batch)
    batch.unlabeled.strong_views[0].image[:, :, -1] = 99.0  # outside `valid`, two rows away from every valid pixel
    batch.unlabeled.strong_views[1].image[:, :, -1] = 99.0
    again = build_host("csl").losses(tiny_context(TinyStudent()), batch)
    assert torch.equal(losses.total, again.total)


def test_coverage_counts_reliable_pixels_among_valid_ones():
    batch = tiny_batch()
    losses = build_host("csl").losses(tiny_context(TinyStudent()), batch)
    with torch.no_grad():
        selected = tiny_context(TinyStudent()).select(TinyStudent()(batch.unlabeled.weak_view), batch.unlabeled)
    valid = batch.unlabeled.valid
    assert losses.coverage.item() == pytest.approx((selected.reliable & valid).sum().item() / valid.sum().item())
