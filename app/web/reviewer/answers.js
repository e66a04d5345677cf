// What the server says to the actions of this person, in this tab and in others, and what becomes of those it refuses.
import { UNTOUCHED } from './image_state.js';
import { describeReversal } from './reversals.js';
import { getHistory, getPatch } from './server.js';
import { decodeRuns, inflate } from './wire.js';

const GONE_DRAWING = 'The region of this drawing is not there any more, so it cannot be drawn again. It stays in this browser until it is given up.';
const GONE_REGION = 'The region is not there any more: a newer model proposed other ones.';
const UNDO = '/api/undo';
const REVERSALS = [UNDO, '/api/redo'];

export class Answers {
  constructor(reviewer) {
    this.reviewer = reviewer;
    this.savedCount = 0;
  }

  /** The server has it on disk. */
  async saved({ path, header }, answer) {
    const { reviewer } = this;
    reviewer.editing.unanswered.delete(header.op_id);
    reviewer.showCounts(answer.counts);
    if (header.session !== reviewer.tab) await this.savedElsewhere(answer);
    else if (REVERSALS.includes(path)) await this.reversed(header, answer, path === UNDO ? -1 : 1);
    else if (path === '/api/flags') await this.flagged(header, answer);
    else await this.done(header, answer);
    this.savedCount += 1;
    reviewer.root.dataset.saved = String(this.savedCount);
  }

  async done({ op_id: opId }, answer, step = this.reviewer.editing.history.find(opId)) {
    const image = await this.reviewer.feed.ready(answer.image_id);
    if (image && step?.edit && step.edit.image !== image) await this.patch(answer); // The image was loaded again meanwhile.
    await this.noteVersion(answer);
  }

  /** By another tab, or left over from an earlier page. */
  async savedElsewhere(answer) {
    this.takeStates(answer);
    await this.noteVersion({ ...answer, foreign_version: answer.image_version });
  }

  /** An undo or redo. */
  async reversed({ op_id: opId }, answer, direction) {
    const { reviewer } = this;
    const { step, isMirrored } = reviewer.editing.asked.get(opId);
    reviewer.editing.asked.delete(opId);
    if (isMirrored) return this.done({ op_id: opId }, answer, step);
    try {
      await this.takeOver(answer);
    } finally {
      reviewer.editing.setWaiting(-1);
    }
    await this.noteVersion(answer);
    if (answer.region_id === null) return this.reversedRest(step, answer, direction);
    const currentId = reviewer.current?.row.region_id ?? null;
    const isStroke = step.kind === 'draw' && !step.closesRegion;
    reviewer.tell(describeReversal(step, direction));
    if (isStroke && currentId === answer.region_id) reviewer.refreshed();
    else if (answer.region_state === 'superseded') await reviewer.open(step.from ?? await this.anotherOf(answer) ?? answer.next_region_id);
    else await reviewer.open(answer.next_region_id);
    return undefined;
  }

  /** A region of the same image, after the one that a flag made is gone; else the one that was shown before. */
  async anotherOf({ image_id: imageId, region_id: goneId }) {
    const { feed } = this.reviewer;
    const image = await feed.image(imageId);
    return [...image.byNumber.values()].find(({ region_id: id }) => id !== goneId)?.region_id ?? feed.before(goneId);
  }

  /** The rest of an image waits again, or is accepted again: where it was left, one of its regions is shown. */
  async reversedRest(step, { image_id: imageId, next_region_id: nextId }, direction) {
    const { reviewer } = this;
    const image = await reviewer.feed.image(imageId);
    const waiting = [...image.byNumber.values()].map(({ region_id: id }) => id);
    const currentId = reviewer.current?.row.region_id ?? nextId;
    const shownId = direction > 0 ? currentId : waiting.find((id) => id === step.from) ?? waiting[0] ?? currentId;
    reviewer.tell(describeReversal(step, direction, { name: image.name, count: waiting.length }));
    await reviewer.open(shownId);
  }

  async flagged({ op_id: opId }, answer) {
    const { reviewer } = this;
    const step = reviewer.editing.history.find(opId);
    if (step) {
      Object.assign(step, { regionId: answer.region_id, bbox: answer.bbox });
      reviewer.flaggedFrom.set(answer.region_id, step.from);
    }
    try {
      await this.takeOver(answer);
    } finally {
      reviewer.editing.setWaiting(-1);
    }
    await this.noteVersion(answer);
    if (reviewer.image?.id === answer.image_id) await reviewer.open(answer.region_id);
  }

  /** Show an action whose effect only the server knew. */
  async takeOver(answer) {
    const { feed } = this.reviewer;
    this.takeStates(answer);
    if (answer.region_id === null) { // A whole image was accepted: any of its regions may wait again.
      feed.handled.clear();
      feed.views.clear();
      feed.forgetImage(answer.image_id);
      await feed.refill();
    } else await this.patch(answer);
  }

  takeStates({ regions }) {
    const { feed } = this.reviewer;
    for (const { region_id: id, state } of regions) {
      if (state === 'open') feed.unmark(id);
      else feed.mark(id, state);
    }
  }

  /** Load what may have changed. While something is shown that the server does not know yet, that waits. */
  async patch({ image_id: imageId, bbox }) {
    const { reviewer } = this;
    const image = await reviewer.feed.ready(imageId);
    if (!image || bbox === null) return;
    const isFree = () => reviewer.editing.unanswered.size === 0 && !reviewer.drawing.isActive;
    const found = isFree() ? await getPatch(imageId, bbox).catch(() => null) : null;
    if (found === null || !isFree() || found.header.proposal_id !== image.proposalId) {
      image.isStale = true;
      return;
    }
    image.patch(found.header, found.planes);
    if (image === reviewer.image) reviewer.refreshed();
  }

  /** Whether others changed the image since it was loaded: then it is loaded again. */
  async noteVersion({ image_id: imageId, image_version: version, foreign_version: foreign }) {
    const { reviewer } = this;
    const image = await reviewer.feed.ready(imageId);
    if (!image) return reviewer.feed.forgetImage(imageId); // As it travels it is older than this, too.
    if (foreign > image.version) image.isStale = true;
    else image.version = Math.max(image.version, version);
    return reviewer.refreshStale();
  }

  // --- what the server did not take ---

  async refused({ path, header }, error, wasSentHere) {
    const { reviewer } = this;
    if (header.session !== reviewer.tab) {
      if (wasSentHere) this.showRefusal();
    } else if (REVERSALS.includes(path)) await this.refusedReversal(header, error);
    else if (path === '/api/flags') this.refusedFlag(header, error);
    else await this.refusedAction(header, error);
    reviewer.root.dataset.refused = String(Number(reviewer.root.dataset.refused ?? 0) + 1);
  }

  async refusedAction(header, error) {
    const { feed, view, editing, conflict } = this.reviewer;
    if (error.status === 409) conflict.remember(header.region_id, await feed.ready(header.image_id), editing.unansweredEdits());
    editing.forget({ opId: header.op_id });
    feed.unmark(header.region_id);
    feed.forgetImage(header.image_id);
    for (const id of header.propagate_to ?? []) feed.unmark(id);
    const isDrawing = this.reviewer.outbox.refused.some((entry) => entry.header.region_id === header.region_id);
    if (isDrawing) this.showRefusal();
    else view.warn(error.message, ...this.seeChanges(header, (changes) => view.warn(changes)), ['Open this region again', () => this.reopen(header)]);
    if (error.status === 409) this.reviewer.lease.beat();
    this.lookAgain();
  }

  refusedFlag({ op_id: opId }, error) {
    this.reviewer.editing.forget({ opId });
    this.reviewer.editing.setWaiting(-1);
    this.reviewer.view.say(error.message);
  }

  /** The step is not what this page thinks: ask the server for all steps, and for the image. */
  async refusedReversal({ op_id: opId }, error) {
    const { editing, feed, view } = this.reviewer;
    const { step, isMirrored } = editing.asked.get(opId);
    editing.asked.delete(opId);
    editing.unanswered.delete(opId);
    if (!isMirrored) editing.setWaiting(-1);
    view.say(error.message);
    feed.forgetImage(step.imageId);
    editing.history.load(await getHistory());
    this.lookAgain();
  }

  /** What was fetched ahead is older than what the server said; perhaps also what is shown now. */
  lookAgain() {
    const { feed, current, drawing } = this.reviewer;
    feed.forgetAll();
    if (current && !drawing.isActive) this.reviewer.open(current.row.region_id);
  }

  /** Ask what becomes of the drawings that the server did not take, one region after another. */
  showRefusal() {
    const [entry] = this.reviewer.outbox.refused;
    if (!entry) return;
    const strokes = this.reviewer.outbox.refused.filter((each) => each.header.region_id === entry.header.region_id);
    const text = strokes.length === 1 ? entry.message : `${entry.message} ${strokes.length} strokes wait here.`;
    const again = ['Open this region and draw again', () => this.drawAgain(strokes)];
    this.offerToGiveUp(strokes, text, ...this.seeChanges(entry.header, (changes) => this.offerToGiveUp(strokes, changes, again)), again);
  }

  offerToGiveUp(strokes, text, ...actions) {
    this.reviewer.view.warn(text, ...actions, [strokes.length === 1 ? 'Give the drawing up' : 'Give the drawings up', async () => {
      await this.settle(strokes);
      this.showRefusal();
    }]);
  }

  async settle(strokes) {
    for (const entry of strokes) await this.reviewer.outbox.settle(entry);
  }

  /** For a notice: the region as it is now, with what is different outlined; `tell(sentence)` says what that is. */
  seeChanges(header, tell) {
    const { conflict } = this.reviewer;
    if (!conflict.seen.has(header.region_id)) return [];
    return [['See what changed', async () => {
      await this.reopen(header);
      const { current, image } = this.reviewer;
      tell(current?.row.region_id === header.region_id ? conflict.show(header.region_id, image) : GONE_REGION);
    }]];
  }

  /** Whoever goes on with a region here works on its image here. */
  async reopen({ image_id: imageId, region_id: regionId }) {
    await this.reviewer.lease.open(imageId);
    await this.reviewer.open(regionId);
  }

  /** Draw refused strokes again on top of what is there now: as new strokes, which undo takes back. */
  async drawAgain(strokes) {
    const { reviewer } = this;
    const [{ header }] = strokes;
    await this.reopen(header);
    if (reviewer.current?.row.region_id !== header.region_id) return this.offerToGiveUp(strokes, GONE_DRAWING);
    for (const entry of strokes) {
      const { bbox: [x0, y0, x1, y1], lock_override: isUnlocked } = entry.header;
      const values = decodeRuns(await inflate(entry.delta), new Uint8Array((x1 - x0) * (y1 - y0)));
      const isKept = await reviewer.drawAgain(entry.header.bbox, values, UNTOUCHED, isUnlocked);
      if (isKept) await reviewer.outbox.settle(entry); // Kept until the new one is: a crash must not lose it between.
    }
    return this.showRefusal();
  }
}
