// One image as the reviewer holds it: class ids in a Uint8Array that belongs to the browser, and what surrounds them.

export const HUMAN = 1; // Provenance, as in datasets/labels.py; so is the next. Everything else is unreviewed, 0.
export const PSEUDO = 2;
export const BAND = 65535; // Codes of the region map, as in app/domain/regions.py.
export const LEFTOVER = 65534;
export const UNTOUCHED = 254; // A pixel that a drawing leaves alone, as in app/domain/decisions.py.

export const isRegionNumber = (number) => number > 0 && number < LEFTOVER;

export class ImageState {
  /** As planes.js unpacks it. `unreliability` is null until the reliability mode asks for it. */
  constructor({ header, planes, anchors }, bitmap) {
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
    this.unreliability = null;
    this.scores = null; // Promise of it.
    this.regions = planes.regions;
    this.provenance = planes.provenance;
    this.touched = new Uint8Array(this.label.length); // Drawn on since the last commit.
    this.byNumber = new Map(header.regions.map((region) => [region.number, region]));
    this.anchors = anchors;
  }

  /** Memory, the decoded picture included. */
  get bytes() {
    return this.label.length * 11;
  }

  /** Regions that wait are listed; a number that is not listed is decided. */
  isQueued(number) {
    return this.byNumber.has(number);
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
