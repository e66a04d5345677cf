// Flag: points at a reliable area that is wrong; it becomes a region of its own.
import { HUMAN } from '../image_state.js';
import { paintCross } from './cursor.js';

export class Flag {
  constructor(drawing) {
    this.drawing = drawing;
  }

  begin(point) {
    const { drawing } = this;
    const { image } = drawing;
    const p = drawing.pixelAt(point);
    if (p === null) return;
    if (image.provenance[p] === HUMAN) drawing.say('People decided this pixel: open its region again or draw over it.');
    else if (image.reliable[p] === 0) drawing.say('This pixel is not reliable, so it is not locked: Esc leaves the tool, then click its region, or draw over it (B).');
    else drawing.onFlag([p % image.width, Math.floor(p / image.width)]);
  }

  extend() {}

  end() {}

  drop() {}

  paint(painter) {
    paintCross(painter, this.drawing.cursor);
  }

  describe() {
    return 'A reliable area is wrong: click it, or move the cross there and press Space. Esc leaves.';
  }
}
