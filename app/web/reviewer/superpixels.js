// Superpixels of one image, fetched tile by tile when somebody draws with them.
import { outlinePath, traceOutline } from './outline.js';
import { getSuperpixels } from './server.js';

export class Superpixels {
  /** `tilePx` and `levels` as the server says; `onLoaded` when a tile has come, `onFailed(error)` when it has not. */
  constructor({ tile_px: tilePx, levels }, { onLoaded, onFailed }) {
    Object.assign(this, { tilePx, levels, onLoaded, onFailed, image: null, tiles: new Map() });
  }

  setImage(image) {
    if (this.image?.id !== image.id) this.tiles.clear();
    this.image = image;
  }

  /** The superpixel that holds a pixel, as {tile, number}; null while its tile is on its way. */
  at(level, x, y) {
    const tile = this.tile(level, Math.floor(x / this.tilePx), Math.floor(y / this.tilePx));
    return tile && { tile, number: tile.numbers[(y - tile.y0) * tile.width + x - tile.x0] };
  }

  /** Fetch the tiles behind a box ahead. */
  prefetch(level, [x0, y0, x1, y1]) {
    for (let row = Math.floor(y0 / this.tilePx); row * this.tilePx < y1; row++) {
      for (let column = Math.floor(x0 / this.tilePx); column * this.tilePx < x1; column++) this.tile(level, column, row);
    }
  }

  get isLoading() {
    return [...this.tiles.values()].includes(null);
  }

  tile(level, column, row) {
    const key = `${level} ${column} ${row}`;
    if (!this.tiles.has(key)) this.load(key, level, column, row);
    return this.tiles.get(key);
  }

  async load(key, level, column, row) {
    const { tiles, image } = this;
    tiles.set(key, null);
    try {
      const { header, planes } = await getSuperpixels(image.id, level, column, row);
      if (this.image?.id !== image.id) return;
      tiles.set(key, new Tile(header, planes.numbers));
      this.onLoaded();
    } catch (error) {
      if (this.image?.id !== image.id) return;
      tiles.delete(key);
      this.onFailed(error);
    }
  }
}

class Tile {
  constructor({ x0, y0, width, height }, numbers) {
    Object.assign(this, { x0, y0, width, height, numbers, outlines: new Map() });
    this.sort();
  }

  /** Pixels of the tile, superpixel by superpixel. */
  sort() {
    const { numbers } = this;
    const count = numbers.reduce((largest, number) => Math.max(largest, number), 0) + 1;
    this.starts = new Uint32Array(count + 1);
    for (const number of numbers) this.starts[number + 1] += 1;
    for (let i = 0; i < count; i++) this.starts[i + 1] += this.starts[i];
    const next = this.starts.slice();
    this.pixels = new Uint32Array(numbers.length);
    for (let p = 0; p < numbers.length; p++) this.pixels[next[numbers[p]]++] = p;
  }

  /** `visit(x, y)` in image coordinates for every pixel of a superpixel; returns its box. */
  forEach(number, visit) {
    const box = [Infinity, Infinity, 0, 0];
    for (const p of this.pixels.subarray(this.starts[number], this.starts[number + 1])) {
      const x = this.x0 + (p % this.width);
      const y = this.y0 + Math.floor(p / this.width);
      visit(x, y);
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x + 1);
      box[3] = Math.max(box[3], y + 1);
    }
    return box;
  }

  /** Its border as a path in image coordinates. */
  outline(number) {
    if (!this.outlines.has(number)) {
      const [x0, y0, x1, y1] = this.forEach(number, () => {});
      const box = [x0 - this.x0, y0 - this.y0, x1 - this.x0, y1 - this.y0];
      const moved = traceOutline(this.numbers, this.width, number, box).map((loop) => loop.map(([x, y]) => [x + this.x0, y + this.y0]));
      this.outlines.set(number, outlinePath(moved));
    }
    return this.outlines.get(number);
  }
}
