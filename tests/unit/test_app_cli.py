"""The `pixelsieve` command as a user meets it: what it prints, how it refuses, how it stops."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil
import pytest
from PIL import Image as Picture
from sqlalchemy import select
from typer.testing import CliRunner, Result

from app.__main__ import application
from app.cli import console as console_module
from app.cli.console import monitored, parse_overrides
from app.config import Workspace
from app.domain.states import ModelStatus
from app.services import processes
from app.services.worker_lock import worker_is_running
from app.services.workspaces import RETRAIN_SUFFIX, preset_for_training
from app.storage.database import open_store
from app.storage.models import Image, Model
from datasets.formats.scenes import SceneCounts, write_scenes
from datasets.labels import ClassSet

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = (
    "import", "train", "export", "predict", "review", "retrain", "coco", "models", "promote", "jobs", "worker",
    "status", "quality", "actions", "trust", "demo", "rollback", "backup", "restore",
    "audit-log", "simulate", "suspects",
)  # fmt: skip

REVIEW_DOUBLE = """
import pathlib, sys, time, types
fake = types.ModuleType("app.web.server")
def serve(*arguments):
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(120)
fake.serve = serve
sys.modules["app.web.server"] = fake
from app.__main__ import application
application(["review", "-w", sys.argv[1]])
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


def one_error_line(result: Result) -> str:
    """The message, after checking that it is one line without a traceback and that the exit code says "user error"."""
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Error: ")
    return lines[0]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Ten pictures of two classes, all with a mask."""
    root = tmp_path / "source"
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(10):
        Picture.fromarray(rng.integers(0, 255, (16, 24, 3), np.uint8)).save(root / "images" / f"s_{number:02d}.png")
        Picture.fromarray(np.full((16, 24), number % 2, np.uint8)).save(root / "masks" / f"s_{number:02d}.png")
    (root / "classes.json").write_text(json.dumps(ClassSet.from_names(["no", "yes"]).to_json()))
    return root


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


@pytest.fixture
def imported(source: Path, workspace: Path) -> Path:
    assert run("import", source, "-w", workspace).exit_code == 0
    return workspace


# Every command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f" {name} [OPTIONS]" in result.stdout


def test_the_help_lists_every_command() -> None:
    listed = run("--help").stdout
    assert [name for name in COMMANDS if name not in listed] == []


@pytest.mark.parametrize(
    "arguments",
    [
        (name,)
        for name in COMMANDS
        if name not in ("import", "promote", "rollback", "coco", "actions", "demo", "backup", "restore", "simulate")
    ]
    + [("promote", 1), ("rollback", 1, "--reason", "it was better"), ("coco", "--out", "nowhere")]
    + [
        ("actions", "--out", "nowhere.csv"),
        ("backup", "nowhere.zip"),
        ("simulate", "--truth", ".", "--out", "nowhere"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_folder_that_is_no_workspace_is_one_error_line(tmp_path: Path, arguments: tuple[object, ...]) -> None:
    result = run(*arguments, "-w", tmp_path / "nothing")
    assert "no Pixelsieve workspace at" in one_error_line(result)
    assert not (tmp_path / "nothing").exists()


def test_the_command_never_loads_torch() -> None:
    code = "import sys, app.__main__; sys.exit(', '.join({'torch', 'timm', 'gradio'} & set(sys.modules)) or None)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=120).returncode == 0


def test_the_traceback_is_shown_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(console_module.TRACEBACK_VARIABLE, "1")
    assert isinstance(run("status", "-w", tmp_path / "nothing").exception, RuntimeError)


# import


def test_import_counts_labeled_gold_and_pool(imported: Path) -> None:
    output = run("status", "-w", imported).stdout
    assert "Images: 7 labeled, 0 in the pool, 2 gold" in output


def test_import_says_which_frames_it_left_out_beside_gold(source: Path, workspace: Path) -> None:
    said = " ".join(run("import", source, "-w", workspace).stdout.split())
    assert re.search(r"1 frame was left out right beside a gold frame, .*: s_0[27]\. .* --independent", said)


def test_import_names_what_it_left_out_and_what_is_wrong_with_it(source: Path, workspace: Path) -> None:
    for number in (2, 7):  # One of them lies beside gold.
        (source / "images" / f"s_{number:02d}.png").write_bytes(b"not a picture")
    (source / "images" / "twin of 9.png").write_bytes((source / "images" / "s_09.png").read_bytes())
    result = run("import", source, "-w", workspace)
    said = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert "1 image was left out with the same bytes as another: twin of 9 (as s_09)" in said
    assert "Refused s_02" in said and "Refused s_07" in said


def test_import_fails_where_nothing_can_be_used_and_when_asked_to_be_strict(source: Path, workspace: Path) -> None:
    assert run("import", source, "-w", workspace, "--strict").exit_code == 0
    (source / "images" / "s_05.png").write_bytes(b"not a picture")
    assert "--strict" in one_error_line(run("import", source, "-w", workspace.with_name("strict"), "--strict"))
    assert "Images: 6 labeled" in run("status", "-w", workspace.with_name("strict")).stdout
    for path in (source / "images").iterdir():
        path.write_bytes(b"not a picture")
    assert "no image of" in one_error_line(run("import", source, "-w", workspace.with_name("nothing")))


def test_gold_images_have_no_neighbour_among_the_labeled(imported: Path) -> None:
    store = open_store(Workspace(imported))
    with store.reader() as session:
        rows = session.execute(select(Image.sample_id, Image.role)).all()
    numbers = {role: [int(name[-2:]) for name, r in rows if r == role] for role in ("gold", "labeled")}
    assert min(abs(a - b) for a in numbers["gold"] for b in numbers["labeled"]) == 2


def test_import_without_gold_warns(source: Path, workspace: Path) -> None:
    result = run("import", source, "-w", workspace, "--gold-share", 0)
    assert "No gold images" in result.stdout


def test_importing_twice_changes_nothing(source: Path, imported: Path) -> None:
    before = run("status", "-w", imported).stdout
    assert run("import", source, "-w", imported).exit_code == 0
    assert run("status", "-w", imported).stdout == before


def test_import_names_a_refused_file_and_takes_the_rest(source: Path, workspace: Path) -> None:
    (source / "images" / "s_05.png").write_bytes(b"not a picture")
    result = run("import", source, "-w", workspace)
    assert result.exit_code == 0
    assert "Refused s_05" in result.stdout
    assert "Images: 6 labeled" in run("status", "-w", workspace).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("--format", "png"), "unknown format 'png'; choose one of camvid, ", id="format"),
        pytest.param(("--split", "1_9"), "no split '1_9'", id="split"),
        pytest.param(("--gold-share", "0.9"), "are too few", id="gold-share"),
    ],
)
def test_a_wrong_import_leaves_no_workspace(
    source: Path, workspace: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in one_error_line(run("import", source, "-w", workspace, *arguments))
    assert not workspace.exists()


def test_a_missing_source_is_named(tmp_path: Path, workspace: Path) -> None:
    assert "there is no folder" in one_error_line(run("import", tmp_path / "nope", "-w", workspace))


def test_a_workspace_is_not_imported_into_another(imported: Path, tmp_path: Path) -> None:
    assert "is a Pixelsieve workspace" in one_error_line(run("import", imported, "-w", tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_scenes_bring_their_own_gold_and_the_demo_preset(tmp_path: Path, workspace: Path) -> None:
    write_scenes(tmp_path / "scenes", SceneCounts(train=4, labeled=2, gold=2, test=1), (64, 64))
    result = run("import", tmp_path / "scenes", "-w", workspace, "--format", "scenes", "--split", "few_labels")
    assert "Preset demo." in result.stdout
    assert "Images: 2 labeled, 2 in the pool, 2 gold" in run("status", "-w", workspace).stdout


@pytest.mark.parametrize(("has_gpu", "preset"), [(True, "camvid_gpu"), (False, "camvid_cpu")], ids=["gpu", "cpu"])
def test_the_preset_follows_the_machine_that_trains(
    imported: Path, monkeypatch: pytest.MonkeyPatch, has_gpu: bool, preset: str
) -> None:
    monkeypatch.setattr("app.services.workspaces.has_nvidia_device", lambda: has_gpu)
    store = open_store(Workspace(imported))
    assert preset_for_training(store, from_model=False) == preset
    assert preset_for_training(store, from_model=True) == preset + RETRAIN_SUFFIX


def test_every_preset_the_app_may_choose_exists() -> None:
    """The app knows presets by name only; this is where both sides meet."""
    code = "from training.presets import PRESETS; print(*PRESETS)"
    known = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=200)
    chosen = {name + suffix for name in ("demo", "camvid_cpu", "camvid_gpu") for suffix in ("", RETRAIN_SUFFIX)}
    assert chosen <= set(known.stdout.split())


# train, predict, promote


def test_training_without_its_packages_is_one_error_line(imported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    assert "pip install -e '.[train]'" in one_error_line(run("train", "-w", imported))


def test_a_set_flag_without_a_value_is_one_error_line(imported: Path) -> None:
    assert "--set needs key=value" in one_error_line(run("train", "-w", imported, "--set", "run.steps"))


def test_values_of_set_may_contain_equals_signs() -> None:
    assert parse_overrides(["a.b=x=y", "c=1"]) == {"a.b": "x=y", "c": "1"}


def test_predicting_without_a_model_is_one_error_line(imported: Path) -> None:
    assert "pixelsieve train -w" in one_error_line(run("predict", "-w", imported))


@pytest.mark.parametrize(("content", "said"), [(None, "is missing"), (b"no model", "was changed after it was")])
def test_a_model_file_that_cannot_be_used_is_told(imported: Path, content: bytes | None, said: str) -> None:
    add_candidate(imported, ModelStatus.CURRENT)
    if content is not None:
        (imported / "rounds" / "001").mkdir(parents=True)
        (imported / "rounds" / "001" / "student.onnx").write_bytes(content)
    for command in ("status", "models"):
        told = " ".join(run(command, "-w", imported).stdout.split())
        assert "Model 1 cannot be used: " in told and said in told


def test_a_mistyped_preset_is_refused_before_a_round_is_begun(imported: Path) -> None:
    assert "unknown preset 'camvid'" in one_error_line(run("train", "-w", imported, "--preset", "camvid"))
    assert not list((imported / "rounds").glob("0*"))


def test_retraining_without_a_model_starts_no_first_training(imported: Path) -> None:
    assert "pixelsieve train -w" in one_error_line(run("retrain", "-w", imported))
    assert not list((imported / "rounds").glob("0*"))


def test_import_names_the_next_step_of_status(source: Path, imported: Path) -> None:
    add_candidate(imported)
    again = run("import", source, "-w", imported).stdout
    assert f"Next: pixelsieve promote 1 -w {imported}" in " ".join(again.split())


def test_status_names_the_one_next_step(imported: Path) -> None:
    assert run("status", "-w", imported).stdout.splitlines()[-1] == f"Next: pixelsieve train -w {imported}"


def test_status_asks_to_decide_about_a_candidate_first(imported: Path) -> None:
    add_candidate(imported)
    assert f"Next: pixelsieve promote 1 -w {imported}" in run("status", "-w", imported).stdout


def test_a_candidate_can_be_rejected(imported: Path) -> None:
    add_candidate(imported)
    assert run("promote", 1, "-w", imported, "--reject").exit_code == 0
    assert "rejected" in run("models", "-w", imported).stdout


def add_candidate(root: Path, status: ModelStatus = ModelStatus.CANDIDATE) -> None:
    store = open_store(Workspace(root))
    with store.session() as session:
        session.add(Model(round=1, onnx_path="rounds/001/student.onnx", onnx_sha256="0" * 64, status=status))
    store.close()


# coco


def test_coco_writes_the_labels_and_says_how_many(imported: Path, tmp_path: Path) -> None:
    result = run("coco", "-w", imported, "--out", tmp_path / "coco")
    assert "7 images, 7 annotations" in result.stdout
    assert len(json.loads((tmp_path / "coco" / "annotations.json").read_text())["images"]) == 7


def test_coco_does_not_overwrite_an_export_in_silence(imported: Path, tmp_path: Path) -> None:
    run("coco", "-w", imported, "--out", tmp_path / "coco")
    one_error_line(run("coco", "-w", imported, "--out", tmp_path / "coco"))


# jobs, worker, review


def test_jobs_are_listed_as_json_and_a_missing_worker_is_mentioned(imported: Path) -> None:
    from app.services.jobs import JobQueue  # noqa: PLC0415 - beside its only use

    JobQueue(Workspace(imported)).submit("predict")
    (job,) = json.loads(run("jobs", "-w", imported, "--json").stdout)
    assert (job["kind"], job["state"]) == ("predict", "queued")
    assert "No worker is running" in run("jobs", "-w", imported).stdout
    assert "Job 1 is cancelled" in run("jobs", "-w", imported, "--cancel", 1).stdout


def test_review_starts_a_worker_and_stops_it_when_it_is_stopped(imported: Path, tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    command = [sys.executable, "-c", REVIEW_DOUBLE, str(imported), str(serving)]
    review = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True)
    try:
        wait_until(lambda: serving.exists() and worker_is_running(Workspace(imported)), "the worker's start")
        workers = psutil.Process(review.pid).children()
        review.terminate()
        assert review.wait(60) == 0
        assert not worker_is_running(Workspace(imported))
        assert [worker for worker in workers if worker.is_running()] == []
    finally:
        review.kill()
        review.wait()


def test_the_worker_of_a_killed_review_ends_too(imported: Path, tmp_path: Path) -> None:
    serving = tmp_path / "serving"
    command = [sys.executable, "-c", REVIEW_DOUBLE, str(imported), str(serving)]
    review = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True)
    try:
        wait_until(lambda: serving.exists() and worker_is_running(Workspace(imported)), "the worker's start")
    finally:
        review.kill()
        review.wait()
    wait_until(lambda: not worker_is_running(Workspace(imported)), "the worker's end")


def test_review_refuses_to_listen_beyond_loopback_before_anything_starts(imported: Path) -> None:
    with patch("app.cli.review.run_review", side_effect=AssertionError("started")):
        result = run("review", "-w", imported, "--host", "0.0.0.0")
    assert "refusing to listen on 0.0.0.0" in one_error_line(result)
    assert result.stdout == ""


def wait_until(is_true, what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


# Ctrl+C


def test_the_first_ctrl_c_is_a_request_and_the_second_an_interruption() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), monitored("Work") as monitor:
        assert not monitor.should_cancel()
        os.kill(os.getpid(), signal.SIGINT)
        assert monitor.should_cancel()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stopped_command_exits_with_130_and_says_how_to_go_on(
    imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_arguments: object, **_options: object) -> None:
        raise processes.WorkCancelledError("stopped after 3 of 9 images; they are kept")

    monkeypatch.setattr("app.cli.models.predict_pool", stop)
    result = run("predict", "-w", imported)
    assert result.exit_code == 130
    assert result.stderr.strip() == (
        "Stopped after 3 of 9 images; they are kept. Run the same command again to continue."
    )
