"""Runs of several processes, and several runs of one process."""

from tests.unit.training_cases import tiny_config, write_blocks
from training.config_json import apply_changes
from training.loop import FitOptions, fit


def test_one_program_can_train_in_two_precisions(tmp_path):
    root = write_blocks(tmp_path / "blocks")
    for precision in ("no", "bf16"):
        config = apply_changes(tiny_config(root, "supervised", steps=1), [f"run.precision={precision}"])
        assert fit(config, FitOptions(tmp_path / precision, quiet=True))["steps"] == 1
