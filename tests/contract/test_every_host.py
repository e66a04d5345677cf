"""What every file in training/hosts/ must keep with its default options; a new file is tested without a change.

One step of a real student on small crops, with every selection method that the host accepts.
"""

import copy
from functools import cache

import pytest
import torch

from datasets.labels import IGNORE_INDEX
from reliability.lookup import build_method
from tests.unit.training_cases import accepts, allowed_pairs
from training.config import ModelConfig
from training.lookup import build_host, host_names
from training.losses import supervised_loss
from training.models import build_student, make_teacher
from training.step import Host, LabeledBatch, StepBatch, StepContext, StrongView, UnlabeledBatch

NUM_CLASSES = 4
IMAGES = 2
SIZE, CELL = 32, 8


@cache
def fresh_student(projection_channels: int):
    torch.manual_seed(0)
    student = build_student(ModelConfig(backbone="fpn_resnet10t"), NUM_CLASSES)
    if projection_channels:
        student.add_projection(projection_channels)
    return student.train()


def random_batch(recipes: int, seed: int = 0) -> StepBatch:
    """Crops with a void stripe, padding, people's labels in a corner of one unlabeled crop and a box in each."""
    generator = torch.Generator().manual_seed(seed)
    shape = IMAGES, SIZE, SIZE

    def image():
        return torch.randn(IMAGES, 3, SIZE, SIZE, generator=generator)

    def cells():
        drawn = torch.rand(IMAGES, SIZE // CELL, SIZE // CELL, generator=generator) < 0.5
        return drawn.kron(torch.ones(1, CELL, CELL, dtype=torch.bool))

    label = torch.randint(0, NUM_CLASSES, shape, generator=generator)
    label[:, :8] = IGNORE_INDEX
    weight = (label != IGNORE_INDEX).float()
    valid = torch.ones(shape, dtype=torch.bool)
    valid[:, -8:] = False
    known = torch.full(shape, IGNORE_INDEX)
    known[0, :8, :8] = 1
    boxes = torch.tensor([[[4.0, 4.0, 20.0, 20.0, 1.0], [0.0, 0.0, 9.0, 9.0, 2.0]]]).repeat(IMAGES, 1, 1)
    return StepBatch(
        LabeledBatch(image(), label, weight),
        UnlabeledBatch(
            weak_view=image(),
            strong_views=tuple(StrongView(image(), cells(), cells()) for _ in range(recipes)),
            valid=valid,
            known_label=known,
            partner=torch.arange(IMAGES).roll(1),
            boxes=boxes,
        ),
    )


class Step:
    """A host, a student, its teacher and a selection method, ready for one step after another."""

    def __init__(self, host_name: str, method_name: str) -> None:
        self.host: Host = build_host(host_name)
        self.selection = build_method(method_name)
        self.student = copy.deepcopy(fresh_student(self.host.projection_channels))
        self.host.check_selection(method_name, self.selection)
        for stateful in (self.host, self.selection):
            stateful.prepare(NUM_CLASSES, self.student.num_features)
        self.teacher = None if self.host.ema_decay is None else make_teacher(self.student, self.host.teacher_mode)

    def batch(self) -> StepBatch:
        return random_batch(len(self.host.strong_recipes))

    def losses(self, batch: StepBatch):
        torch.manual_seed(0)
        teach = None if self.teacher is None else torch.no_grad()(self.teacher)
        return self.host.losses(StepContext(self.student, teach, self.selection, supervised_loss, 0.5), batch)


TAUGHT = [name for name in host_names() if build_host(name).ema_decay is not None]
LABELS_ONLY = [name for name in host_names() if not build_host(name).uses_unlabeled]
PAIRS = allowed_pairs()


@pytest.fixture(params=host_names())
def host_name(request) -> str:
    return request.param


@pytest.fixture
def step(host_name) -> Step:
    return Step(host_name, "csl")


def gradients(student) -> dict[str, torch.Tensor | None]:
    return {name: parameter.grad for name, parameter in student.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(("host", "method"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_a_step_gives_a_finite_loss_and_reaches_every_parameter(host, method):
    step = Step(host, method)
    losses = step.losses(step.batch())
    losses.total.backward()
    found = gradients(step.student)
    assert torch.isfinite(losses.total)
    assert [name for name, gradient in found.items() if gradient is None] == []
    assert all(torch.isfinite(gradient).all() for gradient in found.values())


@pytest.mark.parametrize("method", ["csl", "fixed_threshold", "s4mc"])
def test_methods_without_inputs_of_their_own_are_accepted(host_name, method):
    assert accepts(host_name, method)


def test_nothing_valid_and_nothing_labeled_gives_no_nan(step):
    batch = step.batch()
    batch.labeled.label[:] = IGNORE_INDEX
    batch.labeled.weight[:] = 0.0
    batch.unlabeled.valid[:] = False
    losses = step.losses(batch)
    losses.total.backward()
    assert losses.total.item() == 0
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients(step.student).values())


def tensors_of(batch: StepBatch) -> list[torch.Tensor]:
    views = [tensor for view in batch.unlabeled.strong_views for tensor in vars(view).values()]
    others = [tensor for part in (batch.labeled, batch.unlabeled) for tensor in vars(part).values()]
    return views + [tensor for tensor in others if isinstance(tensor, torch.Tensor)]


def test_no_tensor_of_the_batch_is_changed(step):
    batch, fresh = step.batch(), step.batch()
    step.losses(batch)
    assert all(torch.equal(one, other) for one, other in zip(tensors_of(batch), tensors_of(fresh), strict=True))


def test_the_same_seed_gives_the_same_loss(host_name):
    one, other = Step(host_name, "csl"), Step(host_name, "csl")
    assert torch.equal(one.losses(one.batch()).total, other.losses(other.batch()).total)


def test_the_student_stays_in_train_mode(step):
    step.losses(step.batch())
    assert step.student.training


@pytest.mark.parametrize("taught", TAUGHT)
def test_a_step_leaves_the_weights_of_its_teacher_alone(taught):
    step = Step(taught, "csl")
    before = [parameter.clone() for parameter in step.teacher.parameters()]
    step.losses(step.batch()).total.backward()
    assert all(torch.equal(*pair) for pair in zip(before, step.teacher.parameters(), strict=True))


@pytest.mark.parametrize("alone", LABELS_ONLY)
def test_a_host_that_uses_labels_only_runs_without_unlabeled_images(alone):
    step = Step(alone, "csl")
    assert torch.isfinite(step.losses(StepBatch(step.batch().labeled, None)).total)


def test_what_a_host_keeps_comes_in_one_shape_and_without_a_gradient(step):
    batch = step.batch()
    first = step.losses(batch).host_rows
    batch.labeled.label[:] = 0
    batch.unlabeled.valid[:] = False
    second = step.losses(batch).host_rows
    assert {name: rows.shape for name, rows in first.items()} == {name: rows.shape for name, rows in second.items()}
    assert all(rows.shape[0] == 1 and not rows.requires_grad for rows in first.values())


def test_state_changes_in_absorb_and_nowhere_else(step):
    before = copy.deepcopy(step.host.state_dict())
    rows = step.losses(step.batch()).host_rows
    after = step.host.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    step.host.absorb(rows)
    assert bool(rows) == any(not torch.equal(before[name], step.host.state_dict()[name]) for name in before)


def test_rows_of_two_processes_leave_the_same_state_whoever_absorbs_them(step, host_name):
    rows = step.losses(step.batch()).host_rows
    gathered = {name: torch.cat([tensor, tensor]) for name, tensor in rows.items()}
    other = Step(host_name, "csl").host
    for host in (step.host, other):
        host.absorb(gathered)
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in step.host.state_dict().items())


def test_state_survives_saving_and_loading(step, host_name):
    rows = step.losses(step.batch()).host_rows
    step.host.absorb(rows)
    other = Step(host_name, "csl").host
    other.load_state_dict(step.host.state_dict())
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in step.host.state_dict().items())


def test_the_terms_of_the_loss_are_logged(step):
    parts = step.losses(step.batch()).parts
    assert parts and all(part.ndim == 0 and name.startswith("loss_") for name, part in parts.items())
