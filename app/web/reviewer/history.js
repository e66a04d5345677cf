// What undo and redo reach: this person's actions in the order in which they were made, those of earlier visits included.

const MOST_BYTES = 96e6; // Of edits kept to be taken back here and now; older ones are asked of the server.

export class History {
  constructor() {
    this.done = []; // {opId, kind, imageId, regionId, bbox, edit, regions}: `edit` null when only the server knows the pixels.
    this.undone = [];
  }

  /** Begin with what the server knows, the next step first. */
  load({ undo, redo }) {
    this.done = undo.map(stepOf).reverse();
    this.undone = redo.map(stepOf).reverse();
  }

  add(step) {
    this.done.push(step);
    this.undone = [];
    this.forgetOldEdits();
  }

  /** The step that undo (-1) or redo (1) would reach, or undefined. */
  next(direction) {
    return (direction < 0 ? this.done : this.undone).at(-1);
  }

  /** Undo or redo went over the next step. */
  move(direction) {
    const [from, to] = direction < 0 ? [this.done, this.undone] : [this.undone, this.done];
    to.push(from.pop());
  }

  /** The action never happened, or the server does not know it that way. */
  remove(opId) {
    this.done = this.done.filter((step) => step.opId !== opId);
    this.undone = this.undone.filter((step) => step.opId !== opId);
  }

  find(opId) {
    return this.done.find((step) => step.opId === opId) ?? this.undone.find((step) => step.opId === opId);
  }

  /** How many strokes on a region are the last things done. */
  strokesOn(regionId) {
    let count = 0;
    while (isStrokeOn(this.done.at(-1 - count), regionId)) count += 1;
    return count;
  }

  forgetOldEdits() {
    let bytes = 0;
    for (const step of this.done.toReversed()) {
      bytes += step.edit?.bytes ?? 0;
      if (bytes > MOST_BYTES) step.edit = null;
    }
  }
}

const isStrokeOn = (step, regionId) => step?.kind === 'draw' && !step.closesRegion && step.regionId === regionId;

const stepOf = (row) => ({
  opId: row.op_id, kind: row.kind, imageId: row.image_id, regionId: row.region_id, closesRegion: row.closes_region,
  bbox: row.bbox, edit: null, regions: [],
});
