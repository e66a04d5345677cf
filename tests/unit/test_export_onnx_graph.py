"""The graph computes what the torch modules compute, at any size, from the picture alone."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from datasets.labels import ClassSet
from export.model_file import OUTPUT_TYPES
from export.onnx_graph import build_export_module, build_onnx
from reliability.lookup import build_method
from reliability.selection import SelectionMethod
from tests.unit.export_models import CLASSES, MEAN, STD, STRIDE, TinyStudent, tiny_metadata, tiny_module, tiny_onnx
from training.models import StudentOutput

SIZES = {
    "whole strides": (1, 64, 80),
    "odd sides in a batch of three": (3, 53, 67),
    "below the stride": (2, 5, 3),
    "one pixel": (1, 1, 1),
    "one row": (1, 1, 41),
}


def random_pictures(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(tiny_onnx(), providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, image: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(OUTPUT_TYPES, session.run(list(OUTPUT_TYPES), {"image": image}), strict=True))


@pytest.mark.parametrize("shape", SIZES.values(), ids=SIZES.keys())
def test_onnx_gives_the_labels_and_masks_of_torch(session, shape):
    image = random_pictures(shape)
    found, expected = run(session, image), tiny_module("csl", require_confidence=True)(torch.from_numpy(image))
    assert (found["label"] == expected["label"].numpy()).mean() >= 0.999
    assert (found["reliable"] == expected["reliable"].numpy()).mean() >= 0.995


@pytest.mark.parametrize("name", ["probabilities", "confidence", "margin", "residual_variance"])
@pytest.mark.parametrize("shape", SIZES.values(), ids=SIZES.keys())
def test_onnx_gives_the_scores_of_torch(session, shape, name):
    image = random_pictures(shape)
    expected = tiny_module("csl", require_confidence=True)(torch.from_numpy(image))[name].numpy()
    np.testing.assert_allclose(run(session, image)[name], expected, atol=1e-5)


def test_outputs_have_the_types_and_shapes_of_the_contract(session):
    found = run(session, random_pictures((2, 21, 34)))
    assert {name: (value.dtype.name, value.shape) for name, value in found.items()} == {
        "label": ("uint8", (2, 21, 34)),
        "confidence": ("float32", (2, 21, 34)),
        "margin": ("float32", (2, 21, 34)),
        "residual_variance": ("float32", (2, 21, 34)),
        "weight": ("float32", (2, 21, 34)),
        "reliable": ("bool", (2, 21, 34)),
        "probabilities": ("float32", (2, 5, 21, 34)),
    }


def test_a_picture_in_a_batch_gets_the_weights_it_gets_alone(session):
    image = random_pictures((3, 40, 40))
    together = run(session, image)["weight"]
    alone = np.concatenate([run(session, image[index : index + 1])["weight"] for index in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_constant_picture_gives_finite_outputs(session):
    found = run(session, np.full((1, 32, 32, 3), 127, np.uint8))
    assert all(np.isfinite(value).all() for value in found.values())


def test_normalization_takes_mean_and_std_as_fractions_of_255():
    class Echo(nn.Module):
        def forward(self, image):
            return StudentOutput(image, image)

    module = build_export_module(Echo(), build_method("csl"), MEAN, STD, 1)
    image = random_pictures((1, 4, 6))
    expected = torch.softmax(torch.from_numpy((image / 255 - MEAN) / STD), dim=-1).permute(0, 3, 1, 2)
    torch.testing.assert_close(module(torch.from_numpy(image))["probabilities"], expected.float())


def test_padding_never_enters_the_statistics():
    seen = []

    class Spy(SelectionMethod):
        def forward(self, inputs):
            seen.append((tuple(inputs.probabilities.shape), bool(inputs.valid.all()), tuple(inputs.valid.shape)))
            return build_method("csl")(inputs)

    module = build_export_module(TinyStudent().eval(), Spy(), MEAN, STD, STRIDE)
    module(torch.from_numpy(random_pictures((2, 13, 9))))
    assert seen == [((2, 5, 13, 9), True, (2, 13, 9))]


def test_pixels_away_from_the_padded_border_do_not_depend_on_the_padding():
    module = tiny_module()
    image = torch.from_numpy(random_pictures((1, 64, 64)))
    whole = module(image)["probabilities"]
    cut = module(image[:, :61, :59])["probabilities"]
    torch.testing.assert_close(cut[..., :40, :40], whole[..., :40, :40])


def test_the_graph_uses_standard_operators_of_opset_18_only():
    model = onnx.load_model_from_string(tiny_onnx())
    assert {entry.domain: entry.version >= 18 for entry in model.opset_import} == {"": True}
    assert not model.functions


def test_the_graph_has_no_softmax_because_it_is_slow_over_axis_1():
    model = onnx.load_model_from_string(tiny_onnx())
    assert "Softmax" not in {node.op_type for node in model.graph.node}


def test_axes_are_named_n_h_w():
    model = onnx.load_model_from_string(tiny_onnx())
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert axes == {
        "image": ["N", "H", "W", 3],
        **{name: ["N", "H", "W"] for name in OUTPUT_TYPES},
        "probabilities": ["N", 5, "H", "W"],
    }


def test_metadata_are_strings_with_the_classes_and_the_recipe():
    model = onnx.load_model_from_string(tiny_onnx())
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert ClassSet.from_json(json.loads(found["classes"]), "metadata") == CLASSES
    assert json.loads(found["method_options"]) == {"require_confidence": True}
    assert json.loads(found["recipe"]) == {"run": {"steps": 3}}


def test_building_leaves_the_student_of_the_caller_alone():
    student = TinyStudent().train()
    build_export_module(student, build_method("csl"), MEAN, STD, STRIDE)
    assert student.training


def test_a_method_that_needs_features_is_refused_by_name():
    class Prototypes(SelectionMethod):
        needs = frozenset({"features"})

    with pytest.raises(ValueError, match="Prototypes needs features"):
        build_export_module(TinyStudent(), Prototypes(), MEAN, STD, STRIDE)


def test_a_method_with_a_threshold_that_moves_with_training_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"S4MC cannot be expressed in ONNX: .*threshold"):
        build_onnx(tiny_module("s4mc"), tiny_metadata("s4mc"))


@pytest.mark.parametrize("size_hw", [(24, 40), (13, 9)], ids=["multiple-of-the-stride", "padded"])
def test_a_flip_averaged_file_gives_a_mirrored_picture_the_mirrored_probabilities(size_hw):
    module = build_export_module(TinyStudent().eval(), build_method("csl"), MEAN, STD, STRIDE, flip_average=True)
    image = torch.from_numpy(random_pictures((1, *size_hw)))
    found, mirrored = module(image)["probabilities"], module(image.flip(2))["probabilities"]
    torch.testing.assert_close(mirrored, found.flip(3))
    assert not torch.allclose(tiny_module()(image)["probabilities"], found, atol=1e-3)
