// Paints image and overlay for the visible part only, by nearest sampling: class ids never pass through a canvas.
import { ClassLayer, regionTable } from './class_layer.js';
import { HUMAN } from './image_state.js';
import { Patterns } from './patterns.js';

export class Renderer {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.context = canvas.getContext('2d', { alpha: false });
    this.layer = document.createElement('canvas');
    this.layerContext = this.layer.getContext('2d');
    this.classLayer = new ClassLayer();
    this.background = '#1b1d22';
    this.options = { mode: 'class', tables: null, currentNumber: 0, showBand: false, dimmed: null };
  }

  setImage(image) {
    this.image = image;
    this.optionsChanged();
  }

  /** Regions, tables or the band are other ones. */
  optionsChanged() {
    this.patterns = null;
    this.table = null;
  }

  resize(width, height) {
    for (const canvas of [this.canvas, this.layer]) Object.assign(canvas, { width, height });
    this.patterns = null;
  }

  /** Repaint everything, or the part of the screen behind a box of image pixels. */
  paint(imageBox = null) {
    const { viewport, context, image } = this;
    if (!image) return;
    const screen = this.screenBox(imageBox);
    if (screen === null) return;
    const [x0, y0, x1, y1] = screen;
    context.save();
    context.beginPath();
    context.rect(x0, y0, x1 - x0, y1 - y0);
    context.clip();
    context.fillStyle = this.background;
    context.fillRect(x0, y0, x1 - x0, y1 - y0);
    context.imageSmoothingEnabled = viewport.scale < 1;
    context.drawImage(image.bitmap, viewport.x, viewport.y, image.width * viewport.scale, image.height * viewport.scale);
    if (this.hasLayer) {
      this.paintLayer(x0, y0, x1, y1);
      context.drawImage(this.layer, x0, y0, x1 - x0, y1 - y0, x0, y0, x1 - x0, y1 - y0);
    }
    if (this.options.dimmed) this.dim(this.options.dimmed);
    context.restore();
  }

  get hasLayer() {
    const { mode } = this.options;
    return mode !== 'image' && (mode !== 'reliability' || this.image.unreliability !== null);
  }

  screenBox(imageBox) {
    const { width, height } = this.canvas;
    if (imageBox === null) return [0, 0, width, height];
    const [left, top] = this.viewport.toScreen(imageBox[0], imageBox[1]);
    const [right, bottom] = this.viewport.toScreen(imageBox[2], imageBox[3]);
    const around = 3 * Math.ceil(this.viewport.ratio); // What outlines may change beyond it.
    const box = [
      Math.max(0, Math.floor(left) - around), Math.max(0, Math.floor(top) - around),
      Math.min(width, Math.ceil(right) + around), Math.min(height, Math.ceil(bottom) + around),
    ];
    return box[0] < box[2] && box[1] < box[3] ? box : null;
  }

  /** Darken everything outside of a path in image coordinates. */
  dim(path) {
    const { context, viewport, canvas } = this;
    const outside = new Path2D();
    outside.rect(0, 0, canvas.width, canvas.height);
    outside.addPath(path, viewport.matrix);
    context.fillStyle = 'rgb(0 0 0 / .55)';
    context.fill(outside, 'evenodd');
  }

  paintLayer(x0, y0, x1, y1) {
    const picture = this.layerContext.createImageData(x1 - x0, y1 - y0);
    const words = new Uint32Array(picture.data.buffer);
    if (this.options.mode === 'class') this.paintClasses(words, [x0, y0, x1, y1]);
    else this.paintPixels(words, [x0, y0, x1, y1], this.options.mode === 'reliability' ? reliabilityOf(this) : differenceOf(this));
    this.layerContext.putImageData(picture, x0, y0);
  }

  paintClasses(words, box) {
    const { image, viewport, options: { tables, currentNumber, showBand } } = this;
    this.table ??= regionTable(image, currentNumber, showBand);
    this.patterns ??= new Patterns(tables, viewport.ratio, this.canvas.width);
    this.classLayer.paint(words, box, { image, viewport, table: this.table, patterns: this.patterns });
  }

  /** `wordOf(pixel of the image)` for every pixel of a box of the screen. */
  paintPixels(words, [x0, y0, x1, y1], wordOf) {
    const { viewport, image } = this;
    const columns = viewport.sampleRuns(x0, x1, viewport.x, image.width);
    const width = x1 - x0;
    let painted = -1;
    for (let y = y0; y < y1; y++) {
      const row = viewport.sample(y, viewport.y, image.height);
      if (row < 0) continue;
      const at = (y - y0) * width;
      if (row === painted) words.copyWithin(at, at - width, at);
      else for (let i = 0; i < columns.count; i++) words.fill(wordOf(row * image.width + columns.at[i]), at + columns.starts[i], at + columns.starts[i + 1]);
      painted = row;
    }
  }
}

const reliabilityOf = ({ image: { unreliability }, options: { tables: { reliability } } }) => (p) => reliability[unreliability[p]];

const differenceOf = ({ image: { label, proposal, provenance, touched }, options: { tables: { strong } } }) => (p) => {
  const isHuman = provenance[p] === HUMAN || touched[p] === 1;
  return isHuman && label[p] !== proposal[p] ? strong[label[p]] : 0;
};
