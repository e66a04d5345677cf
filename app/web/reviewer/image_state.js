// One image as the reviewer holds it: class ids in a Uint8Array that belongs to the browser, and what surrounds them.
import { findAnchors } from './anchors.js';
import { VOID_ID } from './palette.js';

export const HUMAN = 1; // Provenance, as in datasets/labels.py; so is the next. Everything else is unreviewed, 0.
export const PSEUDO = 2;
export const BAND = 65535; // Codes of the region map, as in app/domain/regions.py.
export const LEFTOVER = 65534;
export const UNTOUCHED = 254; // A pixel that a drawing leaves alone, as in app/domain/decisions.py.

const WAITING_STATES = ['open', 'skipped', 'second_review'];

export const isRegionNumber = (number) => number > 0 && number < LEFTOVER;

export class ImageState {
  /** As planes.js unpacks it. `unreliability` is null until the reliability mode asks for it. */
  constructor({ header, planes, anchors }, bitmap) {
    this.id = header.image_id;
    this.name = header.image_name ?? header.sample_id; // A browser may have kept the maps of an earlier version.
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
    this.touched = new Uint8Array(this.label.length); // Drawn on: shown in its class also inside the current region.
    this.isStale = false; // Others changed it since it was loaded.
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

  /** What waits is listed, whatever else is not. */
  setRegionState({ region_id: id, number }, state) {
    if (WAITING_STATES.includes(state)) this.byNumber.set(number, { region_id: id, number, state });
    else this.byNumber.delete(number);
  }

  /** Visit the pixels of a region: `visit(p)`. */
  forEachPixel({ number, bbox: [x0, y0, x1, y1] }, visit) {
    for (let y = y0; y < y1; y++) {
      for (let p = y * this.width + x0; p < y * this.width + x1; p++) if (this.regions[p] === number) visit(p);
    }
  }

  /** Class ids on the pixels of a region, the most frequent first. */
  classesOf(region) {
    const counts = new Map();
    this.forEachPixel(region, (p) => counts.set(this.label[p], (counts.get(this.label[p]) ?? 0) + 1));
    return [...counts].sort((a, b) => b[1] - a[1]).map(([id]) => id);
  }

  /** A region that waits is opened: what was drawn in it before is shown in its class. Whether there was anything. */
  markDrawn(region) {
    const waits = this.isQueued(region.number);
    let hasDrawn = false;
    this.forEachPixel(region, (p) => {
      this.touched[p] = waits && this.provenance[p] === HUMAN ? 1 : 0;
      if (this.touched[p] === 1) hasDrawn = true;
    });
    return hasDrawn;
  }

  /** Whether a pixel has no class, and nobody drew it as void. */
  isBare(p) {
    return this.label[p] === VOID_ID && this.touched[p] === 0;
  }

  /** Share of a region that is bare. */
  bareShare(region) {
    let bare = 0;
    this.forEachPixel(region, (p) => { if (this.isBare(p)) bare += 1; });
    return bare / region.area;
  }

  /** Take over what the server says about a box now. */
  patch({ x0, y0, width, height, regions }, planes) {
    for (const name of ['label', 'provenance', 'reliable', 'regions']) {
      for (let row = 0; row < height; row++) this[name].set(planes[name].subarray(row * width, (row + 1) * width), (y0 + row) * this.width + x0);
    }
    for (let row = 0; row < height; row++) this.touched.fill(0, (y0 + row) * this.width + x0, (y0 + row) * this.width + x0 + width);
    this.byNumber = new Map(regions.map((region) => [region.number, region]));
    this.placeAnchors(x0, y0, findAnchors(planes.regions, width));
  }

  /** Flagged areas come, with all of their pixels at once, and go. */
  placeAnchors(x0, y0, found) {
    for (const [number, { at: [x, y] }] of this.anchors) {
      if (this.regions[Math.floor(y) * this.width + Math.floor(x)] !== number) this.anchors.delete(number);
    }
    for (const [number, { at: [x, y], area }] of found) {
      if (!this.anchors.has(number)) this.anchors.set(number, { at: [x + x0, y + y0], area });
    }
  }
}
