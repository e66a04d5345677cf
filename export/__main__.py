"""Write what leaves the training machine: a student as one ONNX file, labels as COCO masks.

    python -m export onnx --run-dir runs/first --out student.onnx
    python -m export onnx --run-dir runs/first --out student.onnx --method fixed_threshold --set threshold=0.9
    python -m export onnx --run-dir runs/first --out student.onnx --flip-average
    python -m export check student.onnx --run-dir runs/first
    python -m export coco --data-format camvid --data-root path/to/camvid --split train --out coco
    python -m export verify-coco coco

Exit codes: 0 done, 2 something to correct in the command or the files, 4 ONNX and PyTorch disagree (nothing was
written) or an export differs from its manifest, 130 stopped by Ctrl+C or SIGTERM.
"""

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.table import Table

from datasets.files import sha256_of
from datasets.lookup import build_dataset, dataset_names
from datasets.progress import Progress, ProgressFile
from datasets.sample import SegmentationDataset
from export.coco_masks import CocoItem, SkippedItem, verify_coco, write_coco
from export.onnx_check import MAX_DIFFERENCE, MIN_CLOSE_WEIGHTS, MIN_EQUAL, CheckReport
from export.student_export import DEFAULT_METHOD, STEPS, ExportChoice, OutputsDifferError, check_run, export_run
from reliability.lookup import method_names

EXIT_USER_ERROR, EXIT_DIFFERS, EXIT_STOPPED = 2, 4, 130


class ChangedFilesError(RuntimeError):
    """A COCO folder is not what its manifest says."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except OutputsDifferError as error:
        show_report(error.report)
        return _failed(error, EXIT_DIFFERS)
    except ChangedFilesError as error:
        return _failed(error, EXIT_DIFFERS)
    except KeyboardInterrupt:
        return _failed("stopped; nothing was written", EXIT_STOPPED)
    except (ValueError, OSError, RuntimeError) as error:
        return _failed(error, EXIT_USER_ERROR)
    return 0


def _failed(error: object, code: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def run_onnx(options: argparse.Namespace) -> None:
    """`onnx`: export the student of a run."""
    progress = ProgressFile(options.progress_file)

    def report_step(done: int, message: str) -> None:
        progress.write(Progress(done, len(STEPS), message))
        print(f"[{done}/{len(STEPS)}] {message}", file=sys.stderr)

    choice = ExportChoice(
        options.method, parse_options(options.set), options.check, options.flip_average, options.calibration
    )
    exported = export_run(options.run_dir, options.out, choice, report_step)
    if exported.report is None:
        print("not compared with PyTorch (--no-check)", file=sys.stderr)
    else:
        show_report(exported.report)
    print(describe_calibration(exported.calibration))
    size = f"{exported.size_bytes / 1e6:.1f} MB"
    print(f"{exported.path}: {size}, reliability by {options.method}, sha256 {exported.sha256}")


def describe_calibration(note: Mapping[str, Any] | None) -> str:
    """What the file says about its reliable pixels, in a sentence for a lead."""
    if note is None:
        return "Not calibrated: reliable is the method's own verdict, and nothing is promised about it."
    return f"Calibrated. {note['sentence']}"


def run_check(options: argparse.Namespace) -> None:
    """`check`: compare an existing file with the run it came from."""
    show_report(check_run(options.file, options.run_dir))
    print(f"{options.file}: same outputs as the student of {options.run_dir}")


def run_coco(options: argparse.Namespace) -> None:
    """`coco`: write the labels of a data set."""
    dataset = build_dataset(options.data_format, options.data_root, options.split)
    progress = ProgressFile(options.progress_file)

    def report_item(done: int, name: str) -> None:
        progress.write(Progress(done, len(dataset), name))

    items = dataset_items(dataset, options.data_root)
    manifest = write_coco(options.out, dataset.class_set, items, report_item, replace=options.replace)
    for skipped in manifest.skipped:
        print(f"left out {skipped.name}: {skipped.reason}", file=sys.stderr)
    counts = f"{manifest.images} images, {manifest.annotations} annotations, {len(manifest.skipped)} left out"
    print(f"{options.out}: {counts}")


def dataset_items(dataset: SegmentationDataset, root: Path) -> Iterator[CocoItem | SkippedItem]:
    """The labels of a data set, one at a time; a sample that cannot be read becomes a SkippedItem with the reason.

    Images are named by their path below `root`, so that COCO readers given `root` find them.
    """
    for index, sample_id in enumerate(dataset.sample_ids):
        if not dataset.is_labeled(index):
            yield SkippedItem(sample_id, "it has no label")
            continue
        try:
            sample, path = dataset[index], dataset.image_path(index)
            digest = sha256_of(path)
        except (ValueError, OSError) as error:
            yield SkippedItem(sample_id, str(error))
            continue
        assert sample.label is not None  # is_labeled said so
        file, folder = path.resolve(), root.resolve()
        name = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name
        yield CocoItem(name, sample_id, sample.label, digest)


def run_verify_coco(options: argparse.Namespace) -> None:
    """`verify-coco`: compare a COCO folder with its manifest."""
    problems = verify_coco(options.folder)
    if problems:
        listed = "; ".join(problems[:5])
        raise ChangedFilesError(f"{options.folder}: {len(problems)} files differ from the manifest: {listed}")
    print(f"{options.folder}: every file is as it was exported")


def parse_options(texts: list[str]) -> dict[str, Any]:
    """`--set name=value` texts; a value is JSON where it can be read as such, else a text.

    Raises:
        ValueError: no '='.
    """
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"--set {text}: expected option=value, for example --set threshold=0.9")
        try:
            options[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            options[name.strip()] = value.strip()
    return options


def show_report(report: CheckReport) -> None:
    """Print the agreement with torch, one column per size of picture."""
    table = Table(title="ONNX against PyTorch")
    table.add_column("output")
    for entry in report.pictures:
        table.add_column("x".join(map(str, entry.shape)), justify="right")
    table.add_column("limit", justify="right")
    for name, share in MIN_EQUAL.items():
        table.add_row(f"{name} equal", *(f"{entry.equal[name]:.3%}" for entry in report.pictures), f"{share:.1%}")
    for name in report.pictures[0].close:
        close = (f"{entry.close[name]:.3%}" for entry in report.pictures)
        table.add_row(f"{name} equal", *close, f"{MIN_CLOSE_WEIGHTS:.1%}")
    for name, limit in MAX_DIFFERENCE.items():
        table.add_row(name, *(f"{entry.difference[name]:.1e}" for entry in report.pictures), f"{limit:g}")
    Console(stderr=True).print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="{onnx,check,coco,verify-coco}")
    _add_onnx(commands.add_parser("onnx", help="export the student of a run to one ONNX file"))
    _add_check(commands.add_parser("check", help="compare an ONNX file with the run it came from"))
    _add_coco(commands.add_parser("coco", help="write the labels of a data set as COCO masks"))
    _add_verify_coco(commands.add_parser("verify-coco", help="compare a COCO folder with its manifest"))
    return parser


def _add_onnx(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run_onnx)
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help="a finished or stopped run")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write, for example s.onnx")
    parser.add_argument(
        "--check", action=argparse.BooleanOptionalAction, default=True,
        help="compare with PyTorch and refuse to write a file that differs (default: yes)",
    )  # fmt: skip
    parser.add_argument(
        "--flip-average", action="store_true",
        help="predict each picture and its mirror image and average: twice the time, a better score (default: no)",
    )  # fmt: skip
    parser.add_argument(
        "--calibration", action=argparse.BooleanOptionalAction, default=True,
        help="put the run's calibration.json, if it has one, into the file: its threshold then decides what is "
        "reliable (default: yes)",
    )  # fmt: skip
    parser.add_argument(
        "--method", choices=method_names(), default=DEFAULT_METHOD,
        help=f"which pixels the file calls reliable (default: {DEFAULT_METHOD})",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE",
        help="an option of the method, for example alpha=4 or require_confidence=false; may be repeated",
    )  # fmt: skip
    _add_progress_file(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run_check)
    parser.add_argument("file", type=Path, metavar="FILE", help="an exported student")
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help="the run it was exported from")


def _add_coco(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run_coco)
    parser.add_argument("--data-format", choices=dataset_names(), required=True, help="how the data is laid out")
    parser.add_argument("--data-root", type=Path, required=True, metavar="PATH", help="the data set's folder or file")
    parser.add_argument("--split", default="train", metavar="NAME", help="which part of it (default: train)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that does not exist yet")
    parser.add_argument("--replace", action="store_true", help="put the export in the place of an older one")
    _add_progress_file(parser)


def _add_verify_coco(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run_verify_coco)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder written by 'coco'")


def _add_progress_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--progress-file", type=Path, metavar="FILE", help="JSON file that says how far the work is")


def _stop(signal_number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the command like Ctrl+C, so that temporary files are removed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main())
