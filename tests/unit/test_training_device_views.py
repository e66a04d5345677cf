"""Two renderers, one draw: what torch makes on a device is what OpenCV makes on the CPU."""

import cv2
import numpy as np
import pytest
import torch

from datasets.labels import IGNORE_INDEX, ClassSet
from tests.unit.training_cases import CLASS_NAMES, tiny_config, write_blocks
from training.batches.device_pool import PROBED, choose_device_pool, decode_within, device_pool
from training.batches.device_views import DeviceRenderer, blurred, cut_out, hue_turned, recolored
from training.batches.drawn import DEVICE_RECIPES, blur_radius, drawn_crops, drawn_view, gaussian_kernel
from training.batches.drawn_loader import DrawnLoader
from training.batches.draws import HUE, RECIPES, Jitter, StrongDraw, draw_view
from training.batches.geometry import draw_geometry
from training.batches.loader import BatchLoader, device_mover
from training.batches.opencv_views import render_strong
from training.config import RunConfig, TrainConfig, ViewConfig
from training.config_json import apply_changes
from training.data import SamplePool, TrainingData, TrainingSample
from training.loop import FitOptions, fit
from training.records import read_metrics
from training.step import StepBatch

VIEWS = ViewConfig(crop_hw=(48, 56))
SIZES_HW = ((64, 80), (48, 32), (96, 112))

WARP_LEVELS = 1 if int(cv2.__version__.split(".")[0]) >= 5 else 4
"""OpenCV 4 rounds coordinates to 1/32 pixel: 1/64 of a step of 255 is 4 levels."""


def photo(seed, size_hw=(64, 80)):
    """Smooth colors with texture, all hues: closer to a photograph than blocks are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 7, 3)).astype(np.uint8)
    noise = rng.integers(-12, 13, (*size_hw, 3))
    return (cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC) + noise).clip(0, 255).astype(np.uint8)


def sample(seed, size_hw=(64, 80), partly_known=False):
    """A picture with labels, some void; on request with weights and a part that nobody reviewed."""
    rng = np.random.default_rng(seed)
    label = np.kron(rng.integers(0, 3, (size_hw[0] // 16, size_hw[1] // 16)), np.ones((16, 16))).astype(np.uint8)
    label[:7, :9] = IGNORE_INDEX
    if not partly_known:
        return TrainingSample(f"s{seed}", photo(seed, size_hw), label)
    known = np.arange(size_hw[1]) < size_hw[1] // 2
    known = np.broadcast_to(known, size_hw).copy()
    weight = np.where(known, 1, rng.random(size_hw)).astype(np.float32)
    return TrainingSample(f"s{seed}", photo(seed, size_hw), label, weight, known)


class MemoryPool(SamplePool):
    def __init__(self, samples):
        super().__init__((), cache_mb=0)
        self._samples = samples

    def __len__(self):
        return len(self._samples)

    def read(self, item):
        return self._samples[item]


def training_data(partly_known):
    samples = [sample(seed, size, partly_known and seed > 0) for seed, size in enumerate(SIZES_HW)]
    items = tuple(range(len(samples)))
    return TrainingData(
        ClassSet(CLASS_NAMES, ((0, 0, 0),) * 3), MemoryPool(samples), items, (1.0,) * len(items), items, ""
    )


def both(partly_known=False, views=VIEWS, step=3, recipes=("cutmix", "masked", "plain")):
    """The same step from both renderers, images in 0-255."""
    data, run = training_data(partly_known), RunConfig(labeled_batch=5, unlabeled_batch=6)
    plain = (torch.device("cpu"), (0.0,) * 3, (1 / 255,) * 3, torch.contiguous_format)
    opencv = device_mover(*plain)(BatchLoader(data, recipes, views, run).batch(step))
    pool = device_pool(decode_within(data.pool, 10), torch.device("cpu"))
    zero, one = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    render = DeviceRenderer(pool, views, zero, one, torch.contiguous_format)
    return opencv, render(DrawnLoader(data, recipes, views, run).batch(step))


def planes(batch: StepBatch):
    u = batch.unlabeled
    named = {"label": batch.labeled.label, "weight": batch.labeled.weight}
    named |= {"valid": u.valid, "known_label": u.known_label, "partner": u.partner}
    for number, view in enumerate(u.strong_views):
        named |= {f"paste_mask {number}": view.paste_mask, f"block_mask {number}": view.block_mask}
    return named


@pytest.mark.parametrize("partly_known", [False, True], ids=["all known", "partly known"])
@pytest.mark.parametrize("step", range(4))
def test_every_plane_is_the_same_from_both_renderers(partly_known, step):
    opencv, device = (planes(batch) for batch in both(partly_known, step=step))
    assert [name for name in opencv if not torch.equal(opencv[name], device[name])] == []


@pytest.mark.parametrize("step", range(4))
def test_weak_views_differ_by_the_rounding_of_opencv(step):
    opencv, device = both(step=step)
    assert (opencv.labeled.image - device.labeled.image).abs().max() <= WARP_LEVELS
    assert (opencv.unlabeled.weak_view - device.unlabeled.weak_view).abs().max() <= WARP_LEVELS


@pytest.mark.parametrize("step", range(8))
def test_strong_views_differ_by_less_than_one_level_on_average(step):
    """OpenCV rounds after every operation and keeps hue in 256 steps: single pixels differ by up to 15 levels."""
    opencv, device = both(step=step)
    for one, other in zip(opencv.unlabeled.strong_views, device.unlabeled.strong_views, strict=True):
        difference = (one.image - other.image).abs()
        assert difference.mean() < 0.75 and difference.max() < 20


@pytest.mark.parametrize(
    ("draw", "levels"),
    [
        (StrongDraw(), 0),
        (StrongDraw(is_gray=True), 0.51),
        (StrongDraw(Jitter((1.4, 1.0, 1.0), 0.0, (0, 1, 2, 3))), 0.51),
        (StrongDraw(Jitter((1.0, 0.6, 1.0), 0.0, (0, 1, 2, 3))), 1.01),  # the mean of a gray that is rounded already
        (StrongDraw(Jitter((1.0, 1.0, 1.5), 0.0, (0, 1, 2, 3))), 1.01),
        (StrongDraw(blur_sigma=0.3), 1.01),
        (StrongDraw(blur_sigma=1.7), 1.01),
        (StrongDraw(Jitter((1.0, 1.0, 1.0), 0.2, (0, 1, 2, 3))), 8),  # 8-bit saturation and hue
    ],
    ids=["nothing", "gray", "brightness", "contrast", "saturation", "small blur", "large blur", "hue"],
)
def test_each_operation_agrees_with_opencv(draw, levels):
    image = photo(3, VIEWS.crop_hw)
    expected = render_strong(draw, image, np.ones(VIEWS.crop_hw, bool))
    shown = recolored(torch.from_numpy(image).permute(2, 0, 1)[None].float(), drawn_view([draw], VIEWS))
    assert (shown[0].permute(1, 2, 0) - torch.from_numpy(expected)).abs().max() <= levels


def test_images_of_a_batch_are_recolored_independently():
    draws = [draw_view(np.random.default_rng(seed), VIEWS, "plain") for seed in range(8)]
    images = torch.stack([torch.from_numpy(photo(seed, VIEWS.crop_hw)).permute(2, 0, 1).float() for seed in range(8)])
    together = recolored(images, drawn_view(draws, VIEWS))
    alone = torch.cat([recolored(images[k : k + 1], drawn_view([draws[k]], VIEWS)) for k in range(8)])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)


@pytest.mark.parametrize("place", range(4))
def test_the_hue_turns_at_its_place_in_the_order(place):
    order = tuple(np.insert([0, 1, 2], place, HUE))
    drawn = drawn_view([StrongDraw(Jitter((1.2, 0.8, 1.3), 0.25, order))], VIEWS)
    assert [hue is not None for hue in drawn.hue] == [turn == place for turn in range(4)]


@pytest.mark.parametrize("recipe", DEVICE_RECIPES)
def test_drawing_leaves_the_generator_of_dropout_alone(recipe):
    """Batches are drawn in a thread beside the step, whose dropout uses torch's own generator."""
    before = torch.random.get_rng_state()
    drawn_view([draw_view(np.random.default_rng(seed), VIEWS, recipe) for seed in range(8)], VIEWS)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_third_of_the_circle_turns_red_into_green():
    red = torch.tensor([200.0, 40.0, 40.0]).view(1, 3, 1, 1)
    green = torch.tensor([40.0, 200.0, 40.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(hue_turned(red, torch.tensor([2.0])), green)


def test_gray_has_no_hue_to_turn():
    gray = torch.full((1, 3, 2, 2), 77.0)
    torch.testing.assert_close(hue_turned(gray, torch.tensor([1.3])), gray)


def test_a_blur_is_wider_where_its_sigma_is_larger():
    dot = torch.zeros(2, 3, 21, 21)
    dot[:, :, 10, 10] = 1
    radius = blur_radius(2.0)
    kernels = torch.from_numpy(np.stack([gaussian_kernel(sigma, radius) for sigma in (0.5, 2.0)]))
    spread = blurred(dot, kernels)
    assert torch.allclose(spread.sum(dim=(2, 3)), torch.ones(2, 3)) and spread[0, 0, 10, 10] > 5 * spread[1, 0, 10, 10]


def test_a_flat_image_stays_flat_under_a_blur_wider_than_itself():
    flat = torch.full((1, 3, 5, 4), 90.0)
    kernel = torch.from_numpy(gaussian_kernel(3.0, blur_radius(3.0)))[None]
    torch.testing.assert_close(blurred(flat, kernel), flat)


def test_a_crop_larger_than_its_image_is_padded_black_and_ignored():
    data = training_data(partly_known=False)
    pool = device_pool([data.pool.read(1)], torch.device("cpu"))  # 48 x 32 pixels
    views = ViewConfig(crop_hw=(64, 64), scale_range=(1.0, 1.0), flip_probability=0.0)
    geometry = draw_geometry(np.random.default_rng(0), (48, 32), views)
    crops = cut_out(pool, drawn_crops([0], [geometry]), views.crop_hw)
    assert crops.inside.sum() == 48 * 32 and (crops.label[~crops.inside] == IGNORE_INDEX).all()
    assert (crops.image.permute(0, 2, 3, 1)[~crops.inside] == 0).all()


def test_an_image_at_its_own_size_is_cut_out_unchanged():
    data = training_data(partly_known=False)
    pool = device_pool([data.pool.read(0), data.pool.read(2)], torch.device("cpu"))
    views = ViewConfig(crop_hw=(96, 112), scale_range=(1.0, 1.0), flip_probability=0.0)
    geometry = draw_geometry(np.random.default_rng(0), (96, 112), views)
    crops = cut_out(pool, drawn_crops([1], [geometry]), views.crop_hw)
    assert np.array_equal(crops.image[0].permute(1, 2, 0).numpy(), data.pool.read(2).image)


def test_a_set_that_needs_more_memory_than_allowed_is_not_put_on_the_device():
    samples = [sample(seed, (512, 512)) for seed in range(2)]  # 4 bytes a pixel: 1 MiB each
    assert decode_within(MemoryPool(samples), 1) is None and len(decode_within(MemoryPool(samples), 2)) == 2


def test_a_set_that_is_far_too_large_is_not_decoded_to_the_end():
    pool, read = MemoryPool([sample(0, (256, 256))] * 1000), []  # 0.25 MiB each, 250 MiB together
    pool.read = lambda item: read.append(item) or pool._samples[item]
    assert decode_within(pool, 100) is None and max(read) == PROBED - 1


def test_weights_count_towards_the_memory():
    assert decode_within(MemoryPool([sample(0, (512, 512), partly_known=True)]), 2) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("step", range(2))
def test_a_gpu_renders_what_the_cpu_renders(step):
    data, run = training_data(partly_known=True), RunConfig(labeled_batch=5, unlabeled_batch=6)
    batches = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        pool = device_pool(decode_within(data.pool, 10), device)
        zero, one = torch.zeros(3, 1, 1, device=device), torch.ones(3, 1, 1, device=device)
        render = DeviceRenderer(pool, VIEWS, zero, one, torch.channels_last)
        batches.append(render(DrawnLoader(data, ("cutmix", "masked"), VIEWS, run).batch(step)))
    on_cpu, on_gpu = batches
    assert all(torch.equal(plane, planes(on_gpu)[name].cpu()) for name, plane in planes(on_cpu).items())
    for one, other in zip(on_cpu.unlabeled.strong_views, on_gpu.unlabeled.strong_views, strict=True):
        torch.testing.assert_close(one.image, other.image.cpu(), atol=1.5, rtol=0)  # a tie, and TF32 in the blur


def chosen(recipes=("cutmix",), device="cpu", **changes):
    config = apply_changes(TrainConfig(), [f"{key.replace('__', '.')}={value}" for key, value in changes.items()])
    return choose_device_pool(config, training_data(partly_known=False), recipes, torch.device(device))


def test_opencv_renders_by_default_on_a_cpu():
    assert chosen() is None


def test_the_device_renders_where_it_is_told_to():
    assert chosen(run__renderer="device") is not None


def test_a_recipe_that_no_device_renders_is_refused():
    with pytest.raises(ValueError, match=r"run\.renderer: device cannot make the views random_intensity"):
        chosen(recipes=("random_intensity",), run__renderer="device")


def test_a_data_set_without_room_on_the_device_is_refused():
    with pytest.raises(ValueError, match=r"does not fit into data\.cache_device_mb=0"):
        chosen(run__renderer="device", data__cache_device_mb=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_rendered_on_the_device_or_left_to_opencv(recipe):
    draws = [draw_view(np.random.default_rng(seed), VIEWS, recipe) for seed in range(20)]
    assert (recipe in DEVICE_RECIPES) == (not any(draw.intensity for draw in draws))


def test_a_run_learns_the_same_from_both_renderers(tmp_path):
    config = tiny_config(write_blocks(tmp_path / "blocks"), steps=3)
    losses = []
    for renderer in ("opencv", "device"):
        fit(apply_changes(config, [f"run.renderer={renderer}"]), FitOptions(tmp_path / renderer, quiet=True))
        losses.append([event["loss"] for event in read_metrics(tmp_path / renderer) if event["kind"] == "train"])
    assert losses[0] == pytest.approx(losses[1], rel=0.02 if WARP_LEVELS == 1 else 0.05)
