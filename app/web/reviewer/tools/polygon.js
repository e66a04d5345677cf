// Polygon: corners one by one, filled when it is closed.
import { fillLightly, paintCross, strokeBoth } from './cursor.js';
import { paintPolygon } from '../shapes.js';

const CORNER = 3; // CSS pixels.

export class Polygon {
  constructor(drawing) {
    Object.assign(this, { drawing, corners: [], isErasing: false, isPlacing: false });
  }

  get isActive() {
    return this.corners.length > 0;
  }

  /** The corner follows the pointer until it is let go. */
  begin(point, isErasing) {
    if (this.corners.length === 0) this.isErasing = isErasing;
    this.corners.push(point);
    this.isPlacing = true;
  }

  extend(points) {
    if (this.isPlacing) this.corners[this.corners.length - 1] = points.at(-1);
  }

  end() {
    this.isPlacing = false;
  }

  drop() {
    if (this.isPlacing) this.corners.pop();
    this.isPlacing = false;
  }

  doubleClick() {
    this.corners.pop(); // Both clicks set one.
    this.close();
  }

  key({ key }) {
    if (!this.isActive) return false;
    if (key === 'Enter') this.close();
    else if (key === 'Backspace') this.corners.pop();
    else if (key === 'Escape') this.reset();
    else return false;
    return true;
  }

  /** Undo takes back corners first. */
  undo() {
    if (!this.isActive) return false;
    this.corners.pop();
    return true;
  }

  close() {
    const { drawing } = this;
    if (this.corners.length < 3) {
      drawing.say('A polygon has at least three corners.');
      return;
    }
    drawing.beginStroke(this.isErasing);
    drawing.repaint(paintPolygon(this.corners, drawing.image, (y, start, end) => drawing.strokes.row(y, start, end)));
    this.reset();
    drawing.finishStroke();
  }

  reset() {
    this.corners = [];
    this.isPlacing = false;
  }

  paint(painter) {
    const { drawing, corners } = this;
    const { cursor } = drawing;
    const { context, viewport } = painter;
    const points = [...corners, ...(cursor && !this.isPlacing && corners.length > 0 ? [cursor.at] : [])].map((point) => viewport.toScreen(...point));
    if (points.length > 0) {
      const path = new Path2D();
      points.forEach(([x, y]) => path.lineTo(x, y));
      path.closePath();
      fillLightly(painter, path, drawing.color);
      strokeBoth(painter, path);
      const dots = new Path2D();
      points.slice(0, corners.length).forEach(([x, y]) => {
        dots.moveTo(x + CORNER * viewport.ratio, y);
        dots.arc(x, y, CORNER * viewport.ratio, 0, 2 * Math.PI);
      });
      context.fillStyle = '#fff';
      context.fill(dots);
      strokeBoth(painter, dots, 1);
    }
    paintCross(painter, cursor);
  }

  describe() {
    const { length } = this.corners;
    const next = length === 0 ? 'Click or Space sets corners.' : `${length} ${length === 1 ? 'corner' : 'corners'}. Enter closes, Backspace takes one back, Esc gives it up.`;
    return `Polygon, ${this.isErasing ? "back to the model's label" : this.drawing.className}. ${next}`;
  }
}
