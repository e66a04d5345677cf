// One image as the reviewer holds it: class ids in a Uint8Array that belongs to the browser, and what surrounds them.

export const HUMAN = 1;
export const BAND = 65535; // Codes of the region map, as in app/domain/regions.py.
export const LEFTOVER = 65534;

export const isRegionNumber = (number) => number > 0 && number < LEFTOVER;

export class ImageState {
  /** `planes` as wire.js unpacks them: label, proposal, reliable, unreliability, regions, provenance. */
  constructor(header, planes, bitmap) {
    this.id = header.image_id;
    this.sampleId = header.sample_id;
    this.proposalId = header.proposal_id;
    this.version = header.image_version;
    this.width = header.width;
    this.height = header.height;
    this.bitmap = bitmap;
    this.label = planes.label;
    this.proposal = planes.proposal;
    this.reliable = planes.reliable;
    this.unreliability = planes.unreliability;
    this.regions = planes.regions;
    this.provenance = planes.provenance;
    this.touched = new Uint8Array(this.label.length); // Drawn on since the last commit.
    this.byNumber = new Map(header.regions.map((region) => [region.number, region]));
    this.anchors = findAnchors(this.regions, this.width);
  }

  get bytes() {
    return this.label.length * 12;
  }

  /** Regions that wait are listed; a number that is not listed is decided. */
  isQueued(number) {
    return this.byNumber.has(number);
  }

  /** Table by region number: 1 where the hatch belongs. */
  queuedTable() {
    const table = new Uint8Array(65536);
    for (const number of this.byNumber.keys()) table[number] = 1;
    return table;
  }

  /** Mirror a whole-region decision; `classId` null keeps the label that is shown. */
  decideRegion(region, state, classId) {
    if (state !== 'decided') {
      const known = this.byNumber.get(region.number);
      if (known) known.state = state;
      return;
    }
    this.byNumber.delete(region.number);
    const [x0, y0, x1, y1] = region.bbox;
    for (let y = y0; y < y1; y++) {
      for (let p = y * this.width + x0; p < y * this.width + x1; p++) {
        if (this.regions[p] !== region.number) continue;
        if (classId !== null) this.label[p] = classId;
        this.provenance[p] = HUMAN;
      }
    }
  }
}

/** For every region its area and its middle pixel in reading order: always inside, unlike a centroid. */
function findAnchors(regions, width) {
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
