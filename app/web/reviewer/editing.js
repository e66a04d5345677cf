// What this person does: decisions, strokes, flags, and taking them back. Shown at once, kept by the outbox, then answered.
import { percent } from './dom.js';
import { describeReversal } from './reversals.js';
import { editRegions } from './edits.js';
import { History } from './history.js';
import { newId } from './outbox.js';
import { VOID_ID } from './palette.js';

const WAIT = 'Wait: the server is asked what that changes.';
export const NEEDS_SERVER = 'That needs the server, which does not answer now. What waits is sent when it does; try again then.';
export const ANSWER_FIRST = 'Enter gives them the class, Esc leaves them as they are.';
const NOTHING_DRAWN = 'Nothing is drawn. Esc leaves the tool; then Space accepts the region as it is.';
const BARE_SHARE = 0.01; // So little that nobody drew of an image becomes void without a question.
const PATHS = { '-1': '/api/undo', 1: '/api/redo' };

export class Editing {
  constructor(reviewer) {
    this.reviewer = reviewer;
    this.history = new History();
    this.unanswered = new Set(); // Ids of actions that are shown here and not answered yet.
    this.asked = new Map(); // op_id of an undo or redo -> {step, isMirrored, direction}
    this.waiting = 0; // Actions whose effect only the server knows: until they are answered nothing else may change.
  }

  header(kind, more = {}) {
    const { current: { row }, image, tab, activity } = this.reviewer;
    return {
      op_id: newId(), kind, image_id: row.image_id, image_version: image.version, region_id: row.region_id, class_id: null,
      session: tab, lock_override: false, closes_region: false, stats: activity.take(), ...more,
    };
  }

  /** Hand an action to the outbox. False when this browser cannot keep it: then it did not happen. */
  async keep(path, header, delta = null) {
    try {
      await this.reviewer.outbox.add(path, header, delta);
      return true;
    } catch (error) {
      this.reviewer.view.warn(error.message);
      return false;
    }
  }

  /** Whether something may be done to the current region now; says why not. */
  isReady() {
    const { reviewer } = this;
    if (reviewer.isBusy || !reviewer.current) return false;
    if (reviewer.readOnly !== null) reviewer.view.say(reviewer.readOnly);
    else if (this.waiting > 0) reviewer.view.say(WAIT);
    else if (reviewer.propagation.preview) reviewer.view.say(ANSWER_FIRST);
    else return true;
    return false;
  }

  // --- decisions ---

  async decide(kind, state, classId = null) {
    if (!this.isReady()) return;
    const { reviewer } = this;
    const { image, current: { row } } = reviewer;
    reviewer.setBusy(true);
    const header = this.header(kind, { class_id: kind === 'relabel' ? classId : null });
    if (!(await this.keep('/api/decisions', header))) return reviewer.setBusy(false);
    const edit = editRegions(image, state === 'decided' ? [row] : [], classId);
    this.record(header, { edit, bbox: row.bbox, regions: [this.change(image, row, state)] });
    if (classId !== null) reviewer.propagation.relabeled(row, classId);
    await reviewer.goNext();
  }

  chooseClass(classId) {
    const { drawing, isFromScratch, readOnly, view } = this.reviewer;
    if (readOnly !== null) view.say(readOnly);
    else if (drawing.tool !== null || isFromScratch) drawing.choose(classId);
    else if (classId === VOID_ID) this.decide('void', 'decided', VOID_ID);
    else this.decide('relabel', 'decided', classId);
  }

  /** The drawing is finished: the rest of the region is right as it is shown. */
  async commit(isSure = false) {
    if (!this.isReady()) return undefined;
    const { reviewer } = this;
    const { image, current: { row }, drawing: { unfinished } } = reviewer;
    if (unfinished !== null) return reviewer.drawing.say(unfinished);
    if (this.history.strokesOn(row.region_id) === 0 && !reviewer.hasDrawn) {
      const without = reviewer.drawing.tool === null ? 'Nothing is drawn. Space accepts the region as it is.' : NOTHING_DRAWN;
      reviewer.view.say(reviewer.isFromScratch ? 'Nothing is drawn yet.' : without);
      return undefined;
    }
    const bare = reviewer.isFromScratch && !isSure ? image.bareShare(row) : 0;
    if (bare > BARE_SHARE) {
      reviewer.view.notice.ask(`${percent(bare)} of ${row.image_name} is not drawn and would become void.`, ['Finish the image', () => this.commit(true)]);
      return undefined;
    }
    reviewer.setBusy(true);
    const header = this.header('draw', { closes_region: true });
    if (!(await this.keep('/api/decisions', header))) return reviewer.setBusy(false);
    this.record(header, { edit: editRegions(image, [row], null), bbox: row.bbox, regions: [this.change(image, row, 'decided')] });
    return reviewer.goNext();
  }

  acceptRest() {
    if (!this.isReady()) return;
    const { reviewer } = this;
    const { image, feed, current: { row } } = reviewer;
    const go = async () => {
      if (!this.isReady()) return;
      const header = this.header('accept_rest');
      if (!(await this.keep(`/api/images/${row.image_id}/accept-rest`, header))) return;
      this.history.add({ opId: header.op_id, kind: 'accept_rest', imageId: row.image_id, regionId: null, from: row.region_id, edit: null, regions: [] });
      for (const each of [row, ...feed.rows]) if (each.image_id === row.image_id) feed.mark(each.region_id, 'decided');
      image.byNumber.clear();
      if (reviewer.image === image) await reviewer.goNext();
    };
    reviewer.view.notice.ask(`Accept everything still open in ${row.image_name} without looking? It is logged as unseen and never counts as reviewed.`, ['Accept the rest', go]);
  }

  /** Regions that look like `source` get its class, after a preview. The caller goes on to another region then. */
  async propagate(source, rows, classId) {
    if (!this.isReady()) return false;
    const { image } = this.reviewer;
    this.reviewer.setBusy(true);
    const header = this.header('propagate', {
      region_id: source.region_id, class_id: classId === VOID_ID ? null : classId, propagate_to: rows.map((row) => row.region_id),
    });
    if (!(await this.keep('/api/decisions', header))) return false;
    const edit = editRegions(image, rows, classId);
    this.record(header, { edit, bbox: edit.bbox, regions: rows.map((row) => this.change(image, row, 'decided')) });
    return true;
  }

  // --- drawing ---

  /** A stroke is on the picture already. */
  async stroke(edit) {
    const delta = edit.encode();
    const header = this.header('draw', { bbox: edit.bbox, lock_override: edit.overrode });
    const step = this.record(header, { edit, bbox: edit.bbox });
    this.reviewer.showState();
    if (await this.keep('/api/decisions', header, delta)) return true;
    this.forget(step);
    edit.revert();
    edit.image.isStale = true; // A later stroke may have been drawn over it by now.
    this.reviewer.refreshed();
    this.reviewer.refreshStale();
    return false;
  }

  /** Somebody points at a reliable pixel that is wrong. */
  async flag([x, y]) {
    if (!this.isReady() || !this.isReachable()) return;
    const { current: { row }, tab, view } = this.reviewer;
    const body = { op_id: newId(), session: tab, image_id: row.image_id, x, y };
    this.setWaiting(1);
    view.say('The area around it becomes a region…');
    if (!(await this.keep('/api/flags', body))) return this.setWaiting(-1);
    const step = this.record({ ...body, kind: 'flag', region_id: null, closes_region: false }, { edit: null, bbox: null });
    step.from = row.region_id;
  }

  /** Take back what was drawn on this region last, all of it. */
  async cancelStrokes() {
    const count = this.history.strokesOn(this.reviewer.current.row.region_id);
    for (let left = count; left > 0; left--) await this.reverse(-1); // All are seen at once; keeping them takes a moment.
  }

  // --- undo and redo ---

  /** Take the last action back (-1), or put in force again what was taken back last (1). */
  undo(direction) {
    const { reviewer } = this;
    if (reviewer.isBusy || reviewer.readOnly !== null) return undefined;
    if (this.history.next(direction)) return this.reverse(direction);
    reviewer.view.say(direction < 0 ? 'There is nothing to undo.' : 'There is nothing to redo.');
    return undefined;
  }

  /** Returns when the step is seen, or the server is asked. */
  async reverse(direction) {
    const { reviewer } = this;
    const step = this.history.next(direction);
    const isMirrored = await this.isMirrored(step);
    if (this.history.next(direction) !== step || (!isMirrored && !this.isReachable())) return;
    reviewer.activity.note('undos');
    this.history.move(direction);
    if (isMirrored) this.mirror(step, direction);
    else this.setWaiting(1);
    const header = { op_id: newId(), session: reviewer.tab, target: step.opId };
    this.asked.set(header.op_id, { step, isMirrored, direction });
    if (isMirrored) this.unanswered.add(header.op_id);
    this.keep(PATHS[direction], header).then((isKept) => isKept || this.takeBackUndo(header.op_id, direction));
    if (isMirrored) await this.showStep(step, direction);
  }

  /** Whether the step can be done here and now: its pixels are known, and nobody reloaded the image since. */
  async isMirrored(step) {
    return this.waiting === 0 && step.edit !== null && (await this.reviewer.feed.ready(step.imageId)) === step.edit.image;
  }

  mirror(step, direction) {
    const { feed } = this.reviewer;
    if (direction < 0) step.edit.revert();
    else step.edit.apply();
    for (const each of step.regions) {
      if (direction < 0) {
        if (each.before) each.image.byNumber.set(each.number, each.before);
        else each.image.byNumber.delete(each.number);
        if (each.handled === undefined) feed.unmark(each.region_id, each.before?.state ?? 'decided');
        else feed.mark(each.region_id, each.handled);
      } else {
        each.image.setRegionState(each, each.after);
        feed.mark(each.region_id, each.after);
      }
    }
  }

  /** Show what an undo or redo changed: the region of a stroke stays as it is, any other is opened. */
  async showStep(step, direction) {
    const { reviewer } = this;
    reviewer.tell(describeReversal(step, direction));
    const isStroke = step.kind === 'draw' && !step.closesRegion;
    if (isStroke && reviewer.current?.row.region_id === step.regionId) reviewer.refreshed(step.bbox);
    else await reviewer.open(step.regionId);
  }

  takeBackUndo(opId, direction) {
    const { step, isMirrored } = this.asked.get(opId);
    this.asked.delete(opId);
    this.unanswered.delete(opId);
    this.history.move(-direction);
    if (isMirrored) this.mirror(step, -direction);
    else this.setWaiting(-1);
    this.reviewer.refreshed();
  }

  // --- bookkeeping ---

  record(header, { edit, bbox, regions = [] }) {
    const step = {
      opId: header.op_id, kind: header.kind, imageId: header.image_id, regionId: header.region_id,
      closesRegion: header.closes_region, bbox, edit, regions,
    };
    this.history.add(step);
    if (edit !== null) this.unanswered.add(step.opId);
    return step;
  }

  /** What is shown here and not answered yet, newest first. */
  unansweredEdits() {
    return this.history.done.filter(({ opId, edit }) => edit !== null && this.unanswered.has(opId)).map(({ edit }) => edit).reverse();
  }

  /** States of regions that changed here and are not answered yet, as {before, after}. */
  unansweredChanges() {
    const { history: { done, undone }, unanswered, asked } = this;
    if (unanswered.size === 0) return [];
    const reversed = [...asked.values()].map(({ step }) => step);
    const made = [...new Set([...done, ...undone, ...reversed])].filter(({ opId }) => unanswered.has(opId)).map((step) => ({ step, direction: 1 }));
    const changed = [...asked].filter(([opId]) => unanswered.has(opId)).map(([, each]) => each);
    return [...made, ...changed].flatMap(({ step, direction }) => step.regions.map(({ before, after }) => {
      const was = before?.state ?? 'decided';
      return direction < 0 ? { before: after, after: was } : { before: was, after };
    }));
  }

  forget({ opId }) {
    this.history.remove(opId);
    this.unanswered.delete(opId);
  }

  /** A region gets a state here; what it takes to go back. */
  change(image, row, state) {
    const { feed } = this.reviewer;
    const { region_id: id, number } = row;
    const change = { image, region_id: id, number, before: image.byNumber.get(number) ?? null, handled: feed.handled.get(id), after: state };
    image.setRegionState(row, state);
    feed.mark(id, state);
    return change;
  }

  isReachable() {
    if (this.reviewer.outbox.failures === 0) return true;
    this.reviewer.view.say(NEEDS_SERVER);
    return false;
  }

  setWaiting(by) {
    this.waiting = Math.max(0, this.waiting + by);
    this.reviewer.updateDrawing();
  }
}
