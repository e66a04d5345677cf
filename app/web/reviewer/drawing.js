// Drawing on the picture: which tool is on, where its cursor is, and one stroke after another by mouse, pen, finger or keys.
import { PointerInput } from './input.js';
import { VOID_COLOR, VOID_ID, cssColor } from './palette.js';
import { LOCKED, MOSTLY_LOCKED, Strokes } from './strokes.js';
import { Superpixels } from './superpixels.js';
import { Brush, firstDiameter } from './tools/brush.js';
import { Fill } from './tools/fill.js';
import { Flag } from './tools/flag.js';
import { Polygon } from './tools/polygon.js';
import { SuperpixelBrush } from './tools/superpixel_brush.js';

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAST = 10; // Pixels with Shift.
const MARGIN = 24; // CSS pixels that the keyboard's cross keeps from the edge of the view.
const MOSTLY = 10; // A stroke is mostly on locked pixels when they are this many times those that it changes.
const FLAG_FIRST = 'Click the wrong area first; then a class key says what it is. Esc leaves the tool.';

export class Drawing {
  /** `onStroke(edit)`, `onFlag([x, y])`, `onClick([x, y])` without a tool, `onChange()`. */
  constructor({ stage, screen, activity, superpixels, classes, ...handlers }) {
    Object.assign(this, { screen, viewport: screen.viewport, activity, classes, ...handlers });
    Object.assign(this, { tool: null, diameter: 9, isDiameterChosen: false, classId: 0, strokes: null, cursor: null, at: [0, 0] });
    Object.assign(this, { isEnabled: false, isHeld: false, isLatched: false, note: null, dirty: null, frame: null });
    this.superpixels = new Superpixels(superpixels, {
      onLoaded: () => { this.tools.superpixels.loaded(); this.changed(); },
      onFailed: (error) => { this.tools.superpixels.failed(); this.say(`Superpixels could not be loaded. ${error.message}`); },
    });
    this.tools = {
      brush: new Brush(this, false), eraser: new Brush(this, true), superpixels: new SuperpixelBrush(this, this.superpixels),
      polygon: new Polygon(this), fill: new Fill(this), flag: new Flag(this),
    };
    screen.overlay.painters.push((painter) => this.active?.paint(painter));
    this.input = new PointerInput(stage, this.viewport, this.pointerActions());
    stage.addEventListener('blur', () => this.letGo());
  }

  pointerActions() {
    const toImage = (point) => this.viewport.toImage(...point);
    return {
      isDrawing: () => this.tool !== null && this.isEnabled,
      strokeBegin: (point, isErasing) => { this.moveTo(toImage(point), false); this.begin(isErasing); },
      strokeMove: (points) => this.active?.extend(points.map(toImage)),
      strokeEnd: () => this.end(),
      strokeDrop: () => { this.active?.drop(); this.changed(); },
      doubleClick: () => { if (this.isEnabled && this.active?.doubleClick) { this.active.doubleClick(); this.changed(); } },
      hover: (point) => this.moveTo(toImage(point), false),
      leave: () => { this.cursor = null; this.paintSoon(); },
      pan: (dx, dy) => { this.viewport.pan(dx, dy); this.screen.moved(); },
      zoom: (x, y, factor) => { this.viewport.zoomAt(x, y, factor); this.screen.moved(); },
      click: (point) => this.onClick(toImage(point)),
    };
  }

  get active() {
    return this.tool === null ? null : this.tools[this.tool];
  }

  /** Whether something is begun that is not a stroke yet. */
  get isActive() {
    return Boolean(this.strokes?.isActive || this.active?.isActive);
  }

  get unlocked() {
    return this.strokes?.unlocked ?? false;
  }

  get className() {
    return this.classId === VOID_ID ? 'void' : this.classes.get(this.classId).name;
  }

  /** Null when the tool has none. */
  get sizeText() {
    return this.tool === null ? this.tools.brush.sizeText : this.active.sizeText ?? null;
  }

  /** Whether Enter closes a shape instead of finishing the region. */
  get isClosing() {
    return this.active?.isActive ?? false;
  }

  /** What tools show where they will draw; null for the model's label, which is known pixel by pixel. */
  get color() {
    if (this.active.isErasing || this.active.isEraser) return null;
    return this.classId === VOID_ID ? VOID_COLOR : cssColor(this.classes.get(this.classId).color);
  }

  /** Start afresh on a region: no tool, locked, in the region's own class. */
  reset(image, region) {
    this.stop();
    if (this.image !== image) this.strokes = new Strokes(image);
    Object.assign(this, { image, region, classId: region.class_id, isFromScratch: region.kind === 'control' });
    this.strokes.unlocked = false;
    this.superpixels.setImage(image);
    this.at = image.anchors.get(region.number).at; // Inside, unlike the middle of its box.
    this.setTool(null);
  }

  setTool(tool) {
    if (tool !== this.tool) this.stop();
    if (this.tool === null && !this.isDiameterChosen) this.diameter = firstDiameter(this.image, this.viewport);
    Object.assign(this, { tool, note: null });
    this.active?.prepare?.();
    this.cursor ??= tool === null ? null : { at: this.at, isKeyboard: true };
    this.changed();
  }

  /** Give up what is begun. */
  stop() {
    if (this.strokes?.isActive) this.dropStroke();
    this.active?.reset?.();
    Object.assign(this, { isHeld: false, isLatched: false });
  }

  chooseDiameter(diameter) {
    Object.assign(this, { diameter, isDiameterChosen: true });
  }

  toggleLock() {
    this.strokes.unlocked = !this.strokes.unlocked;
    this.changed();
  }

  resize(direction) {
    if (this.sizeText === null) return;
    (this.active ?? this.tools.brush).resize(direction);
    this.changed();
  }

  /** The class to draw in: with the brush, where no tool is on that draws in a class. */
  choose(classId) {
    if (this.tool === 'flag') return this.say(FLAG_FIRST);
    this.classId = classId;
    return this.setTool(this.tool === null || this.tool === 'eraser' ? 'brush' : this.tool);
  }

  changed() {
    this.paintSoon();
    this.onChange();
  }

  /** A sentence that stays until the person does something else. */
  say(text) {
    this.note = text;
    this.changed();
  }

  // --- where the tool is ---

  moveTo(point, isKeyboard) {
    this.at = point;
    this.cursor = { at: point, isKeyboard };
    if (this.tool !== null) this.paintSoon();
  }

  /** The pixel behind a point; null outside of the image. */
  pixelAt([x, y]) {
    const { width, height } = this.image;
    const [column, row] = [Math.floor(x), Math.floor(y)];
    return column >= 0 && row >= 0 && column < width && row < height ? row * width + column : null;
  }

  describePlace() {
    const p = this.pixelAt(this.at);
    if (p === null) return '';
    const id = this.image.label[p];
    const name = id === VOID_ID ? 'void' : this.classes.get(id).name;
    if (this.isFromScratch) return `${Math.floor(this.at[0])}, ${Math.floor(this.at[1])}: ${this.image.isBare(p) ? 'not drawn yet' : name}. `;
    const where = this.image.regions[p] === this.region.number ? 'in the region' : this.strokes.isFree(p) ? 'outside the region' : 'locked';
    return `${Math.floor(this.at[0])}, ${Math.floor(this.at[1])}: ${name}, ${where}. `;
  }

  // --- keys, while a tool is on; true when the key was used ---

  key(event) {
    if (this.tool === null) return false;
    this.note = null;
    const isUsed = this.active.key?.(event) || this.apply(event) || this.step(event);
    if (isUsed) this.changed();
    return isUsed;
  }

  /** Space draws while it is held down; Shift and Space hold it down until the next Space. */
  apply({ key, shiftKey, repeat }) {
    if (key !== ' ') return false;
    if (repeat) return true;
    if (this.isLatched) {
      this.letGo();
    } else {
      this.moveTo(this.at, true);
      this.begin(false);
      Object.assign(this, { isHeld: true, isLatched: shiftKey });
    }
    return true;
  }

  keyUp({ key }) {
    if (key === ' ' && !this.isLatched) this.letGo();
  }

  letGo() {
    if (!this.isHeld) return;
    Object.assign(this, { isHeld: false, isLatched: false });
    this.end();
  }

  step({ key, shiftKey }) {
    const step = STEPS[key];
    if (!step) return false;
    const size = shiftKey ? FAST : 1;
    const { width, height } = this.image;
    this.moveTo([
      Math.min(width - 0.5, Math.max(0.5, Math.floor(this.at[0]) + 0.5 + step[0] * size)),
      Math.min(height - 0.5, Math.max(0.5, Math.floor(this.at[1]) + 0.5 + step[1] * size)),
    ], true);
    if (this.isHeld) this.active.extend([this.at]);
    this.bringIntoView();
    return true;
  }

  /** By key: around the keyboard's cross while it is seen, else around the middle of the view. */
  zoom(factor) {
    const hasCross = this.tool !== null && this.cursor?.isKeyboard;
    if (hasCross) this.bringIntoView();
    this.screen.zoom(factor, hasCross ? this.viewport.toScreen(...this.at) : null);
  }

  bringIntoView() {
    const { viewport } = this;
    const margin = MARGIN * viewport.ratio;
    const [dx, dy] = viewport.toScreen(...this.at).map((at, axis) => {
      const size = axis === 0 ? viewport.width : viewport.height;
      return at < margin ? margin - at : at > size - margin ? size - margin - at : 0;
    });
    if (dx === 0 && dy === 0) return;
    viewport.pan(dx, dy);
    this.screen.moved();
  }

  // --- strokes ---

  begin(isErasing) {
    this.note = null;
    this.active.begin(this.at, isErasing);
  }

  end() {
    this.active?.end();
    this.changed();
  }

  /** For tools: begin a stroke in the class that is chosen, or back to the model's label. */
  beginStroke(isErasing, classId = this.classId) {
    this.strokes.begin(isErasing ? null : classId);
  }

  /** Why the region cannot be left yet, as a sentence; null when it can. */
  get unfinished() {
    return this.tools.superpixels.waiting > 0 ? this.tools.superpixels.describeWaiting() : null;
  }

  /** Resolves to whether it is kept; null when it reached no pixel. */
  finishStroke() {
    const numLocked = this.strokes.current?.locked.length ?? 0;
    const edit = this.strokes.end();
    if (numLocked > MOSTLY * (edit?.indices.length ?? 0)) this.say(edit === null ? LOCKED : MOSTLY_LOCKED);
    if (edit === null) return null;
    this.activity.note('strokes');
    this.screen.paintMarks();
    return this.onStroke(edit);
  }

  dropStroke() {
    this.repaint(this.strokes.drop());
  }

  /** Draw saved values again, as one stroke for each class: for a drawing that the server refused. What `onStroke` said. */
  replay([x0, y0, x1], values, untouched) {
    const { strokes } = this;
    const finished = [...new Set(values)].filter((classId) => classId !== untouched).map((classId) => {
      strokes.begin(classId);
      values.forEach((value, i) => {
        const [x, y] = [x0 + (i % (x1 - x0)), y0 + Math.floor(i / (x1 - x0))];
        if (value === classId) strokes.set(y * this.image.width + x, x, y);
      });
      return this.finishStroke();
    });
    this.screen.paint();
    return finished.filter((each) => each !== null);
  }

  // --- painting, once a frame ---

  /** The label changed in a box of the image. */
  repaint(box) {
    if (box === null) return;
    const { dirty } = this;
    this.dirty = dirty === null ? box : [0, 1, 2, 3].map((i) => (i < 2 ? Math.min : Math.max)(dirty[i], box[i]));
    this.paintSoon();
  }

  paintSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.dirty !== null) this.screen.renderer.paint(this.dirty);
      this.dirty = null;
      this.screen.overlay.paint();
    });
  }

  /** `strokes` is how many were made on this region. */
  describe(strokes) {
    if (this.note !== null) return this.note;
    const place = this.cursor?.isKeyboard ? this.describePlace() : '';
    const lock = this.unlocked ? 'Reliable pixels are UNLOCKED; this is logged. ' : '';
    const held = this.isLatched ? 'Held down: Space lets go. ' : '';
    if (this.tool === 'flag' || this.isClosing) return `${place}${held}${lock}${this.active.describe()}`;
    const ends = this.isFromScratch ? 'Labeled from scratch: Enter finishes the image.' : 'Enter finishes the region, Esc takes its strokes back.';
    return `${place}${held}${lock}${this.active.describe()} ${strokes} ${strokes === 1 ? 'stroke' : 'strokes'}. ${ends}`;
  }
}
