"""A predictor runs the file as it is, whatever the size of the picture, and refuses files that are not ours."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export import providers, session
from export.model_file import MAX_MODEL_BYTES, OUTPUT_TYPES, read_model
from export.model_metadata import parse_metadata
from export.session import Predictor, load_predictor
from tests.unit.export_models import CLASSES, STRIDE, tiny_metadata, tiny_onnx


def scenery(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with areas and noise."""
    generator = np.random.default_rng(seed)
    areas = generator.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).repeat(16, 0).repeat(16, 1)
    return np.clip(areas[:height, :width] + generator.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "student.onnx"
    path.write_bytes(tiny_onnx())
    return path


@pytest.fixture(scope="module")
def predictor(model_path) -> Predictor:
    return load_predictor(model_path, device="cpu", threads=1)


def equal(one: session.Prediction, other: session.Prediction) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in OUTPUT_TYPES)


def test_predictions_are_the_outputs_of_the_whole_file(predictor):
    image = scenery(45, 70)
    whole = onnxruntime.InferenceSession(tiny_onnx(), providers=["CPUExecutionProvider"])
    expected = dict(zip(OUTPUT_TYPES, whole.run(list(OUTPUT_TYPES), {"image": image[None]}), strict=True))
    prediction = predictor.predict(image)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(prediction, name), value[0], atol=1e-5, err_msg=name)


def test_predictions_have_the_types_of_the_contract(predictor):
    prediction = predictor.predict(scenery(9, 20))
    assert {name: (getattr(prediction, name).dtype.name, getattr(prediction, name).shape) for name in OUTPUT_TYPES} == {
        "label": ("uint8", (9, 20)),
        "confidence": ("float32", (9, 20)),
        "margin": ("float32", (9, 20)),
        "residual_variance": ("float32", (9, 20)),
        "weight": ("float32", (9, 20)),
        "reliable": ("bool", (9, 20)),
        "probabilities": ("float32", (5, 9, 20)),
    }


def test_the_classes_come_from_the_file(predictor):
    assert predictor.class_set == CLASSES
    assert predictor.metadata == tiny_metadata("csl", require_confidence=True)


def test_a_batch_gives_what_each_picture_gives_alone(predictor):
    images = [scenery(40, 56, seed) for seed in range(3)]
    for image, prediction in zip(images, predictor.predict_batch(images), strict=True):
        np.testing.assert_allclose(prediction.weight, predictor.predict(image).weight, atol=1e-5)
        np.testing.assert_array_equal(prediction.label, predictor.predict(image).label)


def test_an_empty_batch_gives_nothing(predictor):
    assert predictor.predict_batch([]) == []


def test_a_batch_of_unlike_sizes_is_refused(predictor):
    with pytest.raises(ValueError, match=r"\(40, 56\) and \(41, 56\)"):
        predictor.predict_batch([scenery(40, 56), scenery(41, 56)])


WRONG_IMAGES = {
    "floats": np.zeros((4, 4, 3), np.float32),
    "gray": np.zeros((4, 4), np.uint8),
    "four channels": np.zeros((4, 4, 4), np.uint8),
    "no rows": np.zeros((0, 4, 3), np.uint8),
}


@pytest.mark.parametrize("image", WRONG_IMAGES.values(), ids=WRONG_IMAGES.keys())
def test_a_wrong_image_is_refused(predictor, image):
    with pytest.raises(ValueError, match=r"must be \(height, width, 3\) uint8 RGB"):
        predictor.predict(image)


def test_a_picture_below_the_tile_is_not_split(model_path, predictor):
    tiled = load_predictor(model_path, device="cpu", tile=96, threads=1)
    image = scenery(96, 80)
    assert equal(tiled.predict(image), predictor.predict(image))


LARGE = {
    "both sides": (150, 213),
    "one row of tiles": (40, 260),
    "one column of tiles": (261, 33),
    "just over": (97, 97),
}


@pytest.mark.parametrize("size_hw", LARGE.values(), ids=LARGE.keys())
def test_tiled_labels_are_nearly_those_of_the_whole_picture(model_path, size_hw):
    image = scenery(*size_hw)
    whole = load_predictor(model_path, device="cpu", tile=None, threads=1).predict(image)
    tiled = load_predictor(model_path, device="cpu", tile=96, threads=1).predict(image)
    assert (whole.label == tiled.label).mean() > 0.98
    assert np.abs(whole.probabilities - tiled.probabilities).mean() < 0.01


def test_blended_probabilities_sum_to_one(model_path):
    prediction = load_predictor(model_path, device="cpu", tile=96, threads=1).predict(scenery(150, 213))
    np.testing.assert_allclose(prediction.probabilities.sum(axis=0), 1, atol=1e-5)


def test_statistics_are_those_of_the_whole_picture_when_it_is_tiled(model_path, predictor):
    prediction = load_predictor(model_path, device="cpu", tile=96, threads=1).predict(scenery(150, 213))
    (again,) = predictor._maps(prediction.probabilities[None])
    assert equal(prediction, again)


def test_statistics_are_not_those_of_single_tiles(model_path, predictor):
    # One dull half and one lively half: alone, each half finds reliable pixels of its own.
    image = np.concatenate([np.full((96, 192, 3), 90, np.uint8), scenery(96, 192)], axis=1)
    tiled = load_predictor(model_path, device="cpu", tile=192, threads=1).predict(image)
    halves = [predictor.predict(np.ascontiguousarray(half)) for half in (image[:, :192], image[:, 192:])]
    apart = np.concatenate([half.weight for half in halves], axis=1)
    whole = predictor.predict(image)
    assert np.abs(tiled.weight - whole.weight).mean() < 0.2 * np.abs(apart - whole.weight).mean()


def test_a_tile_is_rounded_down_to_whole_strides(model_path):
    assert load_predictor(model_path, device="cpu", tile=100).tile == 96


@pytest.mark.parametrize("tile", [0, -8, 2 * STRIDE - 1])
def test_a_tile_below_two_strides_is_refused(model_path, tile):
    with pytest.raises(ValueError, match="at least 16 pixels"):
        load_predictor(model_path, tile=tile)


def test_an_unknown_device_is_refused(model_path):
    with pytest.raises(ValueError, match="auto, cpu, cuda"):
        load_predictor(model_path, device="tpu")


def test_no_threads_are_refused(model_path):
    with pytest.raises(ValueError, match="at least 1"):
        load_predictor(model_path, threads=0)


def test_without_a_driver_auto_takes_the_cpu_and_says_why(model_path, monkeypatch):
    monkeypatch.setattr(providers, "_DRIVER", "libnothing.so.1")
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    predictor = load_predictor(model_path, device="auto")
    assert (predictor.device, predictor.device_reason) == (
        "cpu",
        "there is no NVIDIA driver (libnothing.so.1 does not load)",
    )


def test_without_a_driver_cuda_is_refused_with_the_reason(model_path, monkeypatch):
    monkeypatch.setattr(providers, "_DRIVER", "libnothing.so.1")
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.raises(RuntimeError, match="CUDA was asked for, but there is no NVIDIA driver"):
        load_predictor(model_path, device="cuda")


def test_the_device_is_the_one_that_really_runs(model_path):
    predictor = load_predictor(model_path, device="auto")
    expected = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[predictor.device]
    assert predictor._trunk.get_providers()[0] == expected


def test_loading_needs_no_torch_and_prints_nothing(model_path):
    program = (
        "import sys; from pathlib import Path; from export.session import load_predictor; import numpy as np; "
        f"load_predictor(Path({str(model_path)!r})).predict(np.zeros((20, 30, 3), np.uint8)); "
        "assert not {'torch', 'training', 'reliability'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def changed(change) -> bytes:
    """The tiny model after `change(model)`."""
    model = onnx.load_model_from_string(tiny_onnx())
    change(model)
    return model.SerializeToString()


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def custom_operator(model):
    model.graph.node[0].domain = "com.evil"
    model.opset_import.append(helper.make_opsetid("com.evil", 1))


def local_function(model):
    node = helper.make_node("Identity", ["a"], ["b"])
    model.functions.append(helper.make_function("here", "f", ["a"], ["b"], [node], [helper.make_opsetid("", 18)]))


def loop(model):
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))


def set_property(key, value):
    def change(model):
        for entry in list(model.metadata_props):
            if entry.key == key:
                model.metadata_props.remove(entry)
        if value is not None:
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value

    return change


def drop_output(model):
    (output,) = [output for output in model.graph.output if output.name == "reliable"]
    model.graph.output.remove(output)


def retype_input(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def second_input(model):
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))


def head_looks_at_the_image(model):
    producer = next(node for node in model.graph.node if "confidence" in node.output)
    producer.output[list(producer.output).index("confidence")] = "inner"
    mean = ["image_as_float", "mean_of_image"]
    axes = numpy_helper.from_array(np.array([3], np.int64), "last_axis")
    model.graph.initializer.append(axes)
    model.graph.node.append(helper.make_node("Cast", ["image"], [mean[0]], to=TensorProto.FLOAT))
    model.graph.node.append(helper.make_node("ReduceMean", [mean[0], "last_axis"], [mean[1]], keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["inner", mean[1]], ["confidence"]))


def old_opset(model):
    model.opset_import[0].version = 11


def dangling(model):
    model.graph.node[0].input[0] = "nowhere"


def undo(model):
    del model.graph.node[:]


HOSTILE = {
    "empty": (b"", "not an ONNX file, or it is truncated"),
    "random": (np.random.default_rng(0).bytes(5000), "not an ONNX file, or it is truncated"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not an ONNX file, or it is truncated"),
    "truncated": (lambda: tiny_onnx()[:-900], "odd.onnx"),
    "cut in half": (lambda: tiny_onnx()[: len(tiny_onnx()) // 2], "odd.onnx"),
    "weights outside": (lambda: changed(external), "keeps weights in other files"),
    "custom operator": (lambda: changed(custom_operator), r"outside the ONNX standard \(com\.evil\)"),
    "local function": (lambda: changed(local_function), r"outside the ONNX standard \(here\)"),
    "loop": (lambda: changed(loop), r"control flow \(Loop\)"),
    "old opset": (lambda: changed(old_opset), "opset 11"),
    "no nodes": (lambda: changed(undo), "holds no graph"),
    "dangling value": (lambda: changed(dangling), "not a valid ONNX model"),
    "output missing": (lambda: changed(drop_output), "lacks the outputs reliable"),
    "input of floats": (lambda: changed(retype_input), "'image' must be uint8 with 4 axes, found float32"),
    "two inputs": (lambda: changed(second_input), "exactly one input 'image'"),
    "head reads the image": (lambda: changed(head_looks_at_the_image), "must follow from 'probabilities' alone"),
    "not ours": (lambda: changed(set_property("pixelsieve_format", None)), "not a student exported by Pixelsieve"),
    "newer format": (lambda: changed(set_property("pixelsieve_format", "2")), "has format '2'"),
    "no classes": (lambda: changed(set_property("classes", None)), "lacks 'classes'"),
    "classes are text": (lambda: changed(set_property("classes", "sky, road")), "'classes' is wrong: not JSON"),
    "classes without names": (lambda: changed(set_property("classes", '{"classes": [{}]}')), "'classes'"),
    "color is a number": (
        lambda: changed(set_property("classes", '{"classes": [{"name": "a", "color": 3}]}')),
        "not iterable",
    ),
    "too few classes": (
        lambda: changed(set_property("classes", '{"classes": [{"name": "a"}, {"name": "b"}]}')),
        "predicts 5 classes, but its metadata names 2",
    ),
    "mean is not finite": (lambda: changed(set_property("mean", "[0, NaN, 0]")), "'mean' is wrong"),
    "std is zero": (
        lambda: changed(set_property("std", "[1, 0, 1]")),
        "'std' is wrong: expected three numbers above 0",
    ),
    "stride is zero": (lambda: changed(set_property("stride", "0")), "'stride' is wrong"),
    "stride is huge": (lambda: changed(set_property("stride", "9" * 5000)), "'stride' is wrong"),
    "options are a list": (lambda: changed(set_property("method_options", "[]")), "'method_options' is wrong"),
    "recipe is deep": (lambda: changed(set_property("recipe", "[" * 100_000)), "'recipe' is wrong"),
    "hash is short": (lambda: changed(set_property("data_sha256", "ab")), "'data_sha256' is wrong"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_file_that_is_not_ours_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "odd.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content())
    with pytest.raises(ValueError, match=message) as caught:
        load_predictor(path, device="cpu")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_above_the_size_limit_is_not_read(tmp_path):
    path = tmp_path / "bomb.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)  # a hole: takes no space
    with pytest.raises(ValueError, match=r"bomb\.onnx has 2,000,000,001 bytes"):
        load_predictor(path)


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model at .*gone\.onnx.*python -m export onnx"):
        load_predictor(tmp_path / "gone.onnx")


def test_every_prefix_of_a_model_is_refused_or_whole(tmp_path):
    path = tmp_path / "cut.onnx"
    for length in np.linspace(0, len(tiny_onnx()) - 1, 60).astype(int):
        path.write_bytes(tiny_onnx()[:length])
        with pytest.raises(ValueError, match=r"cut\.onnx"):
            read_model(path)


def test_metadata_survive_the_way_through_the_file():
    metadata = tiny_metadata("s4mc", threshold=0.5)
    assert parse_metadata(metadata.to_properties(), "memory") == metadata
