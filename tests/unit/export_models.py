"""A student small enough to export in seconds, shared by the tests of the package export."""

import functools
from typing import Any

import torch
from torch import Tensor, nn

from datasets.labels import ClassSet
from export.model_file import SCORE_DEFINITIONS
from export.model_metadata import ModelMetadata
from export.onnx_graph import ExportModule, build_export_module, build_onnx
from reliability.lookup import build_method
from training.models import StudentOutput

CLASSES = ClassSet.from_names(("sky", "road", "car", "tree", "post"))
MEAN = (0.4, 0.45, 0.5)
STD = (0.2, 0.25, 0.3)
STRIDE = 8


class TinyStudent(nn.Module):
    """Sees an eighth of the resolution; its output has the size of its input only for whole multiples of 8."""

    def __init__(self, num_classes: int = len(CLASSES), seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.down = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.BatchNorm2d(8), nn.ReLU())
        self.mix = nn.Conv2d(8, num_classes, 3, padding=1)
        nn.init.normal_(self.mix.weight, std=0.8)

    def forward(self, image: Tensor) -> StudentOutput:
        features = self.down(image)
        logits = nn.functional.interpolate(self.mix(features), scale_factor=STRIDE, mode="bilinear")
        return StudentOutput(logits, features)


def tiny_module(method: str = "csl", **options: Any) -> ExportModule:
    return build_export_module(TinyStudent().eval(), build_method(method, **options), MEAN, STD, STRIDE)


def tiny_metadata(method: str = "csl", **options: Any) -> ModelMetadata:
    return ModelMetadata(
        class_set=CLASSES,
        mean=MEAN,
        std=STD,
        stride=STRIDE,
        method=method,
        method_options=options,
        recipe={"run": {"steps": 3}},
        data_sha256="ab" * 32,
        scores=SCORE_DEFINITIONS,
        created="2026-11-21T00:00:00+00:00",
    )


@functools.cache
def tiny_onnx() -> bytes:
    """The default export: CSL that requires confidence."""
    module = tiny_module("csl", require_confidence=True)
    return build_onnx(module, tiny_metadata("csl", require_confidence=True)).SerializeToString(deterministic=True)
