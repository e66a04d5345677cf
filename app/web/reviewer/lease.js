// One person, in one tab, works on an image; this tab says that it is here, or shows who else is.
import { el } from './dom.js';
import { post } from './server.js';

const DEFAULT_BEAT_S = 15;

export class Lease {
  /** `onChange()` when this tab may change the image, or must not any more; `confirm(text, [label, action])` asks first. */
  constructor({ workspace_id: workspaceId, user }, tab, { onChange, confirm }) {
    Object.assign(this, { owner: { workspaceId, user }, tab, onChange, confirm, imageId: null, held: null, isLost: false });
    this.sentence = el('p', {});
    this.button = el('button', { type: 'button', class: 'ps-button', onclick: () => this.takeOver() });
    this.banner = el('div', { class: 'ps-held', role: 'status', hidden: true }, this.sentence, this.button);
    window.addEventListener('pagehide', () => this.release());
    document.addEventListener('visibilitychange', () => !document.hidden && this.beat()); // Hidden pages beat seldom.
    window.addEventListener('pageshow', ({ persisted }) => persisted && this.imageId !== null && this.open(this.imageId));
  }

  /** Another tab or person works on the image. Unknown, as without a connection, is no reason to stop anybody. */
  get isElsewhere() {
    return this.held !== null && !this.held.is_mine;
  }

  /** This image is shown now; the server is told after a moment that leaves it to something more urgent. */
  hold(imageId, delayMs = 0) {
    if (imageId === this.imageId) return;
    const left = this.held?.is_mine ? this.imageId : null;
    this.enter(imageId);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.beat(false, true), delayMs);
    if (left !== null) setTimeout(() => left !== this.imageId && this.giveBack(left), delayMs);
  }

  /** Of a person's own tabs the one works that opened the image last. */
  async open(imageId) {
    this.enter(imageId);
    await this.beat(false, true);
  }

  enter(imageId) {
    Object.assign(this, { imageId, held: null, isLost: false });
    this.show();
  }

  async beat(takeOver = false, opens = false) {
    clearTimeout(this.timer);
    const { imageId } = this;
    if (imageId === null) return;
    let isSignedOut = false;
    try {
      const held = await post(`/api/leases/${imageId}`, { session: this.tab, take_over: takeOver, opens }, this.owner);
      if (imageId !== this.imageId) { // Left before the answer came: nobody else would give it back.
        if (held.is_mine) this.giveBack(imageId);
        return;
      }
      const wasElsewhere = this.isElsewhere;
      this.isLost = !held.is_mine && (this.isLost || (this.held?.is_mine ?? false));
      this.held = held;
      this.show();
      if (wasElsewhere !== this.isElsewhere) this.onChange();
    } catch (error) {
      if (error.status === 404) this.held = null;
      isSignedOut = error.status === 401;
    } finally {
      // Signed out it waits until the person is back on this page, or goes on to another image.
      if (imageId === this.imageId && !isSignedOut) this.timer = setTimeout(() => this.beat(), 1000 * (this.held?.beat_s ?? DEFAULT_BEAT_S));
    }
  }

  /** From another person only after a question. */
  takeOver() {
    const { holder, is_same_person: isSamePerson } = this.held;
    if (isSamePerson) return this.beat(true);
    return this.confirm(`Take this image over? ${holder} works on it and can only look then; what ${holder} has not saved yet is refused.`,
      ['Take it over', () => this.beat(true)]);
  }

  show() {
    this.banner.hidden = !this.isElsewhere;
    if (!this.isElsewhere) return;
    const { holder, since, is_same_person: isSamePerson, may_take_over: mayTakeOver } = this.held;
    const when = new Date(since).toLocaleTimeString([], { timeStyle: 'short' });
    const text = isSamePerson ? `You work on this image in another tab since ${when}. Here you can only look.`
      : this.isLost ? `${holder} took this image over at ${when}. You can only look. → goes on with another image.`
      : `${holder} works on this image since ${when}. You can only look. → goes on with another image.`;
    if (this.sentence.textContent !== text) this.sentence.textContent = text; // Said again otherwise with every beat.
    this.button.textContent = isSamePerson ? 'Use it here' : 'Take it over';
    this.button.hidden = !mayTakeOver;
  }

  /** Leave the image; sent even while the page closes. */
  release() {
    clearTimeout(this.timer);
    const { imageId, held } = this;
    if (imageId === null || !held?.is_mine) return;
    this.held = null;
    this.giveBack(imageId);
  }

  giveBack(imageId) {
    fetch(`/api/leases/${imageId}/release`, {
      method: 'POST', keepalive: true, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ session: this.tab }),
    }).catch(() => {}); // The lease ends by itself.
  }
}
