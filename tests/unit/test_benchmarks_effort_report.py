"""The report of simulated annotators: costs between two points of a curve, and what cannot be compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.services.simulating import ARMS, Arm
from benchmarks.effort_report import cost_of, main, read_runs, write_report


def row(decisions: int, miou: float) -> dict[str, float]:
    return {
        "decisions": decisions, "clicks": 2 * decisions, "keys": decisions, "seconds": 60.0 * decisions,
        "pixels_shown": 10 * decisions, "pixels_changed": decisions, "pixels": 1000, "wrong_pixels": 0,
        "label_miou": miou,
    }  # fmt: skip


CURVE = [row(0, 0.5), row(10, 0.6), row(20, 0.8)]


def write(folder: Path, arm: str, curve: list[dict[str, float]], **changed: Any) -> None:
    models = [{"id": 1, "round": 1, "status": "current"}]
    config = {"arm": arm, "person": {"name": "oracle", "tolerance": 0.05}, "models": models, "images": 3, **changed}
    unseen = {
        "reliable": 400, "reliable_wrong": 10, "other": 100, "other_wrong": 50, "reliable_error": 0.03, "bound": 0.04,
        "promise": "At most 4 %.",
    }  # fmt: skip
    (folder / f"{arm}-oracle-0.json").write_text(json.dumps({"config": config, "curve": curve, "unseen": unseen}))


@pytest.mark.parametrize(("miou", "cost"), [(0.5, 0), (0.55, 5), (0.6, 10), (0.7, 15), (0.8, 20), (0.81, None)])
def test_costs_lie_straight_between_the_points(miou: float, cost: float | None) -> None:
    found = cost_of(CURVE, "decisions", miou)
    assert found == (None if cost is None else pytest.approx(cost))


def test_a_curve_that_falls_again_has_reached_what_it_reached() -> None:
    assert cost_of([*CURVE, row(30, 0.7), row(40, 0.9)], "decisions", 0.85) == pytest.approx(35)


def test_inputs_are_clicks_and_keys_and_minutes_are_minutes() -> None:
    assert cost_of(CURVE, "inputs", 0.6) == pytest.approx(30)
    assert cost_of(CURVE, "minutes", 0.6) == pytest.approx(10)


def test_the_report_says_how_many_times_our_cost_the_others_need(tmp_path: Path) -> None:
    write(tmp_path, "queue", CURVE)
    write(tmp_path, "random_regions", [row(0, 0.5), row(40, 0.7)])
    text = write_report(tmp_path).read_text()
    assert "| queue | 12 (1.00) | 38 (1.00) | 12 (1.00) |" in text  # 65 %, half of the gain.
    assert "| random_regions | 30 (2.40) | 90 (2.40) | 30 (2.40) |" in text
    assert "| random_regions | never | never | never |" in text  # 77 %, nine tenths.
    assert (tmp_path / "effort.png").stat().st_size > 1000


def test_the_report_can_be_read_alone(tmp_path: Path) -> None:
    """What was done, what nobody looked at and what was promised about it, and that a limit ended some arms."""
    write(tmp_path, "queue", CURVE, minutes=6)
    write(tmp_path, "random_regions", [row(0, 0.5), row(40, 0.7)], minutes=6)
    text = write_report(tmp_path).read_text()
    assert "3 pool images with known truth, 1,000 pixels, of which 0 are wrong" in text and "of round 1" in text
    assert (
        "- Person `oracle`: tolerance 0.05." in text and "- Arm `random_regions`: our regions in random order." in text
    )
    assert "Nothing was begun after 6 minutes" in text and "One seed each" in text
    assert "| random_regions | not within the limit |" in text and "never |" not in text
    assert "| queue | 400 | 2.50% | 3.00% | 4.00% | 100 | 50.00% |" in text and "At most 4 %." in text


def test_every_arm_is_explained() -> None:
    assert set(ARMS) == set(Arm)


def test_results_of_different_models_are_not_compared(tmp_path: Path) -> None:
    write(tmp_path, "queue", CURVE)
    write(tmp_path, "random_regions", CURVE, models=[])
    with pytest.raises(ValueError, match="different models"):
        read_runs(tmp_path)


def test_an_empty_folder_and_a_damaged_file_end_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Error: .* holds no result"):
        main([str(tmp_path)])
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(SystemExit, match=r"Error: .*x\.json is no result"):
        main([str(tmp_path)])
