"""The check for another kind of images: false alarms at the stated rate on images like gold, alarms on others."""

import numpy as np
import pytest

from app.domain.shift import ENOUGH_GOLD, FALSE_ALARMS, appearance_of, group_p_value, judge_shift, unlike_p_values


def images(rng: np.random.Generator, number: int, away: float = 0.0) -> np.ndarray:
    """(number, 7) skewed and dependent statistics, as coverage, doubt and colors are."""
    coverage = np.clip(rng.beta(6, 3, number) + away, 0, 1)
    light = rng.beta(20, 20, (number, 1))
    looks = np.clip(light * rng.uniform(0.8, 1.2, (number, 5)) + [0, away / 3, away / 3, 0, 0], 0, 1)
    return np.column_stack([coverage, (1 - coverage) * rng.uniform(0.2, 0.5, number), looks])


@pytest.mark.parametrize("gold", [ENOUGH_GOLD, 40, 73])
def test_images_like_gold_are_called_unlike_no_more_often_than_stated(gold: int) -> None:
    rng = np.random.default_rng(gold)
    alarms = [
        unlike_p_values(images(rng, gold), images(rng, 1))[0] <= FALSE_ALARMS for _ in range(2000)
    ]  # one image each: p-values that share their gold are dependent
    assert np.mean(alarms) <= FALSE_ALARMS + 3 * np.sqrt(FALSE_ALARMS * (1 - FALSE_ALARMS) / 2000)
    assert np.mean(alarms) >= 0.02  # a test that never alarms would pass the line above


def test_a_pool_like_gold_is_called_unlike_as_a_whole_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(3)
    p_values = np.array([group_p_value(images(rng, 12), images(rng, 40)) for _ in range(300)])
    for level in (0.05, 0.2, 0.5):
        assert (p_values <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 300)
    assert (p_values <= 0.5).mean() > 0.3


def test_shifted_images_among_others_are_counted() -> None:
    rng = np.random.default_rng(1)
    gold, same, other = images(rng, 60), images(rng, 80), images(rng, 25, away=0.6)
    found = judge_shift(gold, np.vstack([same, other]))
    assert found.unlike is not None and 22 <= found.unlike <= 35 and found.is_alarm
    assert f"{found.unlike} of 105 images of the pool look unlike the 60 gold images" in found.sentence
    assert "No promise covers images of another kind" in found.sentence


def test_a_pool_like_gold_raises_no_alarm_and_says_that_a_shift_can_go_unnoticed() -> None:
    rng = np.random.default_rng(2)
    found = judge_shift(images(rng, 60), images(rng, 100))
    assert not found.is_alarm and "can go unnoticed" in found.sentence


def test_with_few_gold_images_single_ones_cannot_be_told_apart_but_the_pool_can() -> None:
    rng = np.random.default_rng(4)
    found = judge_shift(images(rng, ENOUGH_GOLD - 1), images(rng, 50, away=0.5))
    assert found.unlike is None and found.is_pool_unlike and found.is_alarm
    assert f"are too few to tell single images of the pool apart; it takes {ENOUGH_GOLD}" in found.sentence


def test_images_that_are_all_the_same_are_not_unlike() -> None:
    same = np.tile([1.0, 0.0, *[0.5] * 5], (30, 1))
    found = judge_shift(same, same)
    assert (found.unlike, found.is_pool_unlike) == (0, False)
    assert judge_shift(same, np.array([[0.7, 0.1, *[0.5] * 5]])).unlike == 1


@pytest.mark.parametrize(("gold", "pool"), [(0, 5), (5, 0), (0, 0)])
def test_without_images_on_both_sides_nothing_is_said(gold: int, pool: int) -> None:
    rng = np.random.default_rng(5)
    found = judge_shift(images(rng, gold), images(rng, pool))
    assert found.unlike is None and not found.is_alarm and found.sentence.startswith("Nothing says")


def test_the_p_value_of_one_image_can_be_checked_by_hand() -> None:
    gold = np.array([[share, 0.5, *[0.5] * 5] for share in (0.1, 0.2, 0.3, 0.4)])
    far, near = gold[:1].copy(), gold[1:2].copy()
    far[0, 0] = 0.99
    assert unlike_p_values(gold, far).tolist() == [0.2]  # farther from its neighbors than any
    assert unlike_p_values(gold, near).tolist() == [1.0]


def test_a_picture_of_other_colors_looks_unlike_gold_even_where_the_model_says_the_same() -> None:
    rng = np.random.default_rng(6)
    gold, pool = images(rng, 60), images(rng, 10)
    pool[:, 2:4] *= 0.1
    found = judge_shift(gold, pool)
    assert found.is_alarm and (found.unlike or 0) >= 9


def test_what_a_picture_looks_like_can_be_checked_by_hand() -> None:
    stripes = np.zeros((4, 4, 3), np.uint8)
    stripes[:, ::2] = (255, 255, 0)
    red, green, blue, contrast, sharpness = appearance_of(stripes)
    assert (red, green, blue) == (0.5, 0.5, 0.0)
    assert contrast == pytest.approx(1 / 3) and sharpness == pytest.approx(1 / 3)  # 170 of 255, only sideways
