// Drawing on one image: one stroke after another, which never reach a locked pixel.
import { Edit, Numbers, packPixel } from './edits.js';
import { HUMAN } from './image_state.js';

export const LOCKED = 'Nothing is drawn: the model is sure about these pixels, so they are locked. L unlocks.';
export const MOSTLY_LOCKED = 'Most of this is not drawn: the model is sure about those pixels, so they are locked. L unlocks.';

export class Strokes {
  constructor(image) {
    this.image = image;
    this.unlocked = false;
    this.current = null;
    this.visited = null; // Pixels under the current stroke; made when somebody draws.
  }

  get isActive() {
    return this.current !== null;
  }

  /** `classId` null erases: back to the model's label. */
  begin(classId) {
    this.visited ??= new Uint8Array(this.image.label.length);
    this.current = {
      classId, indices: new Numbers(), before: new Numbers(), locked: new Numbers(), bounds: [Infinity, Infinity, 0, 0], overrode: false,
    };
  }

  isFree(p) {
    return this.unlocked || this.image.reliable[p] === 0;
  }

  /** Whether drawing would change what is seen of a pixel; `classId` as for `begin`. */
  wouldChange(p, classId) {
    const { label, proposal, touched } = this.image;
    return this.isFree(p) && (touched[p] === 0 || label[p] !== (classId ?? proposal[p]));
  }

  /** Draw on the pixels [start, end) of a row; they lie inside the image. */
  row(y, start, end) {
    const base = y * this.image.width;
    for (let x = start; x < end; x++) this.set(base + x, x, y);
  }

  set(p, x, y) {
    const { image, current, visited } = this;
    if (visited[p] === 1) return;
    visited[p] = 1;
    if (!this.isFree(p)) return current.locked.push(p);
    current.indices.push(p);
    current.before.push(packPixel(image, p));
    if (image.reliable[p] === 1) current.overrode = true;
    image.label[p] = current.classId ?? image.proposal[p];
    image.provenance[p] = HUMAN;
    image.touched[p] = 1;
    const box = current.bounds;
    if (x < box[0]) box[0] = x;
    if (y < box[1]) box[1] = y;
    if (x >= box[2]) box[2] = x + 1;
    if (y >= box[3]) box[3] = y + 1;
    return undefined;
  }

  /** Finish the stroke: the edit it was, or null when it reached no pixel. */
  end() {
    const stroke = this.current;
    this.current = null;
    if (stroke === null) return null;
    const indices = stroke.indices.take();
    for (const p of indices) this.visited[p] = 0;
    for (const p of stroke.locked.take()) this.visited[p] = 0;
    if (indices.length === 0) return null;
    const values = Uint8Array.from(indices, (p) => this.image.label[p]);
    const edit = new Edit(this.image, indices, stroke.before.take(), values, stroke.bounds, true);
    edit.overrode = stroke.overrode;
    return edit;
  }

  /** Take back what was drawn of a stroke that is not finished; its box, or null. */
  drop() {
    const edit = this.end();
    edit?.revert();
    return edit?.bbox ?? null;
  }
}
