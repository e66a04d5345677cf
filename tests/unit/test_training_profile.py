"""Where a step's time goes."""

import dataclasses
import json

import pytest
import torch

from tests.unit.training_cases import tiny_config, write_blocks
from training.__main__ import main
from training.config import HostConfig
from training.config_json import write_config
from training.step_parts import (
    BACKWARD,
    LOSSES,
    OTHER,
    SELECTION,
    STEP_PARTS,
    STUDENT,
    TEACHER,
    StepClock,
    measured_by,
    step_part,
)
from training.step_profile import SHOWN_OPERATORS, profile_steps


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_config(write_blocks(tmp_path_factory.mktemp("blocks") / "data"))


@pytest.fixture
def clock(monkeypatch):
    """A clock on which every mark comes one second after the one before."""
    seconds = iter(range(100))
    monkeypatch.setattr("training.step_parts.time.perf_counter", lambda: float(next(seconds)))
    return StepClock(torch.device("cpu"))


def test_a_part_inside_another_is_counted_once(clock):
    with measured_by(clock):  # 0: other
        with step_part(LOSSES):  # 1: losses
            with step_part(STUDENT):  # 2: student
                pass  # 3: losses again
            with step_part(SELECTION):  # 4: selection
                pass  # 5: losses again
        total = clock.seconds()  # 6: other until 7
    assert {name: value for name, value in total.items() if value} == {OTHER: 2, LOSSES: 3, STUDENT: 1, SELECTION: 1}


def test_a_part_that_fails_is_left(clock):
    with measured_by(clock):
        with pytest.raises(ZeroDivisionError), step_part(LOSSES):
            raise ZeroDivisionError
        with step_part(BACKWARD):
            pass
        assert clock.seconds()[LOSSES] == 1


def test_nothing_is_measured_outside(clock):
    with measured_by(clock):
        pass
    with step_part(BACKWARD):
        pass
    assert clock.seconds()[BACKWARD] == 0


def test_the_parts_add_up_to_the_steps(config):
    profile = profile_steps(config, steps=3, warmup=1)
    assert set(profile.parts) == set(STEP_PARTS)
    assert 3 * sum(profile.parts.values()) == pytest.approx(profile.seconds, rel=0.01)
    assert min(profile.parts[part] for part in (STUDENT, SELECTION, LOSSES, BACKWARD)) > 0


def test_a_teacher_has_its_own_part(config):
    taught = dataclasses.replace(config, host=HostConfig(name="fixmatch", options={"teacher": "ema"}))
    own, other = (profile_steps(each, steps=1, warmup=1).parts[TEACHER] for each in (taught, config))
    assert own > other == 0


def test_operators_come_most_expensive_first_and_without_the_parts(config):
    operators = profile_steps(config, steps=1, warmup=1).operators
    seconds = [operator.seconds for operator in operators]
    assert len(operators) == SHOWN_OPERATORS and seconds == sorted(seconds, reverse=True)
    assert not {operator.name for operator in operators} & set(STEP_PARTS)


def test_steps_after_a_supervised_beginning_are_profiled_with_unlabeled_images(config):
    late = dataclasses.replace(config, host=dataclasses.replace(config.host, supervised_share=0.5))
    assert profile_steps(late, steps=1, warmup=1).parts[SELECTION] > 0


def test_no_steps_are_refused(config):
    with pytest.raises(ValueError, match="--steps and --warmup must be at least 1, got 0 and 1"):
        profile_steps(config, steps=0, warmup=1)


def test_the_command_prints_both_tables_and_writes_the_trace(config, tmp_path, capfd):
    write_config(tmp_path / "config.json", config)
    trace = tmp_path / "trace.json"
    arguments = ["--config", str(tmp_path / "config.json"), "--steps", "2", "--warmup", "1", "--trace", str(trace)]
    assert main(["profile", *arguments]) == 0
    printed, complaints = capfd.readouterr()  # of the profiler's C++ library, too
    assert all(text in printed for text in (BACKWARD, "most expensive operators", "images per second", "peak memory"))
    assert "gpuGetDeviceCount" not in complaints
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert {STUDENT, SELECTION, BACKWARD} <= names


def test_nothing_is_written_without_a_trace(config, tmp_path, monkeypatch):
    write_config(tmp_path / "config.json", config)
    monkeypatch.chdir(tmp_path)
    assert main(["profile", "--config", "config.json", "--steps", "1", "--warmup", "1"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
