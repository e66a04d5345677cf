// Decisions on their way to the server. Each is kept in localStorage until the server has it on disk, is sent in
// order, and is sent again under the same op_id after a failure, so that it is never lost and never counted twice.
import { post } from './server.js';
import { fromBase64, packFrame, toBase64 } from './wire.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;

export const newId = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
};

export class Outbox {
  /** `onAnswer(entry, answer)`, `onRefused(entry, error)`, `onState({state, pending, message})`. */
  constructor(workspaceId, { onAnswer, onRefused, onState }) {
    Object.assign(this, { onAnswer, onRefused, onState });
    this.prefix = `pixelsieve.outbox.${workspaceId}.`;
    this.refusedPrefix = `pixelsieve.refused.${workspaceId}.`;
    this.entries = restore(this.prefix);
    this.refused = restore(this.refusedPrefix); // Drawings that the server did not take; kept until somebody decides.
    this.lastSequence = this.entries.at(-1)?.sequence ?? 0;
    this.failures = 0;
    this.message = '';
    this.isSending = false;
    this.isVolatile = false; // Storage was full: an entry lives in memory only.
    window.addEventListener('online', () => this.retry());
  }

  /** Queue one POST. `delta` (deflated bytes) makes it a binary frame. */
  add(path, header, delta = null) {
    this.lastSequence = Math.max(Date.now(), this.lastSequence + 1); // Keeps the order, also across reloads.
    const entry = { path, header, delta: delta && toBase64(delta), sequence: this.lastSequence };
    this.entries.push(entry);
    this.store(this.prefix, entry);
    this.send();
  }

  get isEmpty() {
    return this.entries.length === 0;
  }

  report() {
    const state = this.isEmpty ? 'saved' : this.failures > 0 ? 'error' : 'saving';
    this.onState({ state, pending: this.entries.length, message: this.message });
  }

  /** Resolves when nothing is left or the first attempt has failed. */
  async send() {
    if (this.isSending) return;
    this.isSending = true;
    clearTimeout(this.timer);
    while (!this.isEmpty) {
      this.report();
      if (!(await this.sendFirst())) break;
    }
    this.isSending = false;
    this.report();
  }

  async sendFirst() {
    const entry = this.entries[0];
    try {
      const answer = await post(entry.path, entry.delta ? packFrame(entry.header, [fromBase64(entry.delta)]) : entry.header);
      this.remove(entry);
      this.failures = 0;
      this.onAnswer(entry, answer);
    } catch (error) {
      if (error.isTemporary ?? true) return this.waitAfter(error);
      if (entry.delta) this.keepRefused({ ...entry, message: error.message });
      this.remove(entry);
      this.onRefused(entry, error);
    }
    return true;
  }

  waitAfter(error) {
    this.failures += 1;
    this.message = error.message;
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.failures - 1));
    this.timer = setTimeout(() => this.send(), pause);
    return false;
  }

  remove(entry) {
    this.entries.shift();
    localStorage.removeItem(this.prefix + entry.header.op_id);
    if (this.isEmpty) this.isVolatile = false;
  }

  keepRefused(entry) {
    this.refused.push(entry);
    this.store(this.refusedPrefix, entry);
  }

  /** A refused drawing was taken up again or given up. */
  settle(entry) {
    this.refused = this.refused.filter((each) => each !== entry);
    localStorage.removeItem(this.refusedPrefix + entry.header.op_id);
  }

  store(prefix, entry) {
    try {
      localStorage.setItem(prefix + entry.header.op_id, JSON.stringify(entry));
    } catch {
      this.isVolatile = true;
    }
  }

  retry() {
    if (!this.isSending) this.send();
  }
}

function restore(prefix) {
  const keys = Array.from({ length: localStorage.length }, (_, index) => localStorage.key(index));
  const found = keys.filter((key) => key.startsWith(prefix)).map((key) => JSON.parse(localStorage.getItem(key)));
  return found.sort((a, b) => a.sequence - b.sequence);
}
