// A question over the page. What the server refuses is said in it.
import { el } from './dom.js';

/** `act()` does it and returns what to tell the person; resolves to that, or to null when nothing was done. `no` closes it without. */
export function ask(title, body, yes, act, no = 'Cancel') {
  const error = el('p', { class: 'pp-error', role: 'alert' });
  const confirm = el('button', { class: 'pp-primary', type: 'submit' }, yes);
  const form = el('form', { method: 'dialog' }, el('h2', {}, title), ...body, error,
    el('footer', {}, el('button', { type: 'button', onclick: () => dialog.close() }, no), confirm));
  const dialog = el('dialog', { class: 'pp pp-dialog', 'aria-label': title }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    let said = null;
    dialog.addEventListener('close', () => { dialog.remove(); resolve(said); });
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      confirm.disabled = true;
      try {
        said = await act();
        dialog.close();
      } catch (failure) {
        error.textContent = failure.message;
        confirm.disabled = false;
      }
    });
  });
}
