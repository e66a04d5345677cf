// The upper canvas: what moves above the picture, the current region's outline and what others paint there, as tools.
import { outlinePath, traceOutline } from './outline.js';

const DASH = 6;
const FRAME_MS = 70;

export class Overlay {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.context = canvas.getContext('2d');
    this.painters = []; // Called with {context, viewport}, in this order.
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
    for (const paint of this.painters) paint(this);
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
}
