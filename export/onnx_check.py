"""Does the ONNX file say what torch says? Pictures of several sizes go through both, and every output is compared."""

from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from export.model_file import CALIBRATED_NAME, INPUT_NAME, output_types
from export.model_metadata import first_line
from export.onnx_graph import ExportModule

MIN_EQUAL = {"label": 0.999, "reliable": 0.995}
"""Smallest share of equal pixels, over all pictures of a check. The rest are ties that rounding decides."""

MAX_DIFFERENCE = {"probabilities": 1e-3, "confidence": 1e-3, "margin": 2e-3, "residual_variance": 1e-4}
"""Largest absolute difference of any pixel. Kernels add in another order: 1e-6 is common, 1e-4 occurs in deep nets."""

WEIGHT_TOLERANCE = 1e-3
MIN_CLOSE_WEIGHTS = 0.995
"""Weights jump to 1 at the border of the reliable pixels, so a share of them is compared: an epsilon that the exporter
deleted moved 4 to 9 % of CSL's weights by up to 3e-3. Calibrated probabilities are steps, compared in the same way."""

_SEED = 0


@dataclass(frozen=True)
class CheckedPictures:
    """Agreement on pictures of one size.

    Attributes:
        shape: (N, H, W).
        equal: label and reliable -> share of equal pixels.
        close: weight, and probability_wrong in a calibrated file -> share of pixels that differ by at most
            WEIGHT_TOLERANCE.
        difference: name of a float output -> largest absolute difference; infinite where one side is not finite.
    """

    shape: tuple[int, int, int]
    equal: dict[str, float]
    close: dict[str, float]
    difference: dict[str, float]

    @property
    def pixels(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class CheckReport:
    """Agreement of an ONNX file with torch over all pictures of a check."""

    pictures: tuple[CheckedPictures, ...]

    def share(self, values: list[float]) -> float:
        """Mean over all pixels of one share per entry of `pictures`."""
        return float(np.average(values, weights=[entry.pixels for entry in self.pictures]))

    def problem(self) -> str | None:
        """The first difference beyond its limit, with the number, the limit and the picture; None if there is none."""
        for name, limit in MAX_DIFFERENCE.items():
            worst = max(self.pictures, key=lambda entry: entry.difference[name])
            if not worst.difference[name] <= limit:
                size = "x".join(map(str, worst.shape))
                return f"{name} differs by {worst.difference[name]:.2g} (limit {limit:g}) on pictures of {size} pixels"
        for name, least in MIN_EQUAL.items():
            share = self.share([entry.equal[name] for entry in self.pictures])
            if share < least:
                return f"{name} is equal in {share:.3%} of the pixels (at least {least:.1%} are needed)"
        for name in self.pictures[0].close:
            share = self.share([entry.close[name] for entry in self.pictures])
            if not share >= MIN_CLOSE_WEIGHTS:
                return (
                    f"{name} is within {WEIGHT_TOLERANCE:g} in {share:.3%} of the pixels "
                    f"(at least {MIN_CLOSE_WEIGHTS:.1%} are needed)"
                )
        return None


def check_against_torch(module: ExportModule, content: bytes, stride: int) -> CheckReport:
    """Run the bytes of an ONNX file on the CPU beside the module it was made from.

    Args:
        module: the truth.
        content: a file that `model_file.check_model` accepted.
        stride: of the student, in pixels; decides the sizes: whole multiples, odd sides in a batch of two, sides below
            the stride, and a tall picture.

    Raises:
        ValueError: ONNX Runtime refuses the file.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ValueError(f"ONNX Runtime refuses the exported graph: {first_line(error)}") from error
    generator = np.random.default_rng(_SEED)
    return CheckReport(tuple(_compare(module, session, _pictures(generator, shape)) for shape in _shapes(stride)))


def _shapes(stride: int) -> tuple[tuple[int, int, int], ...]:
    half = max(stride // 2, 1)
    return (
        (1, 4 * stride, 5 * stride),
        (2, 3 * stride + 1, 4 * stride - half + 1),
        (3, half + 1, half),
        (1, 6 * stride + half, 3 * stride - 1),
    )


def _pictures(generator: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(N, H, W, 3) pictures with areas, edges and noise, so that the student is sure here and unsure there."""
    count, height, width = shape
    cells = generator.integers(0, 256, (count, height // 16 + 1, width // 16 + 1, 3))
    areas = cells.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    noise = generator.normal(0, 12, (count, height, width, 3)) * np.linspace(0, 2, width)[:, None]
    return np.clip(areas + noise, 0, 255).astype(np.uint8)


def _compare(module: ExportModule, session: onnxruntime.InferenceSession, image: NDArray[np.uint8]) -> CheckedPictures:
    expected = {name: value.numpy() for name, value in module(torch.from_numpy(image)).items()}
    names = list(output_types(CALIBRATED_NAME in expected))
    found = dict(zip(names, session.run(names, {INPUT_NAME: image}), strict=True))
    for name, value in expected.items():
        if found[name].shape != value.shape or found[name].dtype != value.dtype:
            raise ValueError(
                f"'{name}' is {found[name].dtype} {found[name].shape} in ONNX Runtime, "
                f"but {value.dtype} {value.shape} in torch"
            )
    steps = [name for name in ("weight", CALIBRATED_NAME) if name in expected]
    return CheckedPictures(
        shape=(image.shape[0], image.shape[1], image.shape[2]),
        equal={name: float((found[name] == expected[name]).mean()) for name in MIN_EQUAL},
        close={name: float((np.abs(found[name] - expected[name]) <= WEIGHT_TOLERANCE).mean()) for name in steps},
        difference={name: _largest_difference(found[name], expected[name]) for name in MAX_DIFFERENCE},
    )


def _largest_difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("inf")
    return float(np.abs(found - expected).max())
