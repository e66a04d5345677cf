"""What an exported student looks like as a file, and the checks that a file must pass before it is run.

A model file may come from anywhere, so nothing in it is believed before it is checked: one file without external data,
standard operators only, the inputs and outputs below, and metadata that says which classes it predicts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnx.utils import Extractor

from export.model_metadata import ModelMetadata, first_line, parse_metadata

MAX_MODEL_BYTES = 2_000_000_000
"""A protobuf message, and so an ONNX file without external data, ends at 2 GiB; some room is left for the reader."""

MIN_OPSET = 18

INPUT_NAME = "image"
PROBABILITIES_NAME = "probabilities"
"""Where the file is cut in two: the student above, the reliability head below."""

OUTPUT_TYPES: dict[str, tuple[int, int]] = {  # name -> (element type, rank), in the order of the file
    "label": (TensorProto.UINT8, 3),
    "confidence": (TensorProto.FLOAT, 3),
    "margin": (TensorProto.FLOAT, 3),
    "residual_variance": (TensorProto.FLOAT, 3),
    "weight": (TensorProto.FLOAT, 3),
    "reliable": (TensorProto.BOOL, 3),
    PROBABILITIES_NAME: (TensorProto.FLOAT, 4),
}
HEAD_OUTPUTS = tuple(name for name in OUTPUT_TYPES if name != PROBABILITIES_NAME)

CALIBRATED_NAME = "probability_wrong"
CALIBRATED_OUTPUTS = {CALIBRATED_NAME: (int(TensorProto.FLOAT), 3)}
"""What a file has besides, if it was exported with a calibration: files from before there was any are as good."""

SCORE_DEFINITIONS = {
    "confidence": "largest class probability, (N, H, W), 1/C to 1",
    "margin": "largest minus second largest class probability, (N, H, W), 0 to 1",
    "residual_variance": "spread of the probability that did not go to the predicted class, with a zero in the "
    "predicted class's place (CSL, arXiv:2509.16704), (N, H, W), 0 upwards",
    "weight": "the selection method's factor on a pseudo-label, (N, H, W), 0 to 1; compares pixels of one image",
    "reliable": "the selection method's verdict, (N, H, W)",
    "probabilities": "softmax of the student's logits at temperature 1, (N, C, H, W)",
}

FLIP_AVERAGED_DEFINITIONS = {
    PROBABILITIES_NAME: "mean of the softmax of the picture and of its mirror image, flipped back, (N, C, H, W)",
}
"""What is different in a file that was exported with `flip_average`."""

CALIBRATED_DEFINITIONS = {
    CALIBRATED_NAME: "calibrated probability that the predicted class is wrong, (N, H, W), 0 to 1"
}
"""What is different in a file that was exported with a calibration."""

DECIDED_DEFINITIONS = {
    "reliable": "whether probability_wrong is at most the threshold in the metadata's calibration, (N, H, W)",
}
"""And in one whose calibration decides what is reliable."""


@dataclass(frozen=True)
class CheckedModel:
    """A model file that passed every check.

    Attributes:
        proto: the parsed file.
        metadata: its metadata.
        sha256: digest of the file's bytes.
        source: what messages call it, usually the path.
    """

    proto: onnx.ModelProto
    metadata: ModelMetadata
    sha256: str
    source: str

    @property
    def head_outputs(self) -> tuple[str, ...]:
        """The maps of the head: HEAD_OUTPUTS, and those of a calibration if the file has one."""
        return head_outputs(self.metadata.calibration is not None)

    def trunk(self) -> onnx.ModelProto:
        """The student: the part from `image` to `probabilities`, as a model of its own."""
        return Extractor(self.proto).extract_model([INPUT_NAME], [PROBABILITIES_NAME])

    def head(self) -> onnx.ModelProto:
        """The reliability head: the part from `probabilities` to the maps, as a model of its own."""
        return Extractor(self.proto).extract_model([PROBABILITIES_NAME], list(self.head_outputs))


def head_outputs(is_calibrated: bool) -> tuple[str, ...]:
    """Names of the head's maps in the order of the file."""
    return (*HEAD_OUTPUTS, *CALIBRATED_OUTPUTS) if is_calibrated else HEAD_OUTPUTS


def output_types(is_calibrated: bool) -> dict[str, tuple[int, int]]:
    """Name -> (element type, rank) of every output, in the order of the file."""
    return {**OUTPUT_TYPES, **CALIBRATED_OUTPUTS} if is_calibrated else OUTPUT_TYPES


def read_model(path: Path) -> CheckedModel:
    """Read a model file and check it without running it.

    Raises:
        FileNotFoundError: no file at `path`.
        ValueError: the file is not one of ours, is damaged or does what ours never do; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}. Make one with: python -m export onnx --run-dir RUN --out {path}")
    size = path.stat().st_size
    if size > MAX_MODEL_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, an exported student at most {MAX_MODEL_BYTES:,}; it was not read")
    return check_model(path.read_bytes(), str(path))


def check_model(content: bytes, source: str) -> CheckedModel:
    """Check the bytes of a model file; see `read_model`.

    Raises:
        ValueError: as `read_model`; the message names `source`.
    """
    proto = _parse(content, source)
    _check_operators(proto, source)
    _check_self_contained(proto, source)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"{source} is not a valid ONNX model: {first_line(error)}") from error
    metadata = parse_metadata({entry.key: entry.value for entry in proto.metadata_props}, source)
    _check_interface(proto, len(metadata.class_set), output_types(metadata.calibration is not None), source)
    model = CheckedModel(proto, metadata, sha256(content).hexdigest(), source)
    _check_head(model.head(), source)
    return model


def _parse(content: bytes, source: str) -> onnx.ModelProto:
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own error class moved between its releases
        raise ValueError(f"{source} is not an ONNX file, or it is truncated: {first_line(error)}") from error
    if not proto.graph.node:
        raise ValueError(f"{source} is not an ONNX file, or it is truncated: it holds no graph")
    return proto


def _check_operators(proto: onnx.ModelProto, source: str) -> None:
    domains = {node.domain for node in proto.graph.node} | {entry.domain for entry in proto.opset_import}
    foreign = sorted(domains - {"", "ai.onnx"})
    if foreign or proto.functions:
        named = foreign or sorted({function.domain for function in proto.functions})
        raise ValueError(f"{source} needs operators outside the ONNX standard ({', '.join(named)}); it was not loaded")
    opset = min((entry.version for entry in proto.opset_import), default=0)
    if opset < MIN_OPSET:
        raise ValueError(f"{source} uses ONNX opset {opset}; exported students use {MIN_OPSET} or newer")
    control_flow = [
        node.op_type for node in proto.graph.node for part in node.attribute if part.HasField("g") or part.graphs
    ]
    if control_flow:
        raise ValueError(f"{source} contains control flow ({control_flow[0]}), an exported student never does")


def _check_self_contained(proto: onnx.ModelProto, source: str) -> None:
    outside = sorted(tensor.name for tensor in _tensors(proto.graph) if _is_external(tensor))
    if outside:
        raise ValueError(
            f"{source} keeps weights in other files ({', '.join(outside[:4])}); a student is one file. Not loaded"
        )
    if proto.graph.sparse_initializer or proto.graph.quantization_annotation or proto.training_info:
        raise ValueError(f"{source} holds sparse weights, annotations or training graphs, an exported student never")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.external_data) or tensor.data_location == TensorProto.EXTERNAL


def _check_interface(
    proto: onnx.ModelProto, num_classes: int, types: Mapping[str, tuple[int, int]], source: str
) -> None:
    inputs = {entry.name: entry.type.tensor_type for entry in proto.graph.input}
    if set(inputs) != {INPUT_NAME}:
        raise ValueError(f"{source} must have exactly one input '{INPUT_NAME}', found {sorted(inputs)}")
    outputs = {entry.name: entry.type.tensor_type for entry in proto.graph.output}
    missing = [name for name in types if name not in outputs]
    if missing:
        raise ValueError(f"{source} lacks the outputs {', '.join(missing)}; found {', '.join(sorted(outputs))}")
    found = {INPUT_NAME: inputs[INPUT_NAME], **{name: outputs[name] for name in types}}
    for name, (element_type, rank) in {INPUT_NAME: (int(TensorProto.UINT8), 4), **types}.items():
        is_type, is_rank = found[name].elem_type, len(found[name].shape.dim)
        if (is_type, is_rank) != (element_type, rank):
            raise ValueError(
                f"{source}: '{name}' must be {_type_name(element_type)} with {rank} axes, "
                f"found {_type_name(is_type)} with {is_rank}"
            )
    channels = found[PROBABILITIES_NAME].shape.dim[1].dim_value
    if channels != num_classes:
        raise ValueError(f"{source} predicts {channels} classes, but its metadata names {num_classes}")
    if found[INPUT_NAME].shape.dim[3].dim_value != 3:
        raise ValueError(f"{source}: '{INPUT_NAME}' must be (N, H, W, 3)")


def _check_head(head: onnx.ModelProto, source: str) -> None:
    """Large images are predicted in tiles and the head runs once on the whole, so it must not look at the image."""
    known = {PROBABILITIES_NAME, "", *(tensor.name for tensor in head.graph.initializer)}
    known.update(name for node in head.graph.node for name in node.output)
    loose = sorted({name for node in head.graph.node for name in node.input} - known)
    if loose:
        raise ValueError(
            f"{source}: {', '.join(HEAD_OUTPUTS)} must follow from '{PROBABILITIES_NAME}' alone, but they also read "
            f"{', '.join(loose[:4])}. Export the student again with: python -m export onnx"
        )


def _type_name(element_type: int) -> str:
    try:
        return str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element_type)))
    except KeyError:
        return f"unknown type {element_type}"
