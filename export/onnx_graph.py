"""A student and a selection method as one ONNX graph: uint8 picture in, label and reliability maps out."""

import copy
import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout

import onnx
import onnx.compose
import torch
from torch import Tensor, nn
from torch.export import Dim

from export.model_file import INPUT_NAME, MIN_OPSET, PROBABILITIES_NAME, head_outputs, output_types
from export.model_metadata import ModelMetadata
from reliability.calibrated import CalibratedReliability
from reliability.scores import confidence, flip_averaged, margin, residual_variance
from reliability.selection import SelectionInputs, SelectionMethod

logger = logging.getLogger(__name__)

_HEAD_INPUT = "head_input"


class Trunk(nn.Module):
    """Picture to probabilities: normalization, padding to the stride, student, crop, softmax.

    With `flip_average` the mean of the picture's probabilities and its mirror image's, flipped back: the student runs
    twice, and the score that ranks errors best among the plain ones is then the file's `confidence`.

    Padding is 0 after normalization (the mean color) on the right and below, which is what the students were trained
    and evaluated with. It is cut off before the softmax, so it never reaches the statistics of a selection method.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, student: nn.Module, mean: Tensor, std: Tensor, stride: int, flip_average: bool = False) -> None:
        super().__init__()
        self.student = student
        self.flip_average = flip_average
        self.stride = stride
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("std", std.view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 -> (N, C, H, W) float32."""
        normalized = (image.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std  # (N, 3, H, W)
        if not self.flip_average:
            return self._probabilities(normalized)
        return flip_averaged(self._probabilities(normalized), self._probabilities(normalized.flip(3)))

    def _probabilities(self, normalized: Tensor) -> Tensor:
        height, width = normalized.shape[2], normalized.shape[3]
        below = (height + self.stride - 1) // self.stride * self.stride - height
        right = (width + self.stride - 1) // self.stride * self.stride - width
        padded = nn.functional.pad(normalized, (0, right, 0, below))
        logits = self.student(padded).logits[:, :, :height, :width].float()  # (N, C, H, W)
        # Not torch.softmax: over axis 1, ONNX Runtime's CPU Softmax took 5.8 times as long as these three operators
        # (1 x 11 x 512 x 512, onnxruntime 1.31, one thread).
        exponentials = torch.exp(logits - logits.amax(dim=1, keepdim=True))
        return exponentials / exponentials.sum(dim=1, keepdim=True)


class Head(nn.Module):
    """Probabilities to label, scores and selection; every pixel of the picture is valid.

    Where a calibration has a threshold, `reliable` is its verdict instead of the method's, whose weight stays.
    """

    def __init__(self, method: SelectionMethod, calibrated: CalibratedReliability | None = None) -> None:
        super().__init__()
        self.method = method
        self.calibrated = calibrated

    @property
    def output_names(self) -> tuple[str, ...]:
        """Of what `forward` returns."""
        return head_outputs(self.calibrated is not None)

    def forward(self, probabilities: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) -> maps (N, H, W) in the order of `output_names`."""
        valid = torch.ones_like(probabilities[:, 0], dtype=torch.bool)
        selection = self.method(SelectionInputs(probabilities=probabilities, valid=valid))
        scores = (confidence(probabilities), margin(probabilities), residual_variance(probabilities))
        label = selection.pseudo_label.to(torch.uint8)
        if self.calibrated is None:
            return label, *scores, selection.weight, selection.reliable
        probability_wrong, verdict = self.calibrated(probabilities, selection.pseudo_label)
        reliable = selection.reliable if verdict is None else verdict
        return label, *scores, selection.weight, reliable, probability_wrong


class ExportModule(nn.Module):
    """What the ONNX file computes, in torch; the two halves are exported apart and joined at `probabilities`."""

    def __init__(self, trunk: Trunk, head: Head) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    @torch.no_grad()
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(N, H, W, 3) uint8 -> the outputs of the file by name."""
        probabilities = self.trunk(image)
        maps = dict(zip(self.head.output_names, self.head(probabilities), strict=True))
        return {**maps, PROBABILITIES_NAME: probabilities}


def build_export_module(
    student: nn.Module,
    method: SelectionMethod,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    stride: int,
    flip_average: bool = False,
    calibrated: CalibratedReliability | None = None,
) -> ExportModule:
    """Student and selection method as one module, on the CPU in float32 and evaluation mode.

    Args:
        student: (N, 3, H, W) normalized -> an output with `logits` (N, C, H, W), H and W multiples of `stride`. It is
            copied.
        method: needs neither features nor boxes, because the file has only the picture. It is copied.
        mean: per RGB channel, as a fraction of 255.
        std: per RGB channel, as a fraction of 255.
        stride: pixels.
        flip_average: average over the picture and its mirror image, for twice the time.
        calibrated: says how likely each pixel is wrong and, with a threshold, what is reliable in the method's place.
            It is copied.

    Raises:
        ValueError: the method needs something that a picture alone does not give.
    """
    missing = sorted(method.needs & {"features", "boxes"})
    if missing:
        raise ValueError(
            f"selection method {type(method).__name__} needs {' and '.join(missing)}, which an exported student does "
            "not have; choose a method that works on probabilities, for example csl"
        )
    trunk = Trunk(copy.deepcopy(student), torch.tensor(mean), torch.tensor(std), stride, flip_average)
    return ExportModule(trunk, Head(copy.deepcopy(method), copy.deepcopy(calibrated))).cpu().float().eval()


def build_onnx(module: ExportModule, metadata: ModelMetadata) -> onnx.ModelProto:
    """The module as one ONNX model with dynamic N, H and W and the metadata that `model_file.parse_metadata` reads.

    Raises:
        ValueError: the student or the method uses something that has no ONNX form; names which of the two.
    """
    num_classes = len(metadata.class_set)
    # Two images of unlike sides: a size of 1 or two equal sizes would be taken for constants.
    image = torch.zeros(2, 3 * metadata.stride + 1, 4 * metadata.stride + 1, 3, dtype=torch.uint8)
    probabilities = torch.softmax(torch.linspace(0, 3, 2 * num_classes * 35 * 52).view(2, num_classes, 35, 52), dim=1)
    maps = list(module.head.output_names)
    head = _export(module.head, probabilities, [_HEAD_INPUT], maps, dynamic_axes=(0, 2, 3))
    trunk = _export(module.trunk, image, [INPUT_NAME], [PROBABILITIES_NAME], dynamic_axes=(0, 1, 2))
    renamed = onnx.compose.add_prefix(head, "head/", rename_inputs=False, rename_outputs=False)
    joint, outputs = [(PROBABILITIES_NAME, _HEAD_INPUT)], [PROBABILITIES_NAME, *maps]
    joined = onnx.compose.merge_models(trunk, renamed, joint, outputs=outputs, name="pixelsieve")
    _tidy(joined, list(output_types(module.head.calibrated is not None)))
    onnx.helper.set_model_props(joined, metadata.to_properties())
    return joined


def _export(
    part: nn.Module, example: Tensor, inputs: list[str], outputs: list[str], dynamic_axes: tuple[int, ...]
) -> onnx.ModelProto:
    log = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(log), redirect_stderr(log), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter reports its own deprecations on every call
            program = torch.onnx.export(
                part,
                (example,),
                dynamo=True,
                opset_version=MIN_OPSET,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=({axis: Dim.DYNAMIC for axis in dynamic_axes},),
                verbose=False,
            )
    except Exception as error:
        logger.debug("output of the exporter: %s", log.getvalue())
        name = type(part.method if isinstance(part, Head) else getattr(part, "student", part)).__name__
        cause = _root_cause(error)
        raise ValueError(f"{name} cannot be expressed in ONNX: {type(cause).__name__}: {str(cause)[:400]}") from error
    if program is None:
        raise ValueError("torch.onnx.export returned nothing; install the extra 'train', which brings onnxscript")
    return program.model_proto


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _tidy(model: onnx.ModelProto, output_names: list[str]) -> None:
    """Contract order and plain axis names for the outputs; the exporter's notes and source paths are dropped."""
    graph = model.graph
    del graph.value_info[:]
    del model.metadata_props[:]
    del model.opset_import[:]  # one entry per half otherwise
    model.opset_import.append(onnx.helper.make_opsetid("", MIN_OPSET))
    graph.doc_string = model.doc_string = ""
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    axes = {4: ("N", None, "H", "W"), 3: ("N", "H", "W")}
    _name_axes(graph.input[0], ("N", "H", "W", None))
    outputs = {output.name: output for output in graph.output}
    ordered = [copy.deepcopy(outputs[name]) for name in output_names]
    for output in ordered:
        _name_axes(output, axes[len(output.type.tensor_type.shape.dim)])
    del graph.output[:]
    graph.output.extend(ordered)
    model.producer_name, model.producer_version = "pixelsieve", f"torch {torch.__version__}"


def _name_axes(value: onnx.ValueInfoProto, names: tuple[str | None, ...]) -> None:
    value.doc_string = ""
    del value.metadata_props[:]
    for dimension, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
        if name is not None:
            dimension.dim_param = name
