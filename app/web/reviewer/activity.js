// What one decision cost its person: counted here, stored with the decision.

const LONGEST_GAP_MS = 15000; // A longer pause counts as this much: thinking is work, a coffee is not.

export class Activity {
  constructor() {
    this.restart();
  }

  restart() {
    Object.assign(this, { clicks: 0, keys: 0, strokes: 0, undos: 0, activeMs: 0, last: performance.now() });
  }

  note(kind) {
    const now = performance.now();
    this.activeMs += Math.min(now - this.last, LONGEST_GAP_MS);
    this.last = now;
    if (kind) this[kind] += 1;
  }

  /** The counters since the last action, as the server stores them with this one. */
  take() {
    this.note(null);
    const { clicks, keys, strokes, undos, activeMs } = this;
    this.restart();
    return { clicks, keys, strokes, undos, active_ms: Math.round(activeMs) };
  }
}
