// A box over the picture that says something and wants an answer: what failed, or whether something is really meant.
// Enter takes its first answer, Esc closes it; while it has the keyboard, no key reaches the region below.
import { el, kbd } from './dom.js';

export class Notice {
  /** `stage` gets the focus back; `isRegionHigh()` tells whether the region is in the upper half of the view. */
  constructor(stage, isRegionHigh) {
    Object.assign(this, { stage, isRegionHigh, isAsking: false, first: null });
    this.element = el('div', { class: 'ps-notice', tabindex: '-1', hidden: true });
    this.element.addEventListener('keydown', (event) => this.key(event));
  }

  get isShown() {
    return !this.element.hidden;
  }

  /** A sentence that stays until it is answered; `actions` are [text, callback]. */
  tell(text, ...actions) {
    this.show('alert', 'Close', text, actions);
    if (actions.length > 0) this.takeFocus();
  }

  /** A question that the person caused: nothing else can be done by key before it is answered. */
  ask(text, action) {
    this.show('alertdialog', 'Cancel', text, [action]);
    this.isAsking = true;
    this.element.setAttribute('aria-label', text);
    this.takeFocus();
  }

  show(role, leave, text, actions) {
    const buttons = [...actions, [leave, () => {}]].map(([label, action], order) => el('button', {
      type: 'button', class: `ps-button${order === 0 && actions.length > 0 ? ' ps-accept' : ''}`, onclick: () => this.answer(action),
    }, el('span', {}, label), order === actions.length ? kbd('Esc') : order === 0 ? kbd('Enter') : null));
    this.first = actions[0]?.[1] ?? null;
    this.isAsking = false;
    this.element.removeAttribute('aria-label');
    this.element.setAttribute('role', role);
    this.element.replaceChildren(el('p', {}, text), el('div', {}, ...buttons));
    this.element.classList.toggle('ps-low', this.isRegionHigh());
    this.element.hidden = false;
  }

  /** Not from somebody who draws: Enter means something else there. */
  takeFocus() {
    if (this.isAsking || !this.stage.closest('.ps').matches(':not([data-tool="none"])')) this.element.focus({ preventScroll: true });
  }

  answer(action) {
    this.close();
    if (!document.activeElement?.closest('.ps')) this.stage.focus({ preventScroll: true });
    action();
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = true;
    this.isAsking = false;
    if (hadFocus) this.stage.focus({ preventScroll: true });
  }

  /** Another region is shown: questions, and what was only said about the one before, end with it. */
  leaveRegion() {
    if (this.isAsking || this.first === null) this.close();
  }

  /** Something else was clicked: that is no answer to a question. */
  dropQuestion() {
    if (this.isAsking) this.close();
  }

  /** A key that was held down when the box came answers nothing. */
  key(event) {
    if (event.key === 'Tab' && !event.ctrlKey) return;
    event.stopPropagation();
    const isOnButton = event.target.closest('.ps-notice button') !== null;
    if (isOnButton && [' ', 'Enter'].includes(event.key)) return;
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isPlain && !event.repeat && event.key === 'Escape') this.answer(() => {});
    else if (isPlain && !event.repeat && event.key === 'Enter' && this.first) this.answer(this.first);
    else if (event.key !== ' ' && event.key !== 'Enter') return;
    event.preventDefault();
  }
}
