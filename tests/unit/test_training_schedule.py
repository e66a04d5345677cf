"""Learning rates."""

import pytest

from training.config import ModelConfig, OptimizerConfig
from training.models import build_student
from training.schedule import build_optimizer, lr_factor, set_lr


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(0, 1.0, id="start"),
        pytest.param(50, 0.5**0.9, id="half"),
        pytest.param(99, 0.01**0.9, id="last-step-is-above-0"),
    ],
)
def test_poly_schedule(step, expected):
    assert lr_factor(step, 100, poly_power=0.9, warmup_steps=0) == pytest.approx(expected)


@pytest.mark.parametrize(("step", "share"), [(0, 1 / 5), (3, 4 / 5), (4, 1.0)], ids=["first", "fourth", "done"])
def test_warm_up_rises_linearly(step, share):
    assert lr_factor(step, 10**9, poly_power=0.9, warmup_steps=4) == pytest.approx(share)


@pytest.fixture(scope="module")
def student():
    return build_student(ModelConfig(), 3)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_every_parameter_is_in_exactly_one_group(student, name):
    optimizer = build_optimizer(student, OptimizerConfig(name=name))
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in student.parameters())


def test_the_head_gets_its_own_rate(student):
    optimizer = build_optimizer(student, OptimizerConfig(lr=0.001, head_lr_factor=10.0))
    set_lr(optimizer, 0.5)
    encoder = {id(parameter) for parameter in student.network.encoder.parameters()}
    for group in optimizer.param_groups:
        expected = 0.0005 if id(group["params"][0]) in encoder else 0.005
        assert group["lr"] == pytest.approx(expected)


def test_biases_and_normalization_do_not_decay(student):
    optimizer = build_optimizer(student, OptimizerConfig(weight_decay=0.1))
    for group in optimizer.param_groups:
        dimensions = {parameter.ndim > 1 for parameter in group["params"]}
        assert dimensions == {group["weight_decay"] == 0.1}
