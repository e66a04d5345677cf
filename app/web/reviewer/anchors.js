// Where a mark of a region belongs: its middle pixel in reading order, which is always inside, unlike a centroid.
import { isRegionNumber } from './image_state.js';

/** Map from region number to {at: [x, y] in image coordinates, area in pixels}. */
export function findAnchors(regions, width) {
  const counts = new Uint32Array(65536);
  for (let p = 0; p < regions.length; p++) counts[regions[p]] += 1;
  const left = counts.map((count) => count >> 1);
  const anchors = new Map();
  for (let p = 0; p < regions.length; p++) {
    const number = regions[p];
    if (!isRegionNumber(number)) continue;
    if (left[number] === 0 && !anchors.has(number)) {
      anchors.set(number, { at: [(p % width) + 0.5, Math.floor(p / width) + 0.5], area: counts[number] });
    }
    left[number] -= 1;
  }
  return anchors;
}
