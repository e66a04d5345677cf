// Decisions on their way to the server. Each is kept in this browser until the server has it on disk, is sent in order,
// and is sent again under the same op_id after a failure, so that it is never lost and never counted twice. All tabs of
// one person share one queue; whichever tab holds the lock sends for all of them.
import { Kept } from './kept.js';
import { ApiError, post } from './server.js';
import { packFrame } from './wire.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const LONGEST_START_MS = 50; // Another tab may be sending.

export const newId = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
};

export class Outbox {
  /** In every tab: `onAnswer(entry, answer)`, `onRefused(entry, error, wasSentHere)`, `onState({state, pending, message})`. */
  constructor({ workspace_id: workspaceId, user }, { onAnswer, onRefused, onState }) {
    Object.assign(this, { onAnswer, onRefused, onState, workspaceId, user });
    this.kept = new Kept(workspaceId, user);
    this.lockName = `pixelsieve.outbox.${this.kept.owner}`;
    this.pending = 0;
    this.keeping = 0; // Entries that are not on the disk yet.
    this.refused = []; // Drawings that the server did not take; kept until somebody decides.
    this.failures = 0;
    this.failure = null; // {status, message} of the last attempt.
    this.isSending = false;
    this.isWanted = false;
    this.others = new BroadcastChannel(this.lockName);
    this.others.onmessage = ({ data }) => this.hear(data);
    for (const event of ['online', 'focus']) window.addEventListener(event, () => this.retry());
  }

  /** What earlier pages left behind is sent before anything else; returns when that is done or has failed. */
  async start() {
    await this.kept.adoptOldEntries();
    this.refused = await this.kept.refused();
    await this.send();
  }

  /**
   * Keep one POST and send it. `delta` (deflated bytes) makes it a binary frame. Returns when it is kept and, if nothing is
   * before it, on its way: what the page does next must not hold it up.
   * Throws NotKeptError when the browser cannot keep it: then it does not exist, and nothing may be shown as decided.
   */
  async add(path, header, delta = null) {
    this.keeping += 1;
    try {
      await this.kept.add({ path, header, delta });
    } finally {
      this.keeping -= 1;
    }
    this.pending += 1;
    if (this.isSending || this.failures > 0) {
      this.send();
      return;
    }
    const left = new Promise((resolve) => { this.onLeft = resolve; });
    this.send().finally(this.onLeft).catch(() => {}); // What cannot be sent is shown, and waits.
    await Promise.race([left, pause(LONGEST_START_MS)]);
  }

  get isEmpty() {
    return this.pending === 0;
  }

  get isKeeping() {
    return this.keeping > 0;
  }

  /** saved, saving, or why not: offline, signed_out, elsewhere (another workspace is served here), error. */
  get state() {
    if (this.isEmpty) return 'saved';
    if (this.failures === 0) return 'saving';
    return { 0: 'offline', 401: 'signed_out', 421: 'elsewhere' }[this.failure.status] ?? 'error';
  }

  report() {
    this.onState({ state: this.state, pending: this.pending, message: this.failure?.message ?? '' });
  }

  /** Resolves when nothing is left or an attempt has failed. */
  async send() {
    this.isWanted = true;
    if (this.isSending) return;
    this.isSending = true;
    clearTimeout(this.timer);
    try {
      while (this.isWanted) await this.whenAlone(() => this.drain());
    } catch (error) { // What is kept cannot be read; nothing was removed.
      this.wait({ status: null, message: error.message });
      throw error;
    } finally {
      this.isSending = false;
    }
  }

  /** Without locks (a page that is not from https or this machine) tabs send some entries twice; they count once. */
  whenAlone(work) {
    return navigator.locks ? navigator.locks.request(this.lockName, work) : work();
  }

  async drain() {
    this.isWanted = false;
    for (;;) {
      const entry = await this.kept.first();
      await this.recount();
      if (!entry || !(await this.sendOne(entry))) return;
    }
  }

  async recount() {
    this.pending = await this.kept.count();
    this.report();
  }

  async sendOne(entry) {
    let answer;
    try {
      const asked = post(entry.path, entry.delta ? packFrame(entry.header, [entry.delta]) : entry.header, this);
      this.onLeft?.();
      answer = await asked;
    } catch (error) {
      if (error.isTemporary ?? true) return this.wait({ status: error.status ?? 0, message: error.message });
      await this.kept.refuse(entry, error.message);
      return this.settled('refused', { entry, status: error.status, message: error.message });
    }
    await this.kept.remove(entry);
    return this.settled('answered', { entry, answer });
  }

  async settled(kind, said) {
    this.others.postMessage({ kind, said: { ...said, entry: { ...said.entry, delta: null } } });
    await this.learn(kind, said, true);
    return true;
  }

  /** Try again later. Every tab does, because the one that tried now may be closed by then. */
  wait(failure) {
    this.failures += 1;
    this.failure = failure;
    if (this.failures === 1) navigator.storage?.persist?.(); // Ask the browser not to clear this to make room.
    this.others.postMessage({ kind: 'failed', said: failure });
    this.retryLater();
    return false;
  }

  retryLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.failures - 1)));
    this.report();
  }

  /** Another tab sent something, or could not, or settled a refusal. */
  async hear({ kind, said }) {
    if (kind === 'settled') {
      this.refused = await this.kept.refused();
    } else if (kind === 'failed') {
      this.failures = Math.max(1, this.failures);
      this.failure = said;
      await this.recount();
      this.retryLater();
    } else {
      await this.learn(kind, said, false);
      await this.recount();
    }
  }

  async learn(kind, { entry, answer, status, message }, wasSentHere) {
    this.failures = 0;
    this.failure = null;
    if (kind === 'answered') {
      this.onAnswer(entry, answer);
    } else {
      this.refused = await this.kept.refused();
      this.onRefused(entry, new ApiError(message, status), wasSentHere);
    }
  }

  /** A refused drawing was taken up again or given up. */
  async settle(entry) {
    this.refused = this.refused.filter((each) => each !== entry);
    await this.kept.settle(entry);
    this.others.postMessage({ kind: 'settled' });
  }

  retry() {
    if (!this.isEmpty) this.send();
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
