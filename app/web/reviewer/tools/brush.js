// Brush and eraser: a round tip that draws lines.
import { paintCircle } from './cursor.js';
import { paintLine } from '../shapes.js';

const STEP = 0.2; // Of the size, so that large images need no more presses than small ones.
const LARGEST_SHARE = 0.25; // Of the longer side of the image.
const LARGEST_AT_LEAST = 200;
const FIRST_SHARE = 9 / 480; // Of the longer side: about the width of a pole in a street scene.
const FIRST_ON_SCREEN = 40; // CSS pixels, at most: who is zoomed in draws finer.
const SMALLEST_FIRST = 3;

/** With what drawing begins on a region, in pixels of the image, until somebody chooses a size. */
export function firstDiameter({ width, height }, { scale, ratio }) {
  const seen = (FIRST_ON_SCREEN * ratio) / scale;
  return Math.max(SMALLEST_FIRST, Math.round(Math.min(FIRST_SHARE * Math.max(width, height), seen)));
}

export class Brush {
  constructor(drawing, isEraser) {
    Object.assign(this, { drawing, isEraser, last: null });
  }

  get sizeText() {
    return `${this.drawing.diameter} px`;
  }

  resize(direction) {
    const { diameter, image } = this.drawing; // One size for both.
    const largest = Math.max(LARGEST_AT_LEAST, Math.round(LARGEST_SHARE * Math.max(image.width, image.height)));
    const step = Math.max(1, Math.round(STEP * diameter));
    this.drawing.chooseDiameter(Math.min(largest, Math.max(1, diameter + direction * step)));
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
