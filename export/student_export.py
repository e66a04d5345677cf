"""From a run folder to a published student file: build, check, compare with torch, and only then write."""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from datasets.files import publish
from export.model_file import (
    CALIBRATED_DEFINITIONS,
    DECIDED_DEFINITIONS,
    FLIP_AVERAGED_DEFINITIONS,
    MAX_MODEL_BYTES,
    SCORE_DEFINITIONS,
    check_model,
    read_model,
)
from export.model_metadata import ModelMetadata
from export.onnx_check import CheckReport, check_against_torch
from export.onnx_graph import ExportModule, build_export_module, build_onnx
from reliability.lookup import method_options
from training.calibration_file import CALIBRATION_NAME, StoredCalibration, read_calibration
from training.checkpoint import load_checkpoint, load_student, load_trained_method
from training.config_json import config_to_json
from training.models import Student, student_stride

DEFAULT_METHOD = "csl"

EXPORT_OPTIONS: dict[str, Any] = {"require_confidence": True}
"""Options that differ from training's where a method has them: people rely on the mask, so a pixel needs a floor."""

STEPS = ("loading the student", "building the graph", "comparing with torch", "writing the file")


class OutputsDifferError(RuntimeError):
    """ONNX and torch disagree; no file was written. `report` holds the numbers."""

    def __init__(self, message: str, report: CheckReport) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class ExportedStudent:
    """A published file.

    Attributes:
        path: the file.
        size_bytes: its size.
        sha256: digest of its bytes.
        report: agreement with torch, or None if that was switched off.
        calibration: what the file promises about its reliable pixels, or None.
    """

    path: Path
    size_bytes: int
    sha256: str
    report: CheckReport | None
    calibration: dict[str, Any] | None


@dataclass(frozen=True)
class ExportChoice:
    """What a user may choose beside the run and the file.

    Attributes:
        method: name of a selection method.
        options: its options; absent ones come from the run's training configuration if it used the same method, then
            from EXPORT_OPTIONS, then from the method's own defaults.
        check: compare with torch before writing.
        flip_average: average probabilities over the picture and its mirror image, for twice the time.
        use_calibration: put the run's calibration into the file, if it has one.
    """

    method: str = DEFAULT_METHOD
    options: dict[str, Any] | None = None
    check: bool = True
    flip_average: bool = False
    use_calibration: bool = True


def export_run(
    run_dir: Path,
    out: Path,
    choice: ExportChoice = ExportChoice(),  # noqa: B008  (frozen)
    progress: Callable[[int, str], None] | None = None,
) -> ExportedStudent:
    """Export the student of a training run to one ONNX file.

    Args:
        run_dir: folder of a finished or stopped run, with config.json and checkpoint/.
        out: the file to write; an existing one is replaced only by a finished one.
        choice: selection method and check.
        progress: called with the number of finished STEPS and the next one's name.

    Raises:
        FileNotFoundError: the run folder lacks a file; names it.
        ValueError: unknown method or option, the student cannot be exported, or calibration.json belongs to another.
        OutputsDifferError: ONNX and torch differ; `out` is untouched.
    """
    report_step = progress or _ignore
    report_step(0, STEPS[0])
    if out.is_dir():
        raise ValueError(f"{out} is a folder; give the name of a file, for example {out / 'student.onnx'}")
    student, config = load_student(run_dir)
    trained_with = config.selection.options if config.selection.name == choice.method else {}
    options = resolve_options(choice.method, trained_with, choice.options or {})
    method = load_trained_method(run_dir, student, config, choice.method, options)
    if "progress" in method.needs:
        raise ValueError(
            f"selection method '{choice.method}' relaxes its threshold while a student trains; fix one for the file, "
            "for example --set threshold=0.5, in the unit of its score, or export csl"
        )
    stride = student_stride(student)
    stored = _calibration_of(run_dir, student, choice)
    module = build_export_module(
        student,
        method,
        config.mean,
        config.std,
        stride,
        choice.flip_average,
        None if stored is None else stored.reliability,
    )
    metadata = ModelMetadata(
        class_set=config.class_set,
        mean=config.mean,
        std=config.std,
        stride=stride,
        method=choice.method,
        method_options=options,
        recipe=config_to_json(config),
        data_sha256=str(load_checkpoint(run_dir, groups=()).values["data_sha256"]),
        scores=_definitions(choice.flip_average, stored),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        flip_average=choice.flip_average,
        calibration=None if stored is None else stored.note,
    )
    return export_student(module, metadata, out, choice.check, report_step)


def _calibration_of(run_dir: Path, student: Student, choice: ExportChoice) -> StoredCalibration | None:
    path = run_dir / CALIBRATION_NAME
    if not choice.use_calibration or not path.is_file():
        return None
    return read_calibration(path, student, choice.flip_average)


def _definitions(flip_average: bool, stored: StoredCalibration | None) -> dict[str, str]:
    """What the file says about each of its outputs."""
    definitions = {**SCORE_DEFINITIONS, **(FLIP_AVERAGED_DEFINITIONS if flip_average else {})}
    if stored is None:
        return definitions
    return {**definitions, **CALIBRATED_DEFINITIONS, **(DECIDED_DEFINITIONS if stored.note["decides"] else {})}


def check_run(path: Path, run_dir: Path) -> CheckReport:
    """Compare an existing file with the run it was exported from.

    Raises:
        FileNotFoundError: no such file or run.
        ValueError: the file is not a student of ours.
        OutputsDifferError: it says something else than the student of `run_dir`, or than its calibration.
    """
    model = read_model(path)
    student, config = load_student(run_dir)
    if model.metadata.class_set != config.class_set:
        raise ValueError(f"{path} and {run_dir} have different classes, so the file does not come from this run")
    metadata = model.metadata
    method = load_trained_method(run_dir, student, config, metadata.method, metadata.method_options)
    stride = student_stride(student)
    stored = None
    if metadata.calibration is not None:
        stored = read_calibration(run_dir / CALIBRATION_NAME, student, metadata.flip_average)
    calibrated = None if stored is None else stored.reliability
    module = build_export_module(student, method, config.mean, config.std, stride, metadata.flip_average, calibrated)
    report = check_against_torch(module, path.read_bytes(), student_stride(student))
    problem = report.problem()
    if problem:
        raise OutputsDifferError(f"{path} is not the student of {run_dir}: {problem}", report)
    if stored is not None and metadata.calibration is not None:
        differs = _note_differences(metadata.calibration, stored.note)
        if differs:
            raise OutputsDifferError(
                f"{path} states another calibration than {run_dir / CALIBRATION_NAME}: {differs}. Its outputs are "
                "those of the student, its promise is not the run's: export it again",
                report,
            )
    return report


def _note_differences(stated: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What a file's metadata says about its calibration and the run does not; empty when they agree."""
    names = [name for name in sorted({*stated, *found}) if stated.get(name) != found.get(name)]
    return ", ".join(f"{name} is {stated.get(name)!r} instead of {found.get(name)!r}" for name in names)


def resolve_options(method: str, trained_with: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Every option of `method` with the value that is exported; see `ExportChoice.options`.

    Raises:
        ValueError: unknown method.
    """
    defaults = method_options(method)
    of_export = {name: value for name, value in EXPORT_OPTIONS.items() if name in defaults}
    return {**defaults, **trained_with, **of_export, **given}


def export_student(
    module: ExportModule,
    metadata: ModelMetadata,
    out: Path,
    check: bool = True,
    progress: Callable[[int, str], None] | None = None,
) -> ExportedStudent:
    """Write `module` to `out` if it passes every check; see `export_run`.

    Raises:
        ValueError: the graph is not exportable, too large, or not a file that `model_file.read_model` would accept.
        OutputsDifferError: ONNX and torch differ; `out` is untouched.
    """
    report_step = progress or _ignore
    report_step(1, STEPS[1])
    proto = build_onnx(module, metadata)
    if proto.ByteSize() > MAX_MODEL_BYTES:
        raise ValueError(
            f"the student has {proto.ByteSize():,} bytes, one ONNX file holds at most {MAX_MODEL_BYTES:,}; "
            "train a student with a smaller backbone"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(proto.SerializeToString(deterministic=True))
            file.flush()
            os.fsync(file.fileno())
        content = temporary.read_bytes()
        report_step(2, STEPS[2])
        report = _checked(module, metadata, content, out, check)
        report_step(3, STEPS[3])
        temporary.chmod(0o644)  # a temporary file is private, a model is for other services too
        publish(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    report_step(len(STEPS), f"wrote {out}")
    return ExportedStudent(out, len(content), sha256(content).hexdigest(), report, metadata.calibration)


def _checked(
    module: ExportModule, metadata: ModelMetadata, content: bytes, out: Path, check: bool
) -> CheckReport | None:
    check_model(content, str(out))
    if not check:
        return None
    report = check_against_torch(module, content, metadata.stride)
    problem = report.problem()
    if problem:
        raise OutputsDifferError(f"ONNX and PyTorch disagree: {problem}; {out} was not written", report)
    return report


def _ignore(done: int, message: str) -> None:
    """For callers that do not want to know."""
