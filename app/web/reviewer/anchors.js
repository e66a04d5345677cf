// Where a mark of a region belongs: its middle pixel in reading order, which is always inside, unlike a centroid.
import { isRegionNumber } from './image_state.js';

/** Map from region number to {at: [x, y] in image coordinates, area in pixels}. */
export function findAnchors(regions, width) {
  const counts = new Uint32Array(65536);
  const starts = [];
  for (let p = 0, start = 0; p <= regions.length; p++) {
    if (p < regions.length && regions[p] === regions[start]) continue;
    if (isRegionNumber(regions[start])) {
      counts[regions[start]] += p - start;
      starts.push(start, p);
    }
    start = p;
  }
  const left = counts.map((count) => count >> 1); // Pixels before the middle one that were not met yet.
  const anchors = new Map();
  for (let i = 0; i < starts.length; i += 2) {
    const number = regions[starts[i]];
    const length = starts[i + 1] - starts[i];
    if (anchors.has(number)) continue;
    if (left[number] < length) {
      const p = starts[i] + left[number];
      anchors.set(number, { at: [(p % width) + 0.5, Math.floor(p / width) + 0.5], area: counts[number] });
    } else left[number] -= length;
  }
  return anchors;
}
