// The class mode: fills by class and state, outlines around regions that wait and around what people decided.
import { BAND, HUMAN, LEFTOVER } from './image_state.js';
import { VOID_ID } from './palette.js';
import { DOTS, HATCH, PLAIN, RAW, VOID } from './patterns.js';

// A pixel's key: id (8 bits), style (3), and the group whose outline it may be part of: none, people's, or a region's.
const STYLE_SHIFT = 8;
const GROUP_SHIFT = 11;
const NO_GROUP = 0, PEOPLE = 1, FIRST_REGION = 2;
const WAITS = 1, CURRENT = 2, DOTTED = 3; // In the table of regions.

/** What a region's number means for its pixels, by number. */
export function regionTable(image, currentNumber, showBand) {
  const table = new Uint8Array(65536);
  for (const number of image.byNumber.keys()) table[number] = WAITS;
  table[currentNumber] = CURRENT;
  if (showBand) table[BAND] = table[LEFTOVER] = DOTTED;
  return table;
}

/** The keys of one image row where the screen samples it, as runs: run i goes from starts[i] to starts[i + 1]. */
class KeyRow {
  constructor(length) {
    this.starts = new Uint32Array(length + 1);
    this.keys = new Uint32Array(length);
    this.groups = new Uint32Array(length); // By screen pixel; NO_GROUP outside of the image.
    this.count = 0;
  }

  /** `columns` as `Viewport.sampleRuns` gives them. */
  read({ label, regions, provenance, touched, width }, y, columns, table) {
    const base = y * width;
    let count = 0;
    let last = -1;
    for (let i = 0; i < columns.count; i++) {
      const p = base + columns.at[i];
      const key = keyOf(label[p], regions[p], table[regions[p]], touched[p] === 1, provenance[p] === HUMAN);
      if (key === last) continue;
      last = key;
      this.starts[count] = columns.starts[i];
      this.keys[count] = key;
      count += 1;
    }
    this.starts[count] = columns.starts[columns.count];
    this.count = count;
    this.groups.fill(NO_GROUP);
    for (let i = 0; i < count; i++) this.groups.fill(this.keys[i] >>> GROUP_SHIFT, this.starts[i], this.starts[i + 1]);
    return this;
  }
}

function keyOf(id, number, kind, isTouched, isDecided) {
  if (kind === CURRENT && !isTouched) return RAW << STYLE_SHIFT; // The picture as it is, to be judged.
  const isHuman = isTouched || isDecided;
  const waits = kind === WAITS && !isHuman;
  const style = id === VOID_ID ? VOID : waits ? HATCH : kind === DOTTED && !isHuman ? DOTS : PLAIN;
  const group = isHuman ? PEOPLE : waits ? FIRST_REGION + number : NO_GROUP;
  return (group << GROUP_SHIFT) | (style << STYLE_SHIFT) | id;
}

/** Paints boxes of the screen; keeps its rows from paint to paint, because making them anew costs more than filling them. */
export class ClassLayer {
  constructor() {
    this.spare = [];
    this.used = new Map(); // Image row -> its keys, while one box is painted.
    this.length = 0;
  }

  /**
   * Write one word for each pixel of the screen's box [x0, y0, x1, y1], in row order. Outlines are as wide as a CSS pixel
   * and lie inside of what they surround.
   */
  paint(words, [x0, y0, x1, y1], { image, viewport, table, patterns }) {
    const { line } = patterns;
    const reach = 2 * line; // How far an outline looks around.
    const columns = viewport.sampleRuns(x0 - reach, x1 + reach, viewport.x, image.width);
    if (columns.count === 0) return;
    this.begin(x1 - x0 + 2 * reach);
    const rowAt = (y) => this.row(image, viewport.sample(y, viewport.y, image.height), columns, table);
    const width = x1 - x0;
    for (let y = y0; y < y1; y++) {
      const row = rowAt(y);
      if (row === this.nothing) continue;
      const out = { words, at: (y - y0) * width, width, x: x0, y, reach, patterns };
      paintFills(out, row);
      paintOutlines(out, row, [rowAt(y - line), rowAt(y + line)], [rowAt(y - reach), rowAt(y + reach)]);
    }
  }

  begin(length) {
    if (length > this.length) Object.assign(this, { spare: [], length });
    else this.spare.push(...this.used.values());
    this.used.clear();
    this.nothing = this.spare.pop() ?? new KeyRow(this.length);
    this.nothing.groups.fill(NO_GROUP);
  }

  row(image, y, columns, table) {
    if (y < 0) return this.nothing;
    let row = this.used.get(y);
    if (row === undefined) {
      row = (this.spare.pop() ?? new KeyRow(this.length)).read(image, y, columns, table);
      this.used.set(y, row);
    }
    return row;
  }
}

function paintFills({ words, at, width, x, y, reach, patterns }, row) {
  for (let i = 0; i < row.count; i++) {
    const start = Math.max(0, row.starts[i] - reach);
    const end = Math.min(width, row.starts[i + 1] - reach);
    if (start < end) patterns.fill(words, at + start, end - start, x + start, y, (row.keys[i] >>> STYLE_SHIFT) & 7, row.keys[i] & 255);
  }
}

function paintOutlines(out, row, near, far) {
  const { width, reach } = out;
  const isFlat = near.every((other) => other === row) && far.every((other) => other === row);
  for (let i = 0; i < row.count; i++) {
    const group = row.keys[i] >>> GROUP_SHIFT;
    if (group === NO_GROUP) continue;
    const start = Math.max(reach, row.starts[i]);
    const end = Math.min(width + reach, row.starts[i + 1]);
    if (isFlat && end - start > 2 * reach) { // Only its two ends can lie at a border.
      outline(out, row, near, far, group, start, start + reach);
      outline(out, row, near, far, group, end - reach, end);
    } else outline(out, row, near, far, group, start, end);
  }
}

function outline({ words, at, x, y, reach, patterns }, { groups }, [{ groups: up }, { groups: down }], [{ groups: farUp }, { groups: farDown }], group, start, end) {
  const { line, stripe, tables: { verified, casing, dash, dashGap } } = patterns;
  const isPeople = group === PEOPLE;
  for (let k = start; k < end; k++) {
    if (groups[k - line] !== group || groups[k + line] !== group || up[k] !== group || down[k] !== group) {
      words[at + k - reach] = isPeople ? verified : (x + k - reach + y) % (2 * stripe) < stripe ? dash : dashGap;
    } else if (isPeople && (groups[k - reach] !== group || groups[k + reach] !== group || farUp[k] !== group || farDown[k] !== group)) {
      words[at + k - reach] = casing;
    }
  }
}
