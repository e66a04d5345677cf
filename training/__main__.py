"""Train a student, measure it, choose which images count as labeled.

    python -m training fit --preset debug --run-dir runs/debug
    python -m training fit --preset camvid_cpu --data-root path/to/camvid --labeled-split 1_8 --run-dir runs/first
    python -m training fit --preset voc_unimatch_321 --data-root path/to/VOCdevkit --labeled-split 366 --dry-run
    python -m training fit --config runs/first/config.json --run-dir runs/again
    python -m training fit --run-dir runs/first --resume
    accelerate launch -m training fit --preset camvid_gpu --data-root path/to/camvid --run-dir runs/two_gpus
    python -m training evaluate --run-dir runs/first --data-format camvid --data-root path/to/camvid --split test
    python -m training calibrate --run-dir runs/first --data-format camvid --data-root path/to/camvid --split train \
        --labeled-split 1_8_held_out
    python -m training profile --preset camvid_gpu --data-root path/to/camvid --steps 50 --trace trace.json
    python -m training split --data-format folder --data-root path/to/pictures --fraction 1/8 --name 1_8

Exit codes: 0 done, 2 something to correct in the command or the files, 3 the loss stopped being a number,
4 another process of the run is gone, 5 the images do not serve for a calibration, 130 stopped by Ctrl+C or SIGTERM
after writing a checkpoint.
"""

import argparse
import dataclasses
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import torch
from rich.console import Console

from datasets.lookup import build_dataset, dataset_names
from datasets.progress import Progress, ProgressFile
from datasets.splits import LabeledSplit, beside, hold_out_blocks, make_split, sequence_of, write_split
from training.calibrate_command import add_calibrate
from training.calibration import CannotCalibrateError
from training.checkpoint import CONFIG_NAME, load_student, load_trained_method
from training.config import TrainConfig
from training.config_json import apply_changes, read_config
from training.detector.provide import detector_of_run
from training.display import Display
from training.dry_run import dry_run
from training.environment import resolve_device, resolve_memory_format, resolve_precision
from training.evaluate import EvaluationExtras, evaluate_student
from training.held_out import training_overlap
from training.loop import DivergedError, FitOptions, fit
from training.presets import PRESETS, build_preset
from training.processes import ProcessLostError, have_met, is_first_process, leave_processes, process_number
from training.protocols import PROTOCOLS
from training.records import SUMMARY_NAME, write_json
from training.scenes import with_scenes
from training.session import check_before_data, inference_for
from training.signals import StopFlag, StopRequestedError
from training.step_profile import operators_table, parts_table, profile_steps, summary_line

EXIT_USER_ERROR, EXIT_DIVERGED, EXIT_LOST, EXIT_CANNOT_CALIBRATE, EXIT_STOPPED = 2, 3, 4, 5, 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    level = logging.INFO if is_first_process() else logging.ERROR  # the others would say the same
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except DivergedError as error:
        return _failed(error, EXIT_DIVERGED)
    except StopRequestedError as error:
        return _failed(error, EXIT_STOPPED)
    except ProcessLostError as error:
        return _failed(error, EXIT_LOST)
    except KeyboardInterrupt:
        return _failed(Exception("stopped"), EXIT_STOPPED)
    except torch.OutOfMemoryError as error:
        hint = "use a smaller run.labeled_batch, run.unlabeled_batch or views.crop_hw"
        return _failed(MemoryError(f"the device's memory is full: {hint} ({error})"), EXIT_USER_ERROR)
    except CannotCalibrateError as error:
        return _failed(error, EXIT_CANNOT_CALIBRATE)
    except (ValueError, OSError) as error:
        return _failed(error, EXIT_USER_ERROR)
    return 0


def _failed(error: BaseException, code: int) -> int:
    message = f"error: {error}" if code != EXIT_STOPPED else str(error)
    if is_first_process():
        print(message, file=sys.stderr)
    elif have_met() and code == EXIT_USER_ERROR:  # it may be this process's own trouble: its device, its file
        print(f"process {process_number()}: {message}", file=sys.stderr)
    return code


def run_fit(options: argparse.Namespace) -> None:
    """`fit`: train a student into a run folder."""
    config = fit_config(options)
    if options.dry_run:
        with tempfile.TemporaryDirectory(prefix="pixelsieve-") as folder, Display() as display:
            print(json.dumps(dry_run(with_scenes(config, Path(folder)), display), indent=2))
        return
    if options.run_dir is None:
        raise ValueError("say where the run is written: --run-dir DIR (or only look: --dry-run)")
    if options.run_dir.exists() and not options.run_dir.is_dir():
        raise ValueError(f"--run-dir: {options.run_dir} is a file; name a folder that the run can be written to")
    check_before_data(config, will_load_weights=options.resume or options.init_from is not None)
    config = with_scenes(config, options.run_dir)
    summary = fit(config, FitOptions(options.run_dir, options.resume, options.init_from, options.progress_file))
    leave_processes()
    if not is_first_process():
        return
    final = summary["final"]
    quality = f", mIoU {final['miou']:.3f} on {final['images']} images" if final.get("miou") is not None else ""
    print(f"{options.run_dir}: {summary['steps']} steps{quality}; see {SUMMARY_NAME}")


def run_profile(options: argparse.Namespace) -> None:
    """`profile`: measure some steps; nothing is written except the trace that was asked for."""
    config = fit_config(options)
    with tempfile.TemporaryDirectory(prefix="pixelsieve-") as folder:
        config = with_scenes(config, Path(folder))
        profile = profile_steps(config, options.steps, options.warmup, options.trace)
    console = Console()
    console.print(parts_table(profile))
    console.print(operators_table(profile))
    console.print(summary_line(profile), highlight=False)
    if options.trace is not None:
        console.print(f"trace: {options.trace} (open it in chrome://tracing or ui.perfetto.dev)", highlight=False)


def fit_config(options: argparse.Namespace) -> TrainConfig:
    """The configuration that the flags describe: preset, file or the run's own, then data flags, then --set.

    Raises:
        ValueError: nothing to start from, or a wrong key or value.
    """
    if options.config is not None:
        config = read_config(options.config)
    elif options.preset is not None:
        config = build_preset(options.preset)
    elif options.resume:
        if options.run_dir is None or not (options.run_dir / CONFIG_NAME).is_file():
            raise ValueError(
                f"--resume: {options.run_dir} is no run folder, {CONFIG_NAME} is missing; name one with --run-dir"
            )
        config = read_config(options.run_dir / CONFIG_NAME)
    else:
        raise ValueError("say what to run: --preset NAME, --config FILE, or --resume for a run that was started before")
    flags = {"format": options.data_format, "root": options.data_root, "labeled_split": options.labeled_split}
    if options.data_format not in (None, config.data.format):  # root and split of the preset belong to its own data
        flags = {name: value or "" for name, value in flags.items()}
    given = [f"data.{name}={value}" for name, value in flags.items() if value is not None]
    return apply_changes(config, [*given, *options.set])


def run_evaluate(options: argparse.Namespace) -> None:
    """`evaluate`: measure the student of a run folder on any split."""
    student, config = load_student(options.run_dir)
    dataset = build_dataset(options.data_format, options.data_root, options.split)
    if dataset.class_set.names != config.class_set.names:
        raise ValueError(
            f"{options.data_root} has the classes {', '.join(dataset.class_set.names)}, but {options.run_dir} was "
            f"trained on {', '.join(config.class_set.names)}; the classes and their order must be the same"
        )
    warning = training_overlap(options.run_dir, config, dataset)
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    device = resolve_device(options.device)
    precision = resolve_precision("no", device)
    memory_format = resolve_memory_format(config.run.channels_last, device, precision)
    inference = inference_for(config, device, memory_format)
    method = config.selection
    selection = load_trained_method(options.run_dir, student, config, method.name, method.options).to(device)
    progress = ProgressFile(options.progress_file)
    with StopFlag() as stop, Display() as display:

        def on_image(done: int, total: int) -> None:
            display.show("evaluating", done, total, {})
            progress.write(Progress(done, total, "evaluating"))
            if stop.is_set:
                raise StopRequestedError("stopped while evaluating; nothing was written")

        student = student.to(device).to(memory_format=memory_format)
        extras = EvaluationExtras(boxes_for=detector_of_run(config, selection, options.run_dir, device))
        result = evaluate_student(student, dataset, inference, selection, on_image, extras)
    result = {"split": options.split, **result}
    if options.out is not None:
        write_json(options.out, result)
    print(json.dumps(result, indent=2))


def run_split(options: argparse.Namespace) -> None:
    """`split`: write which images count as labeled."""
    dataset = build_dataset(options.data_format, options.data_root, options.split)
    labeled = [sample_id for index, sample_id in enumerate(dataset.sample_ids) if dataset.is_labeled(index)]
    if not labeled:
        raise ValueError(
            f"{options.data_root}: no image of split {options.split!r} has a label: nothing to choose from"
        )
    out = options.out or options.data_root / "splits" / (options.name or options.fraction.replace("/", "_"))
    held_out_folder = out.with_name(f"{out.name}_held_out")
    for folder in (out, *((held_out_folder,) if options.hold_out else ())):
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} already holds a split; remove it or choose another --name")
    held_out, near = _held_out_blocks(labeled, dataset.sample_ids, options)
    labeled = [sample_id for sample_id in labeled if sample_id not in held_out and sample_id not in near]
    fraction = _fraction(options.fraction, "--fraction")
    groups = [sequence_of(sample_id) for sample_id in labeled] if options.by_sequence else None
    chosen = make_split(labeled, fraction, options.seed, groups)
    without = set(dataset.sample_ids) - set(labeled) - held_out - near
    split = dataclasses.replace(chosen, unlabeled=tuple(sorted((*chosen.unlabeled, *without))))
    write_split(out, split)
    print(f"{out}: {len(split.labeled)} labeled, {len(split.unlabeled)} unlabeled")
    if held_out:
        write_split(held_out_folder, LabeledSplit(tuple(sorted(held_out)), ()))
        print(f"{held_out_folder}: {len(held_out)} held out; {len(near)} frames beside them are in neither list")


def _held_out_blocks(
    labeled: list[str], sample_ids: Sequence[str], options: argparse.Namespace
) -> tuple[set[str], set[str]]:
    """Labeled frames that are held out in blocks, and the frames right beside them, labeled or not."""
    if not options.hold_out:
        return set(), set()
    _, held_out = hold_out_blocks(labeled, _fraction(options.hold_out, "--hold-out"), options.seed)
    return set(held_out), set(beside(sample_ids, held_out))


def _fraction(text: str, flag: str) -> float:
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{flag} {text}: expected a share such as 1/8 or 0.125") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="{fit,evaluate,calibrate,split,profile}")
    _add_fit(commands.add_parser("fit", help="train a student into a run folder"))
    _add_evaluate(commands.add_parser("evaluate", help="measure the student of a run folder"))
    add_calibrate(commands.add_parser("calibrate", help="say how wrong reliable pixels are, and choose the threshold"))
    _add_split(commands.add_parser("split", help="choose at random which images count as labeled"))
    _add_profile(commands.add_parser("profile", help="say where the time of a configuration's steps goes"))
    return parser


def _add_fit(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run_fit)
    _add_configuration(parser)
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="where the run is written; not with --dry-run")
    parser.add_argument(
        "--dry-run", action="store_true",
        help="only check the data and print configuration, steps, parameters and an estimate of memory and time",
    )  # fmt: skip
    parser.add_argument("--init-from", type=Path, metavar="DIR", help="run folder whose student is the starting point")
    parser.add_argument("--resume", action="store_true", help="continue from the run folder's checkpoint if it has one")
    _add_progress_file(parser)


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run_profile, resume=False)
    _add_configuration(parser)
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="steps to measure; default 20")
    parser.add_argument("--warmup", type=int, default=5, metavar="N", help="steps before that; default 5")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="also write a Chrome trace of three steps, JSON")


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    start = parser.add_mutually_exclusive_group()
    names = (*PRESETS, *PROTOCOLS)
    start.add_argument("--preset", choices=names, metavar="NAME", help=f"ready-made: {', '.join(names)}")
    start.add_argument("--config", type=Path, metavar="FILE", help="config.json of a run to repeat")
    parser.add_argument("--data-format", choices=dataset_names(), help="data.format: how the data is laid out")
    parser.add_argument("--data-root", type=Path, metavar="PATH", help="data.root: the data set's folder or file")
    parser.add_argument(
        "--labeled-split", metavar="NAME", help="data.labeled_split: folder under DATA_ROOT/splits; default: all labels"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change one value, for example optimizer.lr=0.01 or selection.options.alpha=4; may be repeated",
    )  # fmt: skip


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run_evaluate)
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help="a finished or stopped run")
    _add_data(parser, split_default="test")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the numbers to this JSON file")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    _add_progress_file(parser)


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run_split)
    _add_data(parser, split_default="train")
    parser.add_argument("--fraction", required=True, metavar="SHARE", help="labeled share, for example 1/8 or 0.125")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random choice; default 0")
    parser.add_argument("--name", metavar="NAME", help="folder under DATA_ROOT/splits; default: the share, as 1_8")
    parser.add_argument("--out", type=Path, metavar="DIR", help="another folder instead")
    parser.add_argument(
        "--hold-out", metavar="SHARE",
        help="first set this share of the labels aside, for calibrating: a block of frames at one end of every "
        "recording, listed in NAME_held_out; default: none",
    )  # fmt: skip
    parser.add_argument(
        "--by-sequence", action="store_true", help="take the share from every video sequence (ids without frame number)"
    )


def _add_data(parser: argparse.ArgumentParser, split_default: str) -> None:
    parser.add_argument("--data-format", choices=dataset_names(), required=True, help="how the data is laid out")
    parser.add_argument("--data-root", type=Path, required=True, metavar="PATH", help="the data set's folder or file")
    parser.add_argument("--split", default=split_default, help=f"the data set's split; default {split_default}")


def _add_progress_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--progress-file", type=Path, metavar="FILE", help="JSON file that says how far it is, replaced twice a second"
    )


if __name__ == "__main__":
    sys.exit(main())
