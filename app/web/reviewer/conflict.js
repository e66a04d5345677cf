// After a refusal: which pixels others changed since this person saw the image, outlined and in words.
import { grouped } from './dom.js';
import { outlinePath, traceOutline } from './outline.js';
import { VOID_ID } from './palette.js';
import { onScreen, strokeBoth } from './tools/cursor.js';

const LINE = 3; // CSS pixels.
const MOST_NAMED = 3;
const MOST_SEEN = 2; // Large images take a hundred megabytes.

export class Conflict {
  constructor({ screen, view }) {
    Object.assign(this, { screen, view, seen: new Map(), path: null }); // `seen`: region id -> image as it was seen.
    screen.overlay.painters.push((painter) => this.path && strokeBoth(painter, onScreen(painter, this.path), LINE));
  }

  /** Remember an image that is let go, without what was done to it since; the first one counts. */
  remember(regionId, image, edits) {
    if (!image || this.seen.has(regionId)) return;
    for (const edit of edits) if (edit.image === image) edit.revert();
    this.seen.set(regionId, image);
    if (this.seen.size > MOST_SEEN) this.seen.delete(this.seen.keys().next().value);
  }

  /** Outline the pixels that have another class now, and say which. */
  show(regionId, image) {
    const seen = this.seen.get(regionId);
    this.seen.delete(regionId);
    const { mask, box, counts } = compare(seen.label, image.label, image.width);
    if (counts.size === 0) return 'No pixel has another class now: what was shown was decided.';
    this.path = outlinePath(traceOutline(mask, image.width, 1, box));
    this.screen.overlay.paint();
    return `Outlined: ${this.describe(counts)}.`;
  }

  describe(counts) {
    const name = (id) => (id === VOID_ID ? 'void' : this.view.classes.get(id).name);
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    const named = sorted.slice(0, MOST_NAMED).map(([pair, count]) => `${name(pair >> 8)} → ${name(pair & 255)}, ${grouped(count)} px`);
    return named.join('; ') + (sorted.length > MOST_NAMED ? '; and others' : '');
  }

  /** Another region is shown. */
  end() {
    this.path = null;
  }
}

/** Pixels that differ, their box, and how many there are by `before * 256 + after`. */
function compare(before, after, width) {
  const mask = new Uint8Array(after.length);
  const box = [Infinity, Infinity, 0, 0];
  const counts = new Map();
  for (let p = 0; p < after.length; p++) {
    if (before[p] === after[p]) continue;
    mask[p] = 1;
    const [x, y] = [p % width, Math.floor(p / width)];
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x + 1);
    box[3] = Math.max(box[3], y + 1);
    const pair = (before[p] << 8) | after[p];
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  }
  return { mask, box, counts };
}
