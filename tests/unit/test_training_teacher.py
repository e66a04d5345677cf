"""The moving average."""

import pytest
import torch
from torch import nn

from tests.unit.training_cases import tiny_config, write_blocks
from training.data import open_training_data
from training.loop import train_step
from training.session import build_recipe, build_session
from training.teacher import decay_at, update_teacher


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(0, 0.0, id="first-update-copies"),
        pytest.param(1, 0.5, id="second-update-halves"),
        pytest.param(9, 0.9, id="warm-up"),
        pytest.param(999, 0.99, id="limit"),
    ],
)
def test_decay_warms_up_to_its_limit(step, expected):
    assert decay_at(step, 0.99) == pytest.approx(expected)


def filled(value: float) -> nn.Module:
    module = nn.BatchNorm1d(2).eval()
    for tensor in module.state_dict().values():
        tensor.fill_(value)
    return module


def test_parameters_and_statistics_are_averaged():
    teacher = filled(0.0)
    update_teacher(teacher, filled(1.0), decay=0.75)
    floats = [tensor for tensor in teacher.state_dict().values() if tensor.is_floating_point()]
    assert len(floats) == 4 and all(torch.allclose(tensor, torch.full_like(tensor, 0.25)) for tensor in floats)


def test_counters_are_copied():
    teacher = filled(0.0)
    update_teacher(teacher, filled(7.0), decay=0.75)
    assert teacher.num_batches_tracked.item() == 7


def test_the_student_is_left_alone():
    student = filled(1.0)
    update_teacher(filled(0.0), student, decay=0.0)
    assert all((tensor == 1).all() for tensor in student.state_dict().values())


def test_a_teacher_in_train_mode_keeps_its_own_statistics():
    teacher = filled(0.0).train()
    update_teacher(teacher, filled(1.0), decay=0.75)
    assert (teacher.weight == 0.25).all() and (teacher.running_mean == 0).all() and teacher.num_batches_tracked == 0


@pytest.mark.parametrize("host", ["unimatch_v2", "u2pl"])
def test_a_runs_teacher_first_copies_the_student_then_averages_what_it_became(tmp_path, host):
    config = tiny_config(write_blocks(tmp_path / "data"), host)
    session = build_session(config, build_recipe(config), open_training_data(config.data), None)
    loader, move = session.loader(), session.mover()
    expected = 0.0
    for step, decay in enumerate((0.0, 1 / 2, 2 / 3)):
        train_step(session, move(loader.batch(step)))
        moved = torch.cat([parameter.detach().flatten() for parameter in session.bare_student.parameters()])
        expected = decay * expected + (1 - decay) * moved
        found = torch.cat([parameter.flatten() for parameter in session.teacher.parameters()])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert session.teacher.training is (host == "u2pl") and not torch.equal(found, moved)


def test_a_steps_teacher_gives_no_gradient_even_if_its_parameters_ask_for_one(tmp_path):
    config = tiny_config(write_blocks(tmp_path / "data"), "unimatch_v2")
    session = build_session(config, build_recipe(config), open_training_data(config.data), None)
    session.teacher.requires_grad_(True)
    image = torch.randn(1, 3, 32, 32)
    assert session.teacher(image).logits.requires_grad
    assert not session.context().teacher(image).logits.requires_grad
