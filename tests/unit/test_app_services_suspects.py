"""`pixelsieve suspects` on a workspace with one wrong label: it is the first of the list, and gold is never in it."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from app.config import Workspace
from app.domain.states import JobKind
from app.services import gold as gold_module
from app.services import predicting as predicting_module
from app.services.job_kinds import work_of
from app.services.jobs import check_arguments
from app.services.processes import Monitor
from app.services.suspect_list import list_suspects
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import open_store
from tests.unit.round_cases import FakeCommands, FakePredictor, run, write_dataset
from tests.unit.test_app_cli import one_error_line
from tests.unit.test_app_cli import run as run_command


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with two labeled images, one of them wrong in a corner, and two gold ones that are wrong, too."""
    monkeypatch.setattr(gold_module, "load_predictor", FakePredictor)
    monkeypatch.setattr(predicting_module, "load_predictor", FakePredictor)
    source, root = tmp_path / "source", tmp_path / "workspace"
    write_dataset(source, {"train": ["a", "b"], "gold": ["g1", "g2"]})
    for path in (source / "masks" / "train" / "a.png", source / "masks" / "gold" / "g1.png"):
        label = np.array(Picture.open(path))
        label[:8, :6] = 1
        Picture.fromarray(label).save(path)
    store = open_store(Workspace(root), create=True)
    run_import(store, plan_import(ImportSource(source, "folder")), lambda progress: None)
    run(store, FakeCommands(tmp_path / "started"))
    store.close()
    return root


def test_the_wrong_corner_is_listed_first_and_gold_is_not_listed(root: Path) -> None:
    listed = run_command("suspects", "-w", root, "--min-area", 10)
    assert listed.exit_code == 0, listed.output
    rows = [line for line in listed.stdout.splitlines() if line.lstrip()[:1].isdigit()]
    assert rows[0].split()[:2] == ["1", "a"] and "0, 0, 6, 8" in rows[0]
    assert rows[-1].startswith("5 parts"), "two halves in each image, and the corner"
    assert not any("g1" in line or "g2" in line for line in rows)


def test_small_parts_are_left_out_and_an_unknown_model_is_an_error(root: Path) -> None:
    assert "4 parts" in run_command("suspects", "-w", root, "--min-area", 60).stdout
    assert "9" in one_error_line(run_command("suspects", "-w", root, "--model", 9))


def test_the_last_list_is_shown_again_without_looking(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nobody has looked" in one_error_line(run_command("suspects", "-w", root, "--last"))
    listed = run_command("suspects", "-w", root, "--min-area", 10).stdout
    monkeypatch.setattr(predicting_module, "load_predictor", None)  # Whoever loads a model now fails.
    again = run_command("suspects", "-w", root, "--last").stdout
    assert again in listed and again.lstrip().startswith("image")
    told = json.loads(run_command("suspects", "-w", root, "--last", "--json").stdout)
    assert told["num_parts"] == 5 and told["rows"][0]["bbox"] == [0, 0, 6, 8]


def test_the_job_keeps_the_same_list_and_says_how_long_it_is(root: Path) -> None:
    with closing(open_store(Workspace(root))) as store:
        _, arguments = check_arguments("suspects", {"min_area": 10})
        result = work_of(JobKind.SUSPECTS)(store, store.workspace, arguments, Monitor())
        listed = list_suspects(store, 100)
    assert listed is not None
    assert result == {"model_id": 1, "images": 2, "parts": 5, "kept": 5, "failed": 0}
    assert (listed.rows[0].image_name, listed.rows[0].bbox, listed.num_parts) == ("a", (0, 0, 6, 8), 5)


@pytest.mark.parametrize("min_area", [0, 2**63])
def test_an_area_that_the_store_cannot_hold_is_refused_before_anything_is_predicted(min_area: int) -> None:
    with pytest.raises(ValueError, match="min_area"):
        check_arguments("suspects", {"min_area": min_area})
