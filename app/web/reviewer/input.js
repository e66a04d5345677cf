// Mouse, pen and touch on the stage. One finger or button acts, two fingers, the middle or right button move the view.
// Where a pen is in use only the pen draws: fingers move the view, and a resting hand does nothing.

const WHEEL_ZOOM = 1.0015;
const CLICK_PX = 4;
const RESTING_MS = 500; // So long after the pen was last near, a touch counts as the hand that holds it.
const PEN_ERASER = 5; // Button of the other end of a pen, and its bit among the buttons.
const PEN_ERASER_BIT = 32;

export class PointerInput {
  /** `actions`: isDrawing(), strokeBegin(point, isErasing), strokeMove(points), strokeEnd(), strokeDrop(), doubleClick(),
   *  hover(point), leave(), pan(dx, dy), zoom(x, y, factor), click(point). Points are device pixels of the canvas. */
  constructor(stage, viewport, actions) {
    Object.assign(this, { stage, viewport, actions });
    this.pointers = new Map(); // Those that are down and count.
    this.gesture = null; // 'draw', 'pan' or 'pinch'
    this.drawer = null; // The pointer that draws.
    this.penSeen = -Infinity;
    const on = (type, handler, options) => stage.addEventListener(type, handler.bind(this), options);
    on('pointerdown', this.down);
    on('pointermove', this.move);
    on('pointerup', this.up);
    on('pointercancel', this.cancel);
    on('dblclick', () => actions.isDrawing() && actions.doubleClick());
    on('pointerleave', () => actions.leave());
    on('wheel', this.wheel, { passive: false });
    on('contextmenu', (event) => event.preventDefault());
  }

  point(event) {
    const box = this.stage.getBoundingClientRect();
    return [(event.clientX - box.left) * this.viewport.ratio, (event.clientY - box.top) * this.viewport.ratio];
  }

  get hasPen() {
    return this.penSeen > -Infinity;
  }

  down(event) {
    this.stage.focus({ preventScroll: true });
    event.preventDefault();
    if (event.pointerType === 'pen') this.penDown(event);
    else if (this.isResting(event)) return;
    this.capture(event.pointerId);
    this.pointers.set(event.pointerId, this.point(event));
    if (this.pointers.size >= 2) this.beginPinch();
    else if (this.mayDraw(event)) this.beginStroke(event);
    else {
      this.gesture = 'pan';
      this.start = event.button === 0 ? this.point(event) : null;
    }
  }

  /** Whatever fingers were doing ends. */
  penDown(event) {
    this.penSeen = event.timeStamp;
    if (this.gesture === 'draw') this.dropStroke();
    this.pointers.clear();
    this.gesture = null;
  }

  /** A touch beside a pen that is down or near. */
  isResting(event) {
    return event.pointerType === 'touch' && this.hasPen && (this.gesture === 'draw' || event.timeStamp - this.penSeen < RESTING_MS);
  }

  mayDraw(event) {
    const isPressed = event.button === 0 || event.button === PEN_ERASER;
    return this.actions.isDrawing() && isPressed && !(event.pointerType === 'touch' && this.hasPen);
  }

  beginStroke(event) {
    this.gesture = 'draw';
    this.drawer = event.pointerId;
    this.actions.strokeBegin(this.point(event), event.button === PEN_ERASER || (event.buttons & PEN_ERASER_BIT) !== 0);
  }

  /** The stroke that the first finger began was the start of this. */
  beginPinch() {
    if (this.gesture === 'draw') this.dropStroke();
    this.gesture = 'pinch';
    this.start = null;
  }

  dropStroke() {
    this.drawer = null;
    this.actions.strokeDrop();
  }

  capture(pointerId) {
    try {
      this.stage.setPointerCapture(pointerId);
    } catch { /* The pointer is gone already: its pointerup follows. */ }
  }

  move(event) {
    if (event.pointerType === 'pen') this.penSeen = event.timeStamp;
    const point = this.point(event);
    const before = this.pointers.get(event.pointerId);
    if (event.pointerType !== 'touch' || this.drawer === event.pointerId) this.actions.hover(point);
    if (!before) return;
    if (this.gesture === 'draw') {
      const events = event.getCoalescedEvents?.() ?? []; // All points since the last frame: smooth lines.
      if (this.drawer === event.pointerId) this.actions.strokeMove((events.length ? events : [event]).map((each) => this.point(each)));
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
    if (this.drawer === event.pointerId) {
      this.drawer = null;
      this.actions.strokeEnd();
    } else if (this.gesture === 'pan' && this.start) {
      this.actions.click(this.start);
    }
    this.settle();
  }

  /** The system took the pointer away: what it drew was not meant. */
  cancel(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.drawer === event.pointerId) this.dropStroke();
    this.settle();
  }

  settle() {
    if (this.pointers.size === 0) this.gesture = null;
    else if (this.gesture === 'pinch' && this.pointers.size === 1) this.gesture = 'pan';
    this.start = null;
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 32 : 1;
    const speed = event.ctrlKey ? 6 : 1; // Trackpad pinches come as small ctrl-wheel steps.
    this.actions.zoom(...this.point(event), WHEEL_ZOOM ** (-event.deltaY * lines * speed));
  }
}
