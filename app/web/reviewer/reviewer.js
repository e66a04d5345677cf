// The reviewer: one key decides, saves and goes on. Connects its parts, and goes from region to region.
import { Activity } from './activity.js';
import { filterFromAddress, withRegion, withoutRegion } from './address.js';
import { Answers } from './answers.js';
import { handleKey, handleKeyUp, runCommand } from './commands.js';
import { Comments } from './comments.js';
import { Conflict } from './conflict.js';
import { grouped } from './dom.js';
import { Drawing } from './drawing.js';
import { Editing, NEEDS_SERVER } from './editing.js';
import { ExplorerLink } from './explorer_link.js';
import { Feed } from './feed.js';
import { LEFTOVER } from './image_state.js';
import { Lease } from './lease.js';
import { nothingLeft, nothingLoaded, withChanges } from './left.js';
import { Outbox, newId } from './outbox.js';
import { Propagation } from './propagation.js';
import { Screen } from './screen.js';
import { UNREACHABLE, connection, getHistory } from './server.js';
import { View } from './view.js';

const NO_PROPOSALS = ['Nothing to review yet', 'Regions appear once a model has proposed labels for the images. The Rounds page says what comes next.', ['Rounds', '/']];
const SAVE_FIRST_MS = 200; // So long everything else leaves the server to a decision.

export class Reviewer {
  constructor(root, session) {
    Object.assign(this, { root, session, tab: newId(), current: null, image: null, hasDrawn: false, turn: 0, told: null, counts: session.counts });
    this.goOn = null; // What is done as soon as the server answers again.
    this.flaggedFrom = new Map(); // flagged region id -> the region at which somebody flagged it
    this.view = new View(root, session, (command) => runCommand(this, command), (classId) => this.editing.chooseClass(classId));
    this.screen = new Screen(this.view, session, {
      onMode: () => this.showState(), loadScores: (image) => this.feed.scores(image),
    });
    this.activity = new Activity();
    this.drawing = new Drawing({
      stage: this.view.stage, screen: this.screen, activity: this.activity, superpixels: session.superpixels, classes: this.view.classes,
      onChange: () => this.showState(), onClick: (point) => this.openAt(point),
      onStroke: (edit) => this.editing.stroke(edit), onFlag: (point) => this.editing.flag(point),
    });
    this.editing = new Editing(this);
    this.answers = new Answers(this);
    this.propagation = new Propagation(this);
    this.conflict = new Conflict(this);
    this.comments = new Comments(session, { onClose: () => this.view.focus(), say: (text) => this.view.say(text) });
    this.explorerLink = new ExplorerLink(session);
    this.view.addToSide(this.explorerLink.element);
    this.view.addToSide(this.comments.button, this.comments.dialog);
    this.lease = new Lease(session, this.tab, { onChange: () => this.leaseChanged(), confirm: (...question) => this.view.notice.ask(...question) });
    this.view.showOver(this.lease.banner);
    this.feed = new Feed(filterFromAddress(), (counts) => this.showCounts(counts));
    this.outbox = new Outbox(session, {
      onAnswer: (entry, answer) => this.answers.saved(entry, answer),
      onRefused: (...refusal) => this.answers.refused(...refusal),
      onState: (state) => this.saving(state),
    });
    this.setBusy(true);
    this.listen();
    this.screen.apply();
  }

  listen() {
    this.root.addEventListener('keydown', (event) => handleKey(this, event));
    this.root.addEventListener('keyup', (event) => handleKeyUp(this, event));
    this.view.stage.addEventListener('pointerdown', () => {
      this.told = null;
      this.activity.note('clicks');
    }, true);
    connection.addEventListener('back', () => this.serverIsBack());
    window.addEventListener('online', () => this.goOn?.());
    window.addEventListener('beforeunload', (event) => {
      if (this.drawing.isActive || this.outbox.isKeeping) event.preventDefault();
    });
  }

  async start() {
    await this.outbox.start(); // What an earlier page could not save comes first.
    const [steps] = await Promise.all([getHistory(), this.feed.refill()]);
    this.editing.history.load(steps);
    const asked = Number(new URLSearchParams(location.search).get('region'));
    const missing = asked ? await this.feed.view(asked).then(() => null, (error) => error) : null;
    if (missing?.status === 404) this.showMissing(missing);
    else await this.open(asked || await this.feed.next(null));
    this.answers.showRefusal();
    this.view.stage.focus({ preventScroll: true });
    this.root.dataset.hydrated = '1';
  }

  saving(state) {
    this.view.showSaving(state);
    if (this.goOn) this.showNothingLoaded();
    this.refreshStale();
  }

  showState() {
    const { tool, unlocked, classId, sizeText } = this.drawing;
    const { mode, showBand, opacity, isDimmed } = this.screen;
    this.view.showModes({ mode, tool, showBand, unlocked, brushClass: classId, sizeText, opacity, isDimmed, isClosing: this.drawing.isClosing });
    const strokes = this.current ? this.editing.history.strokesOn(this.current.row.region_id) : 0;
    this.root.dataset.strokes = String(strokes);
    this.root.toggleAttribute('data-unfinished', tool === null && strokes > 0);
    this.propagation.showOffer();
    this.showCounts();
    const said = tool === null ? this.describeRegion(strokes) : this.drawing.describe(strokes);
    this.view.say(this.told === null ? said : `${this.told} ${said}`);
  }

  /** A sentence that stays, whatever region is shown, until the person does something else. */
  tell(text) {
    this.told = text;
    this.view.say(text);
  }

  /** `strokes` is how many were made on this region and are not finished, maybe before a reload. */
  describeRegion(strokes) {
    if (!this.current) return '';
    const { row } = this.current;
    const name = this.view.classes.get(row.class_id)?.name ?? 'void';
    if (this.isFromScratch) return `${row.image_name}: label it from scratch. B is the brush, class keys choose what it draws, Enter finishes the image.`;
    if (strokes > 0) return `${strokes === 1 ? '1 stroke is' : `${strokes} strokes are`} drawn here: Enter finishes the region with what is drawn, Esc takes it back, Space takes the model's label instead.`;
    return `${row.image_name}, region ${row.number}: ${row.kind === 'flagged' ? 'said to be' : 'the model says'} ${name}, ${grouped(row.area)} pixels.${this.drawing.unlocked ? ' Reliable pixels are UNLOCKED.' : ''}`;
  }

  // --- going from region to region ---

  /** Show a region. When a later call overtakes this one, only the later one counts. */
  async open(regionId) {
    const turn = ++this.turn;
    this.goOn = null;
    this.setBusy(true);
    try {
      if (regionId === null) return this.showEmpty();
      const found = await this.fetch(regionId);
      if (turn === this.turn) this.show(...found);
    } catch (error) {
      if (turn !== this.turn) return undefined;
      this.current = null; // What is still shown was decided, or is not what was asked for.
      if (error.status === 404) return await this.goOnWithout(regionId, error);
      if (error.status === 0) return this.waitForServer(() => this.open(regionId));
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
    this.tell(`${error.message[0].toUpperCase()}${error.message.slice(1)}.`);
    this.feed.mark(regionId, 'gone');
    this.feed.forgetAll();
    await this.goNext();
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    this.root.toggleAttribute('data-busy', isBusy);
    this.updateDrawing();
  }

  updateDrawing() {
    this.drawing.isEnabled = !this.isBusy && this.current !== null && this.readOnly === null && this.editing.waiting === 0;
  }

  /** Why nothing can be changed now, as a sentence; null when it can. */
  get readOnly() {
    return this.lease.isElsewhere ? this.lease.sentence.textContent : null;
  }

  /** This tab may change the image now, or must not any more. */
  leaseChanged() {
    const isReadOnly = this.readOnly !== null;
    if (isReadOnly && this.current) this.drawing.setTool(null);
    this.updateDrawing();
    this.view.showReadOnly(isReadOnly);
    if (isReadOnly || !this.current) return;
    this.view.stage.focus({ preventScroll: true }); // The button that took the image over is gone.
    this.image.isStale = true; // The other one may have changed it.
    this.refreshStale();
  }

  show(view, image) {
    const { row } = view;
    if (this.current?.row.region_id !== row.region_id) {
      this.conflict.end();
      this.view.notice.leaveRegion();
    }
    this.current = view;
    this.image = image;
    if (this.propagation.preview) this.propagation.end();
    this.hasDrawn = image.markDrawn(row);
    this.screen.show(image, row);
    const hadFocus = this.root.contains(document.activeElement);
    this.view.showRegion(view, row.state === 'decided' ? image.classesOf(row) : []);
    if (hadFocus && !this.root.contains(document.activeElement)) this.view.stage.focus({ preventScroll: true });
    this.drawing.reset(image, row);
    if (this.isFromScratch) this.startFromScratch();
    this.activity.restart();
    this.screen.paint();
    this.comments.show(row);
    this.explorerLink.show(row);
    const delay = this.outbox.isEmpty ? 0 : SAVE_FIRST_MS;
    this.lease.hold(row.image_id, delay);
    this.feed.visit(row.region_id);
    clearTimeout(this.ahead);
    this.ahead = setTimeout(() => {
      this.comments.load();
      this.feed.prefetch(row.region_id);
    }, delay);
    history.replaceState(null, '', withRegion(row.region_id));
    delete this.root.dataset.error;
    Object.assign(this.root.dataset, { region: row.region_id, image: row.image_id });
    this.view.showReadOnly(this.readOnly !== null);
  }

  /** A control image: whole, and without anything that a model said about it. */
  get isFromScratch() {
    return this.current?.row.kind === 'control';
  }

  /** Nothing can be accepted, so the brush is on at once. */
  startFromScratch() {
    if (['reliability', 'difference'].includes(this.screen.mode)) this.screen.setMode('class');
    if (this.readOnly === null) this.drawing.setTool('brush');
  }

  showNoRegion() {
    Object.assign(this, { current: null, image: null });
    this.screen.clear();
    this.root.dataset.region = 'none';
    this.showCounts();
  }

  /** What comes next cannot be loaded: `goOn` is done by itself once it can. */
  waitForServer(goOn) {
    this.showNoRegion();
    this.goOn = goOn;
    this.view.say('');
    this.showNothingLoaded();
  }

  showNothingLoaded() {
    this.view.showEmpty(...nothingLoaded(this.outbox.pending), ['Try again', this.goOn]);
  }

  /** What the server was missed for is done now, or is not true any more. */
  serverIsBack() {
    const said = this.view.status.textContent;
    if (this.goOn) this.goOn();
    else if (this.current && [UNREACHABLE, NEEDS_SERVER].some((each) => said.includes(each))) {
      this.drawing.note = null;
      this.showState();
    }
  }

  showEmpty() {
    this.showNoRegion();
    const { open, skipped, second_review: second, decided } = this.counts;
    const isFiltered = Object.keys(this.feed.filter).length > 0;
    if (!isFiltered && this.answers.savedCount + open + skipped + second + decided === 0) this.view.showEmpty(...NO_PROPOSALS);
    else this.view.showEmpty(...nothingLeft(this.session, this.counts, this.feed));
    this.view.say(this.told ?? '');
  }

  /** The region that the address names is not there: to open another one without a word would mislead. */
  showMissing({ message }) {
    this.root.dataset.region = 'none';
    this.view.showEmpty('This region is not there', `${message[0].toUpperCase()}${message.slice(1)}.`, ['Go on with the queue', withoutRegion()], ['Rounds', '/']);
  }

  /** What is left, as the server said last, without what it does not know yet. */
  showCounts(counts = this.counts) {
    this.counts = counts;
    this.view.showCounts(withChanges(counts, this.editing.unansweredChanges()));
  }

  /** A click on another region of this image that waits for a decision opens it. */
  openAt([x, y]) {
    const { image } = this;
    if (!image || this.isBusy || x < 0 || y < 0 || x >= image.width || y >= image.height) return;
    const number = image.regions[Math.floor(y) * image.width + Math.floor(x)];
    if (this.propagation.preview) {
      this.propagation.toggle(number);
      return;
    }
    const region = number < LEFTOVER && image.byNumber.get(number);
    if (region && region.region_id !== this.current?.row.region_id) this.open(region.region_id);
  }

  /** The region at which somebody flagged this one, while it waits for its answer; null if there is none. */
  flaggedAt(flaggedId) {
    const from = this.flaggedFrom.get(flaggedId);
    this.flaggedFrom.delete(flaggedId);
    const isWaiting = from !== undefined && !this.feed.handled.has(from) && [...this.image.byNumber.values()].some(({ region_id: id }) => id === from);
    return isWaiting ? from : null;
  }

  async goNext() {
    const id = this.current?.row.region_id ?? null;
    try {
      await this.open(this.flaggedAt(id) ?? await this.feed.next(id));
    } catch (error) {
      this.current = null; // What is still shown is decided.
      if (error.status === 0) this.waitForServer(() => this.goNext());
      else this.view.warn(`The next region could not be fetched. ${error.message}`, ['Try again', () => this.goNext()]);
      this.setBusy(false);
    }
  }

  // --- what editing and answers change ---

  /** Pixels or states of the image that is shown are other ones now. */
  refreshed(bbox = null) {
    if (!this.current) return;
    this.screen.renderer.optionsChanged();
    if (bbox === null) this.screen.paint();
    else this.screen.renderer.paint(bbox);
    this.screen.paintMarks();
    this.showState();
  }

  /** Load the image again when others changed it, as soon as nothing is under way here; the tool stays on. */
  async refreshStale() {
    const { image, editing, drawing } = this;
    if (!image?.isStale || this.isBusy || editing.unanswered.size > 0 || editing.waiting > 0 || drawing.isActive || this.propagation.preview) return;
    const { tool, unlocked, classId } = drawing;
    const regionId = this.current?.row.region_id;
    this.feed.forgetImage(image.id);
    if (regionId === undefined) return;
    await this.open(regionId);
    if (this.current?.row.region_id !== regionId || tool === null) return;
    drawing.classId = classId;
    drawing.setTool(tool);
    if (unlocked) drawing.toggleLock();
  }

  /** Draw refused values as new strokes; whether they are kept. */
  async drawAgain(bbox, values, untouched, isUnlocked) {
    const { drawing } = this;
    drawing.setTool('brush');
    if (isUnlocked && !drawing.unlocked) drawing.toggleLock();
    const kept = await Promise.all(drawing.replay(bbox, values, untouched));
    return kept.length > 0 && kept.every(Boolean);
  }

  // --- for commands and tests ---

  get viewport() {
    return this.screen.viewport;
  }

  /** The same tool again puts it away. */
  setTool(tool) {
    if (!this.current || this.isBusy) return;
    const { unfinished } = this.drawing;
    if (this.readOnly !== null) this.view.say(this.readOnly);
    else if (unfinished !== null) this.drawing.say(unfinished);
    else this.drawing.setTool(tool === this.drawing.tool ? null : tool);
  }

  /** What is begun first, then the strokes of this region. */
  async cancel() {
    const { drawing } = this;
    if (this.isBusy || !this.current) return;
    if (drawing.isActive) {
      drawing.stop();
      drawing.changed();
    } else if (this.isFromScratch) {
      this.view.say('Ctrl+Z takes strokes back one by one: all of the image is too much for one key.');
    } else {
      drawing.setTool(null);
      await this.editing.cancelStrokes();
    }
  }

  async move(direction) {
    if (this.isBusy || !this.current || this.editing.waiting > 0) return undefined;
    if (this.drawing.unfinished !== null) return this.drawing.say(this.drawing.unfinished);
    if (this.readOnly !== null) this.feed.leaveImage(this.image.id); // Its other regions cannot be changed either.
    const known = direction < 0 ? this.feed.stepBack() : this.feed.stepForward();
    if (known !== null) return this.open(known);
    if (direction > 0) return this.goNext();
    return this.view.say('This is the first region of this visit.');
  }
}
