// What tools show above the picture, in screen space: a dark line with a bright one on top is seen on every ground.

const DARK = 'rgb(20 20 24 / .85)';

/** `path` is in screen coordinates. */
export function strokeBoth({ context, viewport }, path, width = 1.5, bright = '#fff') {
  context.lineJoin = 'round';
  context.lineWidth = (width + 1.5) * viewport.ratio;
  context.strokeStyle = DARK;
  context.stroke(path);
  context.lineWidth = width * viewport.ratio;
  context.strokeStyle = bright;
  context.stroke(path);
}

/** What a shape would draw: in the color of its class, or white for the model's label. */
export function fillLightly({ context }, path, color) {
  context.globalAlpha = 0.4;
  context.fillStyle = color ?? '#fff';
  context.fill(path, 'evenodd');
  context.globalAlpha = 1;
}

/** A path in image coordinates, as one in screen coordinates. */
export function onScreen({ viewport }, path) {
  const moved = new Path2D();
  moved.addPath(path, viewport.matrix);
  return moved;
}

/** `cursor` is null while the pointer is somewhere else; a cross shows where the arrow keys are. */
export function paintCircle(painter, cursor, diameter) {
  if (cursor === null) return;
  const { viewport } = painter;
  const [x, y] = viewport.toScreen(...cursor.at);
  const radius = Math.max(2, (diameter / 2) * viewport.scale);
  const path = new Path2D();
  path.arc(x, y, radius, 0, 2 * Math.PI);
  strokeBoth(painter, path);
  if (cursor.isKeyboard) paintCross(painter, cursor, radius);
}

export function paintCross(painter, cursor, gap = 3) {
  if (cursor === null) return;
  const { viewport } = painter;
  const [x, y] = viewport.toScreen(...cursor.at);
  const inner = gap + 2 * viewport.ratio;
  const outer = inner + 12 * viewport.ratio;
  const path = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + dx * inner, y + dy * inner);
    path.lineTo(x + dx * outer, y + dy * outer);
  }
  strokeBoth(painter, path);
}
