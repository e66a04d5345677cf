// The upper canvas: what moves or is drawn in screen space above the picture (outline, ticks, letters, cursor).
import { isRegionNumber } from './image_state.js';
import { outlinePath, traceOutline } from './outline.js';

const DASH = 6;
const FRAME_MS = 70;
const LETTER_GRID = 150;

export class Overlay {
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.context = canvas.getContext('2d');
    this.letters = null; // class id -> key, only where hue alone does not tell classes apart.
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
    this.image = image;
    this.region = region;
    this.path = outlinePath(traceOutline(image.regions, image.width, region.number, region.bbox));
    this.labels = null;
  }

  clear() {
    this.path = null;
    this.paint();
  }

  paint() {
    const { context, canvas, viewport } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.path) return;
    if (this.mode === 'class') {
      this.paintTicks();
      if (this.letters) this.paintLetters();
    }
    const onScreen = new Path2D();
    onScreen.addPath(this.path, new DOMMatrix([viewport.scale, 0, 0, viewport.scale, viewport.x, viewport.y]));
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

  write(text, x, y, size) {
    const { context, viewport: { ratio } } = this;
    context.font = `700 ${size * ratio}px system-ui, sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.lineWidth = 3 * ratio;
    context.lineJoin = 'round';
    context.strokeStyle = 'rgb(20 20 24 / .75)';
    context.strokeText(text, x, y);
    context.fillStyle = '#fff';
    context.fillText(text, x, y);
  }

  paintTicks() {
    const { image, viewport, canvas } = this;
    for (const [number, { at, area }] of image.anchors) {
      if (image.isQueued(number) || number === this.region.number) continue;
      if (Math.sqrt(area) * viewport.scale < 16 * viewport.ratio) continue;
      const [x, y] = viewport.toScreen(...at);
      if (x > 0 && y > 0 && x < canvas.width && y < canvas.height) this.write('✓', x, y, 14);
    }
  }

  /** A key letter wherever a cell of a coarse screen grid shows one class only. */
  paintLetters() {
    const { image, viewport, canvas } = this;
    const step = LETTER_GRID * viewport.ratio;
    const reach = 14 * viewport.ratio;
    const classAt = (x, y) => {
      const [ix, iy] = viewport.toImage(x, y).map(Math.floor);
      if (ix < 0 || iy < 0 || ix >= image.width || iy >= image.height) return null;
      const p = iy * image.width + ix;
      return isRegionNumber(image.regions[p]) && image.regions[p] === this.region.number ? null : image.label[p];
    };
    for (let y = step / 2; y < canvas.height; y += step) {
      for (let x = step / 2; x < canvas.width; x += step) {
        const id = classAt(x, y);
        const around = [[reach, 0], [-reach, 0], [0, reach], [0, -reach]];
        if (id !== null && this.letters.has(id) && around.every(([dx, dy]) => classAt(x + dx, y + dy) === id)) {
          this.write(this.letters.get(id), x, y, 11);
        }
      }
    }
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
