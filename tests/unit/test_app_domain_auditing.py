"""Drawing reliable pixels and the regions that show them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.auditing import AuditRegion, audit_regions, draw_pixels
from app.domain.intervals import wilson_interval
from app.domain.regions import RegionRules, boundary_band

SIZE_HW = (120, 160)
RULES = RegionRules()


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture, its predicted label in broad fields, and a reliable mask with holes, threads and specks."""
    rng = np.random.default_rng(seed)
    label = cv2.resize(rng.integers(0, 5, (4, 5), dtype=np.uint8), SIZE_HW[::-1], interpolation=cv2.INTER_NEAREST)
    small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = cv2.resize(small, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC)
    reliable = cv2.GaussianBlur(rng.random(SIZE_HW).astype(np.float32), (0, 0), 4) > 0.49
    reliable |= rng.random(SIZE_HW) < 0.02
    return image, label, reliable


def regions_of(seed: int, number: int, area: int = 150) -> tuple[list[AuditRegion], list[tuple[int, int]]]:
    image, label, reliable = scene(seed)
    flat = np.random.default_rng(seed + 1).choice(np.flatnonzero(reliable), number)
    pixels = [(int(each % SIZE_HW[1]), int(each // SIZE_HW[1])) for each in flat]
    return audit_regions(image, label, reliable, pixels, [area] * number, RULES), pixels


def full(region: AuditRegion) -> np.ndarray:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[region.box] = region.mask
    return mask


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([24, 150, 1200]))
def test_every_drawn_pixel_lies_in_exactly_one_region_and_every_region_is_reliable(seed, number, area):
    regions, pixels = regions_of(seed, number, area)
    reliable = scene(seed)[2]
    covered = np.zeros(SIZE_HW, int)
    for region in regions:
        mask = full(region)
        covered += mask
        assert not (mask & ~reliable).any()
        assert cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[0] == 2
        assert all(mask[y, x] for x, y in region.drawn)
        assert region.mask.any(axis=0)[[0, -1]].all() and region.mask.any(axis=1)[[0, -1]].all()
    assert covered.max() == 1
    assert sorted(pixel for region in regions for pixel in region.drawn) == sorted(pixels)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_a_region_has_one_class_and_keeps_off_class_edges_where_the_pixel_does(seed):
    image, label, _ = scene(seed)
    everywhere = np.ones(SIZE_HW, np.bool_)
    edge_mask = boundary_band(label, RULES.band_px)
    rows, columns = np.nonzero(~edge_mask)
    index = np.random.default_rng(seed).integers(rows.size)
    pixel = int(columns[index]), int(rows[index])
    (region,) = audit_regions(image, label, everywhere, [pixel], [200], RULES)
    mask = full(region)
    assert np.unique(label[mask]).size == 1
    near = np.zeros(SIZE_HW, np.bool_)
    reach = RULES.band_px + 1
    near[max(0, pixel[1] - reach) : pixel[1] + reach + 1, max(0, pixel[0] - reach) : pixel[0] + reach + 1] = True
    assert not (mask & edge_mask & ~near).any()


def test_a_region_is_about_as_large_as_was_asked_for():
    """Superpixels vary; over many the mean is what counts."""
    image, label, _ = scene(1)
    everywhere = np.ones(SIZE_HW, np.bool_)
    rng = np.random.default_rng(0)
    for area in (60, 150, 400):
        areas = []
        for _ in range(40):
            pixel = int(rng.integers(SIZE_HW[1])), int(rng.integers(SIZE_HW[0]))
            (region,) = audit_regions(image, label, everywhere, [pixel], [area], RULES)
            areas.append(np.count_nonzero(region.mask))
        assert 0.4 * area < np.median(areas) < 1.6 * area
        assert max(areas) <= 2 * area


def test_a_speck_is_a_region_as_it_is():
    image, label, _ = scene(2)
    reliable = np.zeros(SIZE_HW, np.bool_)
    reliable[50:52, 70:73] = True
    (region,) = audit_regions(image, label, reliable, [(71, 51)], [200], RULES)
    assert np.array_equal(full(region), reliable)


def test_pixels_that_were_drawn_into_one_region_share_it():
    image, label, reliable = scene(3)
    y, x = (int(value) for value in np.argwhere(reliable)[0])
    (region,) = audit_regions(image, label, reliable, [(x, y), (x, y)], [200, 200], RULES)
    assert region.drawn == ((x, y), (x, y))


def test_nothing_is_drawn_where_nothing_is_reliable():
    assert draw_pixels(np.zeros(SIZE_HW, np.bool_), 0.1, np.random.default_rng(0)) == []


def test_every_reliable_pixel_is_drawn_equally_often():
    """In two images of different size and share, so that a draw per image instead of per pixel would fail."""
    rng = np.random.default_rng(4)
    masks = [rng.random((20, 30)) < 0.9, rng.random((10, 10)) < 0.2]
    counts = [np.zeros(mask.shape, int) for mask in masks]
    repeats = 3000
    for _ in range(repeats):
        for mask, count in zip(masks, counts, strict=True):
            for x, y in draw_pixels(mask, 0.05, rng):
                count[y, x] += 1
    expected = 0.05 * repeats
    for mask, count in zip(masks, counts, strict=True):
        assert count[~mask].sum() == 0
        chi_square = ((count[mask] - expected) ** 2 / expected).sum()
        degrees = mask.sum()
        assert abs(chi_square - degrees) < 4 * np.sqrt(2 * degrees)


def clustered_pool(rng: np.random.Generator, share: float) -> list[np.ndarray]:
    """Errors of 12 images of different sizes, in blobs: some images are nearly right, some have large wrong areas."""
    pool = []
    for _ in range(12):
        size_hw = int(rng.integers(20, 60)), int(rng.integers(20, 60))
        field = cv2.GaussianBlur(rng.normal(size=size_hw).astype(np.float32), (0, 0), 5)
        field = field / field.std() + rng.normal(0, 1.0)
        pool.append(field)
    everything = np.concatenate([field.ravel() for field in pool])
    limit = np.quantile(everything, 1 - share)
    return [field > limit for field in pool]


@pytest.mark.parametrize(
    ("share", "expected_draws"), [(0.02, 150), (0.05, 100), (0.15, 60), (0.4, 200)], ids=["2%", "5%", "15%", "40%"]
)
def test_the_interval_holds_the_true_error_rate_in_about_95_of_100_runs(share, expected_draws):
    """Known truth, errors in clusters, images of different sizes; each run draws a new sample from the same pool."""
    rng = np.random.default_rng(int(share * 1000))
    pool = clustered_pool(rng, share)
    truth = float(np.concatenate([wrong.ravel() for wrong in pool]).mean())
    intensity = expected_draws / sum(wrong.size for wrong in pool)
    runs, held, estimates = 2000, 0, []
    for _ in range(runs):
        drawn = [wrong[y, x] for wrong in pool for x, y in draw_pixels(np.ones(wrong.shape, np.bool_), intensity, rng)]
        low, high = wilson_interval(int(np.sum(drawn)), len(drawn))
        held += low <= truth <= high
        estimates.append(np.mean(drawn))
    assert 0.93 <= held / runs <= 0.98
    assert abs(np.mean(estimates) - truth) < 4 * np.std(estimates) / np.sqrt(runs)  # Unbiased.


def test_the_interval_of_one_draw_per_image_would_not_hold_it():
    """The same pool drawn an image at a time, the way that is wrong: the coverage test can tell the difference."""
    rng = np.random.default_rng(0)
    pool = clustered_pool(rng, 0.15)
    pool.sort(key=lambda wrong: wrong.mean())
    sizes = np.array([wrong.size for wrong in pool])
    truth = float(np.concatenate([wrong.ravel() for wrong in pool]).mean())
    held = 0
    for _ in range(500):
        image = pool[rng.choice(len(pool), p=sizes / sizes.sum())]  # All draws of a run from one image.
        hits = int(image.ravel()[rng.integers(0, image.size, 60)].sum())
        low, high = wilson_interval(hits, 60)
        held += low <= truth <= high
    assert held / 500 < 0.8
