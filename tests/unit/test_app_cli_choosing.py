"""`pixelsieve models`, `promote` and `rollback`: the same results as the Models page."""

import json
import re
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from app.__main__ import application
from app.config import Workspace
from app.domain.states import ModelStatus
from app.services.rounds import list_models
from app.storage.database import open_store
from app.web.api import create_api
from tests.browser.rounds_workspace import Quality, build_rounds_workspace


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    qualities = Quality(14, seed=1), Quality(6, seed=3), Quality(5, 6, seed=4)
    return build_rounds_workspace(tmp_path_factory.mktemp("rounds"), qualities).root


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "workspace"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


def statuses(workspace: Path) -> list[ModelStatus]:
    """By round, first round first."""
    store = open_store(Workspace(workspace))
    try:
        return [model.status for model in reversed(list_models(store))]
    finally:
        store.close()


def test_models_are_listed_with_their_intervals(workspace: Path) -> None:
    listed = run("models", "-w", workspace).stdout
    assert re.search(r"candidate +\d\d\.\d % \(\d\d\.\d to \d\d\.\d\)", listed)


def test_models_without_a_folder_says_which_option_is_missing() -> None:
    result = run("models")
    assert result.exit_code == 2 and "-w FOLDER" in result.stderr


def test_comparing_prints_classes_intervals_and_worse_images(workspace: Path) -> None:
    said = run("models", "compare", 2, 3, "-w", workspace).stdout
    assert "round 2" in said and "round 3" in said
    assert "sign falls by" in said
    assert said.count("worse: gold_") == 5


def test_comparing_as_json_gives_what_the_page_gets(workspace: Path) -> None:
    said = json.loads(run("models", "compare", 1, 2, "-w", workspace, "--json").stdout)
    with TestClient(create_api(Workspace(workspace)), base_url="http://127.0.0.1:7860") as client:
        assert said == client.get("/api/models/compare?old=1&new=2").json()


def test_a_worse_model_is_promoted_with_a_reason_only(workspace: Path) -> None:
    refused = run("promote", 3, "-w", workspace, "--reason", "because")
    assert refused.exit_code == 2 and "at least 3 words" in refused.stderr
    assert run("promote", 3, "-w", workspace, "--reason", "signs are not needed").exit_code == 0
    assert statuses(workspace) == [ModelStatus.RETIRED, ModelStatus.RETIRED, ModelStatus.CURRENT]


def test_rolling_back_says_how_many_images_have_their_proposals_again(workspace: Path) -> None:
    result = run("rollback", 1, "-w", workspace, "--reason", "its outlines were better")
    assert "2 images have its proposals" in result.stdout
    assert statuses(workspace)[:2] == [ModelStatus.CURRENT, ModelStatus.RETIRED]


def test_rolling_back_takes_a_reason(workspace: Path) -> None:
    assert run("rollback", 1, "-w", workspace).exit_code == 2
    assert statuses(workspace)[1] is ModelStatus.CURRENT


def test_the_history_says_who_did_what_and_why(workspace: Path) -> None:
    run("rollback", 1, "-w", workspace, "--reason", "its outlines were better")
    run("promote", 3, "-w", workspace, "--reject", "--reason", "signs are lost")
    newest, why, oldest, why_then = run("models", "history", "-w", workspace).stdout.splitlines()
    assert newest.endswith("(command line) set aside model 3 of round 3") and why.strip() == "signs are lost"
    assert oldest.endswith("(command line) went back to model 1 of round 1 in place of round 2")
    assert why_then.strip() == "its outlines were better"


def test_limits_are_shown_and_set_in_points(workspace: Path) -> None:
    assert "more than 0.5 points or a class by more than 5.0" in run("models", "limits", "-w", workspace).stdout
    changed = run("models", "limits", "-w", workspace, "--class-fall", "80", "--miou-fall", "20").stdout
    assert "more than 20.0 points or a class by more than 80.0" in changed
    assert run("promote", 3, "-w", workspace).exit_code == 0
