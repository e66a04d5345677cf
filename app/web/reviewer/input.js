// Mouse, pen and touch on the stage. One finger or button acts, two fingers, the middle or right button move the view.

const WHEEL_ZOOM = 1.0015;
const CLICK_PX = 4;

export class PointerInput {
  /** `actions`: isDrawing(), strokeBegin(point, isEraser), strokeMove(points), strokeEnd(), strokeDrop(), hover(point),
   *  leave(), pan(dx, dy), zoom(x, y, factor), click(point). Points are device pixels of the canvas. */
  constructor(stage, viewport, actions) {
    Object.assign(this, { stage, viewport, actions });
    this.pointers = new Map();
    this.gesture = null; // 'draw', 'pan' or 'pinch'
    this.penSeen = false;
    const on = (type, handler, options) => stage.addEventListener(type, handler.bind(this), options);
    on('pointerdown', this.down);
    on('pointermove', this.move);
    on('pointerup', this.up);
    on('pointercancel', this.up);
    on('pointerleave', () => actions.leave());
    on('wheel', this.wheel, { passive: false });
    on('contextmenu', (event) => event.preventDefault());
  }

  point(event) {
    const box = this.stage.getBoundingClientRect();
    return [(event.clientX - box.left) * this.viewport.ratio, (event.clientY - box.top) * this.viewport.ratio];
  }

  down(event) {
    this.stage.focus({ preventScroll: true });
    event.preventDefault();
    this.capture(event.pointerId);
    this.pointers.set(event.pointerId, this.point(event));
    if (event.pointerType === 'pen') this.penSeen = true;
    if (this.pointers.size === 2) {
      if (this.gesture === 'draw') this.actions.strokeDrop();
      this.gesture = 'pinch';
      return;
    }
    const isPalm = event.pointerType === 'touch' && this.penSeen;
    const isEraser = event.button === 5; // The other end of a pen.
    if (this.actions.isDrawing() && (event.button === 0 || isEraser) && !isPalm) {
      this.gesture = 'draw';
      this.actions.strokeBegin(this.point(event), isEraser);
    } else {
      this.gesture = 'pan';
      this.start = event.button === 0 ? this.point(event) : null;
    }
  }

  capture(pointerId) {
    try {
      this.stage.setPointerCapture(pointerId);
    } catch { /* The pointer is gone already: its pointerup follows. */ }
  }

  move(event) {
    const point = this.point(event);
    this.actions.hover(point);
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (this.gesture === 'draw') {
      const events = event.getCoalescedEvents?.() ?? [];
      this.actions.strokeMove((events.length ? events : [event]).map((each) => this.point(each)));
    } else if (this.gesture === 'pinch') {
      this.pinch(event.pointerId, before, point);
    } else if (this.gesture === 'pan') {
      this.actions.pan(point[0] - before[0], point[1] - before[1]);
      if (this.start && Math.hypot(point[0] - this.start[0], point[1] - this.start[1]) > CLICK_PX * this.viewport.ratio) this.start = null;
    }
    this.pointers.set(event.pointerId, point);
  }

  pinch(pointerId, before, after) {
    const other = [...this.pointers].find(([id]) => id !== pointerId)?.[1];
    if (!other) return;
    const distance = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
    const middle = [(after[0] + other[0]) / 2, (after[1] + other[1]) / 2];
    this.actions.pan((after[0] - before[0]) / 2, (after[1] - before[1]) / 2);
    this.actions.zoom(...middle, distance(after) / distance(before));
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.gesture === 'draw') this.actions.strokeEnd();
    if (this.gesture === 'pan' && this.start && event.type === 'pointerup') this.actions.click(this.start);
    if (this.pointers.size === 0) this.gesture = null;
    else if (this.gesture === 'pinch') this.gesture = 'pan';
    this.start = null;
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 32 : 1;
    const speed = event.ctrlKey ? 6 : 1; // Trackpad pinches come as small ctrl-wheel steps.
    this.actions.zoom(...this.point(event), WHEEL_ZOOM ** (-event.deltaY * lines * speed));
  }
}
