"""The comparison of the combined score: counting, intervals over blocks, and the verdict."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import combined_score
from benchmarks.combined_score_report import CALIBRATED, CALIBRATED_SINGLE, MEASURES, Counted, describe, measures
from benchmarks.combined_score_report import write_report as write
from datasets.formats.scenes import SceneCounts, write_scenes
from reliability import combined_fit
from tests.unit.training_cases import tiny_config
from training.__main__ import main
from training.config_json import write_config

NAMES = ("confidence", CALIBRATED_SINGLE, "combined", CALIBRATED)


def counts_of(wrong_first: float, images: int = 12) -> np.ndarray:
    """(images, bins, 2): 100 pixels in each of two bins, 20 wrong of which `wrong_first` lie in the less sure bin."""
    first = round(20 * wrong_first)
    return np.tile(np.array([[100 - first, first], [100 - 20 + first, 20 - first]]), (images, 1, 1))


def counted(combined: float, single: float = 0.5) -> Counted:
    rates = (single, single, combined, combined)
    blocks = tuple(f"block {index // 3}" for index in range(12))
    return Counted(NAMES, np.stack([counts_of(rate) for rate in rates], axis=1), blocks)


def test_measures_are_those_of_the_metrics():
    found = dict(zip(MEASURES, measures(counts_of(0.9, 1)[0]), strict=True))
    assert found["errors_found_20"] == pytest.approx(0.9 * 0.4)  # of two bins of 100, the least sure 20 % are 40
    assert found["auroc"] == pytest.approx((18 * 98 + 18 * 82 / 2 + 2 * 98 / 2) / (20 * 180))


@pytest.mark.parametrize(
    ("combined", "verdict"), [(0.9, "is reached"), (0.5, "is not reached"), (0.2, "is not reached")]
)
def test_the_goal_is_reached_where_the_combined_score_finds_more(combined, verdict, tmp_path):
    content = describe(counted(combined), resamples=50)
    result = {"facts": dict.fromkeys(("name", "fit_images", "held_out_images", "test_images", "blocks"), 3)}
    assert verdict in write(tmp_path / "report.md", {**result, "files": {"plain": content}})
    assert content["error_rate"] == pytest.approx(0.1) and content["best_single"] == "confidence"
    assert (tmp_path / "report.md").read_text().count("combined - confidence") == 2


def test_without_any_error_there_is_no_difference_to_be_sure_of():
    blocks = describe(counted(0.5), resamples=50)["differences"]["combined"]["confidence"]["aurc_ratio"]
    assert (blocks["value"], blocks["excludes_zero"]) == (0.0, False)


@pytest.mark.slow
def test_a_run_on_scenes_counts_every_pixel_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(combined_fit, "STEPS", 5)
    root, run_dir = tmp_path / "scenes", tmp_path / "run"
    write_scenes(root, SceneCounts(train=8, labeled=4, gold=8, test=3), size_hw=(64, 64))
    config = tiny_config(root, host="supervised", steps=3)
    write_config(tmp_path / "start.json", config)
    fit = ["fit", "--config", str(tmp_path / "start.json"), "--data-format", "scenes", "--data-root", str(root)]
    assert main([*fit, "--labeled-split", "few_labels", "--run-dir", str(run_dir)]) == 0
    arguments = ["x", "--name", "s", "--run-dir", str(run_dir), "--data-format", "scenes", "--data-root", str(root)]
    arguments += ["--independent", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", arguments)
    combined_score.main()
    first = json.loads((tmp_path / "out" / "s.json").read_text())
    monkeypatch.setattr(combined_score, "_count_image", None)  # everything was counted
    combined_score.main()
    assert json.loads((tmp_path / "out" / "s.json").read_text()) == first
    assert (first["facts"]["fit_images"], first["facts"]["blocks"]) == (4, 3)
    assert {"combined", "without classes", "flip_confidence", "logistic"} <= set(first["files"]["plain"]["scores"])
    stored = next((Path(tmp_path) / "cache").rglob("00000.npz"))
    assert set(np.load(stored)["plain"].sum(axis=(1, 2)).tolist()) == {64 * 64}
