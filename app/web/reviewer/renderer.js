// Paints image and overlay for the visible part only, by nearest sampling: class ids never pass through a canvas.
import { BAND, HUMAN, LEFTOVER } from './image_state.js';
import { VOID_ID } from './palette.js';

export class Renderer {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.context = canvas.getContext('2d', { alpha: false });
    this.layer = document.createElement('canvas');
    this.layerContext = this.layer.getContext('2d');
    this.background = '#1b1d22';
    this.options = { mode: 'class', tables: null, currentNumber: 0, showBand: false };
  }

  setImage(image) {
    this.image = image;
    this.refreshRegions();
  }

  refreshRegions() {
    this.queued = this.image.queuedTable();
  }

  resize(width, height) {
    for (const canvas of [this.canvas, this.layer]) Object.assign(canvas, { width, height });
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
    if (this.options.mode !== 'image') {
      this.paintLayer(x0, y0, x1, y1);
      context.drawImage(this.layer, x0, y0, x1 - x0, y1 - y0, x0, y0, x1 - x0, y1 - y0);
    }
    context.restore();
  }

  screenBox(imageBox) {
    const { width, height } = this.canvas;
    if (imageBox === null) return [0, 0, width, height];
    const [left, top] = this.viewport.toScreen(imageBox[0], imageBox[1]);
    const [right, bottom] = this.viewport.toScreen(imageBox[2], imageBox[3]);
    const box = [
      Math.max(0, Math.floor(left) - 2), Math.max(0, Math.floor(top) - 2),
      Math.min(width, Math.ceil(right) + 2), Math.min(height, Math.ceil(bottom) + 2),
    ];
    return box[0] < box[2] && box[1] < box[3] ? box : null;
  }

  paintLayer(x0, y0, x1, y1) {
    const columns = this.sampleAxis(x0, x1, this.viewport.x, this.image.width);
    const rows = this.sampleAxis(y0, y1, this.viewport.y, this.image.height);
    const picture = this.layerContext.createImageData(x1 - x0, y1 - y0);
    const words = new Uint32Array(picture.data.buffer);
    const paintMode = { class: paintClasses, reliability: paintReliability, difference: paintDifference }[this.options.mode];
    paintMode(this, words, columns, rows, x0, y0);
    this.layerContext.putImageData(picture, x0, y0);
  }

  /** Image coordinate behind each screen coordinate, -1 outside the image. */
  sampleAxis(start, end, offset, size) {
    const axis = new Int32Array(end - start);
    for (let i = 0; i < axis.length; i++) {
      const at = Math.floor((start + i + 0.5 - offset) / this.viewport.scale);
      axis[i] = at >= 0 && at < size ? at : -1;
    }
    return axis;
  }
}

// How an image pixel is filled: with one word, hatched with two, crossed out as void, or dotted.
const PLAIN = 0, HATCH = 1, VOID = 2, DOTS = 3;
const NO_BORDER = 0, VERIFIED = 1, DASHED = 2;

/** Everything but the screen pattern is worked out once per image pixel and row, which is what keeps this fast. */
function paintClasses(renderer, words, columns, rows, x0, y0) {
  const { image, queued, options: { tables, currentNumber, showBand } } = renderer;
  const { label, regions, provenance, touched, width } = image;
  const { plain, hatchLight, hatchDark, verified, dash, dashGap, dot, voidLine, voidFill } = tables;
  const isHuman = (p) => provenance[p] === HUMAN || touched[p] === 1;

  const borderBetween = (p, q) => {
    const human = isHuman(p);
    if (human !== isHuman(q)) return VERIFIED;
    const number = regions[p];
    const other = regions[q];
    if (number === other || human || number === currentNumber || other === currentNumber) return NO_BORDER;
    return queued[number] === 1 || queued[other] === 1 ? DASHED : NO_BORDER;
  };
  const styleOf = (p) => {
    const number = regions[p];
    if (label[p] === VOID_ID) return VOID;
    if (queued[number] === 1 && !isHuman(p)) return HATCH;
    return showBand && (number === BAND || number === LEFTOVER) ? DOTS : PLAIN;
  };

  const stripe = renderer.viewport.ratio >= 1.5 ? 3 : 2; // Stripes of 8 or 4 device pixels look alike to people.
  const step = columns.length;
  for (let j = 0; j < rows.length; j++) {
    if (rows[j] < 0) continue;
    const base = rows[j] * width;
    const above = j > 0 && rows[j - 1] >= 0 && rows[j - 1] !== rows[j] ? rows[j - 1] * width : -1;
    const sy = j + y0;
    let previous = -1;
    let isRaw = false;
    let style = PLAIN;
    let id = 0;
    let upper = NO_BORDER;
    for (let i = 0; i < step; i++) {
      if (columns[i] < 0) continue;
      const p = base + columns[i];
      let border = upper;
      if (p !== previous) {
        isRaw = regions[p] === currentNumber && touched[p] === 0; // Raw pixels inside the current region.
        style = styleOf(p);
        id = label[p];
        upper = above < 0 ? NO_BORDER : borderBetween(p, above + columns[i]);
        border = upper || (previous < 0 ? NO_BORDER : borderBetween(p, previous));
        previous = p;
      }
      if (isRaw) continue;
      const sx = i + x0;
      const isStripe = (((sx + sy) >> stripe) & 1) === 1;
      let word = plain[id];
      if (border === VERIFIED) word = verified;
      else if (border === DASHED) word = isStripe ? dash : dashGap;
      else if (style === HATCH) word = isStripe ? hatchLight[id] : hatchDark[id];
      else if (style === VOID) word = ((sx + sy) & 7) === 0 || ((sx - sy) & 7) === 0 ? voidLine : voidFill;
      else if (style === DOTS && sx % 5 === 0 && sy % 5 === 0) word = dot;
      words[j * step + i] = word;
    }
  }
}

function paintReliability(renderer, words, columns, rows) {
  const { image: { unreliability, width }, options: { tables: { reliability } } } = renderer;
  const step = columns.length;
  for (let j = 0; j < rows.length; j++) {
    if (rows[j] < 0) continue;
    for (let i = 0; i < step; i++) {
      if (columns[i] >= 0) words[j * step + i] = reliability[unreliability[rows[j] * width + columns[i]]];
    }
  }
}

function paintDifference(renderer, words, columns, rows) {
  const { image: { label, proposal, provenance, touched, width }, options: { tables: { strong } } } = renderer;
  const step = columns.length;
  for (let j = 0; j < rows.length; j++) {
    if (rows[j] < 0) continue;
    for (let i = 0; i < step; i++) {
      if (columns[i] < 0) continue;
      const p = rows[j] * width + columns[i];
      const isHuman = provenance[p] === HUMAN || touched[p] === 1;
      if (isHuman && label[p] !== proposal[p]) words[j * step + i] = strong[label[p]];
    }
  }
}
