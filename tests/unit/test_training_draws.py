"""The numbers behind a view: the same for the same generator, in a fixed order of calls."""

import numpy as np
import pytest

from training.batches.draws import RECIPES, blocks_of, draw_box, draw_jitter, draw_view
from training.config import ViewConfig

VIEWS = ViewConfig(crop_hw=(64, 96))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_draw_is_repeated_by_the_same_generator(recipe):
    one, other = (draw_view(np.random.default_rng([7, 1, 3]), VIEWS, recipe) for _ in range(2))
    assert one == other


def test_the_order_of_the_calls_is_kept():
    """Numbers of numpy's own generator, asked in the order that a run is repeated with."""
    asked, drawn = np.random.default_rng(0), np.random.default_rng(0)
    assert asked.random() < 0.8
    brightness, contrast, saturation = (asked.uniform(0.5, 1.5) for _ in range(3))
    turn, order = asked.uniform(-0.25, 0.25), tuple(asked.permutation(4))
    jitter = draw_jitter(drawn, 0.8, (0.5, 0.5, 0.5, 0.25))
    assert (jitter.factors, jitter.turn, jitter.order) == ((brightness, contrast, saturation), turn, order)
    assert asked.random() == drawn.random()  # nothing else was drawn


def test_a_jitter_that_does_not_happen_draws_one_number():
    asked, drawn = np.random.default_rng(0), np.random.default_rng(0)
    asked.random()
    assert draw_jitter(drawn, 0.0, (0.5, 0.5, 0.5, 0.25)) is None and asked.random() == drawn.random()


def test_only_cutmix_draws_boxes_and_only_masked_draws_blocks():
    drawn = {recipe: [draw_view(np.random.default_rng(k), VIEWS, recipe) for k in range(60)] for recipe in RECIPES}
    assert {recipe for recipe in RECIPES if any(draw.box for draw in drawn[recipe])} == {"cutmix"}
    assert {recipe for recipe in RECIPES if any(draw.block_seed is not None for draw in drawn[recipe])} == {"masked"}


def test_a_box_lies_inside_the_crop():
    always = ViewConfig(crop_hw=(64, 96), cutmix_probability=1.0)
    for seed in range(100):
        top, left, height, width = draw_box(np.random.default_rng(seed), always)
        assert 0 <= top < top + height <= 64 and 0 <= left < left + width <= 96


def test_blocks_have_one_cell_for_each_block_of_the_crop():
    assert blocks_of(5, VIEWS).shape == (2, 3) and blocks_of(5, VIEWS).equal(blocks_of(5, VIEWS))
