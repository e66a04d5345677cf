"""The step of U2PL: who labels, who judges, what is compared, and what is remembered."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from datasets.labels import IGNORE_INDEX
from reliability.selection import SelectionMethod
from tests.unit.step_cases import Learner, RecordingStudent, context_of, tiny_host
from tests.unit.training_cases import TinyStudent, tiny_batch
from training.hosts import u2pl
from training.hosts.u2pl import mixed_batch, weak_label
from training.lookup import build_host


@pytest.fixture
def lower_half(monkeypatch):
    """Every batch is mixed, in the lower half of each image."""

    def boxes(count, size_hw, device):
        mask = torch.zeros(count, *size_hw, dtype=torch.bool)
        mask[:, size_hw[0] // 2 :] = True
        return mask

    monkeypatch.setattr(u2pl, "half_boxes", boxes)
    monkeypatch.setattr(u2pl, "CUTMIX_PROBABILITY", 2.0)


def losses_of(batch, student=None, teacher=None, host=None, selection="s4mc", **options):
    context = context_of(student or TinyStudent(), teacher or TinyStudent(seed=1), selection, **options)
    return (host or tiny_host("u2pl")).losses(context, batch)


def halves_swapped(plane):
    """Two images whose lower halves changed places."""
    half = plane.shape[-2] // 2
    return torch.cat([plane[..., :half, :], plane.flip(0)[..., half:, :]], dim=-2)


def test_students_and_teacher_see_labeled_and_mixed_crops_together(lower_half):
    batch, student, teacher = tiny_batch(), RecordingStudent(), RecordingStudent(seed=1)
    losses_of(batch, student, teacher)
    together = torch.cat([batch.labeled.image, halves_swapped(batch.unlabeled.weak_view)])
    assert len(student.seen) == 1 and torch.equal(student.seen[0], together)
    assert torch.equal(teacher.seen[0], batch.unlabeled.weak_view) and torch.equal(teacher.seen[1], together)


def test_pseudo_labels_come_from_the_weak_view_and_their_reliability_from_the_mixed_one(lower_half):
    batch, student, teacher = tiny_batch(), TinyStudent(), TinyStudent(seed=1)
    u = batch.unlabeled
    with torch.no_grad():
        mixed_view = halves_swapped(u.weak_view)
        label = halves_swapped(teacher(u.weak_view).logits.argmax(dim=1))
        confidence = teacher(mixed_view).logits.softmax(dim=1).amax(dim=1)
        kept = halves_swapped(u.valid) & (confidence >= 0.5)
        loss = cross_entropy(student(mixed_view).logits, label, reduction="none")
        expected = (loss * kept).sum() / u.valid.sum()
    found = losses_of(batch, student, teacher, selection="fixed_threshold", threshold=0.5).parts["loss_u"]
    assert 0 < kept.sum() < u.valid.sum() and found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_peoples_labels_are_mixed_along(lower_half):
    u = tiny_batch().unlabeled
    u.known_label[0, -1, -1] = 2
    mixed_u, label = mixed_batch(u, weak_label(TinyStudent()(u.weak_view), u))
    assert label[1, -1, -1] == 2 and mixed_u.known_label[1, -1, -1] == 2
    assert mixed_u.known_label[0, -1, -1] == IGNORE_INDEX


def test_half_of_the_batches_are_not_mixed():
    torch.manual_seed(0)
    u = tiny_batch().unlabeled
    label = torch.zeros_like(u.known_label)
    unmixed = sum(torch.equal(mixed_batch(u, label)[0].weak_view, u.weak_view) for _ in range(400))
    assert 160 < unmixed < 240


def test_the_contrastive_term_has_the_papers_weight():
    host = tiny_host("u2pl")
    host.negatives.push(torch.randn(1, 3, 20, 3), torch.ones(1, 3, 20, dtype=torch.bool))
    losses = losses_of(tiny_batch(), host=host)
    part = {name: value.item() for name, value in losses.parts.items()}
    assert part["loss_c"] > 0
    assert losses.total.item() == pytest.approx(part["loss_x"] + part["loss_u"] + 0.1 * part["loss_c"], rel=1e-5)


def test_the_first_step_has_no_negatives_to_compare_with():
    assert losses_of(tiny_batch()).parts["loss_c"].item() == 0


def test_negatives_of_a_step_are_remembered_for_the_next():
    host = tiny_host("u2pl", low_rank=1)
    host.absorb(losses_of(tiny_batch(), host=host).host_rows)
    assert host.negatives.count.sum() > 0 and losses_of(tiny_batch(), host=host).parts["loss_c"].item() > 0


@pytest.mark.parametrize("change", ["void", "half-trusted"])
def test_only_peoples_labels_are_labeled_cells(change):
    batch = tiny_batch()
    if change == "void":
        batch.labeled.label[:] = IGNORE_INDEX
    else:
        batch.labeled.weight[:] = 0.5
    batch.unlabeled.valid[:] = False
    assert not losses_of(batch).host_rows["is_row"].any()


def test_rows_to_remember_have_one_shape_whatever_the_batch_holds():
    batch = tiny_batch()
    before = losses_of(batch).host_rows
    batch.unlabeled.valid[:] = False
    batch.labeled.label[:] = 1
    after = losses_of(batch).host_rows
    assert {name: rows.shape for name, rows in before.items()} == {name: rows.shape for name, rows in after.items()}


def test_without_a_valid_pixel_the_supervised_loss_is_left():
    batch = tiny_batch()
    batch.unlabeled.valid[:] = False
    losses = losses_of(batch)
    assert losses.total.item() == pytest.approx(losses.parts["loss_x"].item())


def test_pixels_outside_valid_change_no_loss(lower_half):
    batch = tiny_batch()
    torch.manual_seed(0)
    before = losses_of(batch).total
    batch.unlabeled.weak_view[:, :, -1] = 99.0  # two rows away from every valid pixel
    torch.manual_seed(0)
    assert torch.equal(before, losses_of(batch).total)


def test_the_teacher_averages_parameters_and_normalizes_over_its_batch():
    host = build_host("u2pl")
    assert (host.ema_decay, host.teacher_mode, host.projection_channels) == (0.99, "train", 256)


def test_the_memory_is_part_of_the_hosts_state():
    host, other = tiny_host("u2pl"), tiny_host("u2pl")
    host.negatives.push(torch.randn(1, 3, 5, 3), torch.ones(1, 3, 5, dtype=torch.bool))
    other.load_state_dict(host.state_dict())
    assert torch.equal(other.negatives.rows, host.negatives.rows) and other.negatives.count.tolist() == [5, 5, 5]


@pytest.mark.parametrize("attribute", ["needs", "learns_from"])
def test_a_method_that_looks_at_boxes_is_refused(attribute):
    selection = SelectionMethod()
    setattr(selection, attribute, frozenset({"boxes"}))
    with pytest.raises(ValueError, match=r"'detector' looks at detected boxes, .* Use host\.name=unimatch"):
        build_host("u2pl").check_selection("detector", selection)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"low_rank": 0}, "low_rank' must be a whole number of at least 1 but is 0", id="low_rank"),
        pytest.param({"low_rank": 5, "high_rank": 5}, "high_rank: must be above low_rank 5, got 5", id="ranks"),
        pytest.param({"memory_rows": 1.5}, "memory_rows' must be a whole number of at least 1 but is", id="rows"),
        pytest.param({"contrast_weight": -1}, "contrast_weight' must be a number of at least 0 but is -1", id="weight"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        build_host("u2pl", **options)


def test_a_method_learns_from_the_mixed_image_as_it_is(lower_half):
    batch, student, teacher = tiny_batch(), TinyStudent(), TinyStudent(seed=1)
    context = replace(context_of(student, teacher), selection=Learner())
    (seen,) = tiny_host("u2pl").losses(context, batch).observed
    u = batch.unlabeled
    with torch.no_grad():
        expected = student(halves_swapped(u.weak_view)).logits
        label = halves_swapped(teacher(u.weak_view).logits.argmax(dim=1))
    torch.testing.assert_close(seen.logits, expected)
    assert torch.equal(seen.label, label) and torch.equal(seen.valid, halves_swapped(u.valid))
