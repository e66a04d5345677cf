"""Batches as a function of seed and step."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datasets.labels import IGNORE_INDEX, Provenance
from datasets.sample import Sample
from tests.unit.training_cases import color_blocks, write_blocks
from training.batches.loader import BatchLoader, device_mover, labeled_crop, partners, unlabeled_crop
from training.batches.sampler import Sampler, Stream
from training.config import DataConfig, RunConfig, ViewConfig
from training.data import open_training_data, training_sample
from training.processes import ProcessPart

VIEWS = ViewConfig(crop_hw=(32, 40))
RUN = RunConfig(labeled_batch=2, unlabeled_batch=2)
RECIPES = ("cutmix", "masked")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = write_blocks(tmp_path_factory.mktemp("blocks"))
    return open_training_data(DataConfig(format="folder", root=str(root)))


def tensors(batch):
    x, u = batch.labeled, batch.unlabeled
    views = [plane for view in u.strong_views for plane in (view.image, view.paste_mask, view.block_mask)]
    return [x.image, x.label, x.weight, u.weak_view, u.valid, u.known_label, u.partner, *views]


def test_a_step_gives_the_same_batch_again(data):
    one, other = (BatchLoader(data, RECIPES, VIEWS, RUN).batch(7) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


def test_another_seed_gives_another_batch(data):
    other = RunConfig(labeled_batch=2, unlabeled_batch=2, seed=1)
    one, two = (BatchLoader(data, RECIPES, VIEWS, run).batch(0) for run in (RUN, other))
    assert not torch.equal(one.labeled.image, two.labeled.image)


@pytest.mark.parametrize("threads", [1, 3])
def test_prepared_batches_come_in_order_and_unchanged(data, threads):
    run = RunConfig(labeled_batch=2, unlabeled_batch=2, loader_threads=threads)
    loader = BatchLoader(data, RECIPES, VIEWS, run)
    for step, batch in zip(range(3, 9), loader.batches(3, 9), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(tensors(batch), tensors(loader.batch(step)), strict=True))


def test_an_epoch_draws_every_item_once():
    sampler = Sampler((10, 11, 12, 13, 14), seed=3, stream=Stream.LABELED)
    epochs = [[sampler.item(draw) for draw in range(start, start + 5)] for start in (0, 5)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == [10, 11, 12, 13, 14]


def test_epochs_have_their_own_order():
    sampler = Sampler(tuple(range(50)), seed=3, stream=Stream.LABELED)
    assert [sampler.item(draw) for draw in range(50)] != [sampler.item(draw) for draw in range(50, 100)]


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=30), st.integers(0, 5))
def test_items_come_in_proportion_to_their_shares(shares, seed):
    items = tuple(range(len(shares)))
    sampler, passes = Sampler(items, seed, Stream.LABELED, tuple(shares)), 400
    drawn = [sampler.item(draw) for draw in range(passes * sampler.pass_length)]
    expected = np.array(shares) * passes * sampler.pass_length / sum(shares)
    # A pass takes an item the whole number of times below or above its expectation, so its variance is at most 1/4.
    assert (np.abs(np.bincount(drawn, minlength=len(items)) - expected) <= 6 * np.sqrt(passes / 4)).all()


def test_a_sliver_of_a_decision_does_not_crowd_out_whole_labels():
    sampler = Sampler(tuple(range(102)), 0, Stream.LABELED, (1.0, 1.0) + (0.01,) * 100)
    assert sampler.pass_length == 3
    drawn = [sampler.item(draw) for draw in range(300)]
    assert drawn.count(0) == drawn.count(1) == 100


def test_whole_labels_are_drawn_as_without_shares():
    items = tuple(range(20, 29))
    plain, shared = (Sampler(items, 3, Stream.LABELED, shares) for shares in (None, (1.0,) * 9))
    assert [plain.item(draw) for draw in range(45)] == [shared.item(draw) for draw in range(45)]


def test_processes_share_one_order_without_overlap(data):
    drawn = []
    for rank in range(2):
        loader = BatchLoader(data, None, VIEWS, RUN, part=ProcessPart(rank, 2))
        drawn += [loader._labeled.item(draw) for draw in loader._draws(0, 2)]
    assert sorted(drawn) == sorted(data.labeled)


@pytest.mark.parametrize(("count", "expected"), [(2, [1, 0]), (4, [1, 0, 3, 2]), (3, [2, 0, 1]), (5, [1, 0, 4, 2, 3])])
def test_neighbors_are_mixed_with_each_other(count, expected):
    assert partners(count).tolist() == expected


def test_two_processes_draw_what_one_with_twice_the_batch_draws(data):
    whole = BatchLoader(data, RECIPES, VIEWS, RunConfig(labeled_batch=4, unlabeled_batch=4)).batch(3)
    halves = [BatchLoader(data, RECIPES, VIEWS, RUN, part=ProcessPart(rank, 2)).batch(3) for rank in range(2)]
    partner = torch.cat([halves[0].unlabeled.partner, halves[1].unlabeled.partner + 2])
    assert torch.equal(partner, whole.unlabeled.partner)
    planes = [torch.cat([one, two]) for one, two in zip(*map(tensors, halves), strict=True)]
    expected = tensors(whole)
    assert all(torch.equal(planes[i], expected[i]) for i in range(len(planes)) if expected[i].ndim > 1)


def test_hosts_without_unlabeled_images_get_none(data):
    assert BatchLoader(data, None, VIEWS, RUN).batch(0).unlabeled is None


def test_unlabeled_images_begin_with_their_first_step(data):
    loader = BatchLoader(data, RECIPES, VIEWS, RUN, unlabeled_from=3)
    assert [loader.batch(step).unlabeled is not None for step in (0, 2, 3)] == [False, False, True]


def test_labeled_and_unlabeled_batches_may_differ_in_size(data):
    batch = BatchLoader(data, RECIPES, VIEWS, RunConfig(labeled_batch=3, unlabeled_batch=5)).batch(0)
    assert (len(batch.labeled.image), len(batch.unlabeled.weak_view), len(batch.unlabeled.partner)) == (3, 5, 5)


def half_void(provenance_code):
    """Human labels whose left half is void."""
    image, label = color_blocks(0)
    label[:, :40] = IGNORE_INDEX
    provenance = np.full(label.shape, provenance_code, np.uint8)
    return training_sample(Sample("s", image, label, provenance))


def test_void_that_people_drew_is_invalid_in_the_unlabeled_stream():
    views = ViewConfig(crop_hw=(64, 80), scale_range=(1, 1), flip_probability=0)
    crop = unlabeled_crop(np.random.default_rng(0), half_void(Provenance.HUMAN), views, ())
    assert not crop.valid[:, :40].any() and crop.valid[:, 40:].all()


def test_void_that_nobody_reviewed_stays_open_for_pseudo_labels():
    views = ViewConfig(crop_hw=(64, 80), scale_range=(1, 1), flip_probability=0)
    crop = unlabeled_crop(np.random.default_rng(0), half_void(Provenance.UNREVIEWED), views, ())
    assert crop.valid.all() and (crop.known_label == IGNORE_INDEX).all()


def test_known_labels_move_with_the_crop():
    views = ViewConfig(crop_hw=(64, 80), scale_range=(1, 1), flip_probability=1)
    image, label = color_blocks(0)
    sample = training_sample(Sample("s", image, label))
    crop = unlabeled_crop(np.random.default_rng(0), sample, views, ())
    assert np.array_equal(crop.known_label, label[:, ::-1])


def test_weights_are_0_wherever_the_label_is_ignored():
    crop = labeled_crop(np.random.default_rng(0), half_void(Provenance.HUMAN), VIEWS)
    assert np.array_equal(crop.weight > 0, crop.label != IGNORE_INDEX)


def test_the_mover_normalizes_with_mean_and_std(data):
    batch = BatchLoader(data, RECIPES, VIEWS, RUN).batch(0)
    move = device_mover(torch.device("cpu"), (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), torch.contiguous_format)
    image = batch.labeled.image.double().permute(0, 2, 3, 1) / 255
    expected = (image - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.1, 0.2, 0.3])
    torch.testing.assert_close(move(batch).labeled.image.permute(0, 2, 3, 1).double(), expected, rtol=1e-5, atol=1e-5)
