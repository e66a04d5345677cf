// Drawing on one image: strokes that never reach a locked pixel, their undo and redo, and the delta that is saved.
import { HUMAN, UNTOUCHED } from './image_state.js';

export class Strokes {
  constructor(image) {
    this.image = image;
    this.unlocked = false;
    this.done = [];
    this.undone = [];
    this.current = null;
    this.visited = new Uint8Array(image.label.length);
  }

  get isEmpty() {
    return this.done.length === 0 && this.current === null;
  }

  /** `classId` null erases: back to the model's label. */
  begin(classId) {
    this.current = { classId, indices: [], before: [], beforeTouched: [], bounds: [Infinity, Infinity, 0, 0], overrode: false };
  }

  /** Draw a line of round caps between two points in image coordinates; returns the changed box or null. */
  line(x0, y0, x1, y1, diameter) {
    const { width, height } = this.image;
    if (diameter <= 1) [x0, y0, x1, y1] = [x0, y0, x1, y1].map((value) => Math.floor(value) + 0.5);
    const radius = Math.max(0.5, diameter / 2);
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
    const right = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius));
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
    const bottom = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius));
    const dx = x1 - x0;
    const dy = y1 - y0;
    const length2 = dx * dx + dy * dy;
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const px = x + 0.5 - x0;
        const py = y + 0.5 - y0;
        const along = length2 === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / length2));
        const ox = px - along * dx;
        const oy = py - along * dy;
        if (ox * ox + oy * oy <= radius * radius) this.set(y * width + x);
      }
    }
    return left > right || top > bottom ? null : [left, top, right + 1, bottom + 1];
  }

  set(p) {
    const { image, current } = this;
    if (image.reliable[p] === 1 && !this.unlocked) return;
    if (this.visited[p] === 1) return;
    this.visited[p] = 1;
    current.indices.push(p);
    current.before.push(image.label[p]);
    current.beforeTouched.push(image.touched[p]);
    if (image.reliable[p] === 1) current.overrode = true;
    image.label[p] = current.classId ?? image.proposal[p];
    image.touched[p] = 1;
    const x = p % image.width;
    const y = (p - x) / image.width;
    const box = current.bounds;
    if (x < box[0]) box[0] = x;
    if (y < box[1]) box[1] = y;
    if (x >= box[2]) box[2] = x + 1;
    if (y >= box[3]) box[3] = y + 1;
  }

  /** Finish the stroke; true when it changed anything. */
  end() {
    const stroke = this.current;
    this.current = null;
    if (stroke === null) return false;
    for (const p of stroke.indices) this.visited[p] = 0;
    if (stroke.indices.length === 0) return false;
    stroke.indices = Uint32Array.from(stroke.indices);
    stroke.before = Uint8Array.from(stroke.before);
    stroke.beforeTouched = Uint8Array.from(stroke.beforeTouched);
    this.done.push(stroke);
    this.undone = [];
    return true;
  }

  /** Take the last stroke back; returns its box or null. */
  undo() {
    const stroke = this.done.pop();
    if (!stroke) return null;
    stroke.indices.forEach((p, i) => {
      this.image.label[p] = stroke.before[i];
      this.image.touched[p] = stroke.beforeTouched[i];
    });
    this.undone.push(stroke);
    return stroke.bounds;
  }

  redo() {
    const stroke = this.undone.pop();
    if (!stroke) return null;
    for (const p of stroke.indices) {
      this.image.label[p] = stroke.classId ?? this.image.proposal[p];
      this.image.touched[p] = 1;
    }
    this.done.push(stroke);
    return stroke.bounds;
  }

  /** Take every stroke back. They stay on the redo stack. */
  cancel() {
    this.end();
    while (this.undo());
  }

  get overrodeLock() {
    return this.done.some((stroke) => stroke.overrode);
  }

  /** What a commit saves: the pixels drawn on, as {bbox, values}; null when nothing was drawn. */
  delta() {
    const { image } = this;
    if (this.done.length === 0) return null;
    const boxes = this.done.map((stroke) => stroke.bounds);
    const [x0, y0] = [0, 1].map((side) => Math.min(...boxes.map((box) => box[side])));
    const [x1, y1] = [2, 3].map((side) => Math.max(...boxes.map((box) => box[side])));
    const values = new Uint8Array((x1 - x0) * (y1 - y0)).fill(UNTOUCHED);
    let at = 0;
    for (let y = y0; y < y1; y++) {
      for (let p = y * image.width + x0; p < y * image.width + x1; p++, at++) {
        if (image.touched[p] === 1) values[at] = image.label[p];
      }
    }
    return { bbox: [x0, y0, x1, y1], values };
  }

  /** The strokes are on their way to the server: what they touched is human now, and so is the rest of the region. */
  commit(region) {
    const { image } = this;
    for (const { indices } of this.done) {
      for (const p of indices) {
        image.touched[p] = 0;
        image.provenance[p] = HUMAN;
      }
    }
    image.decideRegion(region, 'decided', null);
    this.done = [];
    this.undone = [];
  }
}
