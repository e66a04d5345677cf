// Fill: the area of one class that hangs together around a point. Inside the current region it ends at the region's border.
import { paintCross } from './cursor.js';
import { paintArea } from '../shapes.js';
import { LOCKED } from '../strokes.js';

export class Fill {
  constructor(drawing) {
    this.drawing = drawing;
  }

  begin(point, isErasing) {
    const { drawing } = this;
    const { image, strokes, region } = drawing;
    const p = drawing.pixelAt(point);
    if (p === null) return;
    if (!strokes.isFree(p)) {
      drawing.say(LOCKED);
      return;
    }
    const { label, regions, width } = image;
    const id = label[p];
    const isBound = regions[p] === region.number;
    drawing.beginStroke(isErasing);
    const { visited } = strokes;
    const isInside = (q) => visited[q] === 0 && label[q] === id && strokes.isFree(q) && (!isBound || regions[q] === region.number);
    drawing.repaint(paintArea([p % width, Math.floor(p / width)], image, isInside, (y, start, end) => strokes.row(y, start, end)));
    drawing.finishStroke();
  }

  extend() {}

  end() {}

  drop() {}

  paint(painter) {
    paintCross(painter, this.drawing.cursor);
  }

  describe() {
    return `Fill, ${this.drawing.className}: click or Space fills the area of one class, inside the region up to its border.`;
  }
}
