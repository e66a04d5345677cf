"""The demonstration, and the whole loop once with real training: import, train, export, predict, retrain, COCO."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.__main__ import application
from app.config import Workspace
from app.domain.states import ModelStatus
from app.services import demo
from app.services.processes import Monitor
from app.services.rounds import list_models
from app.storage.database import open_store
from app.storage.models import Model
from datasets.formats import scenes
from datasets.formats.scenes import SceneCounts, write_scenes
from datasets.progress import Progress

TRAIN = ("--preset", "debug", "--set", "run.steps=3", "--set", "run.device=cpu")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result | Path]:
    """The output of every command of the loop, in a workspace with a few small scenes."""
    root = tmp_path_factory.mktemp("loop")
    write_scenes(root / "scenes", SceneCounts(train=5, labeled=3, gold=2, test=1), (64, 64))
    workspace = ("-w", root / "workspace")
    return {
        "root": root,
        "import": run("import", root / "scenes", *workspace, "--format", "scenes", "--split", "few_labels"),
        "train": run("train", *workspace, *TRAIN),
        "export": run("export", *workspace),
        "predict": run("predict", *workspace),
        "retrain": run("retrain", *workspace, *TRAIN),
        "models": run("models", *workspace),
        "coco": run("coco", *workspace, "--which", "all", "--out", root / "coco"),
    }


@pytest.mark.parametrize("command", ["import", "train", "export", "predict", "retrain", "models", "coco"])
def test_every_command_of_the_loop_succeeds(loop: dict[str, Result], command: str) -> None:
    assert loop[command].exit_code == 0, loop[command].output


def test_the_first_model_is_current_and_the_retrained_one_waits(loop: dict[str, Path]) -> None:
    store = open_store(Workspace(loop["root"] / "workspace"))
    assert [model.status for model in list_models(store)] == [ModelStatus.CANDIDATE, ModelStatus.CURRENT]


def test_the_export_was_compared_with_pytorch_and_measured_on_gold(loop: dict[str, Result]) -> None:
    assert "It agrees with PyTorch" in loop["export"].stdout
    assert "On 2 gold images: mIoU" in loop["export"].stdout


@pytest.mark.parametrize("command", ["export", "retrain"])
def test_gold_images_that_are_too_few_are_told_before_anything_is_done(loop: dict[str, Result], command: str) -> None:
    assert loop[command].stdout.startswith("With 2 gold images, which are 1 block of frames, no error under 50 %")


def test_the_retrained_model_started_from_the_first(loop: dict[str, Path]) -> None:
    plan = json.loads((loop["root"] / "workspace" / "rounds" / "002" / "round.json").read_text())["plan"]
    assert plan["init_from"] == "rounds/001/run"


def test_the_retrained_model_is_compared_and_replaces_nothing(loop: dict[str, Result]) -> None:
    assert "The current model stays." in loop["retrain"].stdout
    assert "mIoU" in loop["retrain"].stdout


def test_all_images_leave_as_coco(loop: dict[str, Path]) -> None:
    assert len(json.loads((loop["root"] / "coco" / "annotations.json").read_text())["images"]) == 7


def test_scenes_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "SceneCounts", lambda: SceneCounts(2, 1, 1, 1))
    seen: list[Progress] = []
    first = demo.make_scenes(Workspace(tmp_path), Monitor(seen.append))
    assert seen[-1].done == seen[-1].total == 4
    seen.clear()
    assert demo.make_scenes(Workspace(tmp_path), Monitor(seen.append)) == first
    assert seen == []


def test_the_demo_keeps_the_model_it_has(tmp_path: Path) -> None:
    store = open_store(Workspace(tmp_path / "workspace"), create=True)
    with store.session() as session:
        session.add(Model(round=1, onnx_path="x", onnx_sha256="0" * 64, status=ModelStatus.CURRENT))
    assert demo.first_round(store, store.workspace, Monitor()).round == 1
    assert len(list_models(store)) == 1
