"""What every region rule is worth: simulated people work through the same images under one changed rule at a time.

    python -m benchmarks.region_rules --model student.onnx --data-root path/to/camvid --labeled most --frames held_out
    python -m benchmarks.region_rules ... --settings band_px=3,diversity_discount=1 max_area_share=0.08
    python -m benchmarks.report benchmarks/results/region_rules

`--labeled` names the split that the student learned from, `--frames` one with frames that it has not seen; both are
made by `python -m training split`. Each image is predicted once, and cut anew under each setting. One JSON per cell
(setting, order, person, seed); a cell that is there is not computed again. Tune on training frames only, with `--split
test` the numbers are for reporting. Exit codes: 0 done, 2 something to correct, 130 stopped.
"""

import argparse
import json
import sys
from pathlib import Path

from app.domain.simulated_people import ORACLE, PEOPLE, REALISTIC
from benchmarks.rules_cells import DEFAULT, FACTORS, Cell, all_settings, cells_of
from benchmarks.rules_run import Desks, Source, write_cell
from benchmarks.side_by_side import RESULTS_FOLDER

EXIT_FAILED, EXIT_STOPPED = 2, 130
_SEEDS = 3


def run_cells(cells: list[Cell], source: Source, out: Path, threads: int) -> None:
    """Compute the cells that are not there yet.

    Raises:
        ValueError: a result was made with another configuration.
    """
    desks = Desks(source, threads)
    if desks.left_out:
        print(f"left out, beside training frames: {', '.join(desks.left_out)}", file=sys.stderr, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    for number, cell in enumerate(cells, start=1):
        path = out / f"{cell.name}.json"
        if path.is_file():
            if json.loads(path.read_bytes())["config"] != cell.config(desks.data):
                raise ValueError(f"{path} was made with other settings; choose another --out")
            continue
        print(f"[{number}/{len(cells)}] {cell.name}", file=sys.stderr, flush=True)
        write_cell(path, desks.run(cell))


def main(arguments: list[str] | None = None) -> int:
    """Run or list the cells; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        settings = all_settings(options.baseline, options.settings)
        cells = cells_of(settings, options.people, options.seeds, options.references)
        if options.list:
            for cell in cells:
                print(f"{cell.name}: {'done' if (options.out / f'{cell.name}.json').is_file() else 'open'}")
            return 0
        source = Source(options.model, options.data_root, options.split, options.frames, options.labeled, options.data)
        run_cells(cells, source, options.out, options.threads)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("stopped; start again to continue", file=sys.stderr)
        return EXIT_STOPPED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.region_rules",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="from python -m export onnx")
    parser.add_argument("--data-root", type=Path, required=True, metavar="PATH", help="data set with splits/")
    parser.add_argument("--data", default="camvid", metavar="FORMAT", help="its format; default: camvid")
    parser.add_argument("--split", default="train", help="whose images are worked on; default: train")
    parser.add_argument("--labeled", required=True, metavar="NAME", help="split that the student learned from")
    parser.add_argument("--frames", metavar="NAME", help="only the labeled ids of this split; default: all")
    parser.add_argument(
        "--settings", nargs="*", metavar="RULE=VALUE,...",
        help=f"what is changed in the baseline; default: one rule at a time of {', '.join(FACTORS)}",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", default=DEFAULT, metavar="RULE=VALUE,...", help="what is compared with; default: the app's rules"
    )
    parser.add_argument(
        "--people", nargs="+", choices=tuple(PEOPLE), default=[ORACLE.name, REALISTIC.name], metavar="NAME",
        help=f"who works, of {', '.join(PEOPLE)}; default: {ORACLE.name} {REALISTIC.name}",
    )  # fmt: skip
    chance = ", ".join(name for name, person in PEOPLE.items() if person.error_rate)
    parser.add_argument("--seeds", type=int, default=_SEEDS, help=f"of {chance} and random order; default {_SEEDS}")
    parser.add_argument(
        "--references", action=argparse.BooleanOptionalAction, default=True,
        help="also the baseline's regions in random order, by entropy and in the best order; default: yes",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULTS_FOLDER / "region_rules", metavar="DIR")
    parser.add_argument("--threads", type=int, default=1, help="of the prediction; default 1")
    parser.add_argument("--list", action="store_true", help="show the cells and whether they are done")
    return parser


if __name__ == "__main__":
    sys.exit(main())
