"""Predict, correct within a budget, retrain, again: what corrections are worth on CamVid, and in which order.

    python -m benchmarks.camvid_loop --preset cpu_proxy --data-root path/to/camvid --work path/outside
    python -m benchmarks.camvid_loop --preset gpu --data-root path/to/camvid --work path/outside --list
    python -m benchmarks.report benchmarks/results/camvid_loop_cpu_proxy

One JSON per cell (arm, labeled split, simulated person, seed). Stop it whenever you like: finished cells and rounds are
kept, the running round goes on from its checkpoint at the next start. Exit codes: 0 done, 2 something to correct, 130
stopped.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from app.services.processes import ChildFailedError, Monitor, WorkCancelledError
from benchmarks.loop_cells import PRESETS, Cell, Preset, cell_config
from benchmarks.loop_run import Places, run_cell, test_of
from benchmarks.matrix_data import check_protocol, half_size_copy
from benchmarks.side_by_side import RESULTS_FOLDER
from training.signals import StopFlag, StopRequestedError

EXIT_FAILED, EXIT_STOPPED = 2, 130


def state_of(cell: Cell, preset: Preset, places: Places) -> str:
    """How far a cell is; "changed": finished with another configuration."""
    path = places.result(cell)
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        return "done" if stored["config"] == cell_config(preset, cell) else "changed"
    return "begun" if (places.folder(cell.name) / "cell.json").is_file() else "open"


def run_cells(cells: tuple[Cell, ...], preset: Preset, places: Places, minutes: float | None) -> int:
    """Run all cells that are not done; returns the exit code.

    Raises:
        ValueError: a result was made with another configuration.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    with StopFlag() as stop:
        monitor = Monitor(should_cancel=lambda: stop.is_set or (deadline is not None and time.monotonic() > deadline))
        for number, cell in enumerate(cells, start=1):
            state = state_of(cell, preset, places)
            print(f"[{number}/{len(cells)}] {cell.name}: {state}", file=sys.stderr, flush=True)
            if state == "changed":
                raise ValueError(f"{places.result(cell)} was made with other settings; choose another --out")
            if state != "done":
                run_cell(cell, preset, places, test_of(places), monitor)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run or list the cells; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        preset = PRESETS[options.preset]()
        cells = preset.cells(tuple(options.cells or ()))
        places = _places(options, preset)
        if options.list:
            print("\n".join(f"{cell.name}: {state_of(cell, preset, places)}" for cell in cells))
            return 0
        return run_cells(cells, preset, places, options.minutes)
    except (ValueError, OSError, ChildFailedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except (KeyboardInterrupt, WorkCancelledError, StopRequestedError):
        print("stopped; start again to continue", file=sys.stderr)
        return EXIT_STOPPED


def _places(options: argparse.Namespace, preset: Preset) -> Places:
    """Where everything is, with the data checked and, if need be, copied at half size.

    Raises:
        ValueError, FileNotFoundError: data or split cannot be used.
    """
    for split in preset.splits:
        check_protocol(options.data_root, split)
    work: Path = options.work.resolve()
    if work.is_relative_to(Path(__file__).resolve().parents[1]):
        raise ValueError(f"--work {work} lies in the repository; workspaces are large, choose a folder outside")
    root = half_size_copy(options.data_root, work, preset.splits) if preset.half_size else options.data_root.resolve()
    out = options.out or RESULTS_FOLDER / f"camvid_loop_{options.preset}"
    out.mkdir(parents=True, exist_ok=True)
    return Places(root, work / f"loop_{options.preset}", out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.camvid_loop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=tuple(PRESETS), required=True, help="gpu, or a smaller one for any CPU")
    parser.add_argument("--data-root", type=Path, required=True, metavar="PATH", help="CamVid with splits/")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="workspaces; outside the repository")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default benchmarks/results/camvid_loop_PRESET")
    parser.add_argument("--cells", nargs="+", metavar="NAME", help="some of those that --list shows; default: all")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after so many minutes; default: none")
    parser.add_argument("--list", action="store_true", help="show the cells and how far they are, and run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
