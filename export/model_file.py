"""What an exported student looks like as a file, and the checks that a file must pass before it is run.

A model file may come from anywhere, so nothing in it is believed before it is checked: one file without external data,
standard operators only, the inputs and outputs below, and metadata that says which classes it predicts.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx.utils import Extractor

from datasets.labels import ClassSet

FORMAT_VERSION = "1"
"""Value of the metadata key `pixelsieve_format`; raised when a reader of an older version would misread the file."""

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


@dataclass(frozen=True)
class ModelMetadata:
    """What an exported student says about itself; `to_properties` and `parse_metadata` are inverse to each other.

    Attributes:
        class_set: names and colours, in the order of the channels of `probabilities`.
        mean: per RGB channel, as a fraction of 255.
        std: per RGB channel, as a fraction of 255, above 0.
        stride: the student sees multiples of it; padding happens inside the file.
        method: name of the selection method, see `reliability.lookup`.
        method_options: its options.
        recipe: the training configuration.
        data_sha256: digest of the training data, 64 hex digits.
        scores: name of an output -> its definition.
        created: ISO 8601 time in UTC.
        flip_average: whether probabilities are averaged over the picture and its mirror image.
    """

    class_set: ClassSet
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int
    method: str
    method_options: dict[str, Any]
    recipe: dict[str, Any]
    data_sha256: str
    scores: dict[str, str]
    created: str
    flip_average: bool = False

    def to_properties(self) -> dict[str, str]:
        """The file's metadata: strings, JSON where structured."""
        return {
            "pixelsieve_format": FORMAT_VERSION,
            "classes": _to_json(self.class_set.to_json()),
            "mean": _to_json(self.mean),
            "std": _to_json(self.std),
            "stride": str(self.stride),
            "method": self.method,
            "method_options": _to_json(self.method_options),
            "recipe": _to_json(self.recipe),
            "data_sha256": self.data_sha256,
            "scores": _to_json(self.scores),
            "created": self.created,
            "flip_average": _to_json(self.flip_average),
        }


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

    def trunk(self) -> onnx.ModelProto:
        """The student: the part from `image` to `probabilities`, as a model of its own."""
        return Extractor(self.proto).extract_model([INPUT_NAME], [PROBABILITIES_NAME])

    def head(self) -> onnx.ModelProto:
        """The reliability head: the part from `probabilities` to the maps, as a model of its own."""
        return Extractor(self.proto).extract_model([PROBABILITIES_NAME], list(HEAD_OUTPUTS))


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
    _check_interface(proto, len(metadata.class_set), source)
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


def _check_interface(proto: onnx.ModelProto, num_classes: int, source: str) -> None:
    inputs = {entry.name: entry.type.tensor_type for entry in proto.graph.input}
    if set(inputs) != {INPUT_NAME}:
        raise ValueError(f"{source} must have exactly one input '{INPUT_NAME}', found {sorted(inputs)}")
    outputs = {entry.name: entry.type.tensor_type for entry in proto.graph.output}
    missing = [name for name in OUTPUT_TYPES if name not in outputs]
    if missing:
        raise ValueError(f"{source} lacks the outputs {', '.join(missing)}; found {', '.join(sorted(outputs))}")
    found = {INPUT_NAME: inputs[INPUT_NAME], **{name: outputs[name] for name in OUTPUT_TYPES}}
    for name, (element_type, rank) in {INPUT_NAME: (int(TensorProto.UINT8), 4), **OUTPUT_TYPES}.items():
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


def parse_metadata(properties: Mapping[str, str], source: str) -> ModelMetadata:
    """Read the metadata of a model file.

    Raises:
        ValueError: a key is missing or has a wrong value; the message names `source` and the key.
    """
    version = properties.get("pixelsieve_format")
    if version is None:
        raise ValueError(
            f"{source} has no key 'pixelsieve_format' in its metadata, so it is not a student exported by Pixelsieve. "
            "Export one with: python -m export onnx"
        )
    if version != FORMAT_VERSION:
        raise ValueError(f"{source} has format {version!r}, this release reads {FORMAT_VERSION!r}; export it again")
    reader = _Properties(properties, source)
    return ModelMetadata(
        class_set=reader.class_set(),
        mean=reader.channels("mean", above=-math.inf),
        std=reader.channels("std", above=0.0),
        stride=reader.stride(),
        method=reader.text("method"),
        method_options=reader.mapping("method_options"),
        recipe=reader.mapping("recipe"),
        data_sha256=reader.digest("data_sha256"),
        scores={str(name): str(text) for name, text in reader.mapping("scores").items()},
        created=reader.text("created"),
        flip_average=reader.flag("flip_average"),
    )


@dataclass(frozen=True)
class _Properties:
    """Typed access to metadata strings, with errors that name the file and the key."""

    properties: Mapping[str, str]
    source: str

    def text(self, key: str) -> str:
        if not self.properties.get(key):
            raise ValueError(f"{self.source}: the metadata lacks '{key}'")
        return self.properties[key]

    def json(self, key: str) -> Any:  # noqa: ANN401  (any JSON value; the callers check it)
        try:
            return json.loads(self.text(key), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise self.wrong(key, f"not JSON ({first_line(error)})") from error

    def wrong(self, key: str, reason: str) -> ValueError:
        return ValueError(f"{self.source}: the metadata key '{key}' is wrong: {reason}")

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.json(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "expected a JSON object")
        return value

    def class_set(self) -> ClassSet:
        try:
            return ClassSet.from_json(self.mapping("classes"), self.source)
        except TypeError as error:
            raise self.wrong("classes", str(error)) from error

    def channels(self, key: str, above: float) -> tuple[float, float, float]:
        value = self.json(key)
        if (
            not isinstance(value, list)
            or len(value) != 3
            or not all(type(entry) in (int, float) and math.isfinite(entry) and entry > above for entry in value)
        ):
            raise self.wrong(key, f"expected three numbers{' above 0' if above == 0 else ''}, got {str(value)[:80]}")
        return float(value[0]), float(value[1]), float(value[2])

    def flag(self, key: str) -> bool:
        """False where the key is absent: files from before it existed had no such thing."""
        value = self.json(key) if key in self.properties else False
        if not isinstance(value, bool):
            raise self.wrong(key, f"expected true or false, got {str(value)[:40]}")
        return value

    def stride(self) -> int:
        text = self.text("stride")
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) >= 1):
            raise self.wrong("stride", f"expected a whole number from 1 to 9999, got {text[:40]!r}")
        return int(text)

    def digest(self, key: str) -> str:
        text = self.text(key)
        if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
            raise self.wrong(key, f"expected 64 hex digits, got {text[:80]!r}")
        return text


def _to_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def first_line(error: BaseException) -> str:
    """The start of a message that may have many lines, for errors of one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
