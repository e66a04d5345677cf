"""A whole loop on generated scenes: real training, real workspace, and a second start that repeats nothing."""

import fcntl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.services.processes import Monitor, WorkCancelledError
from benchmarks.loop_cells import FULL, Cell, Preset
from benchmarks.loop_run import Places, run_cell
from datasets.formats.scenes import LABELED_SPLIT, SceneCounts, write_scenes

PRESET = Preset(
    "demo", "demo_retrain",
    {"host.name": "supervised", "host.supervised_share": "0.0", "run.device": "cpu", "run.labeled_batch": "2"},
    first_steps=12, next_steps=6, rounds=2, inputs_per_image=3.0, splits=(LABELED_SPLIT,),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_loop_corrects_retrains_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write_scenes(tmp_path / "data", SceneCounts(train=9, labeled=3, gold=1, test=1), (64, 96))
    places = Places(tmp_path / "data", tmp_path / "work", tmp_path / "out", "scenes")
    measured: list[Path] = []

    def measure(run_dir: Path) -> dict[str, Any]:
        measured.append(run_dir)
        return {"miou": 0.5, "iou_per_class": {}}

    def stop_before_the_second_round(run_dir: Path) -> dict[str, Any]:
        if "002" in str(run_dir):
            raise WorkCancelledError("stopped")
        return measure(run_dir)

    cell = Cell(LABELED_SPLIT, "queue", 0, "oracle")
    with pytest.raises(WorkCancelledError):
        run_cell(cell, PRESET, places, stop_before_the_second_round, Monitor())
    corrected = places.folder(cell.name) / "corrected_1.json"
    before = corrected.stat().st_mtime_ns
    found = run_cell(cell, PRESET, places, measure, Monitor())
    assert corrected.stat().st_mtime_ns == before, "the first round's corrections are kept"
    assert [path.parent.name for path in measured] == ["001", "002", "003"]
    first, second = found["rounds"][1:]
    assert [each["steps"] for each in found["rounds"]] == [12, 6, 6]
    assert first["label_miou"] > first["curve"][0]["label_miou"]
    assert first["pixels_by_people"] <= second["pixels_by_people"] <= found["pixels"]["pool"]
    spent = sum(each["curve"][-1][name] for each in (first, second) for name in ("clicks", "keys"))
    assert second["budget_inputs"] == 2 * first["budget_inputs"] - (
        first["curve"][-1]["clicks"] + first["curve"][-1]["keys"]
    )
    assert spent > 0 and first["unseen"]["promise"]
    one_round = replace(PRESET, rounds=1)
    full = run_cell(Cell(LABELED_SPLIT, FULL, 0, None), one_round, places, measure, Monitor())
    assert full["images"]["labeled"] == found["images"]["labeled"] + found["images"]["pool"]
    assert [each["steps"] for each in full["rounds"]] == [12, 6]
    with pytest.raises(ValueError, match="was begun with other settings"):
        run_cell(cell, one_round, places, measure, Monitor())


def test_one_process_at_a_time_works_on_a_cell(tmp_path: Path) -> None:
    places = Places(tmp_path / "data", tmp_path / "work", tmp_path / "out", "scenes")
    cell = Cell(LABELED_SPLIT, "queue", 0, "oracle")
    (tmp_path / "work").mkdir()
    with places.folder(f"{cell.first_round}.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process works on start-few_labels-seed0"):
            run_cell(cell, PRESET, places, lambda _: {}, Monitor())
