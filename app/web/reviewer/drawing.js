// Brush and eraser: which tool is on, how large it is, where its cursor is, and what a stroke does to the screen.
import { PointerInput } from './input.js';
import { VOID_ID } from './palette.js';
import { Strokes } from './strokes.js';

const LARGEST_BRUSH = 200;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Drawing {
  constructor({ stage, screen, activity, onChange, onClick }) {
    const { viewport, renderer, overlay } = screen;
    Object.assign(this, { viewport, renderer, overlay, activity, onChange });
    Object.assign(this, { tool: null, diameter: 9, classId: 0, unlocked: false, strokes: null, at: [0, 0], isEnabled: false });
    this.input = new PointerInput(stage, viewport, {
      isDrawing: () => this.tool !== null && this.isEnabled,
      strokeBegin: (point, isEraser) => this.begin(viewport.toImage(...point), isEraser || this.tool === 'eraser'),
      strokeMove: (points) => this.extend(points.map((point) => viewport.toImage(...point))),
      strokeEnd: () => this.end(),
      strokeDrop: () => this.drop(),
      hover: (point) => this.moveTo(viewport.toImage(...point)),
      leave: () => this.hideCursor(),
      pan: (dx, dy) => { viewport.pan(dx, dy); screen.moved(); },
      zoom: (x, y, factor) => { viewport.zoomAt(x, y, factor); screen.moved(); },
      click: (point) => onClick(viewport.toImage(...point)),
    });
  }

  get hasStrokes() {
    return this.strokes !== null && !this.strokes.isEmpty;
  }

  /** Start afresh on a region: no tool, locked, brush in the region's own class. */
  reset(image, region) {
    this.strokes = new Strokes(image);
    this.unlocked = false;
    this.classId = region.class_id;
    this.at = [(region.bbox[0] + region.bbox[2]) / 2, (region.bbox[1] + region.bbox[3]) / 2];
    this.setTool(null);
  }

  setTool(tool) {
    this.tool = tool;
    this.overlay.cursor = tool === null ? null : this.cursor;
    this.overlay.paint();
    this.onChange();
  }

  toggleLock() {
    this.unlocked = !this.unlocked;
    this.strokes.unlocked = this.unlocked;
    this.onChange();
  }

  resize(direction) {
    const step = this.diameter < 10 ? 1 : this.diameter < 40 ? 4 : 10;
    this.diameter = Math.min(LARGEST_BRUSH, Math.max(1, this.diameter + direction * step));
    this.setTool(this.tool);
  }

  choose(classId) {
    this.classId = classId;
    this.setTool('brush');
  }

  get cursor() {
    return { x: this.at[0], y: this.at[1], diameter: this.diameter };
  }

  moveTo(point) {
    this.at = point;
    if (this.tool === null) return;
    this.overlay.cursor = this.cursor;
    this.overlay.paint();
  }

  hideCursor() {
    if (this.tool === null) return;
    this.overlay.cursor = null;
    this.overlay.paint();
  }

  /** Arrow keys and Space while a tool is on; true when the key was used. */
  key(event) {
    if (this.tool === null) return false;
    if (event.key === ' ') {
      this.begin(this.at, this.tool === 'eraser');
      this.end();
      return true;
    }
    const step = STEPS[event.key];
    if (!step) return false;
    const size = event.shiftKey ? 10 : 1;
    const { imageWidth, imageHeight } = this.viewport;
    this.moveTo([
      Math.min(imageWidth - 0.5, Math.max(0.5, Math.floor(this.at[0]) + 0.5 + step[0] * size)),
      Math.min(imageHeight - 0.5, Math.max(0.5, Math.floor(this.at[1]) + 0.5 + step[1] * size)),
    ]);
    return true;
  }

  begin(point, isErasing) {
    this.strokes.begin(isErasing ? null : this.classId);
    this.last = point;
    this.extend([point]);
  }

  extend(points) {
    if (this.strokes.current === null) return;
    for (const point of points) {
      const box = this.strokes.line(...this.last, ...point, this.diameter);
      this.last = point;
      if (box) this.renderer.paint(box);
    }
  }

  end() {
    if (this.strokes.end()) this.activity.note('strokes');
    this.onChange();
  }

  /** A second finger came down: the stroke was the start of a pinch. */
  drop() {
    if (this.strokes.end()) {
      this.strokes.undo();
      this.strokes.undone.pop();
    }
    this.renderer.paint();
  }

  /** Undo or redo a stroke; false when there is none. */
  step(direction) {
    const box = direction < 0 ? this.strokes.undo() : this.strokes.redo();
    if (box === null) return false;
    this.activity.note('undos');
    this.renderer.paint(box);
    if (this.tool === null) this.setTool('brush'); // A redo after Esc: drawing goes on.
    this.onChange();
    return true;
  }

  cancel() {
    this.strokes.cancel();
    this.setTool(null);
    this.renderer.paint();
  }

  /** Draw saved values again, as one stroke: for a drawing that the server refused. */
  replay([x0, y0, x1], values) {
    const { strokes } = this;
    const width = x1 - x0;
    const untouched = 254;
    for (const classId of new Set(values)) {
      if (classId === untouched) continue;
      strokes.begin(classId);
      values.forEach((value, i) => {
        if (value === classId) strokes.set((y0 + Math.floor(i / width)) * strokes.image.width + x0 + (i % width));
      });
      strokes.end();
    }
    this.renderer.paint();
    this.setTool('brush');
  }

  describe(classes) {
    if (this.tool === null) return '';
    const name = this.classId === VOID_ID ? 'void' : classes.get(this.classId).name;
    const what = this.tool === 'eraser' ? "Eraser, back to the model's label" : `Brush, ${name}`;
    const { length } = this.strokes.done;
    return `${what}, ${this.diameter} px. ${this.unlocked ? 'Reliable pixels are UNLOCKED; this is logged. ' : ''}` +
      `${length} ${length === 1 ? 'stroke' : 'strokes'}. Enter saves, Esc cancels.`;
  }
}
