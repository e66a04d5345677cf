// Where the image lies on the canvas: screen = image * scale + offset, in device pixels.

const LARGEST_SCALE = 48;
const REGION_SHARE = 1 / 3; // A region opens at about a third of the view.
const ALL_SHARE = 0.7; // Of the view for several of them together.
const FIT_SHARE = 0.96; // Of the view for a whole image.
const SMALLEST_SEEN = 24; // CSS pixels of a region's longer side; smaller ones are overlooked.
const REGION_SCALE_LIMIT = 14; // Tiny regions need their surroundings more than their pixels.

export class Viewport {
  constructor() {
    Object.assign(this, { width: 1, height: 1, imageWidth: 1, imageHeight: 1, scale: 1, x: 0, y: 0, ratio: 1 });
  }

  /** At which the whole image is in view. */
  get fitScale() {
    return FIT_SHARE * Math.min(this.width / this.imageWidth, this.height / this.imageHeight);
  }

  get isFitted() {
    return Math.abs(this.scale - this.fitScale) < 1e-6;
  }

  /** Whether the view is as `fit` leaves it. */
  get isWhole() {
    const [x, y] = this.toImage(this.width / 2, this.height / 2);
    return this.isFitted && Math.hypot(x - this.imageWidth / 2, y - this.imageHeight / 2) * this.scale < 1;
  }

  /** The canvas got another size; what was in its middle stays there. */
  resize(width, height, ratio) {
    const [centerX, centerY] = this.toImage(this.width / 2, this.height / 2);
    this.scale *= ratio / this.ratio;
    Object.assign(this, { width, height, ratio });
    this.centerOn(centerX, centerY);
  }

  setImage(width, height) {
    Object.assign(this, { imageWidth: width, imageHeight: height });
  }

  centerOn(imageX, imageY) {
    this.x = this.width / 2 - imageX * this.scale;
    this.y = this.height / 2 - imageY * this.scale;
  }

  fit() {
    this.scale = this.fitScale;
    this.centerOn(this.imageWidth / 2, this.imageHeight / 2);
  }

  /** At which a box fills about a third of the view. */
  openingScale([x0, y0, x1, y1]) {
    const wanted = REGION_SHARE * Math.min(this.width / (x1 - x0), this.height / (y1 - y0));
    return Math.max(this.fitScale, Math.min(wanted, REGION_SCALE_LIMIT * this.ratio));
  }

  /** Whether a box, centered, is all in view and not too small to be seen at a zoom in CSS pixels per image pixel. */
  canShow(box, zoom) {
    const [x0, y0, x1, y1] = box;
    const scale = zoom * this.ratio;
    const longer = Math.max(x1 - x0, y1 - y0);
    const smallest = Math.min(SMALLEST_SEEN * this.ratio, longer * this.openingScale(box));
    return (x1 - x0) * scale <= this.width && (y1 - y0) * scale <= this.height && longer * scale >= smallest - 1e-6;
  }

  /** Whether all of a box is in view now; a pixel of the screen may be missing. */
  holds([x0, y0, x1, y1]) {
    const [[left, top], [right, bottom]] = [this.toScreen(x0, y0), this.toScreen(x1, y1)];
    return left >= -1 && top >= -1 && right <= this.width + 1 && bottom <= this.height + 1;
  }

  /** Center a box at about a third of the view, or at a zoom in CSS pixels per image pixel. */
  openOn(box, zoom = null) {
    const [x0, y0, x1, y1] = box;
    this.scale = zoom === null ? this.openingScale(box) : zoom * this.ratio;
    this.centerOn((x0 + x1) / 2, (y0 + y1) / 2);
    this.x = within(this.x, this.width - this.imageWidth * this.scale);
    this.y = within(this.y, this.height - this.imageHeight * this.scale);
  }

  /** Boxes with something around them, never closer than a region that is opened alone. */
  showAll(boxes) {
    const [x0, y0] = [0, 1].map((side) => Math.min(...boxes.map((box) => box[side])));
    const [x1, y1] = [2, 3].map((side) => Math.max(...boxes.map((box) => box[side])));
    const wanted = ALL_SHARE * Math.min(this.width / (x1 - x0), this.height / (y1 - y0));
    this.openOn([x0, y0, x1, y1], Math.max(this.fitScale, Math.min(wanted, REGION_SCALE_LIMIT * this.ratio)) / this.ratio);
  }

  zoomAt(screenX, screenY, factor) {
    const [imageX, imageY] = this.toImage(screenX, screenY);
    this.scale = Math.min(LARGEST_SCALE * this.ratio, Math.max(this.fitScale * 0.4, this.scale * factor));
    this.x = screenX - imageX * this.scale;
    this.y = screenY - imageY * this.scale;
  }

  pan(dx, dy) {
    const keep = 40 * this.ratio; // Some of the image always stays in view.
    this.x = Math.min(this.width - keep, Math.max(keep - this.imageWidth * this.scale, this.x + dx));
    this.y = Math.min(this.height - keep, Math.max(keep - this.imageHeight * this.scale, this.y + dy));
  }

  toImage(screenX, screenY) {
    return [(screenX - this.x) / this.scale, (screenY - this.y) / this.scale];
  }

  toScreen(imageX, imageY) {
    return [imageX * this.scale + this.x, imageY * this.scale + this.y];
  }

  /** From image to screen, for paths. */
  get matrix() {
    return new DOMMatrix([this.scale, 0, 0, this.scale, this.x, this.y]);
  }

  /** Image coordinate behind a screen pixel, -1 outside of the image; offset and size of the axis. */
  sample(screen, offset, size) {
    const at = Math.floor((screen + 0.5 - offset) / this.scale);
    return at >= 0 && at < size ? at : -1;
  }

  /** The image columns behind screen pixels [start, end): column at[i] from starts[i] to starts[i + 1], counted from `start`. */
  sampleRuns(start, end, offset, size) {
    const at = new Int32Array(end - start);
    const starts = new Int32Array(end - start + 1);
    let count = 0;
    let last = -1;
    for (let i = 0; i < end - start; i++) {
      const column = this.sample(start + i, offset, size);
      if (column < 0) {
        if (last >= 0) { starts[count] = i; return { at, starts, count }; } // Behind the right edge.
      } else if (column !== last) {
        at[count] = column;
        starts[count] = i;
        count += 1;
      }
      last = column;
    }
    starts[count] = end - start;
    return { at, starts, count };
  }

  get state() {
    return { scale: this.scale / this.ratio, center: this.toImage(this.width / 2, this.height / 2), isWhole: this.isWhole };
  }

  /** As it was left; a whole image stays whole in a view of another size. */
  restore({ scale, center, isWhole }) {
    if (isWhole) return this.fit();
    this.scale = scale * this.ratio;
    return this.centerOn(...center);
  }
}

/** An offset that leaves no gap at a side where the image is larger than the view (`slack` < 0), else centers it. */
function within(offset, slack) {
  return slack > 0 ? slack / 2 : Math.min(0, Math.max(slack, offset));
}
