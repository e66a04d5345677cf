"""Mixing and people's labels inside a step."""

import pytest
import torch

from datasets.labels import IGNORE_INDEX
from reliability.selection import PixelSelection
from tests.unit.training_cases import tiny_batch
from training.batches.draws import RECIPES
from training.lookup import build_host, host_names
from training.step import StrongView, keep_known_labels, mixed, mixed_targets


def selection_of(batch):
    """A selection whose label, weight and reliable differ in every pixel of both images."""
    shape = batch.unlabeled.valid.shape
    numbers = torch.arange(batch.unlabeled.valid.numel()).view(shape)
    return PixelSelection(numbers, numbers / numbers.max(), numbers % 2 == 0)


@pytest.mark.parametrize("plane", ["image", "label", "weight", "valid"])
def test_one_box_pastes_every_plane(plane):
    batch = tiny_batch()
    u, selected = batch.unlabeled, selection_of(batch)
    u.valid[0, :3] = False  # so that the two images differ
    view = StrongView(torch.randn(2, 3, 8, 8), u.strong_views[0].paste_mask, u.strong_views[0].block_mask)
    target = mixed_targets(selected, u.valid, view, u.partner)
    before, after = {
        "image": (view.image, mixed(view.image, view.paste_mask, u.partner)),
        "label": (selected.pseudo_label, target.pseudo_label),
        "weight": (selected.weight, target.weight),
        "valid": (u.valid, target.valid),
    }[plane]
    for n, y, x in torch.cartesian_prod(torch.arange(2), torch.arange(8), torch.arange(8)).tolist():
        source = 1 - n if view.paste_mask[n, y, x] else n
        assert torch.equal(after[n, ..., y, x], before[source, ..., y, x])


def test_mixing_changes_no_input():
    image = torch.randn(2, 3, 4, 4)
    before = image.clone()
    mixed(image, torch.ones(2, 4, 4, dtype=torch.bool), torch.tensor([1, 0]))
    assert torch.equal(image, before)


def test_people_overrule_the_prediction_where_they_decided():
    batch = tiny_batch()
    u, selected = batch.unlabeled, selection_of(batch)
    u.known_label[0, 0, 0] = 2
    kept = keep_known_labels(selected, u)
    assert (kept.pseudo_label[0, 0, 0], kept.weight[0, 0, 0], kept.reliable[0, 0, 0]) == (2, 1.0, True)


def test_other_pixels_keep_their_pseudo_label():
    batch = tiny_batch()
    u, selected = batch.unlabeled, selection_of(batch)
    u.known_label[0, 0, 0] = 2
    kept = keep_known_labels(selected, u)
    assert torch.equal(kept.pseudo_label[u.known_label == IGNORE_INDEX], selected.pseudo_label[u.known_label == 255])


@pytest.mark.parametrize("name", host_names())
def test_every_host_declares_what_the_loop_reads(name):
    host = build_host(name)
    assert set(host.strong_recipes) <= set(RECIPES) and isinstance(host.uses_unlabeled, bool)


def test_an_unknown_host_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown host 'unimatch9'; choose one of .*csl, fixmatch"):
        build_host("unimatch9")
