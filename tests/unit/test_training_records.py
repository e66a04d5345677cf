"""What a run folder tells."""

import json

import pytest

from training.records import RunRecords, read_metrics, write_json, write_plots


def recorded(run_dir, first_step, events):
    records = RunRecords(run_dir, first_step)
    for kind, step, values in events:
        records.add(kind, step, values)
    records.close()


def test_events_are_lines_in_order(tmp_path):
    recorded(tmp_path, 0, [("train", 1, {"loss": 2.0}), ("evaluation", 1, {"miou": 0.5})])
    assert read_metrics(tmp_path) == [
        {"kind": "train", "step": 1, "loss": 2.0},
        {"kind": "evaluation", "step": 1, "miou": 0.5},
    ]


def test_a_new_run_starts_with_an_empty_file(tmp_path):
    recorded(tmp_path, 0, [("train", 1, {"loss": 2.0})])
    recorded(tmp_path, 0, [("train", 1, {"loss": 3.0})])
    assert [event["loss"] for event in read_metrics(tmp_path)] == [3.0]


def test_numbers_that_are_not_finite_are_left_out(tmp_path):
    recorded(tmp_path, 0, [("train", 1, {"loss": float("nan"), "lr": 0.1})])
    assert read_metrics(tmp_path) == [{"kind": "train", "step": 1, "lr": 0.1}]


def test_json_with_nan_is_refused_and_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant|Out of range"):
        write_json(tmp_path / "summary.json", {"miou": float("nan")})
    assert not (tmp_path / "summary.json").exists()


def test_only_what_was_recorded_is_drawn(tmp_path):
    recorded(tmp_path, 0, [("train", 1, {"loss": 2.0}), ("train", 2, {"loss": 1.0})])
    write_plots(tmp_path)
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["loss.png"]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    recorded(tmp_path, 0, [("train", step, {"loss": 1.0 / step}) for step in (1, 2, 4)])
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("train/loss")] == [(1, 1.0), (2, 0.5), (4, 0.25)]


def test_lines_are_strict_json(tmp_path):
    recorded(tmp_path, 0, [("train", 1, {"loss": 2.0})])
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["kind"] == "train"
