"""`pixelsieve suspects` on a workspace with one wrong label: it is the first of the list, and gold is never in it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from app.config import Workspace
from app.services import gold as gold_module
from app.services import suspects as suspects_module
from app.services.workspaces import ImportSource, plan_import, run_import
from app.storage.database import open_store
from tests.unit.round_cases import FakeCommands, FakePredictor, run, write_dataset
from tests.unit.test_app_cli import one_error_line
from tests.unit.test_app_cli import run as run_command


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with two labeled images, one of them wrong in a corner, and two gold ones that are wrong, too."""
    monkeypatch.setattr(gold_module, "load_predictor", FakePredictor)
    monkeypatch.setattr(suspects_module, "load_predictor", FakePredictor)
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
