// Superpixels: whole small areas that follow the edges of the picture, one by a click, several by a drag.
import { fillLightly, onScreen, paintCross, strokeBoth } from './cursor.js';

const SIZES = ['small', 'medium', 'large', 'very large'];
const STEP_PX = 2; // Between the points of a drag that are looked at; smaller than the smallest superpixel.

export class SuperpixelBrush {
  constructor(drawing, superpixels) {
    // `strokes`: {points, done, level, classId, isErasing, isEnded}, in the order in which they are drawn; none is lost while superpixels are on their way.
    Object.assign(this, { drawing, superpixels, level: 1, strokes: [], drawn: null });
  }

  /** How many clicks and drags wait for their superpixels. */
  get waiting() {
    return this.strokes.filter(({ isEnded }) => isEnded).length;
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
    this.strokes = [];
  }

  begin(point, isErasing) {
    const { classId } = this.drawing;
    this.strokes.push({ points: [point], done: 0, level: this.level, classId, isErasing, isEnded: false });
    this.draw();
  }

  extend(points) {
    const stroke = this.strokes.at(-1);
    if (!stroke || stroke.isEnded) return;
    for (const point of points) {
      const last = stroke.points.at(-1);
      const steps = Math.max(1, Math.ceil(Math.hypot(point[0] - last[0], point[1] - last[1]) / STEP_PX));
      for (let step = 1; step <= steps; step++) stroke.points.push(last.map((from, side) => from + ((point[side] - from) * step) / steps));
    }
    this.draw();
  }

  end() {
    const stroke = this.strokes.at(-1);
    if (!stroke) return;
    stroke.isEnded = true;
    this.draw();
    if (this.strokes.length > 0) this.drawing.say(this.describeWaiting());
  }

  /** Draw as far as the superpixels are there, one stroke after another. */
  draw() {
    for (let [stroke] = this.strokes; stroke; [stroke] = this.strokes) {
      if (!this.drawing.strokes.isActive) {
        this.drawing.beginStroke(stroke.isErasing, stroke.classId);
        this.drawn = null;
      }
      while (stroke.done < stroke.points.length && this.touch(stroke)) stroke.done += 1;
      if (stroke.done < stroke.points.length || !stroke.isEnded) return;
      this.strokes.shift();
      this.drawing.finishStroke();
    }
  }

  /** Draw what is at the next point of a stroke; false while it is on its way. */
  touch({ points, done, level }) {
    const { image, strokes } = this.drawing;
    const p = this.drawing.pixelAt(points[done]);
    if (p === null) return true;
    const found = this.superpixels.at(level, p % image.width, Math.floor(p / image.width));
    if (!found) return false;
    if (found.tile === this.drawn?.tile && found.number === this.drawn.number) return true;
    this.drawn = found;
    this.drawing.repaint(found.tile.forEach(found.number, (x, y) => strokes.set(y * image.width + x, x, y)));
    return true;
  }

  /** Take back the last click or drag that waits; whether there was one. */
  undo() {
    if (this.waiting === 0) return false;
    this.strokes.pop();
    if (this.strokes.length === 0) this.drawing.dropStroke();
    this.drawing.note = null;
    return true;
  }

  /** The stroke that is being drawn was not meant; those before it stay. */
  drop() {
    const stroke = this.strokes.at(-1);
    if (!stroke || stroke.isEnded) return;
    this.strokes.pop();
    if (this.strokes.length === 0) this.drawing.dropStroke();
  }

  /** A tile has come: draw what waited for it. */
  loaded() {
    const had = this.waiting;
    if (had > 0) this.drawing.note = null;
    this.draw();
    if (this.waiting > 0) this.drawing.note = this.describeWaiting();
  }

  failed() {
    this.reset();
    if (this.drawing.strokes?.isActive) this.drawing.dropStroke();
  }

  describeWaiting() {
    const count = this.waiting === 1 ? 'The click waits' : `${this.waiting} clicks wait`;
    return `Superpixels are on their way… ${count} for them, nothing is lost. Esc gives up.`;
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
