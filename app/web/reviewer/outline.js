// The border of one region as closed polylines along pixel edges, for a dashed stroke.

const RIGHT = 0, DOWN = 1, LEFT = 2, UP = 3;
const STEP = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/** Closed loops [[x, y], ...] in image coordinates around all pixels of `number`; region on the right-hand side. */
export function traceOutline(regions, width, number, [x0, y0, x1, y1]) {
  const inside = (x, y) => x >= x0 && x < x1 && y >= y0 && y < y1 && regions[y * width + x] === number;
  const columns = x1 - x0 + 1;
  const key = (x, y, direction) => ((y - y0) * columns + (x - x0)) * 4 + direction;
  const edges = new Set();
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      if (!inside(x, y)) continue;
      if (!inside(x, y - 1)) edges.add(key(x, y, RIGHT));
      if (!inside(x + 1, y)) edges.add(key(x + 1, y, DOWN));
      if (!inside(x, y + 1)) edges.add(key(x + 1, y + 1, LEFT));
      if (!inside(x - 1, y)) edges.add(key(x, y + 1, UP));
    }
  }
  const loops = [];
  for (const first of edges) {
    const loop = [];
    let edge = first;
    while (edges.delete(edge)) {
      const direction = edge & 3;
      const corner = edge >> 2;
      let x = (corner % columns) + x0;
      let y = Math.floor(corner / columns) + y0;
      if (loop.length === 0 || loop.direction !== direction) loop.push([x, y]);
      loop.direction = direction;
      x += STEP[direction][0];
      y += STEP[direction][1];
      // Turning right first keeps pixels that touch only at a corner in separate loops.
      edge = [1, 0, 3].map((turn) => key(x, y, (direction + turn) & 3)).find((candidate) => edges.has(candidate)) ?? -1;
    }
    loops.push(loop);
  }
  return loops;
}

export function outlinePath(loops) {
  const path = new Path2D();
  for (const loop of loops) {
    loop.forEach(([x, y], i) => (i === 0 ? path.moveTo(x, y) : path.lineTo(x, y)));
    path.closePath();
  }
  return path;
}
