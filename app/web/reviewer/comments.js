// What people said about this image and its regions: a button that counts, and a dialog to read, ask and answer.
import { el, kbd } from './dom.js';
import { showChord, chordOf } from './keymap.js';
import { getComments, postComment } from './server.js';

export class Comments {
  /** `onClose` gives the focus back; `say` puts a sentence into the status line. */
  constructor({ workspace_id: workspaceId, user }, { onClose, say }) {
    Object.assign(this, { owner: { workspaceId, user }, say, row: null, comments: [] });
    this.count = el('span', {}, 'Comments');
    this.button = el('button', { type: 'button', class: 'ps-button ps-comments', 'aria-keyshortcuts': chordOf('comment'), onclick: () => this.open() },
      this.count, kbd(showChord(chordOf('comment'))));
    this.list = el('ol', { class: 'ps-said' });
    this.text = el('textarea', { rows: '3', maxlength: '2000', 'aria-label': 'Comment', placeholder: 'What should others know about this region?' });
    this.asks = el('input', { type: 'checkbox' });
    this.problem = el('p', { class: 'ps-problem', role: 'alert', hidden: true });
    this.dialog = el('dialog', { class: 'ps-dialog', 'aria-label': 'Comments' },
      el('h2', {}, 'Comments'), this.list,
      el('form', { onsubmit: (event) => { event.preventDefault(); this.send(); } }, this.text,
        el('label', {}, this.asks, ' I need an answer'), this.problem,
        el('div', { class: 'ps-row' }, el('button', { type: 'submit', class: 'ps-button ps-accept' }, 'Save'),
          el('button', { type: 'button', class: 'ps-button', onclick: () => this.dialog.close() }, 'Close'))));
    this.dialog.addEventListener('close', onClose);
    this.text.addEventListener('keydown', (event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.send(); });
  }

  /** Another region is shown. */
  show(row) {
    const isOther = this.row?.image_id !== row.image_id;
    this.row = row;
    if (isOther) this.fill([]);
  }

  /** Learn what was said about the image. */
  async load() {
    const { row } = this;
    try {
      const found = await getComments(row.image_id);
      if (this.row.image_id === row.image_id) this.fill(found);
    } catch (error) {
      if (this.row === row) this.button.title = `The comments could not be loaded. ${error.message}`;
    }
  }

  fill(comments) {
    this.comments = comments;
    const open = comments.filter((each) => each.is_open).length;
    this.count.textContent = comments.length === 0 ? 'Comments' : `Comments (${comments.length}${open ? `, ${open} open` : ''})`;
    this.button.classList.toggle('ps-warning', open > 0);
    this.button.title = open ? 'A question waits for an answer' : 'What people said about this image';
    this.list.replaceChildren(...(comments.length ? comments.map((each) => this.draw(each)) : [el('li', {}, 'Nobody said anything about this image.')]));
  }

  draw({ id, author, text, region_id: regionId, is_open: isOpen, is_question: isQuestion, created_at: createdAt }) {
    const when = new Date(createdAt).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
    const about = regionId === null ? 'the image' : regionId === this.row.region_id ? 'this region' : 'another region';
    const state = isQuestion ? ` · ${isOpen ? 'waits for an answer' : 'answered'}` : '';
    return el('li', { class: isOpen ? 'ps-open' : '' }, el('p', {}, text), el('small', {}, `${author}, ${when}, about ${about}${state}`),
      isOpen ? el('button', { type: 'button', class: 'ps-button', onclick: () => this.send(id) }, 'Answer with the text below') : null);
  }

  open() {
    if (!this.row) return;
    this.problem.hidden = true;
    this.dialog.showModal();
    this.text.focus();
  }

  /** Save what was typed; with `closesId` as the answer to a question. */
  async send(closesId = null) {
    const text = this.text.value.trim();
    if (text === '') return this.complain('Write something first.');
    const { image_id: imageId, region_id: regionId } = this.row;
    try {
      await postComment(imageId, { text, region_id: regionId, is_question: closesId === null && this.asks.checked, closes_id: closesId }, this.owner);
    } catch (error) {
      return this.complain(`Not saved; what you wrote is still here. ${error.message}`);
    }
    this.text.value = '';
    this.asks.checked = false;
    this.dialog.close();
    this.say('Comment saved.');
    return this.load();
  }

  complain(sentence) {
    this.problem.textContent = sentence;
    this.problem.hidden = false;
    this.text.focus();
  }
}
