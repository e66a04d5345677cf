"""Latency of an exported student with and without the reliability head, on ONNX Runtime's CPU provider.

    python -m benchmarks.onnx_latency [--model student.onnx] [--size 360x480] [--threads 2] [--repeats 10]

Without --model an untrained student of the default backbone is exported first: latency does not depend on weights.
Timed are parts of one file: the student down to the probabilities, the whole file, and the head alone. Then comes one
ONNX Softmax over the classes of the same picture, which the exported graph avoids, and without --model the heads of
files that are calibrated by the confidence and by the combined score.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from benchmarks.side_by_side import RESULTS_FOLDER, Comparison, compare, show, write_result
from datasets.labels import ClassSet
from export.model_file import (
    INPUT_NAME,
    MIN_OPSET,
    PROBABILITIES_NAME,
    SCORE_DEFINITIONS,
    CheckedModel,
    check_model,
    read_model,
)
from export.model_metadata import ModelMetadata
from export.onnx_graph import build_export_module, build_onnx
from export.providers import Runtime
from reliability.calibrated import COMBINED, CalibratedReliability
from reliability.combined_fit import HIDDEN
from reliability.combined_score import CombinedScore
from reliability.lookup import build_method
from reliability.probability_curves import uncalibrated_curve
from reliability.score_features import num_features
from training.config import ModelConfig, TrainConfig
from training.models import build_student, student_stride

NUM_CLASSES = 11  # CamVid

NO_PROMISE = {"threshold": 0.5, "alpha": 0.5, "bound": 1.0, "is_promised": False, "decides": True}


def untrained_model(score: str | None = None) -> CheckedModel:
    """The default student with fresh weights and the selection method that is exported by default.

    Args:
        score: whose calibration the file holds, a name in `reliability.calibrated.SCORE_NAMES`; None: it holds none.
    """
    torch.manual_seed(0)
    config = TrainConfig()
    student = build_student(ModelConfig(), NUM_CLASSES).eval()
    options = {"require_confidence": True}
    stride = student_stride(student)
    calibrated = None if score is None else untrained_calibration(score)
    method = build_method("csl", **options)
    module = build_export_module(student, method, config.mean, config.std, stride, calibrated=calibrated)
    metadata = ModelMetadata(
        class_set=ClassSet.from_names([f"class {class_id}" for class_id in range(NUM_CLASSES)]),
        mean=config.mean,
        std=config.std,
        stride=stride,
        method="csl",
        method_options=options,
        recipe={},
        data_sha256="0" * 64,
        scores=SCORE_DEFINITIONS,
        created="untrained",
        calibration=None if score is None else NO_PROMISE,
    )
    return check_model(build_onnx(module, metadata).SerializeToString(), "untrained student")


def untrained_calibration(score: str) -> CalibratedReliability:
    """A table that says 1 - score, and for the combined score a network of the usual size."""
    combined = None
    if score == COMBINED:
        sizes = (num_features(NUM_CLASSES), *HIDDEN, 1)
        weights = [0.1 * torch.randn(outputs, inputs) for inputs, outputs in pairwise(sizes)]
        combined = CombinedScore(weights, [torch.zeros(len(weight)) for weight in weights], NUM_CLASSES)
    return CalibratedReliability(score, uncalibrated_curve().repeat(NUM_CLASSES, 1), 0.5, combined)


def softmax_model(num_classes: int) -> ModelProto:
    """One Softmax over axis 1, the operator that the export replaces by three faster ones."""
    shape: list[str | int | None] = ["N", num_classes, "H", "W"]
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1)],
        "softmax",
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", MIN_OPSET)], ir_version=10)


def run(
    model: CheckedModel,
    size_hw: tuple[int, int],
    threads: int,
    repeats: int,
    calibrated: Mapping[str, CheckedModel] | None = None,
) -> Comparison:
    """Time the parts of one file on one picture, and the heads of files that are calibrated by some score."""
    runtime = Runtime("cpu", "benchmark", threads)
    whole = runtime.session(model.proto.SerializeToString())
    trunk = runtime.session(model.trunk().SerializeToString())
    head = runtime.session(model.head().SerializeToString())
    softmax = runtime.session(softmax_model(len(model.metadata.class_set)).SerializeToString())
    image = picture(size_hw)
    probabilities: NDArray[np.float32] = trunk.run([PROBABILITIES_NAME], {INPUT_NAME: image})[0]
    variants = {
        "without_head": lambda: trunk.run(None, {INPUT_NAME: image}),
        "with_head": lambda: whole.run(None, {INPUT_NAME: image}),
        "head_alone": lambda: head.run(None, {PROBABILITIES_NAME: probabilities}),
        "onnx_softmax_alone": lambda: softmax.run(None, {"logits": probabilities}),
    }
    for score, other in (calibrated or {}).items():
        session = runtime.session(other.head().SerializeToString())
        variants[f"head_calibrated_by_{score}"] = partial(session.run, None, {PROBABILITIES_NAME: probabilities})
    facts = {
        "size_hw": list(size_hw),
        "classes": len(model.metadata.class_set),
        "method": model.metadata.method,
        "backbone": model.metadata.recipe.get("model", {}).get("backbone", ModelConfig().backbone),
        "threads": threads,
        "onnxruntime": onnxruntime.__version__,
        "file_bytes": model.proto.ByteSize(),
    }
    return compare("onnx_latency", variants, repeats=repeats, baseline="without_head", facts=facts)


def picture(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """(1, H, W, 3) noise."""
    return np.random.default_rng(0).integers(0, 256, (1, *size_hw, 3), dtype=np.uint8)


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, for example 360x480, got {text!r}") from None
    return height, width


def main() -> None:
    """Run, print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="FILE", help="an exported student; default: an untrained one")
    parser.add_argument("--size", type=_size, default=(360, 480), metavar="HxW", help="picture, default 360x480")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of ONNX Runtime, default 2")
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="turns, default 10")
    options = parser.parse_args()
    model = read_model(options.model) if options.model else untrained_model()
    calibrated = {} if options.model else {score: untrained_model(score) for score in ("confidence", COMBINED)}
    comparison = run(model, options.size, options.threads, options.repeats, calibrated)
    show(comparison)
    print(f"  written: {write_result(comparison, RESULTS_FOLDER).name}")


if __name__ == "__main__":
    main()
