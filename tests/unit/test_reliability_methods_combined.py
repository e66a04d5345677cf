import json
from dataclasses import replace

import pytest
import torch

from reliability.lookup import build_method
from reliability.methods.combined import Combined, common_normalizer
from reliability.scores import refine
from reliability.selection import Observation, PixelSelection, SelectionInputs
from tests.unit.training_cases import TinyStudent, tiny_batch, tiny_context
from training.lookup import build_host

RANK = {"channels": 3, "threshold": 0.0, "trust": "confidence"}
ALL_THREE = {
    "parts": ["csl", "rank_statistics", "fixed_threshold"],
    "part_options": {"rank_statistics": RANK, "fixed_threshold": {"threshold": 0.4}},
}

TWO = {"parts": ["csl", "rank_statistics"], "part_options": {"rank_statistics": RANK}}


def inputs(progress: float = 1.0) -> SelectionInputs:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 4, 12, 10, generator=generator)
    features = torch.randn(2, 6, 3, 3, generator=generator).relu()
    valid = torch.rand(2, 12, 10, generator=generator) < 0.8
    return SelectionInputs(logits.softmax(dim=1), valid, features, logits > 0, progress)


def observation(is_labeled: bool) -> Observation:
    given = inputs()
    confidence, label = given.probabilities.max(dim=1)
    logits = given.probabilities.log()
    return Observation(logits, given.features, label, given.valid, is_labeled, None if is_labeled else confidence)


def built(**options: object) -> Combined:
    """As from a configuration file: everything has been JSON."""
    method = build_method("combined", **json.loads(json.dumps(options)))
    method.prepare(num_classes=4, num_features=6)
    torch.manual_seed(0)
    for is_labeled in (True, False):
        method.absorb(method.collect(observation(is_labeled)))
    return method


def refined() -> SelectionInputs:
    """What the parts see: neighbors raise each class, and the sum is 1 again."""
    raised = refine(inputs().probabilities, valid=inputs().valid)
    return replace(inputs(), probabilities=raised / raised.sum(dim=1, keepdim=True))


def kept_winner() -> torch.Tensor:
    return refined().probabilities.argmax(dim=1) == inputs().probabilities.argmax(dim=1)


def verdicts(method: Combined, given: SelectionInputs) -> list[PixelSelection]:
    return [part(given) for part in method.parts.values()]


def test_without_refinement_one_part_is_the_part_itself():
    alone, combined = build_method("csl")(inputs()), built(parts=["csl"], refine=False)(inputs())
    assert torch.equal(combined.weight, alone.weight) and torch.equal(combined.reliable, alone.reliable)


def test_csl_sees_refined_probabilities():
    alone, combined = build_method("csl")(refined()), built(parts=["csl"])(inputs())
    torch.testing.assert_close(combined.weight, alone.weight * kept_winner())


def test_refinement_changes_the_verdict_of_csl():
    assert not torch.equal(built(parts=["csl"])(inputs()).reliable, build_method("csl")(inputs()).reliable)


def test_refined_probabilities_sum_to_one():
    method = built(parts=["csl"])
    total = method.refinement(inputs().probabilities, inputs().valid).sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_the_pseudo_label_is_the_winner_before_refinement():
    assert not kept_winner().all()
    assert torch.equal(built(parts=["csl"])(inputs()).pseudo_label, inputs().probabilities.argmax(dim=1))


def test_a_pixel_whose_winner_the_neighbors_change_has_no_weight():
    assert not built(parts=["csl"])(inputs()).weight[~kept_winner()].any()


@pytest.mark.parametrize("options", [TWO, ALL_THREE], ids=["two", "three"])
def test_weights_are_multiplied_and_all_parts_must_agree(options):
    method = built(**options)
    combined, parts = method(inputs()), verdicts(method, refined())
    weight, reliable = kept_winner().float(), kept_winner()
    for part in parts:
        weight, reliable = weight * part.weight, reliable & part.reliable
    torch.testing.assert_close(combined.weight, weight)
    assert torch.equal(combined.reliable, reliable) and reliable.any()


def test_the_divisor_of_csl_and_rank_statistics_is_that_of_rank_statistics_on_valid_pixels():
    method = built(**TWO)
    _, rank = verdicts(method, refined())
    assert method.normalizer == "weight"
    torch.testing.assert_close(method(inputs()).divisor_weight, rank.divisor_weight)


def test_a_part_that_divides_by_kept_pixels_gives_them_to_the_divisor():
    options = {"rank_statistics": RANK, "entropy_percentile": {"threshold": 0.5}}
    method = built(parts=["rank_statistics", "entropy_percentile"], part_options=options)
    rank, entropy = verdicts(method, refined())
    torch.testing.assert_close(method(inputs()).divisor_weight, rank.divisor_weight * entropy.reliable)


def test_without_a_part_that_divides_by_weights_there_is_no_divisor_weight():
    assert built(parts=["csl"])(inputs()).divisor_weight is None


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["valid", "valid"], "valid"),
        (["kept", "kept"], "kept"),
        (["valid", "kept"], "valid"),
        (["valid", "weight"], "weight"),
        (["kept", "weight"], "weight"),
    ],
    ids=str,
)
def test_the_divisor_follows_from_those_of_the_parts(parts, whole):
    assert common_normalizer(parts) == whole


def test_scores_of_one_name_are_told_apart_by_their_part():
    scores = built(parts=["csl", "fixed_threshold"])(inputs()).scores
    assert {"confidence", "csl_confidence", "fixed_threshold_confidence", "z_confidence"} <= scores.keys()


def test_the_confidence_is_that_before_refinement():
    confidence = built(parts=["csl"])(inputs()).scores["confidence"]
    assert torch.equal(confidence, torch.where(inputs().valid, inputs().probabilities.amax(dim=1), 0.0))


def test_what_the_parts_need_and_learn_from_is_put_together():
    method = built(parts=["csl", "rank_statistics", "entropy_percentile"], part_options={"rank_statistics": RANK})
    assert (method.needs, method.learns_from) == ({"features", "progress"}, {"labeled", "unlabeled"})


def test_each_part_learns_what_it_would_learn_alone():
    method = built(parts=["rank_statistics"], part_options={"rank_statistics": RANK})
    alone = build_method("rank_statistics", **RANK)
    alone.prepare(4, 6)
    torch.manual_seed(0)
    for is_labeled in (True, False):
        alone.absorb(alone.collect(observation(is_labeled)))
    assert alone.labeled.count.any()
    assert torch.equal(method.parts["rank_statistics"].class_channels, alone.class_channels)


def test_a_part_is_not_shown_batches_it_does_not_learn_from():
    method = built(parts=["class_balanced", "rank_statistics"], part_options={"rank_statistics": RANK})
    rows = method.collect(observation(is_labeled=False))
    assert {key.partition("/")[0] for key in rows} == {"rank_statistics"}


def test_the_state_of_the_parts_is_saved_and_loaded():
    trained, fresh = built(**ALL_THREE), build_method("combined", **ALL_THREE)
    fresh.prepare(4, 6)
    assert not torch.equal(fresh(inputs()).weight, trained(inputs()).weight)
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(inputs()).weight, trained(inputs()).weight)


def test_a_frozen_part_needs_no_progress():
    frozen = built(parts=["csl", "entropy_percentile"], part_options={"entropy_percentile": {"threshold": 0.5}})
    assert frozen.needs == frozenset()


def test_two_parts_with_a_frozen_threshold_can_be_exported():
    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.method = built(parts=["csl", "s4mc"], refine=False, part_options={"s4mc": {"threshold": 0.3}})

        def forward(self, probabilities, valid):
            return self.method(SelectionInputs(probabilities, valid)).weight

    given, graph = (inputs().probabilities, inputs().valid), Graph().eval()
    program = torch.onnx.export(graph, given, dynamo=True, opset_version=18)
    torch.testing.assert_close(program(*given)[0], graph(*given), rtol=0, atol=1e-6)


@pytest.mark.parametrize("parts", [["csl"], ["csl", "rank_statistics"], ALL_THREE["parts"]], ids=len)
def test_a_step_trains_with_what_the_parts_learned_from_the_step_before(parts):
    options = {name: ALL_THREE["part_options"][name] for name in parts if name != "csl"}
    student = TinyStudent()
    context = tiny_context(student, "combined", parts=parts, part_options=options)
    context.selection.prepare(num_classes=3, num_features=3)  # the features of this student are its logits
    host = build_host("fixmatch")
    for seed in range(2):
        losses = host.losses(context, tiny_batch(seed, recipes=1))
        for seen in losses.observed:
            context.selection.absorb(context.selection.collect(seen))
    losses.total.backward()
    assert losses.parts["loss_s"] > 0 and student.layer.weight.grad.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": []}, "'parts' must be a list of method names"),
        ({"parts": "csl"}, "'parts' must be a list of method names"),
        ({"parts": ["csl", "csl"]}, "names 'csl' twice"),
        ({"parts": ["combined"]}, "cannot be a part of itself"),
        ({"parts": ["fixmatch"]}, "unknown selection method 'fixmatch'"),
        ({"parts": ["csl"], "part_options": {"s4mc": {}}}, "part_options of combined name 's4mc'"),
        ({"parts": ["csl"], "part_options": {"csl": {"beta": 1}}}, "'csl' has no option 'beta'"),
        ({"refine_options": {"alpha": 1}}, "refine_options of combined have no 'alpha'"),
        ({"refine_options": {"strongest": 5}}, "'strongest' must be a whole number of at least 1 and at most 4"),
        ({"refine": False, "refine_options": {"beta": 0.5}}, "do nothing with refine=false"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_method("combined", **options)
