"""Region building as one would write it first: a loop over classes and components, each over the whole image.

Written for comparison with app/domain/regions.py; nothing else uses it. It does not split large components.
"""

import cv2
import numpy as np

from app.domain.regions import BAND, LEFTOVER, TOP_CLASSES, Region, RegionInput, RegionMap, RegionPartition, RegionRules


def build_by_loop(prediction: RegionInput, rules: RegionRules) -> RegionPartition:
    """The partition of `build_regions` for rules whose area cap is the whole image, component by component."""
    unreliable = ~prediction.reliable
    band = unreliable & _band(prediction, rules.band_px)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rules.opening_px + 1, 2 * rules.opening_px + 1))
    opened = cv2.morphologyEx(unreliable.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
    region_map: RegionMap = np.where(unreliable, LEFTOVER, 0).astype(np.int32)
    regions: list[Region] = []
    for class_id in np.unique(prediction.label):
        of_class = opened & ~band & (prediction.label == class_id)
        count, components = cv2.connectedComponents(of_class.astype(np.uint8), connectivity=4)
        for component in range(1, count):
            mask = components == component
            if mask.sum() >= rules.min_area(unreliable.size):
                regions.append(_describe(mask, len(regions) + 1, int(class_id), prediction))
                region_map[mask] = len(regions)
    region_map[band] = BAND
    return RegionPartition(region_map, tuple(regions))


def _band(prediction: RegionInput, band_px: int) -> np.ndarray:
    band = np.zeros(prediction.label.shape, bool)
    for class_id in np.unique(prediction.label):
        of_class = (prediction.label == class_id).astype(np.uint8)
        near = cv2.dilate(of_class, np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8))
        edge = ((near > 0) & (of_class == 0)).astype(np.uint8)
        inner = cv2.dilate(edge, np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)) & of_class
        band |= cv2.dilate(edge | inner, np.ones((2 * band_px - 1, 2 * band_px - 1), np.uint8)) > 0
    return band


def _describe(mask: np.ndarray, number: int, class_id: int, prediction: RegionInput) -> Region:
    rows, columns = np.nonzero(mask)
    means = [float(plane[mask].mean(dtype=np.float64)) for plane in prediction.probabilities]
    likeliest = sorted(range(len(means)), key=lambda index: -means[index])[:TOP_CLASSES]
    return Region(
        number=number,
        class_id=class_id,
        area=int(mask.sum()),
        bbox=(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1),
        mean_confidence=float(prediction.confidence[mask].mean(dtype=np.float64)),
        top_classes=tuple((index, means[index]) for index in likeliest),
    )
