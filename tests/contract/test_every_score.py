"""What every score in reliability/calibrated.py must keep: it can be binned, and the graph looks up the same."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from reliability.calibrated import COMBINED, NOTHING_RELIABLE, SCORE_NAMES, CalibratedReliability, score_of
from reliability.combined_score import CombinedScore
from reliability.score_bins import NUM_BINS
from reliability.score_features import num_features
from tests.contract.method_cases import NUM_CLASSES, random_inputs

SIZES = {"one pixel": (1, 1, 1), "odd": (2, 33, 47), "batch of 3": (3, 96, 64)}


def table() -> Tensor:
    """(C, NUM_BINS) falling steps, others for each class."""
    generator = np.random.default_rng(0)
    return torch.from_numpy(np.sort(generator.random((NUM_CLASSES, NUM_BINS)), axis=1)[:, ::-1].copy()).float()


def combined(name: str) -> CombinedScore | None:
    """Weight on every feature, most on the confidence, for the score that has some."""
    if name != COMBINED:
        return None
    weight = 0.02 * torch.randn(1, num_features(NUM_CLASSES), generator=torch.Generator().manual_seed(0))
    weight[0, 0] = 1
    hidden = torch.cat((weight, -weight))  # z = relu(z) - relu(-z)
    return CombinedScore([hidden, torch.tensor([[1.0, -1.0]])], [torch.zeros(2), torch.zeros(1)], NUM_CLASSES)


def calibrated_by(name: str, values: Tensor, threshold: float | None = 0.4) -> CalibratedReliability:
    return CalibratedReliability(name, values, threshold, combined(name))


@pytest.fixture(params=sorted(SCORE_NAMES))
def score(request) -> str:
    return request.param


class Graph(torch.nn.Module):
    """Probabilities in, both maps out."""

    def __init__(self, calibrated: CalibratedReliability) -> None:
        super().__init__()
        self.calibrated = calibrated

    def forward(self, probabilities: Tensor) -> tuple[Tensor, ...]:
        maps = self.calibrated(probabilities, probabilities.argmax(dim=1))
        return tuple(each for each in maps if each is not None)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """One graph per score."""
    folder = tmp_path_factory.mktemp("exported_scores")
    made = {}
    for name in SCORE_NAMES:
        graph = Graph(calibrated_by(name, table())).eval()
        axes = {axis: torch.export.Dim(label, min=1) for axis, label in ((0, "images"), (2, "height"), (3, "width"))}
        example = (random_inputs(2, 20, 24).probabilities,)
        program = torch.onnx.export(graph, example, dynamo=True, dynamic_shapes=(axes,), opset_version=18)
        program.save(folder / f"{name}.onnx")
        made[name] = graph, onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
    return made


def run_both(sessions, name: str, probabilities: Tensor) -> tuple[list[np.ndarray], list[np.ndarray]]:
    graph, session = sessions[name]
    expected = [each.numpy() for each in graph(probabilities)]
    return session.run(None, {session.get_inputs()[0].name: probabilities.numpy()}), expected


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_onnx_looks_up_what_torch_looks_up(sessions, score, size):
    found, expected = run_both(sessions, score, random_inputs(*SIZES[size], seed=1).probabilities)
    # A score on the edge of a bin may fall on either side: the kernels' logarithms differ in the last bit.
    assert (found[0] == expected[0]).mean() >= 0.999 and (found[1] == expected[1]).mean() >= 0.999


EDGES = {
    "uniform": torch.full((1, NUM_CLASSES, 6, 7), 1 / NUM_CLASSES),
    "one-hot": torch.eye(NUM_CLASSES)[0].view(1, -1, 1, 1).repeat(1, 1, 6, 7),
    "nothing but NaN": torch.full((1, NUM_CLASSES, 6, 7), float("nan")),
}


@pytest.mark.parametrize("edge", EDGES, ids=str)
def test_onnx_equals_torch_on_odd_images(sessions, score, edge):
    found, expected = run_both(sessions, score, EDGES[edge])
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_pixel_that_is_no_number_is_never_reliable(score):
    sure = calibrated_by(score, torch.zeros(NUM_CLASSES, NUM_BINS))
    probabilities = EDGES["nothing but NaN"]
    assert not sure(probabilities, torch.zeros(1, 6, 7, dtype=torch.long))[1].any()


def test_reliable_is_what_the_threshold_lets_pass(score):
    probabilities = random_inputs(1, 40, 40).probabilities
    probability_wrong, reliable = calibrated_by(score, table())(probabilities, probabilities.argmax(dim=1))
    assert torch.equal(reliable, probability_wrong <= 0.4) and 0 < reliable.float().mean() < 1


def test_nothing_is_reliable_below_every_probability(score):
    calibrated = calibrated_by(score, torch.zeros(NUM_CLASSES, NUM_BINS), NOTHING_RELIABLE)
    probabilities = EDGES["one-hot"]
    assert not calibrated(probabilities, probabilities.argmax(dim=1))[1].any()


def test_without_a_threshold_there_is_no_verdict(score):
    probabilities = EDGES["one-hot"]
    assert calibrated_by(score, table(), None)(probabilities, probabilities.argmax(dim=1))[1] is None


def test_scores_stay_between_0_and_1(score):
    probabilities = random_inputs(2, 30, 30).probabilities
    values = score_of(score, combined(score), probabilities, probabilities.argmax(dim=1))
    assert values.min() >= 0 and values.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("name", "wrong", "problem"),
    [
        ("entropy", table(), "unknown score"),
        ("combined", table(), "belong to the score 'combined'"),
        ("margin", table()[:, :-1], "table must be"),
        ("margin", table() + 1, "numbers from 0 to 1"),
        ("margin", table() * float("nan"), "numbers from 0 to 1"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(name, wrong, problem):
    with pytest.raises(ValueError, match=problem):
        CalibratedReliability(name, wrong, 0.4)
