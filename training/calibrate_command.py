"""`python -m training calibrate`: how wrong are the pixels that are called reliable, and what can be promised?"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from datasets.frames import BLOCK_FRAMES, FrameRule
from datasets.lookup import dataset_names
from datasets.progress import Progress, ProgressFile
from reliability.calibrated import SCORE_NAMES
from reliability.risk_control import LOSSES
from training.calibrate import HeldOutData, calibrate_run
from training.calibration import UNIT_WORDS, Calibration, CalibrationRequest, percent, sentence
from training.calibration_file import CALIBRATION_NAME
from training.display import Display
from training.signals import StopFlag, StopRequestedError


def run_calibrate(options: argparse.Namespace) -> None:
    """`calibrate`: write calibration.json and its plots into a run folder."""
    request = CalibrationRequest(
        alpha=options.alpha,
        risk=options.risk,
        unit=options.unit,
        score=options.score,
        flip_average=options.flip_average,
        gap=options.gap,
        rule=FrameRule(options.independent, options.frame_pattern),
        block_frames=options.block_frames,
        fit_share=options.fit_share,
        seed=options.seed,
        accept_measured=options.accept_measured,
    )
    data = HeldOutData(options.data_format, options.data_root, options.split, options.labeled_split)
    progress = ProgressFile(options.progress_file)
    with StopFlag() as stop, Display() as display:

        def on_image(done: int, total: int) -> None:
            display.show("calibrating", done, total, {})
            progress.write(Progress(done, total, "calibrating"))
            if stop.is_set:
                raise StopRequestedError("stopped while calibrating; nothing was written")

        calibration = calibrate_run(options.run_dir, data, request, options.device, on_image)
    show_calibration(calibration, Console())
    print(f"{options.run_dir / CALIBRATION_NAME}: python -m export onnx puts it into the file")
    print(sentence(calibration))


def show_calibration(calibration: Calibration, console: Console) -> None:
    """Print the quality before and after, and what can be promised with images and with blocks as units."""
    curves = calibration.curves
    held_out = "images the curve was not fitted on" if calibration.is_set_apart else "the images it was fitted on, too"
    table = Table(title=f"Probability of being wrong, on {calibration.threshold_images} images ({held_out})")
    for column in ("", "ECE", "Brier", "log loss"):
        table.add_column(column, justify="left" if not column else "right")
    for name, quality in (("1 - score", calibration.before), (_curve_name(calibration), calibration.after)):
        table.add_row(name, f"{quality.ece:.4f}", f"{quality.brier:.4f}", f"{quality.log_loss:.4f}")
    console.print(table)
    if curves.held_out_loss:
        listed = ", ".join(f"{name} {loss:.4f}" for name, loss in curves.held_out_loss.items())
        console.print(f"held-out log loss on {calibration.fit_images} images: {listed}", highlight=False)
    if calibration.void_images:
        console.print(f"left out, because their labels are void everywhere: {calibration.void_images} images")
    console.print(_threshold_table(calibration))


def _curve_name(calibration: Calibration) -> str:
    curves = calibration.curves
    return f"{curves.kind}, {len(curves.own_classes)} classes of their own" if curves.per_class else curves.kind


def _threshold_table(calibration: Calibration) -> Table:
    independent = calibration.request.rule.independent
    counted = {unit: each for unit, each in calibration.by_unit.items() if unit == "image" or not independent}
    ways = "" if independent else f", {len(counted)} ways to count"
    table = Table(title=f"Asked: {percent(calibration.request.alpha)}{ways}")
    for column in ("unit", "n", "promised", "called reliable", "measured", "can be promised", "smallest bound"):
        table.add_column(column, justify="left" if column == "unit" else "right")
    for unit, threshold in counted.items():
        covers = 0.0 if threshold.index < 0 else float(calibration.pixels.coverage()[threshold.index])
        table.add_row(
            UNIT_WORDS[unit] + (" *" if unit == calibration.unit else ""),
            str(threshold.units),
            "yes" if threshold.is_promised else "no",
            percent(covers),
            percent(threshold.mean_loss),
            percent(threshold.bound),
            "-" if threshold.smallest_bound is None else percent(threshold.smallest_bound),
        )
    if not independent:
        table.caption = "* decides. Frames of one recording are wrong together: as blocks they promise less, but truly."
    return table


def add_calibrate(parser: argparse.ArgumentParser) -> None:
    """Fill the parser of `calibrate`."""
    parser.set_defaults(run=run_calibrate)
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR", help="a finished or stopped run")
    parser.add_argument(
        "--data-format", choices=dataset_names(), required=True, help="how the held-out data is laid out"
    )
    parser.add_argument("--data-root", type=Path, required=True, metavar="PATH", help="the data set's folder or file")
    parser.add_argument("--split", default="gold", metavar="NAME", help="which part of it; default gold")
    parser.add_argument(
        "--labeled-split", default="", metavar="NAME",
        help="only the labeled ids of DATA_ROOT/splits/NAME, as 'split --hold-out' writes them; default: all labels",
    )  # fmt: skip
    parser.add_argument(
        "--alpha", type=float, default=0.01, metavar="SHARE",
        help="error to promise, between 0 and 1; default 0.01",
    )  # fmt: skip
    parser.add_argument(
        "--risk", choices=sorted(LOSSES, reverse=True), default="reliable",
        help="promise the error rate among an image's reliable pixels, or their wrong ones among all pixels of the "
        "image; default reliable",
    )  # fmt: skip
    parser.add_argument(
        "--unit", choices=("auto", "image", "block"), default="auto",
        help="what is exchangeable; default auto: blocks where pictures are frames of recordings, else images",
    )  # fmt: skip
    parser.add_argument(
        "--accept-measured", action="store_true",
        help="let the threshold decide what an exported file calls reliable even where alpha cannot be promised; "
        "default: the file then keeps its method's verdict",
    )  # fmt: skip
    parser.add_argument(
        "--score", choices=sorted(SCORE_NAMES), default="confidence",
        help="confidence, margin, or combined: a small network over many scores, fitted on the images of --fit-share "
        "and used if there are enough of them and it finds errors better; default confidence",
    )  # fmt: skip
    parser.add_argument(
        "--flip-average", action="store_true",
        help="average over picture and mirror image, for files exported with --flip-average; default: no",
    )  # fmt: skip
    parser.add_argument(
        "--independent", action="store_true", help="the pictures do not come from videos: none has a neighbor"
    )
    parser.add_argument(
        "--frame-pattern", default="", metavar="REGEX",
        help="two groups found in the id: recording and frame number; default: the digits at its end are the number",
    )  # fmt: skip
    parser.add_argument(
        "--gap", type=int, default=1, metavar="FRAMES",
        help="frames that must lie between these images and training frames, 0 or more; default 1",
    )  # fmt: skip
    parser.add_argument(
        "--block-frames", type=int, default=BLOCK_FRAMES, metavar="FRAMES",
        help=f"frames of a block, 1 or more; default {BLOCK_FRAMES}",
    )  # fmt: skip
    parser.add_argument(
        "--fit-share", type=float, metavar="SHARE",
        help="share of the images that only curves, and the combined score, are fitted on, between 0 and 1; default "
        "0.25, with --score combined 0.5",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice of these images; default 0")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--progress-file", type=Path, metavar="FILE", help="JSON file that says how far it is")
