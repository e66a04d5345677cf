// Turning the pages of a long table.
import { el } from './dom.js';

/** `turn(step)` is called with -1 or 1; `value` says `first`, `has_more` and holds the `rows`. */
export function pages(label, { rows, first, has_more: hasMore }, turn) {
  const button = (step, text, enabled) => el('button', { type: 'button', disabled: !enabled, onclick: () => turn(step) }, text);
  return el('nav', { class: 'pp-pages', 'aria-label': label },
    button(-1, '← Before', first > 1), el('span', {}, `${first} to ${first + rows.length - 1}`), button(1, 'More →', hasMore));
}
