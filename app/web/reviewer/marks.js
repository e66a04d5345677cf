// Ticks and key letters: signs that stand still on the picture, on a canvas of their own above the base.

const CELL = 14; // CSS pixels: letters are placed on a grid of the screen, so that large images cost nothing.
const FEWEST_CELLS = 6; // Smaller patches of a class have no room for a letter.
const TICK = 14;
const LETTER = 12;
const SMALLEST_TICKED = 16; // CSS pixels across.

export class Marks {
  constructor(canvas, viewport) {
    Object.assign(this, { canvas, viewport, context: canvas.getContext('2d') });
    this.letters = null; // class id -> text, only where hue alone does not tell classes apart.
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  paint(image, currentNumber) {
    this.clear();
    for (const [x, y] of this.placeTicks(image, currentNumber)) this.write('\u2713', x, y, TICK);
    if (this.letters !== null) {
      for (const { text, x, y } of this.placeLetters(image, currentNumber)) this.write(text, x, y, LETTER);
    }
  }

  /** Where on the screen the regions in view that people decided get their tick. */
  placeTicks(image, currentNumber) {
    const { viewport, canvas } = this;
    const placed = [];
    for (const [number, { at, area }] of image.anchors) {
      if (image.isQueued(number) || number === currentNumber) continue;
      if (Math.sqrt(area) * viewport.scale < SMALLEST_TICKED * viewport.ratio) continue;
      const [x, y] = viewport.toScreen(...at);
      if (x > 0 && y > 0 && x < canvas.width && y < canvas.height) placed.push([x, y]);
    }
    return placed;
  }

  /** One letter for each patch of a class, at the middle of the part of it that is in view. */
  placeLetters(image, currentNumber) {
    const grid = this.sampleGrid(image, currentNumber);
    const ticks = this.placeTicks(image, currentNumber);
    const at = (cell) => [grid.x + (cell % grid.columns) * grid.step, grid.y + Math.floor(cell / grid.columns) * grid.step];
    const isFree = (cell) => ticks.every(([x, y]) => Math.hypot(at(cell)[0] - x, at(cell)[1] - y) > 1.2 * grid.step);
    const seen = new Uint8Array(grid.ids.length);
    const placed = [];
    for (let start = 0; start < seen.length; start++) {
      if (seen[start] === 1 || !this.letters.has(grid.ids[start])) continue;
      const cells = patch(grid, seen, start);
      const roomy = cells.filter((cell) => hasRoom(grid, cell) && isFree(cell));
      if (cells.length < FEWEST_CELLS || roomy.length === 0) continue;
      const cell = nearestToMiddle(cells, roomy, grid.columns);
      const text = this.letters.get(grid.ids[start]);
      placed.push({ text, x: at(cell)[0], y: at(cell)[1] });
    }
    return placed;
  }

  /** Class ids at the points of a grid that moves with the picture; -1 outside of it and inside the current region. */
  sampleGrid(image, currentNumber) {
    const { viewport, canvas } = this;
    const step = CELL * viewport.ratio;
    const first = (offset) => ((offset % step) + step) % step;
    const [x, y] = [first(viewport.x), first(viewport.y)];
    const [columns, rows] = [Math.ceil((canvas.width - x) / step), Math.ceil((canvas.height - y) / step)];
    const ids = new Int16Array(columns * rows).fill(-1);
    for (let row = 0; row < rows; row++) {
      const imageY = viewport.sample(Math.floor(y + row * step), viewport.y, image.height);
      if (imageY < 0) continue;
      for (let column = 0; column < columns; column++) {
        const imageX = viewport.sample(Math.floor(x + column * step), viewport.x, image.width);
        const p = imageY * image.width + imageX;
        if (imageX >= 0 && image.regions[p] !== currentNumber) ids[row * columns + column] = image.label[p];
      }
    }
    return { ids, columns, x, y, step };
  }

  write(text, x, y, size) {
    const { context, viewport: { ratio } } = this;
    context.font = `700 ${size * ratio}px system-ui, sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.lineWidth = 3 * ratio;
    context.lineJoin = 'round';
    context.strokeStyle = 'rgb(20 20 24 / .8)';
    context.strokeText(text, x, y);
    context.fillStyle = '#fff';
    context.fillText(text, x, y);
  }
}

/** The cells of one class that hang together with `start`. */
function patch({ ids, columns }, seen, start) {
  const cells = [start];
  seen[start] = 1;
  for (let i = 0; i < cells.length; i++) {
    const cell = cells[i];
    const column = cell % columns;
    for (const next of [column > 0 ? cell - 1 : -1, column + 1 < columns ? cell + 1 : -1, cell - columns, cell + columns]) {
      if (next < 0 || next >= ids.length || seen[next] === 1 || ids[next] !== ids[start]) continue;
      seen[next] = 1;
      cells.push(next);
    }
  }
  return cells;
}

/** Whether a letter on a cell stays on its class, up and down, left and right. */
function hasRoom({ ids, columns }, cell) {
  const column = cell % columns;
  const isSame = (other) => ids[other] === ids[cell];
  return column > 0 && column + 1 < columns && isSame(cell - 1) && isSame(cell + 1) && isSame(cell - columns) && isSame(cell + columns);
}

/** The candidate nearest to the centroid of the cells, so that the letter of a bent patch still lies on it. */
function nearestToMiddle(cells, candidates, columns) {
  const middleX = cells.reduce((sum, cell) => sum + (cell % columns), 0) / cells.length;
  const middleY = cells.reduce((sum, cell) => sum + Math.floor(cell / columns), 0) / cells.length;
  const distance = (cell) => ((cell % columns) - middleX) ** 2 + (Math.floor(cell / columns) - middleY) ** 2;
  return candidates.reduce((best, cell) => (distance(cell) < distance(best) ? cell : best));
}
