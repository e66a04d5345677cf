"""What every file in reliability/methods/ must keep with its default options; a new file is tested without a change.

A method that needs training progress has a `freeze_threshold`; it is exported, and people see its masks, only frozen.
"""

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from reliability.lookup import build_method, method_names
from reliability.selection import RELIABLE_WEIGHT, PixelSelection, SelectionInputs, SelectionMethod

NUM_CLASSES = 5
SIZES = {"one pixel": (1, 1, 1), "odd": (2, 33, 47), "batch of 3": (3, 96, 64)}


def random_inputs(images: int, height: int, width: int, seed: int = 0) -> SelectionInputs:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, NUM_CLASSES, height, width, generator=generator)
    valid = torch.rand(images, height, width, generator=generator) < 0.8
    return SelectionInputs(torch.softmax(logits, dim=1), valid, progress=0.5)


def frozen(name: str) -> SelectionMethod:
    method = build_method(name)
    if "progress" in method.needs:
        method.freeze_threshold(method.thresholds(random_inputs(2, 40, 48)).mean().item())
    return method


@pytest.fixture(params=method_names())
def name(request) -> str:
    return request.param


@pytest.fixture
def inputs() -> SelectionInputs:
    return random_inputs(2, 20, 24)


@pytest.fixture
def selection(name, inputs) -> PixelSelection:
    return build_method(name)(inputs)


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


def test_reliable_pixels_have_full_weight(selection):
    assert torch.equal(selection.reliable, selection.weight > RELIABLE_WEIGHT)


def test_an_image_alone_gives_what_it_gives_in_a_batch(name, inputs):
    both = build_method(name)(inputs)
    for image in range(2):
        part = slice(image, image + 1)
        alone = build_method(name)(SelectionInputs(inputs.probabilities[part], inputs.valid[part], progress=0.5))
        assert torch.equal(alone.reliable, both.reliable[part])
        torch.testing.assert_close(alone.weight, both.weight[part], rtol=0, atol=1e-6)


def test_renaming_the_classes_renames_only_the_labels(name, inputs, selection):
    order = torch.tensor([3, 0, 4, 1, 2])
    renamed = build_method(name)(SelectionInputs(inputs.probabilities[:, order], inputs.valid, progress=0.5))
    assert torch.equal(order[renamed.pseudo_label], selection.pseudo_label)
    assert torch.equal(renamed.reliable, selection.reliable)
    torch.testing.assert_close(renamed.weight, selection.weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize("garbage", [0.0, 1.0, float("nan")], ids=str)
def test_what_ignored_pixels_hold_changes_nothing(name, inputs, selection, garbage):
    probabilities = torch.where(inputs.valid.unsqueeze(1), inputs.probabilities, garbage)
    changed = build_method(name)(SelectionInputs(probabilities, inputs.valid, progress=0.5))
    assert torch.equal(changed.weight, selection.weight) and torch.equal(changed.reliable, selection.reliable)


def test_a_nan_pixel_is_treated_as_not_valid(name, inputs):
    probabilities = inputs.probabilities.clone()
    probabilities[0, 1, 5, 6] = float("nan")
    valid = inputs.valid.clone()
    valid[0, 5, 6] = False
    poisoned = build_method(name)(SelectionInputs(probabilities, inputs.valid, progress=0.5))
    assert torch.equal(
        poisoned.weight, build_method(name)(SelectionInputs(inputs.probabilities, valid, progress=0.5)).weight
    )


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


@pytest.mark.parametrize("edge", EDGES, ids=str)
def test_odd_images_give_finite_maps(name, edge):
    probabilities, is_valid = EDGES[edge]
    valid = torch.full((1, *probabilities.shape[2:]), is_valid)
    selection = build_method(name)(SelectionInputs(probabilities, valid))
    assert all(each.isfinite().all() for each in (selection.weight, *selection.scores.values()))


def test_a_single_class_is_refused(name):
    with pytest.raises(ValueError, match="at least 2 classes"):
        build_method(name)(SelectionInputs(torch.ones(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)))


def test_the_inputs_stay_as_they_were(name, inputs):
    before = (inputs.probabilities.clone(), inputs.valid.clone())
    build_method(name)(inputs)
    assert torch.equal(inputs.probabilities, before[0]) and torch.equal(inputs.valid, before[1])


def test_no_gradient_flows_into_a_selection(name, inputs):
    leaf = inputs.probabilities.clone().requires_grad_()
    selection = build_method(name)(SelectionInputs(leaf, inputs.valid, progress=0.5))
    assert not any(each.requires_grad for each in (selection.weight, *selection.scores.values()))


def test_a_saved_method_selects_the_same_after_loading(name, inputs, tmp_path):
    method, other = frozen(name), frozen(name)
    for buffer in other.buffers():
        buffer.zero_()
    torch.save(method.state_dict(), tmp_path / "method.pt")
    other.load_state_dict(torch.load(tmp_path / "method.pt", weights_only=True))
    assert torch.equal(other(inputs).weight, method(inputs).weight)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device; run on a machine with a GPU")
def test_a_gpu_selects_as_the_cpu_does(name, inputs, selection):
    on_gpu = build_method(name).cuda()(SelectionInputs(inputs.probabilities.cuda(), inputs.valid.cuda(), progress=0.5))
    torch.testing.assert_close(on_gpu.weight.cpu(), selection.weight, rtol=0, atol=1e-5)
    assert torch.equal(on_gpu.reliable.cpu(), selection.reliable)


class Graph(torch.nn.Module):
    """Tensors in, tensors out, as the exporter wants it."""

    def __init__(self, method: SelectionMethod) -> None:
        super().__init__()
        self.method = method

    def forward(self, probabilities: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, ...]:
        selection = self.method(SelectionInputs(probabilities, valid))
        return selection.pseudo_label, selection.weight, selection.reliable, *selection.scores.values()


@cache
def exported(name: str, folder: Path) -> tuple[Graph, onnxruntime.InferenceSession]:
    """The default options of the exporter on purpose: its optimizer is what drops small constants."""
    graph = Graph(frozen(name)).eval()
    images, height, width = (torch.export.Dim(axis, min=1) for axis in ("images", "height", "width"))
    dynamic = ({0: images, 2: height, 3: width}, {0: images, 1: height, 2: width})
    example = random_inputs(2, 20, 24)
    program = torch.onnx.export(
        graph, (example.probabilities, example.valid), dynamo=True, dynamic_shapes=dynamic, opset_version=18
    )
    program.save(folder / f"{name}.onnx")
    return graph, onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def export_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exported_methods")


def run_both(name: str, folder: Path, inputs: SelectionInputs) -> tuple[list[np.ndarray], list[np.ndarray]]:
    graph, session = exported(name, folder)
    expected = [each.numpy() for each in graph(inputs.probabilities, inputs.valid)]
    feeds = {"probabilities": inputs.probabilities.numpy(), "valid": inputs.valid.numpy()}
    return session.run(None, feeds), expected


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
    probabilities, is_valid = EDGES[edge]
    valid = torch.full((1, *probabilities.shape[2:]), is_valid)
    (_, weight, *_), expected = run_both(name, export_folder, SelectionInputs(probabilities, valid))
    np.testing.assert_allclose(weight, expected[1], rtol=0, atol=1e-6)
