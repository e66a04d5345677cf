// The upper canvas: what moves above the picture, the current region's outline and the tool's cursor.
import { outlinePath, traceOutline } from './outline.js';

const DASH = 6;
const FRAME_MS = 70;

export class Overlay {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.context = canvas.getContext('2d');
    this.cursor = null;
    this.isStill = matchMedia('(prefers-reduced-motion: reduce)');
    this.phase = 0;
    this.lastFrame = 0;
    const tick = (time) => {
      if (!canvas.isConnected) return;
      if (!this.isStill.matches && time - this.lastFrame > FRAME_MS && this.path) {
        this.lastFrame = time;
        this.phase = (this.phase + 1) % (2 * DASH);
        this.paint();
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  setRegion(image, region) {
    this.path = outlinePath(traceOutline(image.regions, image.width, region.number, region.bbox));
  }

  clear() {
    this.path = null;
    this.paint();
  }

  paint() {
    const { context, canvas, viewport } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.path) return;
    const onScreen = new Path2D();
    onScreen.addPath(this.path, viewport.matrix);
    this.strokeTwice(onScreen);
    if (this.cursor) this.paintCursor();
  }

  strokeTwice(path) {
    const { context, viewport: { ratio } } = this;
    context.lineWidth = 2 * ratio;
    context.setLineDash([]);
    context.strokeStyle = 'rgb(255 255 255 / .95)';
    context.stroke(path);
    context.setLineDash([DASH * ratio, DASH * ratio]);
    context.lineDashOffset = -this.phase * ratio;
    context.strokeStyle = '#15161a';
    context.stroke(path);
    context.setLineDash([]);
  }

  paintCursor() {
    const { context, viewport, cursor: { x, y, diameter } } = this;
    const [screenX, screenY] = viewport.toScreen(x, y);
    const circle = new Path2D();
    circle.arc(screenX, screenY, Math.max(2, (diameter / 2) * viewport.scale), 0, 2 * Math.PI);
    context.lineWidth = 3 * viewport.ratio;
    context.strokeStyle = 'rgb(20 20 24 / .8)';
    context.stroke(circle);
    context.lineWidth = 1.5 * viewport.ratio;
    context.strokeStyle = '#fff';
    context.stroke(circle);
  }
}
