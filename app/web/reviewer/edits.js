// What one action did to the pixels of one image, so that it can be taken back and done again here and now.
import { HUMAN, UNTOUCHED } from './image_state.js';
import { RunWriter, wrap } from './wire.js';

/** A list of 32-bit numbers that grows. */
export class Numbers {
  constructor(capacity = 1024) {
    this.data = new Uint32Array(capacity);
    this.length = 0;
  }

  push(number) {
    if (this.length === this.data.length) {
      const grown = new Uint32Array(this.data.length * 2);
      grown.set(this.data);
      this.data = grown;
    }
    this.data[this.length++] = number;
  }

  take() {
    return this.data.slice(0, this.length);
  }
}

/** Label, provenance and mark of a pixel in one number. */
export const packPixel = (image, p) => image.label[p] | (image.provenance[p] << 8) | (image.touched[p] << 16);

export class Edit {
  /**
   * `indices` are different pixels in any order, `before` what `packPixel` said about them, `values` their new class ids.
   * `isDrawn` marks them as drawn on; every edit makes them human.
   */
  constructor(image, indices, before, values, bbox, isDrawn) {
    Object.assign(this, { image, indices, before, values, bbox, isDrawn, overrode: false });
  }

  get bytes() {
    return this.indices.length * 9;
  }

  apply() {
    const { image: { label, provenance, touched }, indices, values, isDrawn } = this;
    for (let i = 0; i < indices.length; i++) {
      label[indices[i]] = values[i];
      provenance[indices[i]] = HUMAN;
      if (isDrawn) touched[indices[i]] = 1;
    }
  }

  revert() {
    const { image: { label, provenance, touched }, indices, before } = this;
    for (let i = 0; i < indices.length; i++) {
      const packed = before[i];
      label[indices[i]] = packed & 255;
      provenance[indices[i]] = (packed >> 8) & 255;
      touched[indices[i]] = packed >> 16;
    }
  }

  /** The pixels inside the box as the server stores them. Only right away, while the label holds the new ids. */
  encode() {
    const { image: { width, label }, bbox: [x0, y0, x1, y1] } = this;
    const runs = new RunWriter();
    let next = 0; // Place in the box behind the last pixel.
    for (const p of ascending(this.indices)) {
      const x = p % width;
      const at = ((p - x) / width - y0) * (x1 - x0) + x - x0;
      if (at > next) runs.add(UNTOUCHED, at - next);
      runs.add(label[p], 1);
      next = at + 1;
    }
    const left = (x1 - x0) * (y1 - y0) - next;
    if (left > 0) runs.add(UNTOUCHED, left);
    return wrap(runs.bytes());
  }
}

function ascending(indices) {
  for (let i = 1; i < indices.length; i++) if (indices[i] < indices[i - 1]) return indices.slice().sort();
  return indices;
}

/** Regions get one class, null keeps what is shown. All of them are decided then. Applied when it returns. */
export function editRegions(image, regions, classId) {
  const indices = new Numbers();
  const before = new Numbers();
  const bbox = [Infinity, Infinity, 0, 0];
  for (const region of regions) {
    image.forEachPixel(region, (p) => {
      indices.push(p);
      before.push(packPixel(image, p));
    });
    for (const side of [0, 1]) bbox[side] = Math.min(bbox[side], region.bbox[side]);
    for (const side of [2, 3]) bbox[side] = Math.max(bbox[side], region.bbox[side]);
  }
  const found = indices.take();
  const values = classId === null ? Uint8Array.from(found, (p) => image.label[p]) : new Uint8Array(found.length).fill(classId);
  const edit = new Edit(image, found, before.take(), values, bbox, false);
  edit.apply();
  return edit;
}
