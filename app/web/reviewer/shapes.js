// Which pixels a shape covers: those whose middle lies in it. Shapes call `paint(y, start, end)` for every row of theirs.

/** A line with round ends of a diameter, between two points in image coordinates; returns its box inside the image or null. */
export function paintLine([x0, y0], [x1, y1], diameter, { width, height }, paint) {
  if (diameter <= 1) [x0, y0, x1, y1] = [x0, y0, x1, y1].map((value) => Math.floor(value) + 0.5);
  const radius = Math.max(0.5, diameter / 2);
  const top = Math.max(0, Math.ceil(Math.min(y0, y1) - radius - 0.5));
  const bottom = Math.min(height - 1, Math.floor(Math.max(y0, y1) + radius - 0.5));
  const box = [width, height, 0, 0];
  for (let y = top; y <= bottom; y++) {
    const [from, to] = crossing(y + 0.5, x0, y0, x1, y1, radius);
    const start = Math.max(0, Math.ceil(from - 0.5));
    const end = Math.min(width, Math.floor(to - 0.5) + 1);
    if (start >= end) continue;
    paint(y, start, end);
    widen(box, y, start, end);
  }
  return box[3] === 0 ? null : box;
}

/** Let a box reach over pixels `start` up to `end` of a row below those before. */
function widen(box, y, start, end) {
  box[0] = Math.min(box[0], start);
  box[1] = Math.min(box[1], y);
  box[2] = Math.max(box[2], end);
  box[3] = y + 1;
}

/** Where a row crosses the line: one interval, because the shape is convex; from > to when it does not. */
function crossing(y, x0, y0, x1, y1, radius) {
  let from = Infinity;
  let to = -Infinity;
  const include = (x, reach) => {
    from = Math.min(from, x - reach);
    to = Math.max(to, x + reach);
  };
  for (const [x, center] of [[x0, y0], [x1, y1]]) {
    const reach2 = radius * radius - (y - center) * (y - center);
    if (reach2 >= 0) include(x, Math.sqrt(reach2));
  }
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = Math.hypot(dx, dy);
  if (length === 0) return [from, to];
  // The straight part is a rectangle; the row enters and leaves it on two of its sides.
  const [nx, ny] = [(-dy / length) * radius, (dx / length) * radius];
  const corners = [[x0 + nx, y0 + ny], [x1 + nx, y1 + ny], [x1 - nx, y1 - ny], [x0 - nx, y0 - ny]];
  corners.forEach(([ax, ay], i) => {
    const [bx, by] = corners[(i + 1) % 4];
    if ((ay <= y) !== (by <= y)) include(ax + ((y - ay) / (by - ay)) * (bx - ax), 0);
  });
  return [from, to];
}

/** The inside of a closed polygon by the even-odd rule; returns its box inside the image or null. */
export function paintPolygon(points, { width, height }, paint) {
  const ys = points.map(([, y]) => y);
  const top = Math.max(0, Math.ceil(Math.min(...ys) - 0.5));
  const bottom = Math.min(height - 1, Math.floor(Math.max(...ys) - 0.5));
  const box = [width, height, 0, 0];
  for (let y = top; y <= bottom; y++) {
    const crossings = [];
    points.forEach(([ax, ay], i) => {
      const [bx, by] = points[(i + 1) % points.length];
      if ((ay <= y + 0.5) !== (by <= y + 0.5)) crossings.push(ax + ((y + 0.5 - ay) / (by - ay)) * (bx - ax));
    });
    crossings.sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const start = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const end = Math.min(width, Math.ceil(crossings[i + 1] - 0.5));
      if (start >= end) continue;
      paint(y, start, end);
      widen(box, y, start, end);
    }
  }
  return box[3] === 0 ? null : box;
}

/** The pixels that hang together with (x, y) over their sides and for which `isInside(p)`; `paint` makes that false for them. */
export function paintArea([x, y], { width, height }, isInside, paint) {
  const box = [width, height, 0, 0];
  const seeds = [[x, y]];
  while (seeds.length > 0) {
    const [seedX, row] = seeds.pop();
    const base = row * width;
    if (!isInside(base + seedX)) continue;
    let [start, end] = [seedX, seedX + 1];
    while (start > 0 && isInside(base + start - 1)) start -= 1;
    while (end < width && isInside(base + end)) end += 1;
    paint(row, start, end);
    box[0] = Math.min(box[0], start);
    box[1] = Math.min(box[1], row);
    box[2] = Math.max(box[2], end);
    box[3] = Math.max(box[3], row + 1);
    for (const next of [row - 1, row + 1]) {
      if (next < 0 || next >= height) continue;
      for (let at = start; at < end; at++) {
        const isStart = isInside(next * width + at) && (at === start || !isInside(next * width + at - 1));
        if (isStart) seeds.push([at, next]);
      }
    }
  }
  return box[3] === 0 ? null : box;
}
