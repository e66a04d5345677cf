"""Train eight ways of using unlabeled images on CamVid, with one student, equal steps and the last checkpoint.

    python -m benchmarks.camvid_matrix --preset cpu_proxy --data-root path/to/camvid --work path/outside
    python -m benchmarks.camvid_matrix --preset gpu --data-root path/to/camvid --work path/outside --minutes 9
    python -m benchmarks.camvid_matrix --preset gpu --data-root path/to/camvid --work path/outside --list
    python -m benchmarks.report benchmarks/results/camvid_gpu

One JSON per cell (method, labeled split, seed). Stop it whenever you like: finished cells are kept, the running one
goes on from its checkpoint at the next start. Exit codes: 0 done, 2 something to correct, 130 stopped.
"""

import argparse
import dataclasses
import multiprocessing
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from benchmarks.matrix_cells import METHODS, PRESETS, Cell, Preset, cell_config, changed_keys, published_config
from benchmarks.matrix_data import check_protocol, half_size_copy
from benchmarks.matrix_results import read_cell
from benchmarks.matrix_run import EXIT_FAILED, EXIT_STOPPED, CellJob, run_in_this_process
from benchmarks.side_by_side import RESULTS_FOLDER
from datasets.frames import BLOCK_FRAMES
from training.checkpoint import has_checkpoint
from training.signals import StopFlag

State = Literal["done", "partial", "open", "changed"]
_START_SECONDS = 15  # a process's imports; assumption for the estimate


@dataclass(frozen=True)
class Matrix:
    """A comparison with its places.

    Attributes:
        name: of the preset.
        preset: what is run.
        data_root: CamVid as the cells read it.
        work: run folders, outside the repository.
        out: result files.
    """

    name: str
    preset: Preset
    data_root: Path
    work: Path
    out: Path

    def job(self, cell: Cell) -> CellJob:
        """What the cell's process is told.

        Raises:
            ValueError: its host or selection method does not exist or refuses its options.
        """
        config = cell_config(self.preset, cell, self.data_root)
        run_dir = self.work / "runs" / self.name / cell.name
        return CellJob(cell, self.name, config, self.preset.supervised_steps(), run_dir, self.result_path(cell))

    def result_path(self, cell: Cell) -> Path:
        """Where the cell's JSON goes."""
        return self.out / f"{cell.name}.json"

    def differences(self, cell: Cell) -> list[str]:
        """Keys in which a finished cell's configuration is not today's."""
        stored = read_cell(self.result_path(cell))
        changed = changed_keys(stored["config"], published_config(self.job(cell).config))
        return changed + (["block_frames"] if stored["block_frames"] != BLOCK_FRAMES else [])

    def state(self, cell: Cell) -> State:
        """How far the cell is; "changed": finished with another configuration."""
        if self.result_path(cell).is_file():
            return "changed" if self.differences(cell) else "done"
        return "partial" if has_checkpoint(self.job(cell).run_dir) else "open"

    def seconds(self, cell: Cell) -> float:
        """As measured on a finished cell of the same method, else estimated."""
        for path in sorted(self.out.glob(f"{cell.method}-*.json")):
            return _START_SECONDS + float(sum(read_cell(path)["seconds"].values()))
        return _START_SECONDS + self.preset.estimated_seconds(cell)


def show_list(matrix: Matrix, cells: Sequence[Cell]) -> None:
    """Print every cell with its state and the time it will take."""
    table = Table(title=f"{matrix.name}: {len(cells)} cells", title_justify="left")
    table.add_column("cell")
    table.add_column("state")
    table.add_column("minutes", justify="right")
    left = 0.0
    for cell in cells:
        state = matrix.state(cell)
        minutes = matrix.seconds(cell) / 60
        left += 0 if state == "done" else minutes
        table.add_row(cell.name, state, f"{minutes:.1f}")
    console = Console()
    console.print(table)
    console.print(f"about {left:.0f} minutes left; estimated until a cell of the method is done, then as measured")


def run_matrix(matrix: Matrix, cells: Sequence[Cell], force: bool, minutes: float | None) -> int:
    """Run all cells that are not done; returns the exit code."""
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    failed = []
    with StopFlag() as stop:
        for number, cell in enumerate(cells, start=1):
            if stop.is_set:
                return EXIT_STOPPED
            job, head = matrix.job(cell), f"[{number}/{len(cells)}] {cell.name}"
            if not needs_run(matrix, cell, force):
                print(f"{head}: done before", file=sys.stderr)
                continue
            seconds = matrix.seconds(cell)
            if deadline is not None and time.monotonic() + seconds > deadline:
                print(f"{head}: needs about {seconds / 60:.1f} minutes, more than is left", file=sys.stderr)
                return EXIT_STOPPED
            print(f"{head}: about {seconds / 60:.1f} minutes", file=sys.stderr)
            code = run_job(job, stop, deadline)
            if code == EXIT_STOPPED:
                print(f"{head}: stopped; start again to continue", file=sys.stderr)
                return EXIT_STOPPED
            if code != 0:
                print(f"{head}: failed with exit code {code}", file=sys.stderr)
                failed.append(cell.name)
    if failed:
        print(f"error: {len(failed)} cells failed: {', '.join(failed)}", file=sys.stderr)
    return EXIT_FAILED if failed else 0


def needs_run(matrix: Matrix, cell: Cell, force: bool) -> bool:
    """Whether a cell has to run; with `force` what was made with another configuration is removed first.

    Raises:
        ValueError: the cell was finished with another configuration; names the keys.
    """
    state = matrix.state(cell)
    if state == "changed" and not force:
        raise ValueError(
            f"{matrix.result_path(cell)} was made with other values of {', '.join(matrix.differences(cell))}. "
            "Choose another --out, or repeat the cell with --force"
        )
    if state == "changed" or (force and state == "partial"):
        matrix.result_path(cell).unlink(missing_ok=True)
        shutil.rmtree(matrix.job(cell).run_dir, ignore_errors=True)
    return state != "done"


def run_job(job: CellJob, stop: StopFlag, deadline: float | None) -> int:
    """Run a cell in a process of its own and pass a request to stop on; returns its exit code."""
    process = multiprocessing.get_context("spawn").Process(target=run_in_this_process, args=(job,))
    process.start()
    told = False
    try:
        while process.is_alive():
            process.join(0.5)
            late = deadline is not None and time.monotonic() > deadline
            if (stop.is_set or late) and not told:
                process.terminate()  # SIGTERM: the run writes a checkpoint and ends
                told = True
    finally:
        if process.is_alive():
            process.kill()
            process.join()
    assert process.exitcode is not None
    stopped = told and process.exitcode != 0  # also one that was told before it could listen
    return EXIT_STOPPED if stopped else process.exitcode


def open_matrix(options: argparse.Namespace) -> Matrix:
    """The comparison that the flags describe, with its data checked and, if need be, copied at half size.

    Raises:
        ValueError, FileNotFoundError: data, split or weight file cannot be used.
    """
    preset = PRESETS[options.preset](options.pretrained)
    if options.steps is not None:
        if options.out is None:
            raise ValueError("--steps makes another comparison; say with --out where its results go")
        run = dataclasses.replace(preset.config.run, steps=options.steps)
        preset = dataclasses.replace(preset, config=dataclasses.replace(preset.config, run=run))
    splits = tuple(options.splits or preset.splits)
    for split in splits:
        check_protocol(options.data_root, split)
    work: Path = options.work.resolve()
    if work.is_relative_to(Path(__file__).resolve().parents[1]):
        raise ValueError(f"--work {work} lies in the repository; checkpoints are large, choose a folder outside")
    root = half_size_copy(options.data_root, work, splits) if preset.half_size else options.data_root
    out = options.out or RESULTS_FOLDER / f"camvid_{options.preset}"
    return Matrix(options.preset, preset, root, work, out)


def main(arguments: list[str] | None = None) -> int:
    """Run or list the cells; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        matrix = open_matrix(options)
        cells = matrix.preset.cells(
            tuple(options.methods or ()), tuple(options.splits or ()), tuple(options.seeds or ())
        )  # fmt: skip
        if options.list:
            show_list(matrix, cells)
            return 0
        return run_matrix(matrix, cells, options.force, options.minutes)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.camvid_matrix",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=tuple(PRESETS), required=True, help="gpu, or a small proxy for any CPU")
    parser.add_argument("--data-root", type=Path, required=True, metavar="PATH", help="CamVid with splits/")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="run folders; outside the repository")
    parser.add_argument("--out", type=Path, metavar="DIR", help="results; default benchmarks/results/camvid_PRESET")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=f"some of {', '.join(METHODS)}; default: all")
    parser.add_argument("--splits", nargs="+", metavar="NAME", help="labeled splits; default: those of the preset")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="default: those of the preset")
    parser.add_argument("--pretrained", default="none", metavar="FILE", help="encoder weights; default: from scratch")
    parser.add_argument("--minutes", type=float, metavar="M", help="start no cell that would end later; default: none")
    parser.add_argument("--steps", type=int, metavar="N", help="not the preset's: another comparison, needs --out")
    parser.add_argument("--force", action="store_true", help="repeat cells that were made with another configuration")
    parser.add_argument("--list", action="store_true", help="show the cells, their state and the time, and run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
