// Where a mark of a region belongs: in the middle of the run of a row that holds its middle pixel in reading order. That
// is always inside, unlike a centroid, and in a ring it is on the band, where the middle pixel itself lies at the hole.
import { isRegionNumber } from './image_state.js';

/** Map from region number to {at: [x, y] in image coordinates, area in pixels}. */
export function findAnchors(regions, width) {
  const counts = new Uint32Array(65536);
  const starts = [];
  for (let p = 1, start = 0, rowEnd = width; p <= regions.length; p++) {
    if (p < rowEnd && regions[p] === regions[start]) continue;
    if (isRegionNumber(regions[start])) {
      counts[regions[start]] += p - start;
      starts.push(start, p);
    }
    start = p;
    if (p === rowEnd) rowEnd += width;
  }
  const left = counts.map((count) => count >> 1); // Pixels before the middle one that were not met yet.
  const anchors = new Map();
  for (let i = 0; i < starts.length; i += 2) {
    const number = regions[starts[i]];
    const length = starts[i + 1] - starts[i];
    if (anchors.has(number)) continue;
    if (left[number] < length) {
      const p = starts[i] + (length >> 1);
      anchors.set(number, { at: [(p % width) + 0.5, Math.floor(p / width) + 0.5], area: counts[number] });
    } else left[number] -= length;
  }
  return anchors;
}
