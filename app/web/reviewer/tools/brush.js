// Brush and eraser: a round tip that draws lines.
import { paintCircle } from './cursor.js';
import { paintLine } from '../shapes.js';

const LARGEST = 200;

export class Brush {
  constructor(drawing, isEraser) {
    Object.assign(this, { drawing, isEraser, last: null });
  }

  get sizeText() {
    return `${this.drawing.diameter} px`;
  }

  resize(direction) {
    const { diameter } = this.drawing; // One size for both.
    const step = diameter < 10 ? 1 : diameter < 40 ? 4 : 10;
    this.drawing.diameter = Math.min(LARGEST, Math.max(1, diameter + direction * step));
  }

  begin(point, isErasing) {
    this.drawing.beginStroke(isErasing || this.isEraser);
    this.last = point;
    this.extend([point]);
  }

  extend(points) {
    const { strokes, image, diameter } = this.drawing;
    for (const point of points) {
      this.drawing.repaint(paintLine(this.last, point, diameter, image, (y, start, end) => strokes.row(y, start, end)));
      this.last = point;
    }
  }

  end() {
    this.drawing.finishStroke();
  }

  drop() {
    this.drawing.dropStroke();
  }

  paint(painter) {
    paintCircle(painter, this.drawing.cursor, this.drawing.diameter);
  }

  describe() {
    const eraser = this.drawing.isFromScratch ? 'Eraser, back to nothing' : "Eraser, back to the model's label";
    return `${this.isEraser ? eraser : `Brush, ${this.drawing.className}`}, ${this.sizeText}.`;
  }
}
