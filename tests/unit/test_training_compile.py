"""run.compile: the same steps and the same checkpoints, traced by torch.compile."""

import functools

import pytest
import torch

from tests.unit.training_cases import tiny_config, write_blocks
from training.config_json import apply_changes
from training.data import open_training_data
from training.loop import train_step
from training.session import build_recipe, build_session


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """A plain and a compiled session after one step each, with the losses; traced only, without a C++ compiler.

    Fixmatch, since dropout draws other numbers in compiled code.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.session.torch.compile", functools.partial(torch.compile, backend="eager"))
        config = tiny_config(write_blocks(tmp_path_factory.mktemp("blocks") / "data"), host="fixmatch")
        made = []
        for compiles in ("false", "true"):
            each = apply_changes(config, [f"run.compile={compiles}"])
            session = build_session(each, build_recipe(each), open_training_data(each.data), None)
            losses, _ = train_step(session, session.mover()(session.loader().batch(0)))
            made.append((session, losses.total.item()))
        return made


def test_a_compiled_step_has_the_same_loss(sessions):
    (_, plain), (_, compiled) = sessions
    assert compiled == pytest.approx(plain, rel=1e-5)


def test_a_compiled_student_is_what_steps_call(sessions):
    (plain, _), (compiled, _) = sessions
    assert plain.context().student is plain.student and compiled.context().student is not compiled.student


def test_checkpoints_of_a_compiled_run_have_the_same_names(sessions):
    (plain, _), (compiled, _) = sessions
    names = [{group: sorted(each) for group, each in s.checkpoint().tensors.items()} for s in (plain, compiled)]
    assert names[0] == names[1] and len(names[0]["student"]) > 50


def test_a_compiled_student_moves_the_weights_that_are_saved(sessions):
    (plain, _), (compiled, _) = sessions
    one, other = (s.checkpoint().tensors["student"] for s in (plain, compiled))
    assert all(torch.allclose(one[name].float(), other[name].float(), atol=1e-4) for name in one)
