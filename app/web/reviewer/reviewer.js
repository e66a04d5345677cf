// The reviewer: one key decides, saves and goes on. Connects feed, outbox, drawing, renderer and view.
import { Activity } from './activity.js';
import { filterFromAddress, withRegion } from './address.js';
import { handleKey, runCommand } from './commands.js';
import { Comments } from './comments.js';
import { Drawing } from './drawing.js';
import { Feed } from './feed.js';
import { LEFTOVER } from './image_state.js';
import { Lease } from './lease.js';
import { Outbox, newId } from './outbox.js';
import { VOID_ID } from './palette.js';
import { Screen } from './screen.js';
import { View } from './view.js';
import { decodeRuns, deflate, encodeRuns, inflate } from './wire.js';

const BEFORE_MOVE = 'There are strokes that are not saved: Enter saves them, Esc cancels them.';
const GONE_DRAWING = 'The region of this drawing is not there any more, so it cannot be drawn again. It stays in this browser until it is given up.';
const SAVE_FIRST_MS = 200; // What is fetched ahead leaves the server to a decision for so long.
const BEFORE_UNDO = 'Wait: an undo is on its way to the server.';

export class Reviewer {
  constructor(root, session) {
    Object.assign(this, { root, session, tab: newId(), current: null, image: null, isBusy: true, undosPending: 0, savedCount: 0, turn: 0 });
    this.view = new View(root, session, (command) => runCommand(this, command), (classId) => this.chooseClass(classId));
    this.screen = new Screen(this.view, session, {
      onMode: () => this.showState(), loadScores: (image) => this.feed.scores(image),
    });
    this.activity = new Activity();
    this.drawing = new Drawing({
      stage: this.view.stage, screen: this.screen, activity: this.activity,
      onChange: () => this.showState(), onClick: (point) => this.openAt(point),
    });
    this.comments = new Comments(session, { onClose: () => this.view.stage.focus(), say: (text) => this.view.say(text) });
    this.view.addToSide(this.comments.button, this.comments.dialog);
    this.lease = new Lease(session, this.tab, { onChange: () => this.leaseChanged() });
    this.view.showOver(this.lease.banner);
    this.feed = new Feed(filterFromAddress());
    this.outbox = new Outbox(session, {
      onAnswer: (entry, answer) => this.saved(entry, answer),
      onRefused: (...refusal) => this.refused(...refusal),
      onState: (state) => this.view.showSaving(state),
    });
    this.listen();
    this.screen.apply();
  }

  listen() {
    this.root.addEventListener('keydown', (event) => handleKey(this, event));
    this.view.stage.addEventListener('pointerdown', () => this.activity.note('clicks'), true);
    window.addEventListener('beforeunload', (event) => {
      if (this.drawing.hasStrokes || this.outbox.isKeeping) event.preventDefault();
    });
  }

  async start() {
    this.view.showCounts(this.session.counts);
    await this.outbox.start(); // What an earlier page could not save comes first.
    await this.feed.refill();
    const asked = Number(new URLSearchParams(location.search).get('region'));
    await this.open(asked || await this.feed.next(null));
    this.showRefusal();
    this.view.stage.focus({ preventScroll: true });
    this.root.dataset.hydrated = '1';
  }

  showState() {
    const { tool, unlocked, classId, diameter } = this.drawing;
    const { mode, showBand, opacity } = this.screen;
    this.view.showModes({ mode, tool, showBand, unlocked, brushClass: classId, diameter, opacity });
    this.root.dataset.strokes = String(this.drawing.strokes?.done.length ?? 0);
    const text = tool === null ? this.describeRegion() : this.drawing.describe(this.view.classes);
    this.view.say(text);
  }

  describeRegion() {
    if (!this.current) return '';
    const { row } = this.current;
    const name = this.view.classes.get(row.class_id)?.name ?? 'void';
    return `${row.sample_id}, region ${row.number}: the model says ${name}, ${row.area} pixels.${this.drawing.unlocked ? ' Reliable pixels are UNLOCKED.' : ''}`;
  }

  // --- going from region to region ---

  /** Show a region. When a later call overtakes this one, only the later one counts. */
  async open(regionId) {
    const turn = ++this.turn;
    this.setBusy(true);
    try {
      if (regionId === null) return this.showEmpty();
      const found = await this.fetch(regionId);
      if (turn === this.turn) this.show(...found);
    } catch (error) {
      if (turn !== this.turn) return undefined;
      this.current = null; // What is still shown was decided, or is not what was asked for.
      if (error.status === 404) return await this.goOnWithout(regionId, error);
      this.view.warn(`This region could not be opened. ${error.message}`, ['Try again', () => this.open(regionId)]);
      this.root.dataset.error = error.message;
    } finally {
      if (turn === this.turn) this.setBusy(false);
    }
    return undefined;
  }

  /** View and image of a region; fetched anew when another tab or a newer model changed the image meanwhile. */
  async fetch(regionId) {
    const view = await this.feed.view(regionId);
    const image = await this.feed.image(view.row.image_id);
    const isNewer = view.image_version > image.version && this.outbox.isEmpty;
    if (view.proposal_id === image.proposalId && !isNewer && image.anchors.has(view.row.number)) return [view, image];
    this.feed.forgetImage(view.row.image_id);
    this.feed.views.delete(regionId);
    return [await this.feed.view(regionId), await this.feed.image(view.row.image_id)];
  }

  /** The region is gone, as after a prediction with a newer model: take the queue as it is now. */
  async goOnWithout(regionId, error) {
    this.view.say(error.message);
    this.feed.mark(regionId, 'gone');
    this.feed.forgetAll();
    await this.goNext();
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    this.drawing.isEnabled = !isBusy && this.current !== null && !this.lease.isElsewhere;
  }

  /** This tab may change the image now, or must not any more; strokes that are not saved stay where they are. */
  leaseChanged() {
    this.setBusy(this.isBusy);
    this.root.dataset.readonly = String(this.lease.isElsewhere);
    if (this.lease.isElsewhere || !this.current) return;
    this.view.stage.focus({ preventScroll: true }); // The button that took the image over is gone.
    if (this.drawing.hasStrokes) return;
    this.feed.forgetImage(this.current.row.image_id); // The other one may have changed it.
    this.open(this.current.row.region_id);
  }

  show(view, image) {
    const { row } = view;
    this.current = view;
    this.image = image;
    this.screen.show(image, row);
    const hadFocus = this.root.contains(document.activeElement);
    this.view.showRegion(view);
    if (hadFocus && !this.root.contains(document.activeElement)) this.view.stage.focus({ preventScroll: true });
    this.drawing.reset(image, row);
    this.activity.restart();
    this.screen.paint();
    this.comments.show(row);
    this.lease.hold(row.image_id);
    this.feed.visit(row.region_id);
    clearTimeout(this.ahead);
    this.ahead = setTimeout(() => this.feed.prefetch(row.region_id), this.outbox.isEmpty ? 0 : SAVE_FIRST_MS);
    history.replaceState(null, '', withRegion(row.region_id));
    delete this.root.dataset.error;
    Object.assign(this.root.dataset, { region: row.region_id, image: row.image_id });
  }

  showEmpty() {
    this.current = null;
    this.image = null;
    this.screen.clear();
    this.root.dataset.region = 'none';
    const isFiltered = Object.keys(this.feed.filter).length > 0;
    const { open, skipped, second_review: second, decided } = this.session.counts;
    if (!isFiltered && this.savedCount + open + skipped + second + decided === 0) {
      this.view.showEmpty('Nothing to review yet', 'Regions appear once a model has proposed labels for the images. The Rounds page says what comes next.', ['Rounds', '/']);
      return;
    }
    this.view.showEmpty(isFiltered ? 'Nothing left with this filter' : 'Nothing left to review',
      isFiltered ? 'The whole queue may hold more regions.' : 'Train the next round with what you decided, or export the labels.',
      ...(isFiltered ? [['Whole queue', '/review']] : []), ['Rounds', '/'], ['Export', '/export']);
  }

  /** A click on another region of this image that waits for a decision opens it. */
  openAt([x, y]) {
    const { image } = this;
    if (!image || this.isBusy || this.drawing.hasStrokes || x < 0 || y < 0 || x >= image.width || y >= image.height) return;
    const number = image.regions[Math.floor(y) * image.width + Math.floor(x)];
    const region = number < LEFTOVER && image.byNumber.get(number);
    if (region && region.region_id !== this.current?.row.region_id) this.open(region.region_id);
  }

  async goNext() {
    const id = this.current?.row.region_id ?? null;
    try {
      await this.open(await this.feed.next(id));
    } catch (error) {
      this.current = null; // What is still shown is decided.
      this.view.warn(`The next region could not be fetched. ${error.message}`, ['Try again', () => this.goNext()]);
      this.setBusy(false);
    }
  }

  // --- deciding ---

  /** Whether a decision or a move may happen now; says why not. */
  isReady() {
    if (this.isBusy || !this.current) return false;
    if (this.undosPending > 0) this.view.say(BEFORE_UNDO);
    else if (this.drawing.hasStrokes) this.view.say(BEFORE_MOVE);
    else return true;
    return false;
  }

  /** Whether somebody else works on the image; says so. */
  isOnlyLooking() {
    if (this.lease.isElsewhere) this.view.say(this.lease.sentence.textContent);
    return this.lease.isElsewhere;
  }

  header(kind, more = {}) {
    const { row } = this.current;
    return {
      op_id: newId(), kind, image_id: row.image_id, image_version: this.image.version, region_id: row.region_id, class_id: null,
      session: this.tab, lock_override: false, closes_region: false, stats: this.activity.take(), ...more,
    };
  }

  /** Hand an action to the outbox. False when this browser cannot keep it: then it did not happen. */
  async keep(path, header, delta = null) {
    try {
      await this.outbox.add(path, header, delta);
      return true;
    } catch (error) {
      this.view.warn(error.message);
      return false;
    }
  }

  async decide(kind, state, classId = null) {
    if (!this.isReady() || this.isOnlyLooking()) return;
    this.setBusy(true);
    const { image, current: { row } } = this;
    const header = this.header(kind, { class_id: kind === 'relabel' ? classId : null });
    if (!(await this.keep('/api/decisions', header))) return this.setBusy(false);
    image.decideRegion(row, state, classId);
    this.feed.mark(row.region_id, state);
    await this.goNext();
  }

  chooseClass(classId) {
    if (this.drawing.tool !== null) this.drawing.choose(classId);
    else if (classId === VOID_ID) this.decide('void', 'decided', VOID_ID);
    else this.decide('relabel', 'decided', classId);
  }

  /** Save the strokes; the rest of the region is right as it is shown. */
  async commit() {
    if (this.isBusy || !this.current || this.isOnlyLooking()) return;
    if (!this.drawing.hasStrokes) {
      this.view.say('Nothing is drawn. Space accepts the region as it is.');
      return;
    }
    this.setBusy(true);
    const { drawing: { strokes }, current: { row } } = this;
    const { bbox, values } = strokes.delta();
    const header = this.header('draw', { bbox, lock_override: strokes.overrodeLock, closes_region: true });
    if (!(await this.keep('/api/decisions', header, await deflate(encodeRuns(values))))) return this.setBusy(false);
    strokes.commit(row);
    if (this.reopened?.header.region_id === row.region_id) this.outbox.settle(this.reopened);
    this.feed.mark(row.region_id, 'decided');
    await this.goNext();
  }

  acceptRest() {
    if (!this.isReady() || this.isOnlyLooking()) return;
    const { image, current: { row } } = this;
    const header = this.header('accept_rest');
    const go = async () => {
      if (!(await this.keep(`/api/images/${row.image_id}/accept-rest`, header))) return;
      for (const each of [row, ...this.feed.rows]) if (each.image_id === row.image_id) this.feed.mark(each.region_id, 'decided');
      image.byNumber.clear();
      if (this.image === image) await this.goNext();
    };
    this.view.warn(`Accept everything still open in ${row.sample_id} without looking? It is logged as unseen and never counts as reviewed.`, ['Accept the rest', go]);
  }

  async undo(direction) {
    if (this.isBusy) return;
    if (this.drawing.strokes && this.drawing.step(direction)) return;
    if (this.drawing.hasStrokes) return;
    this.activity.note('undos');
    this.undosPending += 1;
    const isKept = await this.keep(direction < 0 ? '/api/undo' : '/api/redo', { op_id: newId(), session: this.tab });
    if (!isKept) this.undosPending -= 1;
  }

  // --- answers ---

  saved(entry, answer) {
    this.view.showCounts(answer.counts);
    const isUndo = entry.path === '/api/undo' || entry.path === '/api/redo';
    if (entry.header.session !== this.tab) this.savedElsewhere(answer);
    else if (isUndo) this.undone(entry, answer);
    else this.feed.images.get(answer.image_id)?.then((image) => { image.version = Math.max(image.version, answer.image_version); }, () => {});
    this.savedCount += 1;
    this.root.dataset.saved = String(this.savedCount);
  }

  /** By another tab, or left over from an earlier page. */
  savedElsewhere({ image_id: imageId, region_id: regionId, region_state: state }) {
    if (imageId !== this.image?.id) this.feed.forgetImage(imageId);
    if (regionId === null) return;
    if (state === 'open') this.feed.unmark(regionId);
    else this.feed.mark(regionId, state);
  }

  /** The server took a decision back (or put it in force again): show the image as it is now. */
  undone(entry, answer) {
    this.undosPending = Math.max(0, this.undosPending - 1);
    this.feed.forgetImage(answer.image_id);
    if (answer.region_id === null) { // A whole image was accepted: any of its regions may wait again.
      this.feed.handled.clear();
      this.feed.refill().then(() => this.open(this.current?.row.region_id ?? null));
      return;
    }
    if (answer.region_state === 'open') this.feed.unmark(answer.region_id);
    else this.feed.mark(answer.region_id, answer.region_state);
    this.open(answer.region_id);
  }

  refused({ path, header }, error, wasSentHere) {
    if (header.session !== this.tab) {
      if (wasSentHere) this.showRefusal();
    } else if (path === '/api/undo' || path === '/api/redo') {
      this.undosPending = Math.max(0, this.undosPending - 1);
      this.view.say(error.message);
    } else {
      this.feed.unmark(header.region_id);
      this.feed.forgetImage(header.image_id);
      if (header.kind === 'draw') this.showRefusal();
      else this.view.warn(error.message, ['Open this region again', () => this.reopen({ header })]);
      if (error.status === 409) {
        this.lease.beat();
        this.lookAgain();
      }
    }
    this.root.dataset.refused = String(Number(this.root.dataset.refused ?? 0) + 1);
  }

  /** Somebody else, or a new model, changed what was fetched ahead; perhaps also what is shown now. */
  lookAgain() {
    this.feed.forgetAll();
    if (this.current && !this.drawing.hasStrokes) this.open(this.current.row.region_id);
  }

  /** Ask what becomes of the oldest drawing that the server did not take. */
  showRefusal() {
    const [entry] = this.outbox.refused;
    if (!entry) return;
    this.offerToGiveUp(entry, entry.message, ['Open this region again', () => this.reopen(entry)]);
  }

  offerToGiveUp(entry, text, ...actions) {
    this.view.warn(text, ...actions, ['Give the drawing up', async () => {
      await this.outbox.settle(entry);
      this.showRefusal();
    }]);
  }

  /** After a refusal: the region as it is now, with the drawing that was refused on top of it. */
  async reopen(entry) {
    const { header, delta } = entry;
    if (this.drawing.hasStrokes) return this.view.say(BEFORE_MOVE);
    await this.lease.open(header.image_id); // Whoever goes on here works here.
    await this.open(header.region_id);
    if (!delta) return undefined;
    if (this.current?.row.region_id !== header.region_id) return this.offerToGiveUp(entry, GONE_DRAWING);
    const [x0, y0, x1, y1] = header.bbox;
    this.drawing.replay(header.bbox, decodeRuns(await inflate(delta), new Uint8Array((x1 - x0) * (y1 - y0))));
    this.reopened = entry; // Kept until it is saved: a crash must not lose it now.
    return undefined;
  }

  // --- for commands and tests ---

  get viewport() {
    return this.screen.viewport;
  }

  setTool(tool) {
    if (this.current && !this.isBusy) this.drawing.setTool(tool);
  }

  cancel() {
    if (this.drawing.tool !== null && !this.isBusy) this.drawing.cancel();
  }

  async move(direction) {
    if (!this.isReady()) return;
    const known = direction < 0 ? this.feed.stepBack() : this.feed.stepForward();
    if (known !== null) await this.open(known);
    else if (direction > 0) await this.goNext();
    else this.view.say('This is the first region of this visit.');
  }
}
