"""What an exported student says about itself: strings in the ONNX file's metadata, checked when read."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasets.labels import ClassSet

FORMAT_VERSION = "1"
"""Value of the metadata key `pixelsieve_format`; raised when a reader of an older version would misread the file."""


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
        calibration: what is promised about `reliable`, see docs/calibration.md; None: it is the method's verdict.
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
    calibration: dict[str, Any] | None = None

    def to_properties(self) -> dict[str, str]:
        """The file's metadata: strings, JSON where structured."""
        properties = {
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
        return properties if self.calibration is None else {**properties, "calibration": _to_json(self.calibration)}


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
        calibration=reader.calibration(),
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

    def calibration(self) -> dict[str, Any] | None:
        """None where the key is absent: the file has no calibration."""
        if "calibration" not in self.properties:
            return None
        value = self.mapping("calibration")
        for key in ("threshold", "alpha", "bound"):
            if type(value.get(key)) not in (int, float):
                raise self.wrong("calibration", f"its '{key}' must be a number, got {str(value.get(key))[:40]}")
        for key in ("is_promised", "decides"):
            if not isinstance(value.get(key), bool):
                raise self.wrong("calibration", f"its '{key}' must be true or false, got {str(value.get(key))[:40]}")
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
