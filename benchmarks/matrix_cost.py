"""What a step of each method of the comparison costs beside a step with labels only, timed in turns in one process.

    python -m benchmarks.matrix_cost --preset cpu [--repeats 20]

Every cell notes its own step times, but minutes or hours lie between two cells, and a busy machine is not equally busy
all the time. Here all methods take one step after the other, again and again, on one batch, so that whatever else the
machine does slows all of them alike. Writes step_cost.json beside the cells; benchmarks/report.py reads it.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.matrix_cells import BASELINE, METHODS, PRESETS, Cell, Preset, cell_config
from benchmarks.selection_cost import session_for, step_with
from benchmarks.side_by_side import RESULTS_FOLDER, Comparison, compare, show, write_result
from training.config import TrainConfig
from training.environment import device_name

NAME = "step_cost"


def step_config(preset: Preset, method: str) -> TrainConfig:
    """A cell's configuration without labels-only steps and without data: steps are taken on pictures of noise."""
    config = cell_config(preset, Cell(method, preset.splits[0], seed=0), Path())
    return dataclasses.replace(config, host=dataclasses.replace(config.host, supervised_share=0.0))


def own_step(config: TrainConfig) -> tuple[Callable[[], object], dict[str, object]]:
    """One step of a student of its own in the middle of the schedule, and what it ran on."""
    session = session_for(config)
    batch = session.mover()(session.loader().batch(0))
    device = session.accelerator.device
    facts = {"device": device_name(device), "precision": session.accelerator.mixed_precision}
    return step_with(session, batch, session.selection), facts


def run(preset: Preset, repeats: int) -> Comparison:
    """All methods in turns.

    Raises:
        ValueError: the preset's device is not there, or a weight file does not fit.
    """
    steps: dict[str, Callable[[], object]] = {}
    facts: dict[str, object] = {}
    for method in METHODS:
        steps[method], facts = own_step(step_config(preset, method))
    facts |= {
        "backbone": preset.config.model.backbone,
        "crop_hw": list(preset.config.views.crop_hw),
        "labeled_batch": preset.config.run.labeled_batch,
        "unlabeled_batch": preset.config.run.unlabeled_batch,
        "threads": torch.get_num_threads(),
    }
    return compare(NAME, steps, repeats=repeats, baseline=BASELINE, facts=facts)


def main(arguments: list[str] | None = None) -> int:
    """Run, print the table and write the result; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=tuple(PRESETS), required=True, help="of the comparison")
    parser.add_argument("--repeats", type=int, default=20, metavar="N", help="turns (default 20)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default benchmarks/results/camvid_PRESET")
    options = parser.parse_args(arguments)
    try:
        comparison = run(PRESETS[options.preset](), options.repeats)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(comparison)
    path = write_result(comparison, options.out or RESULTS_FOLDER / f"camvid_{options.preset}")
    print(f"  written: {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
