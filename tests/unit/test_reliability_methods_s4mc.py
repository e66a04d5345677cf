import pytest
import torch

from reliability.lookup import build_method
from reliability.methods.s4mc import count_class_prior
from reliability.selection import SelectionInputs


def inputs(progress: float = 0.0, images: int = 2) -> SelectionInputs:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.softmax(2 * torch.randn(images, 5, 20, 24, generator=generator), dim=1)
    return SelectionInputs(probabilities, torch.ones(images, 20, 24, dtype=torch.bool), progress=progress)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.4), (0.5, 0.2), (0.75, 0.1)])
@pytest.mark.parametrize("score", ["margin", "confidence"])
def test_the_threshold_leaves_the_scheduled_share_below_it(score, progress, share):
    method = build_method("s4mc", score=score)
    threshold, below = method.thresholds(inputs(progress)), method(inputs(progress)).scores[score]
    measured = (below <= threshold.view(-1, 1, 1)).float().mean(dim=(1, 2))
    torch.testing.assert_close(measured, torch.full((2,), share), rtol=0, atol=1 / 480)


def test_of_entropy_the_high_values_are_dropped():
    method = build_method("s4mc", score="entropy", beta=0.0)
    selection = method(inputs())
    threshold = method.thresholds(inputs()).view(-1, 1, 1)
    assert torch.equal(selection.reliable, selection.scores["entropy"] < threshold)


def test_each_image_has_its_own_threshold():
    alone = [build_method("s4mc").thresholds(single) for single in split(inputs())]
    assert torch.equal(build_method("s4mc").thresholds(inputs()), torch.cat(alone))


def test_over_the_batch_all_images_share_one_threshold():
    first, second = build_method("s4mc", percentile_over="batch").thresholds(inputs()).tolist()
    assert first == second


def split(both: SelectionInputs) -> list[SelectionInputs]:
    return [SelectionInputs(both.probabilities[i : i + 1], both.valid[i : i + 1], progress=0.0) for i in range(2)]


def test_a_frozen_threshold_does_not_depend_on_progress():
    method = build_method("s4mc", threshold=0.3)
    assert torch.equal(method(inputs(0.0)).reliable, method(inputs(1.0)).reliable)


def test_a_frozen_threshold_selects_as_the_percentile_it_came_from():
    percentile = build_method("s4mc")
    single = split(inputs())[0]
    frozen = build_method("s4mc", threshold=percentile.thresholds(single).item())
    assert torch.equal(frozen(single).reliable, percentile(single).reliable)


def test_only_a_frozen_method_needs_no_progress():
    assert (build_method("s4mc").needs, build_method("s4mc", threshold=0.3).needs) == ({"progress"}, frozenset())


def test_export_without_a_frozen_threshold_is_refused():
    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.method = build_method("s4mc")

        def forward(self, probabilities, valid):
            return self.method(SelectionInputs(probabilities, valid)).weight

    with pytest.raises(Exception, match="cannot be exported while its threshold depends on training progress"):
        torch.export.export(Graph(), (inputs().probabilities, inputs().valid), strict=False)


def test_a_prior_of_another_class_set_is_refused():
    with pytest.raises(ValueError, match="class_prior has 3 classes but the probabilities have 5"):
        build_method("s4mc", class_prior=[0.9, 0.9, 0.9])(inputs())


def test_progress_outside_training_bounds_is_refused():
    with pytest.raises(ValueError, match="'progress' must be a number of at least 0 and at most 1 but is 1.5"):
        build_method("s4mc")(inputs(1.5))


def test_without_a_prior_the_product_is_used():
    explicit, default = build_method("s4mc", joint="product"), build_method("s4mc")
    assert torch.equal(explicit(inputs()).scores["refined_margin"], default(inputs()).scores["refined_margin"])


def test_a_lonely_unsure_pixel_is_raised_by_its_neighbors():
    probabilities = torch.tensor([0.9, 0.1]).view(1, 2, 1, 1).repeat(1, 1, 5, 5)
    probabilities[0, :, 2, 2] = torch.tensor([0.52, 0.48])
    scores = build_method("s4mc")(SelectionInputs(probabilities, torch.ones(1, 5, 5, dtype=torch.bool))).scores
    assert scores["refined_margin"][0, 2, 2] > scores["margin"][0, 2, 2] + 0.1


@pytest.mark.parametrize("ignored_neighbors", [True, False])
def test_a_nan_pixel_supports_no_neighbor(ignored_neighbors):
    method = build_method("s4mc", ignored_neighbors=ignored_neighbors)
    empty, poisoned = inputs(images=1).probabilities.clone(), inputs(images=1).probabilities.clone()
    empty[0, :, 7, 9], poisoned[0, :, 7, 9] = 0.0, float("nan")
    valid = torch.ones(1, 20, 24, dtype=torch.bool)
    valid[0, 7, 9] = False
    expected = method(SelectionInputs(empty, valid)).scores["refined_margin"]
    assert torch.equal(method(SelectionInputs(poisoned, torch.ones_like(valid))).scores["refined_margin"], expected)


@pytest.mark.parametrize("ignored_neighbors", [True, False])
def test_ignored_pixels_support_their_neighbors_only_where_asked(ignored_neighbors):
    method = build_method("s4mc", ignored_neighbors=ignored_neighbors)
    valid = torch.ones(1, 20, 24, dtype=torch.bool)
    valid[0, 7, 9] = False
    changed = inputs(images=1).probabilities.clone()
    changed[0, :, 7, 9] = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    before, after = (method(SelectionInputs(each, valid)).scores for each in (inputs(images=1).probabilities, changed))
    assert torch.equal(before["refined_margin"], after["refined_margin"]) is not ignored_neighbors


def test_class_prior_of_a_known_label():
    # 0 0 1
    # 0 1 1
    label = torch.tensor([[[0, 0, 1], [0, 1, 1]]])
    # horizontal 00 01 01 11, vertical 00 01 11: class 0 has 4 of 7 pair ends equal, class 1 has 4 of 7
    prior = count_class_prior(label, torch.ones_like(label, dtype=torch.bool), 2)
    assert prior.tolist() == pytest.approx([4 / 7, 4 / 7])


def test_class_prior_counts_no_pair_with_an_invalid_pixel():
    label = torch.tensor([[[0, 0, 255], [0, 1, 1]]])
    # horizontal 00 01 11, vertical 00 01
    prior = count_class_prior(label, label != 255, 2)
    assert prior.tolist() == pytest.approx([4 / 6, 2 / 4])


def test_a_class_that_never_occurs_gets_the_prior_over_all_classes():
    label = torch.tensor([[[0, 0, 1]]])
    prior = count_class_prior(label, torch.ones_like(label, dtype=torch.bool), 3)
    assert prior.tolist() == pytest.approx([2 / 3, 0.0, 2 / 4])


@pytest.mark.parametrize(
    ("label", "valid", "message"),
    [
        (torch.tensor([[[0, 9]]]), torch.tensor([[[True, True]]]), "outside 0 to 1"),
        (torch.tensor([[[0, 1]]]), torch.tensor([[[True, False]]]), "no two neighboring pixels are valid"),
    ],
    ids=["unknown id", "no pair"],
)
def test_labels_that_give_no_prior_are_refused(label, valid, message):
    with pytest.raises(ValueError, match=message):
        count_class_prior(label, valid, 2)
