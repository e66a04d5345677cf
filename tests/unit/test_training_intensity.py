"""AugSeg's random intensity: which changes are drawn, and that they give what Pillow gives."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from training.batches.draws import draw_view
from training.batches.intensity import OPERATIONS, IntensityStep, apply_intensity, draw_intensity
from training.batches.opencv_views import render_strong
from training.config import ViewConfig

PILLOW = {
    "identity": lambda image, _: image,
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "contrast": lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
    "brightness": lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
    "color": lambda image, factor: ImageEnhance.Color(image).enhance(factor),
    "sharpness": lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor),
    "posterize": lambda image, bits: ImageOps.posterize(image, int(bits)),
    "solarize": lambda image, first: ImageOps.solarize(image, int(first)),
}
ROUNDING = {"contrast": 2, "color": 2, "sharpness": 2}  # gray and means are rounded once more; the others are exact


def picture(low=20, high=230):
    """Noise over a ramp, with a different range in each channel."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(low, high, 40 * 48).reshape(40, 48, 1) * np.array([1.0, 0.8, 0.6])
    return (ramp + rng.integers(-15, 16, (40, 48, 3))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("operation", "strength"),
    [
        ("identity", 0), ("autocontrast", 0), ("equalize", 0), ("contrast", 0.05), ("contrast", 0.6),
        ("brightness", 0.3), ("color", 0.05), ("color", 0.7), ("sharpness", 0.05), ("sharpness", 0.9),
        ("posterize", 4), ("posterize", 7), ("solarize", 1), ("solarize", 128), ("solarize", 255),
    ],
)  # fmt: skip
def test_each_change_gives_what_pillow_gives(operation, strength):
    ours = apply_intensity((IntensityStep(operation, strength),), picture())
    theirs = np.asarray(PILLOW[operation](Image.fromarray(picture()), strength))
    assert np.abs(ours.astype(int) - theirs).max() <= ROUNDING.get(operation, 0)


def test_blur_is_pillows_up_to_its_approximation_by_boxes():
    ours = apply_intensity((IntensityStep("blur", 1.5),), picture())
    theirs = np.asarray(Image.fromarray(picture()).filter(ImageFilter.GaussianBlur(1.5)))
    assert np.abs(ours.astype(int) - theirs)[6:-6, 6:-6].mean() < 0.6


def test_half_a_turn_of_the_hue_makes_red_cyan():
    red = np.tile(np.array([200, 0, 0], np.uint8), (4, 4, 1))
    turned = apply_intensity((IntensityStep("hue", 0.5),), red)
    assert np.abs(turned.astype(int) - [0, 200, 200]).max() <= 2


@pytest.mark.parametrize("operation", ["autocontrast", "equalize"])
def test_a_plain_picture_stays(operation):
    plain = np.full((8, 8, 3), 77, np.uint8)
    assert np.array_equal(apply_intensity((IntensityStep(operation),), plain), plain)


def test_changes_are_applied_in_their_order():
    steps = (IntensityStep("brightness", 0.5), IntensityStep("solarize", 100))
    gray = np.full((2, 2, 3), 120, np.uint8)
    assert apply_intensity(steps, gray)[0, 0, 0] == 60  # 120 halved lies below 100; inverted first it would be 67


@pytest.fixture(scope="module")
def many_draws():
    rng = np.random.default_rng(0)
    return [draw_intensity(rng) for _ in range(2000)]


def test_one_to_three_changes_are_drawn_equally_often(many_draws):
    counts = np.bincount([len(steps) for steps in many_draws], minlength=4)
    assert counts[0] == 0 and len(counts) == 4 and (abs(counts[1:] / 2000 - 1 / 3) < 0.04).all()


def test_every_change_is_drawn_and_one_may_come_twice(many_draws):
    names = [[step.operation for step in steps] for steps in many_draws]
    assert {name for each in names for name in each} == set(OPERATIONS)
    assert any(len(set(each)) < len(each) for each in names)


@pytest.mark.parametrize(
    ("operation", "low", "high"),
    [
        ("blur", 0.1, 2), ("contrast", 0.05, 0.95), ("brightness", 0.05, 0.95), ("color", 0.05, 0.95),
        ("sharpness", 0.05, 0.95), ("posterize", 4, 7), ("solarize", 1, 255), ("hue", -0.5, 0.5),
    ],
)  # fmt: skip
def test_strengths_fill_the_published_ranges(many_draws, operation, low, high):
    drawn = [step.strength for steps in many_draws for step in steps if step.operation == operation]
    margin = 0.05 * (high - low)
    assert low <= min(drawn) <= low + margin and high - margin <= max(drawn) <= high


def test_the_recipe_draws_intensity_and_nothing_else():
    draw = draw_view(np.random.default_rng(3), ViewConfig(crop_hw=(32, 32)), "random_intensity")
    assert draw.intensity and (draw.jitter, draw.is_gray, draw.blur_sigma, draw.box) == (None, False, None, None)


def test_padding_stays_black_under_an_inverting_change():
    draw = draw_view(np.random.default_rng(3), ViewConfig(crop_hw=(32, 32)), "random_intensity")
    draw = type(draw)(intensity=(IntensityStep("solarize", 1),))
    valid = np.ones((8, 8), bool)
    valid[:, 4:] = False
    rendered = render_strong(draw, np.full((8, 8, 3), 50, np.uint8), valid)
    assert (rendered[:, :4] == 205).all() and not rendered[:, 4:].any()
