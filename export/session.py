"""Runs an exported student. Needs onnx, onnxruntime and numpy only; knows nothing about how it was trained.

predictor = load_predictor(Path("student.onnx"))
prediction = predictor.predict(image)  # (H, W, 3) uint8 RGB
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from datasets.labels import ClassSet
from export.model_file import INPUT_NAME, PROBABILITIES_NAME, CheckedModel, read_model
from export.model_metadata import ModelMetadata, first_line
from export.providers import Device, Runtime, choose_runtime
from export.tiles import OVERLAP_SHARE, TilePlan, predict_in_tiles

logger = logging.getLogger(__name__)

DEFAULT_TILE = 1536
"""Longest side in pixels that is predicted in one piece: 11 classes at 1536 x 1536 are 100 MB of probabilities."""


@dataclass(frozen=True)
class Prediction:
    """What the student says about one picture; the definitions of the scores are in the file's metadata.

    Attributes:
        label: (H, W) uint8 class ids.
        confidence: (H, W) float32.
        margin: (H, W) float32.
        residual_variance: (H, W) float32.
        weight: (H, W) float32 in [0, 1].
        reliable: (H, W) bool.
        probabilities: (C, H, W) float32, sums to 1 over C.
        probability_wrong: (H, W) float32, calibrated; None: the file has no calibration.
    """

    label: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    margin: NDArray[np.float32]
    residual_variance: NDArray[np.float32]
    weight: NDArray[np.float32]
    reliable: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    probability_wrong: NDArray[np.float32] | None = None

    @property
    def probability_right(self) -> NDArray[np.float32]:
        """(H, W), calibrated, or the confidence from a file without a calibration."""
        return self.confidence if self.probability_wrong is None else np.float32(1) - self.probability_wrong


class Predictor:
    """An exported student that is ready to run; made by `load_predictor`.

    Attributes:
        metadata: what the file says about itself.
        model_sha256: digest of the file's bytes.
        device: "cuda" or "cpu", what it really runs on.
        device_reason: why it does not run on CUDA; empty if it does.
        tile: longest side in pixels that is predicted in one piece, or None for any.
    """

    def __init__(self, model: CheckedModel, runtime: Runtime, tile: int | None) -> None:
        self.metadata: ModelMetadata = model.metadata
        self.model_sha256 = model.sha256
        self.device = runtime.device
        self.device_reason = runtime.reason
        self.tile = tile
        self._source = model.source
        self._head_outputs = model.head_outputs
        # Two halves of one file instead of the whole: whatever the size of a picture, it takes the same way, and the
        # statistics of a selection method are always those of the whole picture.
        self._trunk = _start(runtime, model.trunk().SerializeToString(), model.source)
        self._head = _start(runtime, model.head().SerializeToString(), model.source)

    @property
    def class_set(self) -> ClassSet:
        """The classes, in the order of the channels of `Prediction.probabilities`."""
        return self.metadata.class_set

    def predict(self, image: NDArray[np.uint8]) -> Prediction:
        """Predict one picture of any size.

        Args:
            image: (H, W, 3) uint8 RGB.

        Raises:
            ValueError: another shape or type.
            RuntimeError: ONNX Runtime failed, for example for want of memory; says which file and size.
        """
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Predict pictures of one size together; each gets what it would get alone, up to rounding.

        Raises:
            ValueError: sizes differ, or a picture has another shape or type.
            RuntimeError: as `predict`.
        """
        if not images:
            return []
        _check_images(images)
        if self.tile is not None and max(images[0].shape[:2]) > self.tile:
            return [self._predict_tiled(image, self.tile) for image in images]
        return self._maps(self._probabilities(np.ascontiguousarray(np.stack(images))))

    def _predict_tiled(self, image: NDArray[np.uint8], tile: int) -> Prediction:
        stride = self.metadata.stride
        plan = TilePlan(tile, max(int(tile * OVERLAP_SHARE) // stride, 1) * stride, stride)
        probabilities = predict_in_tiles(image, plan, self._probabilities)
        return self._maps(probabilities[None])[0]

    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        (probabilities,) = self._run(self._trunk, [PROBABILITIES_NAME], INPUT_NAME, images)
        return probabilities

    def _maps(self, probabilities: NDArray[np.float32]) -> list[Prediction]:
        maps = self._run(self._head, list(self._head_outputs), PROBABILITIES_NAME, probabilities)
        named = dict(zip(self._head_outputs, maps, strict=True))
        return [
            Prediction(**{name: values[index] for name, values in named.items()}, probabilities=probabilities[index])
            for index in range(len(probabilities))
        ]

    def _run(
        self, session: onnxruntime.InferenceSession, outputs: list[str], name: str, value: NDArray[np.generic]
    ) -> list[NDArray[np.float32]]:
        try:
            result: list[NDArray[np.float32]] = session.run(outputs, {name: value})
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise RuntimeError(
                f"{self._source} failed on an array of {value.shape} on the {self.device}: {first_line(error)}. "
                "If memory ran out, predict in smaller tiles"
            ) from error
        return result


def load_predictor(
    path: Path, device: Device = "auto", tile: int | None = DEFAULT_TILE, threads: int | None = None
) -> Predictor:
    """Check a model file, see `model_file.read_model`, and make it ready to run.

    Args:
        path: a file from `python -m export onnx`.
        device: "auto" takes CUDA when it really loads, else the CPU; `Predictor.device` says which.
        tile: pictures with a longer side are predicted in overlapping windows of this side, rounded down to a
            multiple of the student's stride; at least two strides. None never splits.
        threads: of the CPU; None is one per core.

    Raises:
        FileNotFoundError: no file at `path`.
        ValueError: not a student of ours, damaged or hostile (the message names the file), or a wrong argument.
        RuntimeError: CUDA was asked for and does not load.
    """
    model = read_model(path)
    if tile is not None:
        tile = _whole_strides(tile, model.metadata.stride)
    runtime = choose_runtime(device, threads, model.head().SerializeToString())
    logger.info("%s runs on %s%s", path, runtime.device, f": {runtime.reason}" if runtime.reason else "")
    return Predictor(model, runtime, tile)


def _whole_strides(tile: int, stride: int) -> int:
    if tile < 2 * stride:
        raise ValueError(f"tile must be at least {2 * stride} pixels, twice the student's stride, got {tile}")
    return tile // stride * stride


def _start(runtime: Runtime, content: bytes, source: str) -> onnxruntime.InferenceSession:
    try:
        return runtime.session(content)
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ValueError(f"{source} cannot be run: {first_line(error)}") from error


def _check_images(images: Sequence[NDArray[np.uint8]]) -> None:
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"an image must be (height, width, 3) uint8 RGB, got {image.shape} {image.dtype}")
        if image.shape != images[0].shape:
            raise ValueError(
                f"a batch needs pictures of one size, got {images[0].shape[:2]} and {image.shape[:2]} (height, width); "
                "predict them one by one"
            )
