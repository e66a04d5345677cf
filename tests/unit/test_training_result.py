"""Which network a run measures and hands on, and in which precision it is measured."""

from dataclasses import replace

import pytest
import torch

from tests.unit.training_cases import tiny_config, write_blocks
from training.checkpoint import load_checkpoint, load_student
from training.config import SelectionConfig
from training.data import open_training_data
from training.lookup import build_host, host_names
from training.loop import FitOptions, fit
from training.processes import in_full_precision
from training.records import StepMeter
from training.session import build_recipe, build_session
from training.step import StepLosses


@pytest.fixture
def data(tmp_path):
    return write_blocks(tmp_path / "data")


def run(data, folder, host: str, **changes: object):
    """Four steps of a host; its run folder's checkpoint and what load_student gives."""
    config = replace(tiny_config(data, host=host), selection=SelectionConfig(name="fixed_threshold"))
    config = replace(config, host=replace(config.host, **changes))
    fit(config, FitOptions(folder, quiet=True))
    return load_checkpoint(folder).tensors, dict(load_student(folder)[0].state_dict())


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, expected[name]) for name, value in found.items())


@pytest.mark.parametrize("name", host_names())
def test_a_result_that_is_a_teacher_needs_a_teacher(name):
    host = build_host(name)
    assert host.result in ("student", "teacher") and (host.result == "student" or host.ema_decay is not None)


@pytest.mark.parametrize("name", ["augseg", "unimatch_v2"])
def test_the_teacher_is_the_result_where_its_paper_measures_it(data, tmp_path, name):
    groups, loaded = run(data, tmp_path / "run", name)
    assert same(loaded, groups["teacher"]) and not same(loaded, groups["student"])


@pytest.mark.parametrize("name", ["u2pl", "ael"])
def test_hosts_whose_released_code_measures_the_teacher_hand_it_on(name):
    assert build_host(name).result == "teacher"


def test_a_teacher_that_never_taught_is_no_result(data, tmp_path):
    groups, loaded = run(data, tmp_path / "run", "fixmatch", options={"teacher": "ema"}, supervised_share=1.0)
    assert same(loaded, groups["student"])


def test_a_teacher_begins_as_a_copy_when_the_labels_only_steps_end(data, tmp_path):
    groups, _ = run(data, tmp_path / "run", "u2pl", supervised_share=1.0)
    assert same(groups["teacher"], groups["student"])


def test_half_precision_is_switched_off_for_a_while_and_comes_back():
    layer = torch.nn.Linear(2, 2)
    wrapped = torch.autocast("cpu", dtype=torch.bfloat16)(layer.forward)
    layer.forward = wrapped  # as accelerate does
    with in_full_precision(layer):
        inside = layer(torch.ones(1, 2)).dtype
    assert (inside, layer(torch.ones(1, 2)).dtype) == (torch.float32, torch.bfloat16)
    assert layer.forward is wrapped


class Alone:
    """Stands for an accelerator with one process."""

    @staticmethod
    def reduce(values: torch.Tensor, reduction: str) -> torch.Tensor:
        return values


def losses(total: float, **parts: float) -> StepLosses:
    return StepLosses(torch.tensor(total), {name: torch.tensor(value) for name, value in parts.items()})


def test_a_term_is_averaged_over_the_steps_that_had_it():
    meter = StepMeter()
    for step in (losses(1.0), losses(3.0, loss_u=0.5)):
        meter.add(step, torch.tensor(1.0))
    means = meter.take(Alone())
    assert (means["loss"], means["loss_u"]) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("loss", "norm", "is_scaled", "sick"),
    [
        pytest.param(1.0, float("inf"), False, 1, id="gradient"),
        pytest.param(1.0, float("inf"), True, 0, id="a-scaled-gradient-may-overflow"),
        pytest.param(float("nan"), 1.0, True, 1, id="scaled-loss"),
    ],
)
def test_what_counts_as_diverged(loss, norm, is_scaled, sick):
    meter = StepMeter()
    meter.add(losses(loss), torch.tensor(norm), is_scaled)
    assert meter.sick_steps(torch.device("cpu")).item() == sick


def test_skipped_steps_are_logged_without_an_infinite_gradient():
    meter = StepMeter()
    meter.add(losses(1.0), torch.tensor(float("inf")), is_scaled=True)
    means = meter.take(Alone())
    assert (means["gradient_norm"], means["skipped_steps"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("finished", "expected"),
    [pytest.param(0, 0.0, id="labels-only"), pytest.param(6, 0.0, id="begins"), pytest.param(7, 0.5, id="half")],
)
def test_progress_counts_the_hosts_own_steps(data, finished, expected):
    config = tiny_config(data, host="fixmatch", steps=8)
    config = replace(config, host=replace(config.host, supervised_share=0.75))
    session = build_session(config, build_recipe(config), open_training_data(config.data), None)
    session.finished = finished
    assert session.context().progress == expected
