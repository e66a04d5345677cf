"""Runs of several processes against the same runs of one, and several runs of one process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest
import torch

from reliability.selection import Normalizer
from tests.unit.process_cases import (
    STOP_AT,
    branch_losses,
    everything,
    free_port,
    joint_config,
    no_dropout,
    stop_early,
)
from tests.unit.training_cases import tiny_config, write_blocks
from training.checkpoint import load_checkpoint, load_student
from training.config_json import apply_changes, write_config
from training.data import open_held_out
from training.evaluate import evaluate_student
from training.lookup import host_names
from training.loop import FitOptions, fit
from training.records import read_metrics
from training.session import build_recipe, inference_for

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}  # sums in another order


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_blocks(tmp_path_factory.mktemp("blocks"), labeled=5, unlabeled=6, gold=3)


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """Folders of runs on `one` and on `two` processes, and of runs stopped on one number and resumed on another."""
    folder = tmp_path_factory.mktemp("runs")
    with no_dropout():
        fit(joint_config(root, 1), FitOptions(folder / "one", quiet=True))
        stop_early(joint_config(root, 1), folder / "one_then_two")
        torch.multiprocessing.spawn(everything, args=(root, folder, free_port()), nprocs=2)
        shutil.copytree(folder / "two_then_one", folder / "stopped_on_two")
        fit(joint_config(root, 1), FitOptions(folder / "two_then_one", resume=True, quiet=True))
    return folder


def train_events(run_dir):
    return [event for event in read_metrics(run_dir) if event["kind"] == "train"]


def assert_same_run(run_dir, other_dir):
    one, other = load_checkpoint(run_dir), load_checkpoint(other_dir)
    assert one.step == other.step == 4
    for group in ("student", "teacher", "optimizer"):
        torch.testing.assert_close(one.tensors[group], other.tensors[group], **ROUNDING)


def test_the_loss_of_two_processes_is_that_of_one_with_twice_the_batch(runs):
    one, two = train_events(runs / "one"), train_events(runs / "two")
    assert [event["step"] for event in two] == [1, 2, 3, 4]
    for name in ("loss", "loss_x", "loss_s", "gradient_norm", "lr"):
        assert [event[name] for event in two] == pytest.approx([event[name] for event in one], rel=1e-5)


@pytest.mark.parametrize("divided_by", [*get_args(Normalizer), "labels"])
def test_a_process_that_holds_little_weighs_little_whatever_a_loss_is_divided_by(runs, divided_by):
    parts = [torch.load(runs / f"branch-{rank}.pt", weights_only=True)[divided_by] for rank in range(2)]
    joint = branch_losses(slice(0, 4))[divided_by].item()
    assert sum(parts).item() / 2 == pytest.approx(joint, rel=1e-5) and parts[0] != parts[1]


def test_gradients_of_two_processes_are_clipped_by_their_joint_norm(runs):
    assert min(event["gradient_norm"] for event in train_events(runs / "two")) > 0.5  # else nothing was clipped


def test_two_processes_learn_the_weights_of_one_with_twice_the_batch(runs):
    assert_same_run(runs / "one", runs / "two")


@pytest.mark.parametrize("resumed", ["two_then_one", "one_then_two"])
def test_a_run_resumed_on_another_number_of_processes_equals_not_stopping(runs, resumed):
    assert_same_run(runs / "one", runs / resumed)


@pytest.mark.parametrize("resumed", ["two_then_one", "one_then_two"])
def test_losses_go_on_where_the_other_number_of_processes_stopped(runs, resumed):
    expected, found = ([event["loss"] for event in train_events(runs / name)] for name in ("one", resumed))
    assert found == pytest.approx(expected, rel=1e-5)


def test_one_process_that_is_told_to_stop_stops_the_other(runs):
    assert load_checkpoint(runs / "stopped_on_two").step == STOP_AT


def test_resuming_with_another_total_names_both(root, runs):
    config = apply_changes(joint_config(root, 2), ["run.unlabeled_batch=3"])
    message = (
        r"learns from 4 labeled and 4 unlabeled images per step, but this start would take 2 labeled and 3 unlabeled "
        r"\(1 process\)\. Add --set run\.labeled_batch=4 --set run\.unlabeled_batch=4"
    )
    with pytest.raises(ValueError, match=message):
        fit(config, FitOptions(runs / "stopped_on_two", resume=True, quiet=True))


def test_the_config_of_a_resumed_run_says_how_it_is_shared_out_now(runs):
    stored = json.loads((runs / "two_then_one" / "config.json").read_text())
    assert (stored["run"]["labeled_batch"], stored["run"]["unlabeled_batch"]) == (4, 4)


@pytest.mark.parametrize("part", ["student", "teacher", "selection", "host"])
def test_every_process_holds_the_same_state_to_the_last_bit(runs, part):
    one, other = (torch.load(runs / f"state-{rank}.pt", weights_only=True)[part] for rank in range(2))
    assert one and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("host", host_names())
def test_every_host_leaves_all_processes_in_the_same_state(runs, host):
    one, other = (torch.load(runs / f"{host}-{rank}.pt", weights_only=True) for rank in range(2))
    same = {part: all(torch.equal(value, other[part][name]) for name, value in one[part].items()) for part in one}
    assert one["student"] and same == dict.fromkeys(one, True)


def test_learned_state_comes_from_every_process(runs):
    state = torch.load(runs / "state-0.pt", weights_only=True)
    assert state["selection"]["most_processes"] == 2 and state["selection"]["mean"].any()
    assert state["host"]["last"][0] != state["host"]["last"][1] and (state["host"]["last"] > 0).all()


def test_a_loss_that_is_no_number_in_one_process_ends_all(runs):
    ends = [(runs / f"diverged-{rank}.txt").read_text() for rank in range(2)]
    assert ends[0] == ends[1] and "not a finite number at or before step 1; there is no checkpoint yet" in ends[0]


def test_an_evaluation_shared_by_two_processes_gives_the_numbers_of_one(root, runs):
    student, config = load_student(runs / "two")
    held_out = open_held_out(config.data, config.evaluation.split)
    inference = inference_for(config, torch.device("cpu"), torch.contiguous_format)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the two processes: another number of threads adds in another order
    try:
        alone = evaluate_student(student, held_out.dataset, inference, build_recipe(config).selection)
    finally:
        torch.set_num_threads(threads)
    assert json.loads((runs / "two" / "summary.json").read_text())["final"] == alone


def test_one_program_can_train_in_two_precisions(root, tmp_path):
    for precision in ("no", "bf16"):
        config = apply_changes(tiny_config(root, "supervised", steps=1), [f"run.precision={precision}"])
        assert fit(config, FitOptions(tmp_path / precision, quiet=True))["steps"] == 1


def endless(root, folder):
    """Flags of a run that logs each step and never ends by itself."""
    config = apply_changes(tiny_config(root, "supervised", steps=100_000), ["run.checkpoint_every=100000"])
    write_config(folder / "config.json", config)
    return ["-m", "training", "fit", "--config", str(folder / "config.json"), "--run-dir", str(folder / "run")]


def started(command, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)


def two_processes(root, folder):
    port = str(free_port())
    meeting = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, *endless(root, folder)]
    return [started(command, RANK=str(rank), LOCAL_RANK=str(rank), **meeting) for rank in range(2)]


def wait_for_steps(folder, *processes):
    """Until the run has logged a step."""
    deadline = time.monotonic() + 240
    while not read_metrics(folder / "run"):
        assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
        time.sleep(0.05)


def outcomes(processes):
    """Exit code and what was said, of each process."""
    said = [process.communicate(timeout=120)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


@pytest.mark.slow
def test_ctrl_c_on_the_launcher_writes_one_checkpoint(root, tmp_path):
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    launcher = started([*launch, *endless(root, tmp_path)])
    wait_for_steps(tmp_path, launcher)
    launcher.send_signal(signal.SIGINT)
    ((_, said),) = outcomes([launcher])
    step = load_checkpoint(tmp_path / "run").step
    assert step >= 1 and said.count(f"stopped after step {step}/100000; continue with --resume") == 1


@pytest.mark.slow
def test_a_process_that_dies_ends_the_other_with_a_sentence(root, tmp_path):
    processes = two_processes(root, tmp_path)
    wait_for_steps(tmp_path, *processes)
    processes[1].kill()
    (code, said), _ = outcomes(processes)
    assert code == 4 and "another process of this run ended or cannot be reached after step" in said
    assert "Traceback" not in said
