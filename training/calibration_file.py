"""calibration.json of a run folder: everything that a calibration found, and what an export needs of it.

docs/calibration.md describes every key.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datasets.labels import ClassSet
from reliability.calibrated import CalibratedReliability
from reliability.calibration_quality import CalibrationQuality
from reliability.combined_score import CombinedScore
from reliability.risk_control import LOSS_BOUND, THRESHOLDS, units_needed
from training.calibration import (
    Calibration,
    ChosenThreshold,
    class_error_curves,
    sentence,
)
from training.records import write_json

CALIBRATION_NAME = "calibration.json"
FORMAT_VERSION = 1

CURVE_STEP = 4
"""Every fourth of THRESHOLDS is listed in `curve`: ten for each power of ten."""


@dataclass(frozen=True)
class CalibratedOn:
    """Where the counted pixels came from.

    Attributes:
        format, split, labeled_split: of the data set.
        sha256: digest over images and labels.
        student_sha256: see `student_digest`.
    """

    format: str
    split: str
    labeled_split: str
    sha256: str
    student_sha256: str


@dataclass(frozen=True)
class StoredCalibration:
    """What an export takes out of calibration.json.

    Attributes:
        reliability: the module for the graph.
        note: what the file's metadata says about it.
    """

    reliability: CalibratedReliability
    note: dict[str, Any]


def student_digest(student: nn.Module) -> str:
    """SHA-256 over the names and values of a student's weights: a calibration belongs to exactly these."""
    digest = sha256()
    for name, tensor in sorted(student.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_calibration(run_dir: Path, calibration: Calibration, class_set: ClassSet, source: CalibratedOn) -> Path:
    """Write calibration.json; the one before is replaced as a whole.

    Raises:
        OSError: disk full or no permission.
    """
    path = run_dir / CALIBRATION_NAME
    write_json(path, _content(calibration, class_set, source))
    return path


def read_calibration(path: Path, student: nn.Module, flip_average: bool) -> StoredCalibration:
    """Read what an export needs, and refuse what was made for another student.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, of a newer version, or made for other weights or other predictions.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, score, note = content["format"], content["score"], dict(content["note"])
        averaged, digest, table = content["flip_average"], content["student_sha256"], torch.tensor(content["table"])
        threshold = float(note["threshold"]) if note["decides"] else None
        combined = _read_combined(content["combined"], len(table)) if content.get("combined") is not None else None
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no {path.name} in {path.parent}; make it with: python -m training calibrate"
        ) from None
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}). Calibrate again: python -m training calibrate") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format {version}, this program reads {FORMAT_VERSION}; calibrate again")
    if digest != student_digest(student):
        raise ValueError(
            f"{path} was made for other weights than those in {path.parent}: its threshold promises nothing for them. "
            "Calibrate again, or export without it (--no-calibration)"
        )
    if averaged != flip_average:
        made, asked = ("with", "without") if averaged else ("without", "with")
        raise ValueError(
            f"{path} was made {made} averaging over the mirror image, the file is exported {asked} it: scores differ. "
            f"Calibrate {'with' if flip_average else 'without'} --flip-average, or export with --no-calibration"
        )
    return StoredCalibration(CalibratedReliability(score, table, threshold, combined), note)


def _read_combined(layers: list[dict[str, Any]], num_classes: int) -> CombinedScore:
    weights, biases = zip(*((layer["weight"], layer["bias"]) for layer in layers), strict=True)
    return CombinedScore([torch.tensor(each) for each in weights], [torch.tensor(each) for each in biases], num_classes)


def _describe_combined(combined: CombinedScore) -> list[dict[str, Any]]:
    return [{"weight": _exact(weight), "bias": _exact(bias)} for weight, bias in combined.layers()]


def _exact(values: Tensor) -> list[Any]:
    """Nested lists of numbers that give the same float32 to the bit."""
    return [_exact(row) if row.ndim else float(f"{row.item():.9g}") for row in values]


def _content(calibration: Calibration, class_set: ClassSet, source: CalibratedOn) -> dict[str, Any]:
    request, curves = calibration.request, calibration.curves
    threshold = calibration.threshold
    note = {
        "version": FORMAT_VERSION,
        "method": "conformal risk control, arXiv:2208.02814",
        "score": request.score,
        "curve": curves.kind + (" per class" if curves.per_class else ""),
        "alpha": request.alpha,
        "risk": request.risk,
        "loss_bound": LOSS_BOUND,
        "unit": calibration.unit,
        "units": threshold.units,
        "images": calibration.threshold_images,
        "threshold": threshold.value,
        "is_promised": threshold.is_promised,
        "decides": calibration.decides,
        "bound": threshold.bound,
        "coverage": calibration.coverage,
        "error_rate": calibration.error_rate,
        "data_sha256": source.sha256,
        "sentence": sentence(calibration),
    }
    return {
        "format": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sentence": note["sentence"],
        "note": note,
        "student_sha256": source.student_sha256,
        "flip_average": request.flip_average,
        "score": request.score,
        "data": {
            "format": source.format,
            "split": source.split,
            "labeled_split": source.labeled_split,
            "sha256": source.sha256,
            "fit_images": calibration.fit_images,
            "threshold_images": calibration.threshold_images,
            "is_set_apart": calibration.is_set_apart,
            "blocks": calibration.blocks,
            "block_frames": request.block_frames,
            "gap": request.gap,
            "independent": request.rule.independent,
            "frame_pattern": request.rule.pattern,
            "seed": request.seed,
        },
        "fit": {
            "held_out_log_loss": curves.held_out_loss,
            "chosen": note["curve"],
            "own_classes": [class_set.names[class_id] for class_id in curves.own_classes],
        },
        "quality": {
            "is_held_out": calibration.is_set_apart,
            "before": _describe_quality(calibration.before),
            "after": _describe_quality(calibration.after),
        },
        "thresholds": {
            unit: {**_threshold(each), "units_needed": units_needed(request.alpha)}
            for unit, each in calibration.by_unit.items()
        },
        "curve": _curve(calibration),
        "classes": _classes(calibration, class_set),
        "table": _exact(curves.table),
        "combined": None if calibration.combined is None else _describe_combined(calibration.combined),
    }


def _threshold(threshold: ChosenThreshold) -> dict[str, Any]:
    return {
        "threshold": threshold.value,
        "is_promised": threshold.is_promised,
        "is_reachable": threshold.is_reachable,
        "units": threshold.units,
        "mean_loss": threshold.mean_loss,
        "bound": threshold.bound,
        "smallest_bound": threshold.smallest_bound,
    }


def _listed(values: Tensor) -> list[float | None]:
    return _to_numbers(values[::CURVE_STEP])


def _curve(calibration: Calibration) -> dict[str, Any]:
    """Share called reliable against held-out error, for every listed threshold."""
    pixels = calibration.pixels
    bounds: Mapping[str, Tensor] = {unit: each.bounds for unit, each in calibration.by_unit.items()}
    return {
        "threshold": _listed(THRESHOLDS),
        "coverage": _listed(pixels.coverage()),
        "error_rate": _listed(pixels.error_rate()),
        "promised_by_images": _listed(bounds["image"]),
        "promised_by_blocks": _listed(bounds["block"]),
    }


def _classes(calibration: Calibration, class_set: ClassSet) -> dict[str, Any]:
    reliable, wrong, pixels = class_error_curves(calibration)
    errors = calibration.counts[:, :, 1].sum(dim=1)
    own = set(calibration.curves.own_classes)
    return {
        name: {
            "pixels": int(pixels[class_id]),
            "error_rate": _ratio(int(errors[class_id]), int(pixels[class_id])),
            "has_own_curve": class_id in own,
            "coverage": _listed(reliable[class_id] / pixels[class_id]),
            "reliable_error_rate": _listed(wrong[class_id] / reliable[class_id]),
        }
        for class_id, name in enumerate(class_set.names)
    }


def _ratio(part: int, whole: int) -> float | None:
    value = part / whole if whole else math.nan
    return None if math.isnan(value) else value


def _to_numbers(values: Tensor) -> list[float | None]:
    """Six significant digits; None for what does not exist."""
    return [None if value != value else float(f"{value:.6g}") for value in values.tolist()]


def _describe_quality(quality: CalibrationQuality) -> dict[str, Any]:
    """As JSON; the diagram's bins by rising probability."""
    return {
        "ece": quality.ece,
        "brier": quality.brier,
        "log_loss": quality.log_loss,
        "pixels": quality.pixels,
        "diagram": [
            {"stated": stated, "observed": observed, "pixels": pixels} for stated, observed, pixels in quality.diagram
        ],
    }
