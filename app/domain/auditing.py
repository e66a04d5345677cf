"""Drawing reliable pixels by chance, and the regions in which people see them.

What is measured is the share of reliable pixels that are wrong. Pixels are drawn one by one, each with the same
chance and independently of each other, from all reliable pixels of the pool: the number drawn in an image is Poisson
with a mean proportional to its reliable pixels. (Any pixel may be drawn, and those that are not reliable are left out:
that is the same draw, and cutting an image at another threshold leaves the others where they were.) A person decides
the region around such a pixel like any other, but only the drawn pixel counts: so the estimate is the share of drawn
pixels found wrong, which is unbiased whatever shape regions have and however many errors lie together, and Wilson's
interval for independent draws holds. Sources: Cochran 1977, "Sampling Techniques", 3rd ed., sections 3.2 and 9A.1 (an
element drawn with equal chances through its cluster); Wilson 1927 for the interval (app/domain/intervals.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.regions import LEFTOVER, RegionPartition, RegionRules, boundary_band, superpixel_map
from datasets.labels import LabelArray

_CROP_SIDES = 4.0
"""Side of the part of the image in which a region is cut out, in sides of a square of the region's area."""

_LARGEST = 2.0
"""Most pixels of a region, in areas that were asked for: superpixels vary, and a large one is drawn more often."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class AuditRegion:
    """Some reliable pixels around at least one drawn pixel.

    Attributes:
        x0: column of the box's left edge in the image.
        y0: row of its upper edge.
        mask: (h, w) bool inside the box, True on the region.
        drawn: (x, y) in the image of the drawn pixels in it.
    """

    x0: int
    y0: int
    mask: Mask
    drawn: tuple[tuple[int, int], ...]

    @property
    def box(self) -> tuple[slice, slice]:
        """Index of the box in a plane of the whole image."""
        height, width = self.mask.shape
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)


def draw_pixels(reliable: Mask, intensity: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(x, y) of pixels drawn from an image, in the order of drawing; a pixel may be drawn twice.

    Args:
        reliable: (H, W), the pixels to draw from.
        intensity: drawn pixels per reliable pixel; the same for every image, or the draws are not uniform.
        rng: the source of chance.
    """
    number = int(rng.poisson(intensity * reliable.size))
    chosen = rng.integers(0, reliable.size, number)
    kept = chosen[reliable.reshape(-1)[chosen]]
    return [(int(index % reliable.shape[1]), int(index // reliable.shape[1])) for index in kept]


def audit_regions(
    image: NDArray[np.uint8],
    label: LabelArray,
    reliable: Mask,
    pixels: Sequence[tuple[int, int]],
    areas: Sequence[int],
    rules: RegionRules,
) -> list[AuditRegion]:
    """Regions that show the drawn pixels: connected reliable pixels of one class, cut along superpixels.

    They keep away from predicted class edges as the queue's regions do, unless the drawn pixel itself lies there. A
    drawn pixel inside an earlier region belongs to that one; regions never overlap.

    Args:
        image: (H, W, 3) uint8 RGB.
        label: (H, W) uint8 predicted class ids.
        reliable: (H, W), what regions may consist of.
        pixels: (x, y) of the drawn pixels, all reliable.
        areas: wanted area of the region around each, in pixels.
        rules: width of the band along edges, least area, compactness of superpixels.
    """
    free = reliable.copy()
    edge_mask = boundary_band(label, rules.band_px)
    min_area = rules.min_area(label.size)
    found: list[AuditRegion] = []
    for (x, y), area in zip(pixels, areas, strict=True):
        known = next((index for index, region in enumerate(found) if _holds(region, x, y)), None)
        if known is not None:
            region = found[known]
            found[known] = AuditRegion(region.x0, region.y0, region.mask, (*region.drawn, (x, y)))
            continue
        region = _region_around(x, y, max(area, min_area), image, label, free, edge_mask, min_area, rules)
        free[region.box] &= ~region.mask
        found.append(region)
    return found


def numbered_together(
    partition: RegionPartition, audits: Sequence[AuditRegion]
) -> tuple[RegionPartition, tuple[int, ...]]:
    """Give audits numbers among those of the other regions, all in the order in which reading meets them.

    Returns:
        The partition with new numbers, its regions in the order that they had, and the numbers of the audits, which its
        region map does not hold.

    Raises:
        ValueError: more regions than the region map can tell apart.
    """
    if not audits:
        return partition, ()
    count, width = len(partition.regions), partition.region_map.shape[1]
    if count + len(audits) >= LEFTOVER:
        raise ValueError(f"{count + len(audits)} regions in one image; the region map holds {LEFTOVER - 1}")
    present, first_pixels = np.unique(partition.region_map, return_index=True)
    is_region = (present > 0) & (present <= count)
    firsts = np.zeros(count + len(audits), np.int64)
    firsts[present[is_region] - 1] = first_pixels[is_region]
    for index, audit in enumerate(audits):
        firsts[count + index] = audit.y0 * width + audit.x0 + int(np.argmax(audit.mask[0]))
    numbers = np.empty(firsts.size, np.int64)
    numbers[np.argsort(firsts, kind="stable")] = np.arange(1, firsts.size + 1)
    lookup = np.arange(partition.region_map.max() + 1, dtype=np.int32)
    lookup[1 : count + 1] = numbers[:count]
    regions = tuple(
        replace(region, number=int(number)) for region, number in zip(partition.regions, numbers[:count], strict=True)
    )
    return RegionPartition(lookup[partition.region_map], regions), tuple(int(number) for number in numbers[count:])


def _region_around(
    x: int,
    y: int,
    area: int,
    image: NDArray[np.uint8],
    label: LabelArray,
    free: Mask,
    edge_mask: Mask,
    min_area: int,
    rules: RegionRules,
) -> AuditRegion:
    half = int(np.ceil(_CROP_SIDES / 2 * area**0.5))
    left, top = max(0, x - half), max(0, y - half)
    crop = slice(top, min(label.shape[0], y + half + 1)), slice(left, min(label.shape[1], x + half + 1))
    pixel = x - left, y - top
    same_class = _component(free[crop] & (label[crop] == label[y, x]), pixel)
    # Off the edges, and near the drawn pixel wherever it lies.
    near = np.zeros(same_class.shape, np.bool_)
    reach = rules.band_px + 1
    near[max(0, pixel[1] - reach) : pixel[1] + reach + 1, max(0, pixel[0] - reach) : pixel[0] + reach + 1] = True
    body = _component(same_class & (~edge_mask[crop] | near), pixel)
    core = body & ~edge_mask[crop]
    anchor = _nearest(core if core.any() else body, pixel)
    cells = superpixel_map(image[crop], area, rules.compactness)
    mask = _component(body & ((cells == cells[anchor[1], anchor[0]]) | near), pixel)
    mask = _capped(mask, pixel, round(_LARGEST * area))
    for wider in (body, same_class, free[crop]):
        mask = _grown(mask, wider, min_area)
    return _trimmed(mask, left, top, (x, y))


def _component(mask: Mask, pixel: tuple[int, int]) -> Mask:
    """The 4-connected part of a mask that holds a pixel (x, y)."""
    numbers = cv2.connectedComponents(mask.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)[1]
    part: Mask = numbers == numbers[pixel[1], pixel[0]]
    return part


def _nearest(mask: Mask, pixel: tuple[int, int]) -> tuple[int, int]:
    """The pixel (x, y) of a mask that is nearest to another one."""
    rows, columns = np.nonzero(mask)
    index = int(np.argmin((columns - pixel[0]) ** 2 + (rows - pixel[1]) ** 2))
    return int(columns[index]), int(rows[index])


def _grown(mask: Mask, limit: Mask, min_area: int) -> Mask:
    """A mask grown inside `limit`, a pixel at a time, until it has `min_area` pixels or cannot grow."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    while np.count_nonzero(mask) < min_area:
        wider = cv2.dilate(mask.view(np.uint8), cross).view(np.bool_) & (limit | mask)
        if np.array_equal(wider, mask):
            break
        mask = wider
    return mask


def _capped(mask: Mask, pixel: tuple[int, int], max_area: int) -> Mask:
    """The part of a mask around a pixel (x, y) that has at most `max_area` pixels."""
    rows, columns = np.nonzero(mask)
    if rows.size <= max_area:
        return mask
    nearest = np.argsort((columns - pixel[0]) ** 2 + (rows - pixel[1]) ** 2, kind="stable")[:max_area]
    kept = np.zeros(mask.shape, np.bool_)
    kept[rows[nearest], columns[nearest]] = True
    return _component(kept, pixel)


def _trimmed(mask: Mask, left: int, top: int, drawn: tuple[int, int]) -> AuditRegion:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return AuditRegion(left + int(columns[0]), top + int(rows[0]), inside.copy(), (drawn,))


def _holds(region: AuditRegion, x: int, y: int) -> bool:
    column, row = x - region.x0, y - region.y0
    height, width = region.mask.shape
    return 0 <= row < height and 0 <= column < width and bool(region.mask[row, column])
