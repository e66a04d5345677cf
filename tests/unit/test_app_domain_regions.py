"""Region rules: an exact partition into connected regions of one class, a boundary band and leftovers."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.regions import BAND, LEFTOVER, RegionInput, RegionRules, boundary_band, build_regions

LOOSE = RegionRules(opening_px=0, band_px=1, min_area_px=1, min_area_share=0.0, max_area_share=1.0)


def make_input(label, reliable, confidence=None, image=None, num_classes=3):
    height, width = label.shape
    if confidence is None:
        confidence = np.where(reliable, 0.95, 0.5).astype(np.float32)
    probabilities = np.broadcast_to((1 - confidence) / (num_classes - 1), (num_classes, height, width)).copy()
    np.put_along_axis(probabilities, label[None].astype(np.int64), confidence[None], axis=0)
    if image is None:
        image = np.zeros((height, width, 3), np.uint8)
    return RegionInput(image, label, reliable, confidence, probabilities)


@st.composite
def blocky_inputs(draw):
    """Predictions with ragged classes and ragged reliability, of odd sizes, and random pictures."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = draw(st.sampled_from([1, 2, 5, 9]))

    def plane(values):
        small = rng.integers(0, values, (height // block + 1, width // block + 1)).astype(np.uint8)
        return np.kron(small, np.ones((block, block), np.uint8))[:height, :width]

    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    confidence = rng.random((height, width)).astype(np.float32)
    return make_input(plane(3), plane(4) == 0, confidence, image)


rules = st.builds(
    RegionRules,
    opening_px=st.integers(0, 2),
    band_px=st.integers(1, 3),
    min_area_px=st.integers(1, 12),
    min_area_share=st.just(0.0),
    max_area_share=st.sampled_from([0.02, 0.1, 1.0]),
)


@settings(max_examples=150, deadline=None)
@given(blocky_inputs(), rules)
def test_every_unreliable_pixel_is_in_exactly_one_region_the_band_or_the_leftovers(prediction, rules):
    partition = build_regions(prediction, rules)
    numbers = {region.number for region in partition.regions}
    assert np.array_equal(partition.region_map > 0, ~prediction.reliable)
    assert numbers == set(range(1, len(numbers) + 1))
    assert set(np.unique(partition.region_map)) - {0, BAND, LEFTOVER} == numbers


@settings(max_examples=150, deadline=None)
@given(blocky_inputs(), rules)
def test_every_region_is_connected_has_one_class_and_keeps_to_the_area_limits(prediction, rules):
    partition = build_regions(prediction, rules)
    num_pixels = prediction.label.size
    for region in partition.regions:
        region_mask = partition.region_map == region.number
        assert cv2.connectedComponents(region_mask.astype(np.uint8), connectivity=4)[0] == 2
        assert set(prediction.label[region_mask]) == {region.class_id}
        assert rules.min_area(num_pixels) <= region.area <= rules.max_area(num_pixels)


@settings(max_examples=100, deadline=None)
@given(blocky_inputs(), rules)
def test_area_box_confidence_and_class_means_are_those_of_the_regions_pixels(prediction, rules):
    partition = build_regions(prediction, rules)
    for region in partition.regions:
        rows, columns = np.nonzero(partition.region_map == region.number)
        assert region.area == rows.size
        assert region.bbox == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert region.mean_confidence == pytest.approx(prediction.confidence[rows, columns].mean(), abs=1e-5)
        means = prediction.probabilities[:, rows, columns].mean(axis=1)
        assert dict(region.top_classes) == pytest.approx(dict(enumerate(means)), abs=1e-5)
        assert [p for _, p in region.top_classes] == sorted((p for _, p in region.top_classes), reverse=True)


@settings(max_examples=50, deadline=None)
@given(blocky_inputs(), rules)
def test_the_same_prediction_gives_the_same_regions_again(prediction, rules):
    first, second = build_regions(prediction, rules), build_regions(prediction, rules)
    assert first.regions == second.regions
    assert np.array_equal(first.region_map, second.region_map)


@pytest.mark.parametrize("band_px", [1, 2, 3])
def test_the_band_is_as_wide_as_asked_on_both_sides_of_an_edge(band_px):
    label = np.zeros((5, 12), np.uint8)
    label[:, 6:] = 1
    columns = np.flatnonzero(boundary_band(label, band_px)[2])
    assert columns.tolist() == list(range(6 - band_px, 6 + band_px))


def test_unreliable_pixels_along_a_class_edge_go_to_the_band_and_split_the_rest_by_class():
    label = np.zeros((8, 12), np.uint8)
    label[:, 6:] = 1
    partition = build_regions(make_input(label, np.zeros((8, 12), bool)), LOOSE)
    assert np.all(partition.region_map[:, 5:7] == BAND)
    assert [(region.class_id, region.area) for region in partition.regions] == [(0, 40), (1, 40)]


def test_a_speck_and_a_thread_are_left_over_by_the_opening():
    reliable = np.ones((20, 20), bool)
    reliable[3, 3] = False
    reliable[10, 2:18] = False
    reliable[13:18, 5:12] = False
    rules = RegionRules(opening_px=1, min_area_px=1, min_area_share=0.0, max_area_share=1.0)
    partition = build_regions(make_input(np.zeros((20, 20), np.uint8), reliable), rules)
    assert partition.region_map[3, 3] == LEFTOVER
    assert np.all(partition.region_map[10, 2:18] == LEFTOVER)
    assert len(partition.regions) == 1


def test_a_component_under_the_minimum_area_is_left_over():
    reliable = np.ones((20, 20), bool)
    reliable[2:5, 2:5] = False
    reliable[8:14, 8:14] = False
    rules = RegionRules(opening_px=0, min_area_px=10, min_area_share=0.0, max_area_share=1.0)
    partition = build_regions(make_input(np.zeros((20, 20), np.uint8), reliable), rules)
    assert np.all(partition.region_map[2:5, 2:5] == LEFTOVER)
    assert [region.area for region in partition.regions] == [36]


def test_a_large_component_is_cut_along_the_edges_of_the_picture():
    image = np.full((100, 100, 3), 40, np.uint8)
    image[:, 57:] = 210
    rules = RegionRules(min_area_px=10, min_area_share=0.0, max_area_share=0.1)
    partition = build_regions(
        make_input(np.zeros((100, 100), np.uint8), np.zeros((100, 100), bool), image=image), rules
    )
    assert len(partition.regions) > 10
    for region in partition.regions:
        dark = np.count_nonzero(partition.region_map[:, :57] == region.number) / region.area
        assert dark < 0.02 or dark > 0.98


def test_a_large_component_without_any_edge_is_still_capped_and_loses_no_pixel():
    rules = RegionRules(max_area_share=0.05)
    partition = build_regions(make_input(np.zeros((120, 90), np.uint8), np.zeros((120, 90), bool)), rules)
    assert max(region.area for region in partition.regions) <= 540
    assert sum(region.area for region in partition.regions) == 120 * 90


def test_an_image_that_is_reliable_everywhere_has_no_regions():
    partition = build_regions(make_input(np.zeros((9, 9), np.uint8), np.ones((9, 9), bool)), RegionRules())
    assert partition.regions == () and not partition.region_map.any()


@pytest.mark.parametrize(
    "values",
    [{"opening_px": -1}, {"band_px": 0}, {"min_area_px": 0}, {"min_area_share": 0.5, "max_area_share": 0.1}],
    ids=["negative-opening", "no-band", "no-minimum", "minimum-over-maximum"],
)
def test_rules_that_make_no_sense_are_refused(values):
    with pytest.raises(ValueError, match="must be|need"):
        RegionRules(**values)


def test_maps_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="differ in size"):
        RegionInput(
            np.zeros((4, 5, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4), bool),
            np.zeros((4, 4), np.float32), np.zeros((2, 4, 4), np.float32),
        )  # fmt: skip
