// Fills of the class layer in screen space: the same size at every zoom, in CSS pixels whatever the screen's density.

export const RAW = 0, PLAIN = 1, HATCH = 2, VOID = 3, DOTS = 4;

const STRIPE = 4; // CSS pixels; all lengths here.
const CROSS = 8;
const DOT_STEP = 5;

/** Rows of words that repeat along both axes, made when first used. Keys are style and class id. */
export class Patterns {
  constructor(tables, ratio, length) {
    Object.assign(this, { tables, ratio, length, rows: new Map() });
    this.stripe = Math.max(2, Math.round(STRIPE * ratio));
    this.cross = Math.max(4, Math.round(CROSS * ratio));
    this.dotStep = Math.max(3, Math.round(DOT_STEP * ratio));
    this.line = Math.max(1, Math.round(ratio));
  }

  /** Fill words[at, at + count) as the screen's pixels (x, y), (x + 1, y), ... look. */
  fill(words, at, count, x, y, style, id) {
    if (style === PLAIN) words.fill(this.tables.plain[id], at, at + count);
    else if (style === HATCH) this.copy(words, at, count, this.row(HATCH, id, 0), (x + y) % (2 * this.stripe));
    else if (style === VOID) this.copy(words, at, count, this.row(VOID, 0, y % this.cross), x % this.cross);
    else if (style === DOTS && y % this.dotStep < this.line) this.copy(words, at, count, this.row(DOTS, id, 0), x % this.dotStep);
    else if (style === DOTS) words.fill(this.tables.plain[id], at, at + count);
  }

  copy(words, at, count, row, offset) {
    if (count > 24) words.set(row.subarray(offset, offset + count), at);
    else for (let i = 0; i < count; i++) words[at + i] = row[offset + i];
  }

  row(style, id, phase) {
    const key = (style * 256 + id) * 64 + phase;
    let row = this.rows.get(key);
    if (row === undefined) {
      row = this.makeRow(style, id, phase);
      this.rows.set(key, row);
    }
    return row;
  }

  makeRow(style, id, phase) {
    const { tables, stripe, cross, dotStep, line } = this;
    const row = new Uint32Array(this.length + 4 * Math.max(stripe, cross));
    for (let i = 0; i < row.length; i++) {
      if (style === HATCH) row[i] = i % (2 * stripe) < stripe ? tables.hatchLight[id] : tables.hatchDark[id];
      else if (style === VOID) row[i] = (i + phase) % cross < line || (i + cross - phase) % cross < line ? tables.voidLine : tables.voidFill;
      else row[i] = i % dotStep < line ? tables.dot : tables.plain[id];
    }
    return row;
  }
}
