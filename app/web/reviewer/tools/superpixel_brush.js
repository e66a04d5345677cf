// Superpixels: whole small areas that follow the edges of the picture, one by a click, several by a drag.
import { fillLightly, onScreen, paintCross, strokeBoth } from './cursor.js';

const SIZES = ['small', 'medium', 'large', 'very large'];
const STEP_PX = 2; // Between the points of a drag that are looked at; smaller than the smallest superpixel.

export class SuperpixelBrush {
  constructor(drawing, superpixels) {
    Object.assign(this, { drawing, superpixels, level: 1, last: null, drawn: null, missing: [], endsLater: false });
  }

  get sizeText() {
    return SIZES[this.level];
  }

  resize(direction) {
    this.level = Math.min(this.superpixels.levels - 1, Math.max(0, this.level + direction));
    this.prepare();
  }

  /** The tool was chosen, or its size: fetch what is likely needed. */
  prepare() {
    this.superpixels.prefetch(this.level, this.drawing.region.bbox);
  }

  reset() {
    this.missing = [];
    this.endsLater = false;
  }

  begin(point, isErasing) {
    if (this.drawing.strokes.isActive) return; // The one before waits for its superpixels.
    this.drawing.beginStroke(isErasing);
    Object.assign(this, { last: point, drawn: null });
    this.extend([point]);
  }

  extend(points) {
    if (!this.drawing.strokes.isActive || this.endsLater) return;
    for (const point of points) {
      const steps = Math.max(1, Math.ceil(Math.hypot(point[0] - this.last[0], point[1] - this.last[1]) / STEP_PX));
      for (let step = 1; step <= steps; step++) this.touch(this.last.map((from, side) => from + ((point[side] - from) * step) / steps));
      this.last = point;
    }
  }

  touch(point) {
    const p = this.drawing.pixelAt(point);
    if (p === null) return;
    const { image, strokes } = this.drawing;
    const found = this.superpixels.at(this.level, p % image.width, Math.floor(p / image.width));
    if (!found) {
      this.missing.push(point);
      return;
    }
    if (found.tile === this.drawn?.tile && found.number === this.drawn.number) return;
    this.drawn = found;
    this.drawing.repaint(found.tile.forEach(found.number, (x, y) => strokes.set(y * image.width + x, x, y)));
  }

  end() {
    if (this.missing.length > 0) {
      this.endsLater = true;
      this.drawing.say('Superpixels are on their way…');
    } else this.drawing.finishStroke();
  }

  drop() {
    this.reset();
    this.drawing.dropStroke();
  }

  /** A tile has come: draw what waited for it. */
  loaded() {
    const points = this.missing;
    this.missing = [];
    if (this.drawing.strokes.isActive) points.forEach((point) => this.touch(point));
    if (this.endsLater && this.missing.length === 0) {
      this.endsLater = false;
      this.drawing.finishStroke();
    }
  }

  failed() {
    this.drop();
  }

  paint(painter) {
    const { cursor } = this.drawing;
    if (cursor === null) return;
    const p = this.drawing.pixelAt(cursor.at);
    const { width } = this.drawing.image;
    const found = p === null ? null : this.superpixels.at(this.level, p % width, Math.floor(p / width));
    if (found) {
      fillLightly(painter, onScreen(painter, this.changing(found)), this.drawing.color);
      strokeBoth(painter, onScreen(painter, found.tile.outline(found.number)));
    }
    if (!found || cursor.isKeyboard) paintCross(painter, cursor);
  }

  /** The pixels of a superpixel that a click would change, without those that are locked. */
  changing({ tile, number }) {
    const { image: { width }, strokes, classId } = this.drawing;
    const path = new Path2D();
    tile.forEach(number, (x, y) => { if (strokes.wouldChange(y * width + x, classId)) path.rect(x, y, 1, 1); });
    return path;
  }

  describe() {
    return `Superpixels, ${this.drawing.className}, ${this.sizeText}.${this.superpixels.isLoading ? ' Loading…' : ''}`;
  }
}
