"""The arithmetic of the loop's goals, on curves small enough to check by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.loop_cells import ARMS, FULL, PRESETS, Cell, cell_config
from benchmarks.loop_report import gain_within, goals, ratio_at_same_labels, read_loops, shares_by_people, whole_curve
from benchmarks.report import main

PRESET = PRESETS["cpu_proxy"]()


def row(inputs: int, label_miou: float) -> dict[str, Any]:
    return {
        "decisions": inputs, "clicks": inputs, "keys": 0, "seconds": 2.0 * inputs, "pixels_shown": 10 * inputs,
        "pixels_changed": inputs, "label_miou": label_miou, "wrong_pixels": 5, "pixels": 10_000,
    }  # fmt: skip


def cell(arm: str, person: str = "oracle") -> Cell:
    return Cell("1_16", arm, 0, None if arm == FULL else person)


def loop(arm: str, gain: float, tested: float, bound: float | None = None, person: str = "oracle") -> dict[str, Any]:
    """Two rounds of 100 clicks on 20 images; labels gain `gain` in each, half of it after 50 clicks."""
    start = {"round": 0, "steps": 5, "test": {"miou": 0.4}, "round_seconds": 1.0, "device": "cpu"}
    unseen = {"reliable": 5000, "reliable_wrong": 100, "reliable_error": 0.02, "bound": bound, "promise": "No promise."}
    rounds = [
        {
            **start, "round": number, "test": {"miou": tested}, "budget_inputs": 100, "unseen": unseen,
            "pixels_by_people": 1000,
            "curve": [row(clicks, 0.5 + gain * (number - 1 + clicks / 100)) for clicks in (0, 50, 100)],
        }
        for number in (1, 2)
    ]  # fmt: skip
    if arm == FULL:
        rounds = [{**start, "round": number, "test": {"miou": tested}} for number in (1, 2)]
    return {
        "config": cell_config(PRESET, cell(arm, person)), "images": {"pool": 20},
        "machine": {"cpu": "x", "cores": 2}, "pixels": {"pool": 10_000, "labeled": 2_500}, "rounds": [start, *rounds],
    }  # fmt: skip


def test_rounds_are_joined_with_the_effort_since_the_beginning() -> None:
    curve = whole_curve(loop("queue", 0.1, 0.5))
    assert [each["clicks"] for each in curve] == [0, 50, 100, 100, 150, 200]
    assert curve[-1]["seconds"] == 400.0


def test_the_ratio_is_taken_where_both_have_the_same_labels() -> None:
    ours, slow = (whole_curve(loop("queue", gain, 0.5)) for gain in (0.1, 0.05))
    target, mine, theirs = ratio_at_same_labels(ours, slow) or pytest.fail("no ratio")
    assert (target, mine, theirs) == (pytest.approx(0.6), pytest.approx(100.0), pytest.approx(200.0))
    assert ratio_at_same_labels(ours, [row(0, 0.4), row(90, 0.4)]) is None


def test_the_gain_counts_what_the_clicks_allow() -> None:
    curve = whole_curve(loop("queue", 0.1, 0.5))
    assert gain_within(curve, 100) == pytest.approx(10.0)
    assert gain_within(curve, 49) == 0.0


def test_first_masks_count_among_what_people_touched() -> None:
    assert shares_by_people(loop("queue", 0.1, 0.5)) == (0.1, (1000 + 2500) / 12_500)


def test_every_goal_is_answered_with_what_came_out() -> None:
    loops = {"queue": loop("queue", 0.1, 0.5, bound=0.03), "random_images": loop("random_images", 0.05, 0.45)}
    said = "\n".join(goals({**loops, FULL: loop(FULL, 0, 0.52)}))
    assert "2.00 times (200 to 100) at 60.0%; **met**" in said
    assert "entropy_regions against the queue (goal: 1.2 times): not run." in said
    assert "+20.0 points; **met**" in said
    assert "the budget ended first, after 10.0; not answered" in said
    assert (
        "50.0% of 52.0%, that is 96.2%" in said and "10.0% of the pool's pixels decided by people: **not met**" in said
    )
    assert "Counted with the first masks, 28.0% of all training pixels: **not met**" in said
    assert said.count("Promised: at most 3.00%; **met**") == 2
    few = loop("queue", 0.1, 0.5)
    few["rounds"][-1]["pixels_by_people"] = 400
    both = "\n".join(goals({"queue": few, FULL: loop(FULL, 0, 0.52)}))
    assert "4.0% of the pool's pixels decided by people: **met**" in both
    assert "23.2% of all training pixels: **not met**" in both
    without = loop("queue", 0.1, 0.5)
    without["rounds"][0]["not_calibrated"] = "too few gold images"
    assert "No promise. Why: too few gold images." in "\n".join(goals({"queue": without}))
    assert "not answered, full supervision has not been run" in "\n".join(goals(loops))
    assert list(goals({FULL: loop(FULL, 0, 0.5)})) == ["- No goal can be answered: the queue has not been run here."]


def test_the_report_names_missing_cells_and_draws_the_curves(tmp_path: Path) -> None:
    folder = tmp_path / "camvid_loop_cpu_proxy"
    folder.mkdir()
    for arm in ("queue", FULL):
        (folder / f"{arm}-1_16-seed0.json").write_text(json.dumps(loop(arm, 0.1, 0.5)))
    assert main([str(folder)]) == 0
    text = (folder / "report.md").read_text()
    missing = next(line for line in text.splitlines() if line.startswith("Missing cells"))
    corrected = len(ARMS) - 1
    assert missing.count("1_8") == 2 * corrected + 1 and missing.count("1_16") == 2 * corrected - 1
    assert (folder / "curves_1_16_oracle_seed0.png").stat().st_size > 0


def test_full_supervision_stands_beside_every_person(tmp_path: Path) -> None:
    for content in (loop("queue", 0.1, 0.5), loop("queue", 0.2, 0.6, person="superpixels"), loop(FULL, 0, 0.7)):
        config = content["config"]
        found = Cell(config["split"], config["arm"], config["seed"], config["person"])
        (tmp_path / f"{found.name}.json").write_text(json.dumps(content))
    loops = read_loops(tmp_path)
    assert set(loops) == {("1_16", 0, "oracle"), ("1_16", 0, "superpixels")}
    assert [set(each) for each in loops.values()] == 2 * [{"queue", FULL}]
    assert loops["1_16", 0, "superpixels"]["queue"]["rounds"][-1]["test"]["miou"] == 0.6


def test_a_preset_has_full_supervision_once_a_split() -> None:
    names = [each.name for each in PRESET.cells()]
    assert len(set(names)) == len(names) == 2 * (2 * (len(ARMS) - 1) + 1)
    assert "full-1_8-seed0" in names and "queue-1_8-superpixels-seed0" in names


def test_cells_of_other_steps_are_refused(tmp_path: Path) -> None:
    cells = {"queue": loop("queue", 0.1, 0.5), "full": loop(FULL, 0, 0.5)}
    cells["full"]["rounds"][1]["steps"] = 6
    for arm, content in cells.items():
        (tmp_path / f"{arm}-1_16-seed0.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="different steps"):
        read_loops(tmp_path)


def test_cells_of_different_region_rules_are_not_compared(tmp_path: Path) -> None:
    for arm in ("queue", "random_regions"):
        content = loop(arm, 0.1, 0.5)
        content["config"]["region_rules"]["max_area_share"] = 0.04 if arm == "queue" else 0.25
        (tmp_path / f"{arm}-1_16-seed0.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="different region rules"):
        read_loops(tmp_path)


def test_full_supervision_has_no_region_rules() -> None:
    assert "region_rules" not in cell_config(PRESET, cell(FULL))
    assert cell_config(PRESET, cell("queue"))["region_rules"]["max_area_share"] == 0.25
