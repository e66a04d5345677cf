"""The step of AugSeg: adaptive mixing, what is pasted, and what the loss averages over."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from datasets.labels import IGNORE_INDEX
from tests.unit.step_cases import Learner, RecordingStudent, context_of
from tests.unit.training_cases import TinyStudent, tiny_batch
from training.hosts import augseg
from training.hosts.augseg import adaptive_source, image_score, pasted_targets
from training.lookup import build_host
from training.losses import consistency_loss
from training.pasting import pasted

ALWAYS_SURE, NEVER_SURE = torch.ones(4), torch.full((4,), -1.0)


def losses_of(batch, student=None, teacher=None, selection="csl", **options):
    torch.manual_seed(3)
    context = context_of(student or TinyStudent(), teacher or TinyStudent(seed=1), selection)
    return build_host("augseg", **options).losses(context, batch)


def test_a_certain_image_scores_1_and_a_uniform_one_0():
    logits = torch.zeros(2, 3, 2, 2)
    logits[0, 1] = 50.0
    torch.testing.assert_close(image_score(logits, torch.ones(2, 2, 2, dtype=torch.bool)), torch.tensor([1.0, 0.0]))


def test_the_score_is_the_mean_of_confidence_times_one_minus_relative_entropy():
    logits = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log().T.view(1, 2, 1, 2)  # one pixel at 0.8 / 0.2, one undecided
    entropy = -(0.8 * torch.tensor(0.8).log() + 0.2 * torch.tensor(0.2).log()) / torch.tensor(2.0).log()
    expected = 0.8 * (1 - entropy) / 2
    assert image_score(logits, torch.ones(1, 1, 2, dtype=torch.bool)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_padding_takes_no_part_in_the_score():
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 0, 0, 0] = 50.0
    assert image_score(logits, torch.tensor([[[True, False]]])).item() == pytest.approx(1.0)


def test_an_image_without_a_valid_pixel_scores_0():
    assert image_score(torch.randn(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool)).item() == 0


def test_images_the_teacher_knows_get_pixels_of_their_partner_only():
    torch.manual_seed(0)
    partner = torch.tensor([1, 0, 3, 2])
    source = adaptive_source(ALWAYS_SURE, partner, 2, (32, 32))
    own = torch.arange(4).view(4, 1, 1)
    assert ((source == own) | (source == partner.view(4, 1, 1))).all() and (source != own).any()


def test_labeled_pixels_arrive_through_a_partner_the_teacher_does_not_know():
    torch.manual_seed(0)
    rho = torch.tensor([1.0, -1.0, 1.0, 1.0])  # only image 1 is helped
    source = adaptive_source(rho, torch.tensor([1, 0, 3, 2]), 2, (32, 32))
    assert [bool((each >= 4).any()) for each in source] == [True, False, False, False]


def test_labeled_crops_come_from_the_whole_labeled_batch():
    torch.manual_seed(0)
    seen = {
        int(n) for _ in range(50) for n in adaptive_source(NEVER_SURE, torch.tensor([1, 0, 3, 2]), 3, (8, 8)).unique()
    }
    assert seen == set(range(7))


def helped_images(score):
    """How many of 4000 images with this score show a labeled pixel, under the same boxes."""
    torch.manual_seed(0)
    source = adaptive_source(torch.full((4000,), score), torch.arange(4000).roll(1), 1, (8, 8))
    return (source == 4000).any(dim=(1, 2)).sum().item()


def test_chance_of_help_is_one_minus_the_score():
    assert helped_images(0.3) / helped_images(-1.0) == pytest.approx(0.7, abs=0.03)


def test_pasted_labeled_pixels_count_with_their_own_label_and_weight():
    batch = tiny_batch()
    x, u = batch.labeled, batch.unlabeled
    x.weight[0, 0, 0] = 0.5
    selected = context_of(TinyStudent()).select(TinyStudent()(u.weak_view), u)
    source = torch.zeros_like(u.known_label)
    source[0, 0, 0] = 2  # labeled crop 0
    target = pasted_targets(selected, u, x, source)
    assert (target.pseudo_label[0, 0, 0], target.weight[0, 0, 0], target.valid[0, 0, 0]) == (
        x.label[0, 0, 0],
        0.5,
        True,
    )


@pytest.mark.parametrize("reason", ["void", "unreviewed"])
def test_labeled_pixels_without_a_label_are_not_valid_after_pasting(reason):
    batch = tiny_batch()
    x, u = batch.labeled, batch.unlabeled
    if reason == "void":
        x.label[:] = IGNORE_INDEX
    else:
        x.weight[:] = 0.0
    selected = context_of(TinyStudent()).select(TinyStudent()(u.weak_view), u)
    assert not pasted_targets(selected, u, x, torch.full_like(u.known_label, 3)).valid.any()


def test_the_student_sees_labeled_and_mixed_strong_crops_in_one_pass(monkeypatch):
    batch, student = tiny_batch(recipes=1), RecordingStudent()
    source = torch.randint(0, 4, batch.unlabeled.valid.shape)
    monkeypatch.setattr(augseg, "adaptive_source", lambda *_: source)
    losses_of(batch, student)
    (strong,) = batch.unlabeled.strong_views
    (seen,) = student.seen
    assert torch.equal(seen, torch.cat([batch.labeled.image, pasted(strong.image, batch.labeled.image, source)]))


def mean_over_all(logits, target):
    """Sum of weight * CE over valid pixels, divided by the number of all pixels, in a plain loop."""
    total = 0.0
    for n, y, x in target.valid.nonzero().tolist():
        loss = cross_entropy(logits[n : n + 1, :, y, x], target.pseudo_label[n, y, x].view(1))
        total += target.weight[n, y, x].item() * loss.item()
    return total / target.valid.numel()


def ingredients(batch, monkeypatch):
    """Logits and targets of the mixed view under a fixed source."""
    u, student, teacher = batch.unlabeled, TinyStudent(), TinyStudent(seed=1)
    source = torch.randint(0, 4, u.valid.shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(augseg, "adaptive_source", lambda *_: source)
    with torch.no_grad():
        selected = context_of(student).select(teacher(u.weak_view), u)
        logits = student(pasted(u.strong_views[0].image, batch.labeled.image, source)).logits
    return logits, pasted_targets(selected, u, batch.labeled, source)


def test_the_unlabeled_loss_is_the_mean_over_all_pixels(monkeypatch):
    batch = tiny_batch(recipes=1)
    logits, target = ingredients(batch, monkeypatch)
    assert losses_of(batch).parts["loss_u"].item() == pytest.approx(mean_over_all(logits, target), rel=1e-5)


def test_the_divisor_may_follow_the_selection_instead(monkeypatch):
    batch = tiny_batch(recipes=1)
    logits, target = ingredients(batch, monkeypatch)
    expected = consistency_loss(logits, target, "valid").item()
    assert losses_of(batch, normalizer="selection").parts["loss_u"].item() == pytest.approx(expected, rel=1e-5)


def test_both_losses_have_unit_weight():
    losses = losses_of(tiny_batch(recipes=1))
    assert losses.total.item() == pytest.approx((losses.parts["loss_x"] + losses.parts["loss_u"]).item())


def test_the_teacher_copies_the_student_in_the_first_epoch():
    host = build_host("augseg")
    assert [host.ema_decay_at(step, 5) for step in range(5)] == [0.0] * 5


def test_the_teacher_averages_after_the_first_epoch():
    host = build_host("augseg")
    assert (host.ema_decay_at(5, 5), host.ema_decay_at(10**6, 5)) == (pytest.approx(1 - 1 / 6), 0.999)


def test_without_a_valid_pixel_and_a_pasted_one_the_supervised_loss_is_left(monkeypatch):
    batch = tiny_batch(recipes=1)
    batch.unlabeled.valid[:] = False
    unmixed = torch.arange(2).view(2, 1, 1).expand(batch.unlabeled.valid.shape)
    monkeypatch.setattr(augseg, "adaptive_source", lambda *_: unmixed)
    losses = losses_of(batch)
    assert losses.total.item() == losses.parts["loss_x"].item() > 0


def test_another_normalizer_is_refused():
    with pytest.raises(
        ValueError, match=r"host\.options\.normalizer' must be one of 'valid', 'all', 'kept', 'weight', 'sel"
    ):
        build_host("augseg", normalizer="pixels")


def test_a_method_learns_from_unlabeled_pixels_only(monkeypatch):
    batch = tiny_batch(recipes=1)
    source = torch.randint(0, 4, batch.unlabeled.valid.shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(augseg, "adaptive_source", lambda *_: source)
    context = replace(context_of(TinyStudent(), TinyStudent(seed=1)), selection=Learner())
    (seen,) = build_host("augseg").losses(context, batch).observed
    own = pasted(batch.unlabeled.valid, torch.ones_like(batch.unlabeled.valid), source)
    assert torch.equal(seen.valid, own & (source < 2)) and not seen.is_labeled
