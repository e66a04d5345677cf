"""What every file in reliability/methods/ must keep with its default options; a new file is tested without a change.

A method that needs training progress has a `freeze_threshold`; it is exported, and people see its masks, only frozen.
A method that learns has seen one batch with labels and one without before it is asked.
"""

from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from reliability.lookup import build_method, method_names
from reliability.selection import RELIABLE_WEIGHT, Observation, PixelSelection, SelectionInputs, SelectionMethod
from tests.contract.method_cases import NUM_CLASSES, frozen, kinds, observation, random_inputs, ready, tensors_of

SIZES = {"one pixel": (1, 1, 1), "odd": (2, 33, 47), "batch of 3": (3, 96, 64)}


@pytest.fixture(params=method_names())
def name(request) -> str:
    return request.param


@pytest.fixture
def inputs(name) -> SelectionInputs:
    """In the middle of training for a method that wants to know it; others may draw random numbers in training."""
    return random_inputs(2, 20, 24, progress=0.5 if "progress" in build_method(name).needs else 1.0)


@pytest.fixture
def selection(name, inputs) -> PixelSelection:
    return ready(name)(inputs)


def test_pseudo_label_is_the_most_probable_class(selection, inputs):
    assert torch.equal(selection.pseudo_label, inputs.probabilities.argmax(dim=1))


def test_maps_have_the_size_of_the_image(selection, inputs):
    maps = (selection.pseudo_label, selection.weight, selection.reliable, *selection.scores.values())
    assert {tuple(each.shape) for each in maps} == {tuple(inputs.valid.shape)}


def test_maps_have_their_types(selection):
    found = (selection.pseudo_label.dtype, selection.weight.dtype, selection.reliable.dtype)
    assert found == (torch.int64, torch.float32, torch.bool)


def test_scores_are_float32(selection):
    assert selection.scores and {score.dtype for score in selection.scores.values()} == {torch.float32}


def test_weights_lie_between_0_and_1(selection):
    assert selection.weight.min() >= 0 and selection.weight.max() <= 1


def test_weight_is_zero_outside_valid(selection, inputs):
    assert not selection.weight[~inputs.valid].any()


def test_reliable_pixels_are_valid(selection, inputs):
    assert not (selection.reliable & ~inputs.valid).any()


def test_some_pixels_are_reliable_and_some_are_not(selection, inputs):
    assert 0 < selection.reliable.sum() < inputs.valid.sum()


def test_reliable_pixels_have_full_weight(name, selection):
    if ready(name).normalizer == "weight":  # a loss divided by its weights does not know what a full weight is
        assert selection.weight[selection.reliable].min() >= selection.weight[~selection.reliable].max()
    else:
        assert torch.equal(selection.reliable, selection.weight > RELIABLE_WEIGHT)


def test_only_a_loss_divided_by_weights_has_its_own_divisor(name, selection, inputs):
    divisor = selection.divisor_weight
    assert divisor is None or (ready(name).normalizer == "weight" and (divisor >= selection.weight).all())


def test_an_image_alone_gives_what_it_gives_in_a_batch(name, inputs):
    both = ready(name)(inputs)
    for image in range(2):
        part = slice(image, image + 1)
        tensors = {
            field.name: getattr(inputs, field.name)[part] for field in fields(inputs) if field.name != "progress"
        }
        alone = ready(name)(replace(inputs, **tensors))
        assert torch.equal(alone.reliable, both.reliable[part])
        torch.testing.assert_close(alone.weight, both.weight[part], rtol=0, atol=1e-6)


def test_renaming_the_classes_renames_only_the_labels(name, inputs, selection):
    order = torch.tensor([3, 0, 4, 1, 2])
    boxes = inputs.box_class_mask[:, order]
    renamed = ready(name, order)(replace(inputs, probabilities=inputs.probabilities[:, order], box_class_mask=boxes))
    assert torch.equal(order[renamed.pseudo_label], selection.pseudo_label)
    assert torch.equal(renamed.reliable, selection.reliable)
    torch.testing.assert_close(renamed.weight, selection.weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize("garbage", [0.0, 1.0, float("nan")], ids=str)
def test_what_ignored_pixels_hold_changes_nothing(name, inputs, selection, garbage):
    probabilities = torch.where(inputs.valid.unsqueeze(1), inputs.probabilities, garbage)
    changed = ready(name)(replace(inputs, probabilities=probabilities))
    assert torch.equal(changed.weight, selection.weight) and torch.equal(changed.reliable, selection.reliable)


def test_a_nan_pixel_is_treated_as_not_valid(name, inputs):
    probabilities = inputs.probabilities.clone()
    probabilities[0, 1, 5, 6] = float("nan")
    valid = inputs.valid.clone()
    valid[0, 5, 6] = False
    poisoned, masked = (
        ready(name)(replace(inputs, probabilities=probabilities)),
        ready(name)(replace(inputs, valid=valid)),
    )
    assert torch.equal(poisoned.weight, masked.weight)


def uniform() -> torch.Tensor:
    return torch.full((1, NUM_CLASSES, 6, 7), 1 / NUM_CLASSES)


def one_hot() -> torch.Tensor:
    probabilities = torch.zeros(1, NUM_CLASSES, 6, 7)
    probabilities[:, 2] = 1
    return probabilities


EDGES = {
    "uniform": (uniform(), True),
    "one-hot": (one_hot(), True),
    "one pixel": (one_hot()[:, :, :1, :1], True),
    "all ignored": (uniform(), False),
    "nothing but NaN": (uniform() * float("nan"), True),
}


def edge_inputs(edge: str) -> SelectionInputs:
    probabilities, is_valid = EDGES[edge]
    height, width = probabilities.shape[2:]
    valid = torch.full((1, height, width), is_valid)
    return replace(random_inputs(1, height, width), probabilities=probabilities, valid=valid)


@pytest.mark.parametrize("edge", EDGES, ids=str)
def test_odd_images_give_finite_maps(name, edge):
    selection = ready(name)(edge_inputs(edge))
    assert all(each.isfinite().all() for each in (selection.weight, *selection.scores.values()))


def test_a_single_class_is_refused(name):
    with pytest.raises(ValueError, match="at least 2 classes"):
        ready(name)(SelectionInputs(torch.ones(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)))


def test_the_inputs_stay_as_they_were(name, inputs):
    before = (inputs.probabilities.clone(), inputs.valid.clone(), inputs.features.clone())
    ready(name)(inputs)
    after = (inputs.probabilities, inputs.valid, inputs.features)
    assert all(torch.equal(now, then) for now, then in zip(after, before, strict=True))


def test_no_gradient_flows_into_a_selection(name, inputs):
    leaf, features = inputs.probabilities.clone().requires_grad_(), inputs.features.clone().requires_grad_()
    selection = ready(name)(replace(inputs, probabilities=leaf, features=features))
    assert not any(each.requires_grad for each in (selection.weight, *selection.scores.values()))


@pytest.mark.parametrize("missing", ["features", "boxes"])
def test_a_missing_input_is_refused_by_name(name, inputs, missing):
    method = ready(name)
    without = replace(inputs, **{{"features": "features", "boxes": "box_class_mask"}[missing]: None})
    if missing in method.needs:
        with pytest.raises(ValueError, match=missing):
            method(without)
    else:
        assert torch.equal(method(without).weight, method(inputs).weight)


def test_a_saved_method_selects_the_same_after_loading(name, inputs, tmp_path):
    method, other = frozen(name), frozen(name)
    for buffer in other.buffers():
        buffer.zero_()
    torch.save(method.state_dict(), tmp_path / "method.pt")
    other.load_state_dict(torch.load(tmp_path / "method.pt", weights_only=True))
    assert torch.equal(other(inputs).weight, method(inputs).weight)


def state_of(method: SelectionMethod) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in method.state_dict().items()}


def equal_states(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_selecting_changes_no_state(name, inputs):
    method = ready(name)
    before = state_of(method)
    method(inputs)
    assert equal_states(state_of(method), before)


def test_a_method_that_learns_asks_to_be_prepared(name, inputs):
    method = build_method(name)
    if method.learns_from & {"labeled", "unlabeled"}:
        with pytest.raises(ValueError, match="prepare"):
            method(inputs)
    else:
        assert not state_of(ready(name)).keys() - state_of(method).keys()


def changed(seen: Observation, content: str) -> Observation:
    if content == "nothing valid":
        return replace(seen, valid=torch.zeros_like(seen.valid))
    return replace(seen, label=torch.full_like(seen.label, 2))


@pytest.mark.parametrize("content", ["nothing valid", "one class"])
@pytest.mark.parametrize("is_labeled", [True, False], ids=["labeled", "unlabeled"])
def test_collected_rows_have_one_shape_whatever_the_batch_shows(name, is_labeled, content):
    method, seen = ready(name), observation(is_labeled)
    wanted = {key: (tensor.shape, tensor.dtype) for key, tensor in method.collect(seen).items()}
    got = {key: (tensor.shape, tensor.dtype) for key, tensor in method.collect(changed(seen, content)).items()}
    assert got == wanted and all(shape[0] == 1 for shape, _ in wanted.values())


def test_collecting_changes_no_state(name):
    method = ready(name)
    before = state_of(method)
    for is_labeled in kinds(method):
        method.collect(observation(is_labeled, seed=1))
    assert equal_states(state_of(method), before)


def test_absorbing_a_batch_changes_the_state_of_a_method_that_learns(name):
    method = ready(name)
    for is_labeled in kinds(method):
        before = state_of(method)
        method.absorb(method.collect(observation(is_labeled, seed=1)))
        assert not equal_states(state_of(method), before)


def test_a_process_that_saw_nothing_adds_nothing(name):
    alone, together = ready(name), ready(name)
    for is_labeled in kinds(alone):
        rows = alone.collect(observation(is_labeled, seed=1))
        empty = alone.collect(changed(observation(is_labeled, seed=2), "nothing valid"))
        alone.absorb(rows)
        together.absorb({key: torch.cat([rows[key], empty[key]]) for key in rows})
        assert equal_states(state_of(together), state_of(alone))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device; run on a machine with a GPU")
def test_a_gpu_selects_as_the_cpu_does(name, inputs, selection):
    moved = {key: tensor.cuda() for key, tensor in tensors_of(inputs).items()}
    on_gpu = ready(name).cuda()(replace(inputs, **moved))
    torch.testing.assert_close(on_gpu.weight.cpu(), selection.weight, rtol=0, atol=1e-5)
    assert torch.equal(on_gpu.reliable.cpu(), selection.reliable)


def graph_inputs(method: SelectionMethod, inputs: SelectionInputs) -> dict[str, Tensor]:
    """What a graph of the method takes, by the names of SelectionInputs."""
    given = {"probabilities": inputs.probabilities, "valid": inputs.valid}
    if "features" in method.needs:
        given["features"] = inputs.features
    if "boxes" in method.needs:
        given["box_class_mask"] = inputs.box_class_mask
    return given


class Graph(torch.nn.Module):
    """Tensors in, tensors out, as the exporter wants it."""

    def __init__(self, method: SelectionMethod) -> None:
        super().__init__()
        self.method = method

    def forward(
        self, probabilities: Tensor, valid: Tensor, features: Tensor | None = None, box_class_mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        selection = self.method(SelectionInputs(probabilities, valid, features, box_class_mask))
        return selection.pseudo_label, selection.weight, selection.reliable, *selection.scores.values()


def dynamic_shapes(example: dict[str, Tensor]) -> dict[str, dict[int, torch.export.Dim]]:
    """Number of images, height and width of each input; the feature map's own sides are not tied to the picture's."""
    images, height, width, rows, columns = (
        torch.export.Dim(axis, min=1) for axis in ("images", "height", "width", "rows", "columns")
    )
    large, small = {0: images, 2: height, 3: width}, {0: images, 2: rows, 3: columns}
    shapes = {
        "probabilities": large,
        "valid": {0: images, 1: height, 2: width},
        "features": small,
        "box_class_mask": large,
    }
    return {key: shapes[key] for key in example}


@cache
def exported(name: str, folder: Path) -> tuple[Graph, onnxruntime.InferenceSession]:
    """The default options of the exporter on purpose: its optimizer is what drops small constants."""
    graph = Graph(frozen(name)).eval()
    example = graph_inputs(graph.method, random_inputs(2, 20, 24))
    shapes = dynamic_shapes(example)
    names = ("probabilities", "valid", "features", "box_class_mask")
    tensors, dynamic = tuple(example.get(key) for key in names), tuple(shapes.get(key) for key in names)
    program = torch.onnx.export(graph, tensors, dynamo=True, dynamic_shapes=dynamic, opset_version=18)
    program.save(folder / f"{name}.onnx")
    return graph, onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def export_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exported_methods")


def run_both(name: str, folder: Path, inputs: SelectionInputs) -> tuple[list[np.ndarray], list[np.ndarray]]:
    graph, session = exported(name, folder)
    given = graph_inputs(graph.method, inputs)
    expected = [each.numpy() for each in graph(**given)]
    return session.run(None, {key: tensor.numpy() for key, tensor in given.items()}), expected


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_onnx_gives_the_labels_and_reliable_pixels_of_torch(name, size, export_folder):
    (label, _, reliable, *_), expected = run_both(name, export_folder, random_inputs(*SIZES[size], seed=1))
    assert np.array_equal(label, expected[0]) and np.array_equal(reliable, expected[2])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_onnx_gives_the_weights_and_scores_of_torch(name, size, export_folder):
    (_, weight, _, *scores), expected = run_both(name, export_folder, random_inputs(*SIZES[size], seed=1))
    np.testing.assert_allclose(weight, expected[1], rtol=0, atol=1e-6)  # sums are float64 on both sides
    for got, want in zip(scores, expected[3:], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("edge", EDGES, ids=str)
def test_onnx_gives_the_weights_of_torch_on_odd_images(name, edge, export_folder):
    (_, weight, *_), expected = run_both(name, export_folder, edge_inputs(edge))
    np.testing.assert_allclose(weight, expected[1], rtol=0, atol=1e-6)
