"""The command line as users and the job queue meet it: exit codes, one clear line, files."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from datasets.splits import read_split
from tests.unit.training_cases import tiny_config, write_blocks
from training import __main__ as command
from training import loop
from training.checkpoint import load_checkpoint
from training.config_json import write_config
from training.loop import DivergedError
from training.models import build_student

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_blocks(tmp_path_factory.mktemp("blocks"))


@pytest.fixture
def config_path(root, tmp_path):
    write_config(tmp_path / "wanted.json", tiny_config(root, "supervised", steps=2))
    return tmp_path / "wanted.json"


def test_fit_and_evaluate_end_with_0(config_path, root, tmp_path, capsys):
    run_dir, out = tmp_path / "run", tmp_path / "metrics.json"
    assert command.main(["fit", "--config", str(config_path), "--run-dir", str(run_dir)]) == 0
    assert "2 steps, mIoU 0." in capsys.readouterr().out
    flags = ["--data-format", "folder", "--data-root", str(root), "--split", "gold", "--out", str(out)]
    assert command.main(["evaluate", "--run-dir", str(run_dir), *flags, "--device", "cpu"]) == 0
    measured, summary = json.loads(out.read_text()), json.loads((run_dir / "summary.json").read_text())
    assert measured == {"split": "gold", **summary["final"]}


def test_a_runs_config_repeats_it(config_path, tmp_path):
    for name, config in (("a", config_path), ("b", tmp_path / "a" / "config.json")):
        assert command.main(["fit", "--config", str(config), "--run-dir", str(tmp_path / name)]) == 0
    one, two = (load_checkpoint(tmp_path / name).tensors["student"] for name in ("a", "b"))
    assert all((one[key] == two[key]).all() for key in one)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "say what to run: --preset NAME, --config FILE, or --resume", id="nothing-to-run"),
        pytest.param(["--preset", "debug", "--set", "run.stepz=1"], "Did you mean run.steps?", id="wrong-key"),
        pytest.param(["--preset", "camvid_cpu", "--data-root", "nowhere"], "no data set at nowhere", id="no-data"),
        pytest.param(["--preset", "camvid_cpu"], "data.root is empty", id="no-root"),
        pytest.param(["--config", "nowhere.json"], "nowhere.json", id="no-config"),
        pytest.param(["--resume"], "config.json", id="nothing-to-resume"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(arguments, message, tmp_path, capsys):
    assert command.main(["fit", "--run-dir", str(tmp_path / "run"), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1 and "Traceback" not in error


def test_an_unknown_preset_is_exit_code_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["fit", "--preset", "fast", "--run-dir", str(tmp_path)])
    assert caught.value.code == 2 and "camvid_cpu" in capsys.readouterr().err


def test_a_diverged_run_is_exit_code_3(config_path, tmp_path, monkeypatch, capsys):
    def diverge(self):
        if self._session.finished == 2:
            raise DivergedError("the loss is not a finite number")

    monkeypatch.setattr(loop.Run, "_require_finite", diverge)
    flags = ["--run-dir", str(tmp_path / "run"), "--set", "run.checkpoint_every=1"]
    assert command.main(["fit", "--config", str(config_path), *flags]) == 3
    assert "not a finite number" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "run").step == 1


def test_a_learning_rate_that_explodes_is_exit_code_3(config_path, tmp_path, capsys):
    flags = ["--set", "optimizer.name=sgd", "--set", "optimizer.lr=100", "--set", "optimizer.clip_norm=0"]
    flags += ["--set", "run.steps=60", "--set", "optimizer.head_lr_factor=1000000"]
    assert command.main(["fit", "--config", str(config_path), "--run-dir", str(tmp_path / "run"), *flags]) == 3
    assert "Lower optimizer.lr" in capsys.readouterr().err


def test_another_data_format_drops_the_presets_labeled_split(tmp_path):
    parser = command._parser()
    options = parser.parse_args(
        ["fit", "--preset", "camvid_cpu", "--run-dir", str(tmp_path), "--data-format", "manifest", "--data-root", "x"]
    )
    data = command.fit_config(options).data
    assert (data.format, data.root, data.labeled_split) == ("manifest", "x", "")


def test_the_presets_own_format_keeps_its_labeled_split(tmp_path):
    options = command._parser().parse_args(["fit", "--preset", "camvid_cpu", "--run-dir", str(tmp_path)])
    assert command.fit_config(options).data.labeled_split == "1_8"


def test_split_writes_a_seeded_share(root, tmp_path, capsys):
    flags = ["--data-format", "folder", "--data-root", str(root), "--fraction", "1/2", "--out", str(tmp_path / "half")]
    assert command.main(["split", *flags]) == 0
    split = read_split(tmp_path / "half")
    assert len(split.labeled) == 2 and len(split.unlabeled) == 6 and "2 labeled, 6 unlabeled" in capsys.readouterr().out


def test_a_split_is_not_overwritten(root, tmp_path, capsys):
    flags = ["--data-format", "folder", "--data-root", str(root), "--fraction", "0.5", "--out", str(tmp_path / "half")]
    command.main(["split", *flags])
    assert command.main(["split", *flags, "--seed", "3"]) == 2
    assert "already holds a split" in capsys.readouterr().err


@pytest.mark.parametrize("fraction", ["half", "1/0", "2"])
def test_a_wrong_fraction_is_named(root, tmp_path, capsys, fraction):
    flags = ["--data-format", "folder", "--data-root", str(root), "--fraction", fraction, "--out", str(tmp_path / "x")]
    assert command.main(["split", *flags]) == 2
    assert "fraction" in capsys.readouterr().err


def test_evaluating_on_other_classes_is_refused(config_path, tmp_path, capsys):
    command.main(["fit", "--config", str(config_path), "--run-dir", str(tmp_path / "run")])
    other = write_blocks(tmp_path / "other")
    (other / "classes.json").write_text((other / "classes.json").read_text().replace('"blue"', '"azure"'))
    flags = ["--data-format", "folder", "--data-root", str(other), "--split", "gold"]
    assert command.main(["evaluate", "--run-dir", str(tmp_path / "run"), *flags]) == 2
    assert "the classes and their order must be the same" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_in_a_step_ends_the_run_after_it(root, tmp_path, monkeypatch, capsys, number):
    write_config(tmp_path / "config.json", tiny_config(root, "supervised", steps=9))
    original, handlers = loop.train_step, signal.getsignal(number)

    def interrupted(session, batch):
        result = original(session, batch)
        if session.finished == 3:
            os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(loop, "train_step", interrupted)
    flags = ["--config", str(tmp_path / "config.json"), "--run-dir", str(tmp_path / "run")]
    assert command.main(["fit", *flags]) == 130
    assert "stopped after step 3/9; continue with --resume" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "run").step == 3 and signal.getsignal(number) is handlers


def test_a_running_process_obeys_sigterm(root, tmp_path):
    write_config(tmp_path / "config.json", tiny_config(root, "supervised", steps=100_000))
    run_dir, progress = tmp_path / "run", tmp_path / "progress.json"
    flags = ["--config", str(tmp_path / "config.json"), "--run-dir", str(run_dir), "--progress-file", str(progress)]
    flags += ["--set", "run.checkpoint_every=100000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    child = subprocess.Popen(
        [sys.executable, "-m", "training", "fit", *flags], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (progress.exists() and json.loads(progress.read_text())["done"] > 0):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.1)
    child.terminate()
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130 and "continue with --resume" in errors and "Traceback" not in errors
    assert load_checkpoint(run_dir).step >= 1


@pytest.mark.slow
def test_two_processes_train_one_student(root, tmp_path):
    write_config(tmp_path / "config.json", tiny_config(root, "csl", steps=3))
    arguments = ["-m", "torch.distributed.run", "--nproc_per_node=2", "-m", "training", "fit"]
    arguments += ["--config", str(tmp_path / "config.json"), "--run-dir", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_checkpoint(tmp_path / "run").step == 3
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["processes"] == 2


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry run"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("selection.options.alfa=1", "has no option 'alfa'"),
        ("model.options.output_stride=8", "has no option 'output_stride'; it takes none"),
        ("model.pretrained=nowhere.pth", "model.pretrained: no file nowhere.pth"),
        ("model.pretrained={weights}", "does not fit the encoder"),
    ],
)
def test_what_needs_no_data_is_refused_before_any_is_made(tmp_path, capsys, change, message, dry):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    change = change.format(weights=tmp_path / "other.pth")
    assert command.main(["fit", "--preset", "debug", "--run-dir", str(tmp_path / "run"), "--set", change, *dry]) == 2
    said = capsys.readouterr().err
    assert message in said and "scenes" not in said and not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused_before_any_data_is_made(tmp_path, capsys):
    arguments = ["fit", "--preset", "debug", "--run-dir", str(tmp_path / "run"), "--set", "run.device=cuda"]
    assert command.main(arguments) == 2
    assert "torch sees no CUDA device" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_a_resumed_run_does_not_look_for_its_pretrained_weights(root, tmp_path):
    config = tiny_config(root, "supervised", steps=1)
    network = build_student(config.model, 3).network
    torch.save(network.encoder.state_dict(), tmp_path / "weights.pth")
    model = replace(config.model, pretrained=str(tmp_path / "weights.pth"))
    write_config(tmp_path / "config.json", replace(config, model=model))
    run = ["--run-dir", str(tmp_path / "run")]
    assert command.main(["fit", "--config", str(tmp_path / "config.json"), *run]) == 0
    (tmp_path / "weights.pth").unlink()
    assert command.main(["fit", *run, "--resume"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "debug", "--run-dir", "{file}"], "is a file; name a folder"),
        (["--config", "{folder}/none.json", "--run-dir", "{folder}/run"], "no configuration at"),
    ],
)
def test_a_wrong_place_is_named(tmp_path, capsys, arguments, message):
    (tmp_path / "file").write_text("")
    places = {"file": tmp_path / "file", "folder": tmp_path}
    assert command.main(["fit", *(word.format(**places) for word in arguments)]) == 2
    assert message in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == ["file"]
