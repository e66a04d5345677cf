"""From a reliability map to regions that a person can decide with one key; each unreliable pixel is in one place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as label_components
from skimage.segmentation import slic

from datasets.labels import LabelArray

BAND = 65535
"""Region map code of the boundary band."""
LEFTOVER = 65534
"""Region map code of unreliable pixels that are too few, or too thin, for a region of their own."""
MAX_REGIONS = 65000
"""Largest region number; the map is stored as 16-bit gray."""
TOP_CLASSES = 5
"""How many likely classes a region remembers: as many as the reviewer's strip shows."""

_SUPERPIXEL_PIXELS = 100_000
"""Superpixels are computed on a copy of at most this many pixels: the place of a cut is a suggestion, time is not."""

SUPERPIXEL_ROUNDS = 5
"""Rounds of k-means, half of scikit-image's default, for the same reason."""

RegionMap = NDArray[np.int32]


@dataclass(frozen=True)
class RegionRules:
    """How unreliable pixels are grouped. All values were chosen by us; shares are of the pixels of the image.

    Attributes:
        opening_px: radius of the opening that removes specks and threads, 0-8; 0 leaves it out.
        band_px: pixels on each side of a predicted class edge that belong to the boundary band, 1-8.
        min_area_px: fewest pixels of a region, at least 1.
        min_area_share: fewest pixels of a region as a share; the larger of the two counts.
        max_area_share: most pixels of a region as a share; larger components are split. Tuned on held-out training
            frames of CamVid (docs/effort.md): against 0.04, half the decisions and a tenth fewer clicks and keys.
        max_flag_share: most pixels that become a region when somebody flags a reliable area, as a share.
        compactness: of the superpixels; larger is squarer.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid"
    }  # A misspelt key in a stored setting is an error.

    opening_px: int = 1
    band_px: int = 2
    min_area_px: int = 24
    min_area_share: float = 0.0003
    max_area_share: float = 0.25
    max_flag_share: float = 0.04
    compactness: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.opening_px <= 8 or not 1 <= self.band_px <= 8:
            raise ValueError(f"opening_px must be 0-8 and band_px 1-8, got {self.opening_px} and {self.band_px}")
        if self.min_area_px < 1 or not 0 <= self.min_area_share < self.max_area_share <= 1 or self.compactness <= 0:
            raise ValueError(
                "regions need min_area_px >= 1, 0 <= min_area_share < max_area_share <= 1 and compactness > 0, got "
                f"{self.min_area_px}, {self.min_area_share}, {self.max_area_share} and {self.compactness}"
            )
        if not 0 < self.max_flag_share <= 1:
            raise ValueError(f"max_flag_share must be above 0 and at most 1, got {self.max_flag_share}")

    def min_area(self, num_pixels: int) -> int:
        """Fewest pixels of a region in an image of `num_pixels`."""
        return max(self.min_area_px, round(self.min_area_share * num_pixels))

    def max_area(self, num_pixels: int) -> int:
        """Most pixels of a region in an image of `num_pixels`; never less than twice the fewest."""
        return max(2 * self.min_area(num_pixels), round(self.max_area_share * num_pixels))


@dataclass(frozen=True)
class Region:
    """A 4-connected set of unreliable pixels of one predicted class, or what `with_kept` kept of an earlier proposal.

    Attributes:
        number: its value in the region map, from 1.
        class_id: the predicted class; in a kept region the most frequent one.
        area: number of pixels.
        bbox: x0, y0, x1, y1 in pixels; x1 and y1 are exclusive.
        mean_confidence: mean over its pixels of the probability of being right, 0-1, as in `RegionInput`.
        top_classes: (class id, mean probability) of the likeliest classes, likeliest first.
    """

    number: int
    class_id: int
    area: int
    bbox: tuple[int, int, int, int]
    mean_confidence: float
    top_classes: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class RegionPartition:
    """Where each unreliable pixel went.

    Attributes:
        region_map: (H, W) int32: 0 where reliable, a region's number, BAND or LEFTOVER.
        regions: by number.
    """

    region_map: RegionMap
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class RegionInput:
    """What a model says about one image, as far as regions need it.

    Attributes:
        image: (H, W, 3) uint8 RGB; superpixels follow its edges.
        label: (H, W) uint8 predicted class ids.
        reliable: (H, W) bool; everything else is put into a region, the band or the leftovers.
        confidence: (H, W) float, 0-1, the probability of being right: calibrated if the model file is, else the largest
            probability.
        probabilities: (C, H, W) float.
    """

    image: NDArray[np.uint8]
    label: LabelArray
    reliable: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        size_hw = self.label.shape
        shapes = (self.image.shape[:2], self.reliable.shape, self.confidence.shape, self.probabilities.shape[1:])
        if any(shape != size_hw for shape in shapes):
            raise ValueError(f"image and maps of one prediction differ in size: label {size_hw}, others {shapes}")


def build_regions(prediction: RegionInput, rules: RegionRules) -> RegionPartition:
    """Partition the unreliable pixels of an image.

    Opening and minimum area; a boundary band that is not queued; connected components x predicted class; components
    over the area cap split along superpixels; what is too small or too thin is left over.
    """
    region_map, count = divide(prediction.image, prediction.label, prediction.reliable, rules)
    return RegionPartition(region_map, describe_regions(region_map, count, prediction))


def divide(
    image: NDArray[np.uint8], label: LabelArray, reliable: NDArray[np.bool_], rules: RegionRules
) -> tuple[RegionMap, int]:
    """The region map of `build_regions` and how many regions it has, for which no probabilities are needed.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) uint8 predicted class ids.
        reliable: (H, W) bool.
        rules: how unreliable pixels are grouped.
    """
    unreliable = ~reliable
    num_pixels = unreliable.size
    band = unreliable & boundary_band(label, rules.band_px)
    core = _opened(unreliable, rules.opening_px) & ~band
    # Both sides of a class edge are in the band, so a component of the core has one class.
    pieces = split_large(_components(core), image, rules, num_pixels)
    areas = np.bincount(pieces.reshape(-1))
    areas[0] = 0
    numbers = _number_regions(areas, rules.min_area(num_pixels))
    region_map = numbers[pieces]
    region_map[unreliable & (region_map == 0)] = LEFTOVER
    region_map[band] = BAND
    return region_map, int(numbers.max(initial=0))


def undivided(size_hw: tuple[int, int]) -> RegionPartition:
    """No region at all: for an image whose proposal nobody sees."""
    return RegionPartition(np.zeros(size_hw, np.int32), ())


def with_kept(
    partition: RegionPartition, kept_masks: Sequence[NDArray[np.bool_]], prediction: RegionInput
) -> RegionPartition:
    """The partition with further regions, whose pixels somebody chose, behind its own.

    Args:
        partition: of a prediction that calls all pixels of `kept_masks` reliable.
        kept_masks: (H, W) each, disjoint, none empty. Later regions get the higher numbers, in this order.
        prediction: what the model says about them.

    Raises:
        ValueError: more regions than the region map can tell apart.
    """
    if not kept_masks:
        return partition
    first = len(partition.regions) + 1
    if first + len(kept_masks) > LEFTOVER:
        raise ValueError(f"{first + len(kept_masks) - 1} regions in one image; the region map holds {LEFTOVER - 1}")
    region_map = partition.region_map.copy()
    for number, kept_mask in enumerate(kept_masks, start=first):
        region_map[kept_mask] = number
    described = describe_regions(region_map, first + len(kept_masks) - 1, prediction)[first - 1 :]
    kept = [
        replace(region, class_id=int(np.bincount(prediction.label[kept_mask]).argmax()))
        for region, kept_mask in zip(described, kept_masks, strict=True)
    ]
    return RegionPartition(region_map, (*partition.regions, *kept))


def boundary_band(label: LabelArray, band_px: int) -> NDArray[np.bool_]:
    """(H, W) True up to `band_px` pixels (chessboard distance) on each side of an edge between two ids of `label`."""
    edge_mask = np.zeros(label.shape, np.uint8)
    across, down = label[:, 1:] != label[:, :-1], label[1:] != label[:-1]
    edge_mask[:, 1:] |= across
    edge_mask[:, :-1] |= across
    edge_mask[1:] |= down
    edge_mask[:-1] |= down
    return cv2.dilate(edge_mask, np.ones((3, 3), np.uint8), iterations=band_px - 1).view(np.bool_)


def _opened(unreliable: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Unreliable pixels without specks and threads thinner than 2 * radius + 1."""
    if radius == 0:
        return unreliable
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.morphologyEx(unreliable.view(np.uint8), cv2.MORPH_OPEN, kernel).view(np.bool_)


def _components(core: NDArray[np.bool_]) -> RegionMap:
    """4-connected components of a mask, numbered from 1; 0 outside."""
    found: RegionMap = cv2.connectedComponents(core.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)[1]  # type: ignore[assignment]
    return found


def _number_regions(areas: NDArray[np.int64], min_area: int) -> NDArray[np.int32]:
    """Region number of each piece, in the pieces' order; 0 for those too small, and for the smallest beyond the cap."""
    kept = np.flatnonzero(areas >= min_area)
    if kept.size > MAX_REGIONS:
        kept = np.sort(kept[np.argsort(-areas[kept], kind="stable")[:MAX_REGIONS]])
    numbers = np.zeros(areas.size, np.int32)
    numbers[kept] = np.arange(1, kept.size + 1, dtype=np.int32)
    return numbers


def split_large(components: RegionMap, image: NDArray[np.uint8], rules: RegionRules, num_pixels: int) -> RegionMap:
    """Cut components over the area cap along superpixels, then along a grid where a superpixel is still too large.

    Args:
        components: (h, w) numbers from 1, 0 outside; of a whole image or of a box in it.
        image: (h, w, 3) uint8 RGB.
        rules: give the cap.
        num_pixels: of the whole image, of which the cap is a share.
    """
    max_area, min_area = rules.max_area(num_pixels), rules.min_area(num_pixels)
    large = np.bincount(components.reshape(-1)) > max_area
    large[0] = False
    if not large.any():
        return components
    large_mask = large[components]
    # Half the cap, so that small pieces can join a neighbour without breaking it.
    superpixels = superpixel_map(image, max(1, max_area // 2), rules.compactness)
    cut = _components_of(large_mask, components, superpixels)
    side = max(1, int((max_area // 2) ** 0.5))
    oversized = np.bincount(cut.reshape(-1)) > max_area
    oversized[0] = False
    rows, columns = (np.arange(length, dtype=np.int32) // side for length in components.shape)
    tiles = rows[:, None] * (components.shape[1] // side + 1) + columns + 1
    cut = _components_of(large_mask, cut, np.where(oversized[cut], tiles, 0))
    cut = _join_small(cut, components, min_area, max_area)
    return np.where(large_mask, cut + np.int32(components.max()), components)


def superpixel_map(image: NDArray[np.uint8], area: int, compactness: float) -> RegionMap:
    """(H, W) superpixel numbers, each of about `area` pixels. Source: SLIC, Achanta et al. 2012, by scikit-image."""
    height, width = image.shape[:2]
    scale = min(1.0, (_SUPERPIXEL_PIXELS / (height * width)) ** 0.5)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    num_segments = max(1, round(height * width / area))
    found = slic(small, n_segments=num_segments, compactness=compactness, max_num_iter=SUPERPIXEL_ROUNDS, start_label=1)
    superpixels: RegionMap = cv2.resize(found.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST)
    return superpixels


def _components_of(selected_mask: NDArray[np.bool_], first: RegionMap, second: RegionMap) -> RegionMap:
    """4-connected components of equal (first, second) inside a mask, numbered from 1; 0 outside."""
    keys = first.astype(np.int64) * (int(second.max()) + 1) + second + 1
    values = np.where(selected_mask, keys, 0)
    found: RegionMap = label_components(values, background=0, connectivity=1).astype(np.int32)  # type: ignore[no-untyped-call]
    return found


def _join_small(pieces: RegionMap, components: RegionMap, min_area: int, max_area: int) -> RegionMap:
    """Give each piece under `min_area` to the neighbour with the longest common border, unless that breaks the cap."""
    areas = np.bincount(pieces.reshape(-1))
    areas[0] = 0
    pairs, border = _borders(pieces, components)
    target = np.arange(areas.size)
    by_border = np.argsort(-border, kind="stable")
    neighbors: dict[int, list[int]] = {}
    for one, other in pairs[by_border]:
        neighbors.setdefault(int(one), []).append(int(other))
        neighbors.setdefault(int(other), []).append(int(one))
    for piece in sorted(neighbors, key=lambda number: int(areas[number])):
        if areas[piece] == 0 or areas[piece] >= min_area:
            continue
        for neighbor in neighbors[piece]:
            root = int(target[neighbor])
            if root != piece and areas[root] + areas[piece] <= max_area:
                areas[root] += areas[piece]
                areas[piece] = 0
                target[target == piece] = root
                break
    return target[pieces].astype(np.int32)


def _borders(pieces: RegionMap, components: RegionMap) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (n, 2) of touching pieces of one component, and the length of their common borders in pixels."""
    factor = int(pieces.max()) + 1
    keys = []
    for this, next_ in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        one, other = pieces[this], pieces[next_]
        touching = (one != other) & (one > 0) & (other > 0) & (components[this] == components[next_])
        low, high = np.minimum(one[touching], other[touching]), np.maximum(one[touching], other[touching])
        keys.append(low.astype(np.int64) * factor + high)
    found, border = np.unique(np.concatenate(keys), return_counts=True)
    return np.stack(np.divmod(found, factor), axis=1), border


def describe_regions(region_map: RegionMap, count: int, prediction: RegionInput) -> tuple[Region, ...]:
    """Class, area, box and mean probabilities of regions 1..count, without a loop over pixels or regions.

    Args:
        region_map: (H, W) numbers; others than 1..count are left out. The class is that of the region's last pixel.
        count: how many regions.
        prediction: what the model says about them.
    """
    flat = np.flatnonzero((region_map > 0) & (region_map <= count))
    numbers = region_map.reshape(-1)[flat]
    areas = np.bincount(numbers, minlength=count + 1)
    safe_areas = np.maximum(areas, 1)
    class_ids = np.zeros(count + 1, np.int64)
    class_ids[numbers] = prediction.label.reshape(-1)[flat]
    confidence = _sums(numbers, prediction.confidence, flat, count) / safe_areas
    means = np.stack(
        [_sums(numbers, plane, flat, count) / safe_areas for plane in prediction.probabilities]
    )  # (C, R+1)
    top = np.argsort(-means, axis=0, kind="stable")[:TOP_CLASSES]  # (<=5, R+1)
    boxes = _boxes(region_map, flat, numbers, count)
    return tuple(
        Region(
            number=number,
            class_id=int(class_ids[number]),
            area=int(areas[number]),
            bbox=(int(boxes[number, 0]), int(boxes[number, 1]), int(boxes[number, 2]), int(boxes[number, 3])),
            mean_confidence=float(confidence[number]),
            top_classes=tuple((int(class_id), float(means[class_id, number])) for class_id in top[:, number]),
        )
        for number in range(1, count + 1)
    )


def _sums(
    numbers: NDArray[np.int32], plane: NDArray[np.float32], flat: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    """Sum of a plane over each region, in float64."""
    return np.bincount(numbers, weights=plane.reshape(-1)[flat], minlength=count + 1).astype(np.float64)


def _boxes(region_map: RegionMap, flat: NDArray[np.intp], numbers: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """(count + 1, 4) boxes x0, y0, x1, y1. Of several writes to one element numpy keeps the last."""
    height, width = region_map.shape
    boxes = np.zeros((count + 1, 4), np.int64)
    rows = flat // width
    boxes[numbers[::-1], 1] = rows[::-1]
    boxes[numbers, 3] = rows + 1
    turned = np.ascontiguousarray(region_map.T)
    flat_turned = np.flatnonzero((turned > 0) & (turned <= count))
    numbers_turned, columns = turned.reshape(-1)[flat_turned], flat_turned // height
    boxes[numbers_turned[::-1], 0] = columns[::-1]
    boxes[numbers_turned, 2] = columns + 1
    return boxes
