// Labels that may be wrong: looking for them, and the list of what was found last, with what can be done about each part.
import { getJson, post } from '../reviewer/server.js';
import { newId } from '../reviewer/outbox.js';
import { el, moment, percent, swatch } from './dom.js';
import { ended, progressLine } from './job_follow.js';
import { pages } from './pages.js';

const SHOWN = 12;
const MOST = 200; // As many as one answer of the API holds.
const SMALL = 400, LARGE = 1400;
const HEAD = ['Part', 'Image', 'Labeled as', 'Model says', 'Doubt', 'What it is'];

/** The section for people who may run jobs. */
export function suspectsSection(classes) {
  const root = el('section', { id: 'wrong-labels', class: 'pp-suspects', 'data-part': 'suspects', 'aria-label': 'Labels that may be wrong' });
  const panel = new Suspects(root, classes);
  panel.start();
  return root;
}

class Suspects {
  constructor(root, classes) {
    Object.assign(this, { root, classes, offset: 0, tab: newId() });
    this.message = el('p', { class: 'pp-message', role: 'status' });
    this.progress = el('div', { class: 'pp-row' });
    this.look = el('button', { class: 'pp-primary', type: 'button', onclick: () => this.attempt(() => this.startLook()) }, 'Look for wrong labels');
    this.found = el('p', { class: 'pp-muted pp-how' });
    this.onlyOpen = el('input', { type: 'checkbox' });
    this.onlyOpen.addEventListener('change', () => { this.offset = 0; this.attempt(() => this.refresh()); });
    this.body = el('div');
    root.append(el('h2', {}, 'Labels that may be wrong'),
      el('p', { class: 'pp-muted pp-how' }, 'Parts of imported and corrected labels that the model doubts more than it usually doubts labels of their class, the likeliest first. Its doubt is no proof: look at the picture.'),
      el('div', { class: 'pp-row' }, this.look, this.progress), this.message, this.found, this.body);
  }

  async start() {
    await this.attempt(() => this.refresh());
    this.root.dataset.listed = '1';
    await this.attempt(() => this.followUnfinished());
  }

  async refresh() {
    const { search, rows } = await getJson(`/api/suspects?limit=${SHOWN}&offset=${this.offset}&only_open=${this.onlyOpen.checked}`);
    if (rows.length === 0 && this.offset > 0) { // The last one of the last page was answered.
      this.offset = Math.max(0, this.offset - SHOWN);
      await this.refresh();
      return;
    }
    this.found.replaceChildren(...(search === null ? ['Nobody has looked yet. Every image that people labeled is predicted for it, which takes as long as predicting them does.'] : said(this.onlyOpen.checked, search)));
    this.look.textContent = search === null ? 'Look for wrong labels' : 'Look again';
    this.body.replaceChildren(...(search === null ? [] : this.draw(search, rows)));
  }

  draw(search, rows) {
    const filter = el('label', { class: 'pp-check' }, this.onlyOpen, ' Only parts without an answer');
    if (rows.length === 0) return [filter, el('p', { class: 'pp-muted' }, this.onlyOpen.checked ? 'Every part has its answer.' : 'No part is large enough to be listed.')];
    const turn = (step) => { this.offset = Math.max(0, this.offset + step * SHOWN); return this.attempt(() => this.refresh()); };
    return [this.sender(), filter,
      el('div', { class: 'pp-wide', tabindex: '0', role: 'region', 'aria-label': 'Parts that may be wrong' },
        el('table', { class: 'pp-table' },
          el('thead', {}, el('tr', {}, ...HEAD.map((text) => el('th', { scope: 'col', class: 'pp-text' }, text)))),
          el('tbody', {}, ...rows.map((row, index) => this.drawRow(row, () => this.enlarge(rows, index)))))),
      pages('Pages of the parts', { rows, first: this.offset + 1, has_more: this.offset + rows.length < search.num_listed }, turn)];
  }

  /** Sends the first parts that people labeled here to review. */
  sender() {
    const number = el('input', { type: 'number', min: 1, max: MOST, value: 10, 'aria-label': 'How many parts' });
    const form = el('form', { class: 'pp-row pp-sender', 'aria-label': 'Send parts to review' }, el('button', { type: 'submit' }, 'Send to review:'), 'the first', number,
      'parts that people labeled here and about which nothing is said yet');
    form.addEventListener('submit', (event) => { event.preventDefault(); this.attempt(() => this.sendFirst(Number(number.value))); });
    return form;
  }

  drawRow(row, enlarge) {
    const what = `part ${row.rank}, in ${row.image_name}`;
    const picture = el('img', { src: pictureOf(row, SMALL), alt: '', loading: 'lazy', width: 200, height: 140 });
    const address = pageOf(row);
    return el('tr', { 'data-suspect': row.id, 'data-answer': row.answer },
      el('td', {}, el('button', { type: 'button', class: 'pp-picture', onclick: enlarge, 'aria-label': `Larger: ${what}` }, picture)),
      el('td', { class: 'pp-text' }, address ? el('a', { href: address, 'aria-label': `Open ${what}, in the reviewer` }, row.image_name) : row.image_name, el('small', { class: 'pp-below' }, row.is_imported ? 'came with its label' : 'labeled here')),
      el('td', { class: 'pp-text' }, ...this.named(row.class_id)),
      el('td', { class: 'pp-text' }, ...(row.suggested === row.class_id ? [el('span', {}, 'the same,', el('small', { class: 'pp-below' }, 'less sure'))] : this.named(row.suggested))),
      el('td', { class: 'pp-text' }, percent(row.doubt), el('small', { class: 'pp-below' }, `${row.area.toLocaleString('en')} px`)),
      el('td', { class: 'pp-text' }, ...this.drawAnswer(row, what)));
  }

  drawAnswer(row, what) {
    const act = (text, name, does) => el('button', { type: 'button', 'aria-label': `${text}: ${what}`, 'data-does': name, onclick: () => this.answer(row, does) }, text);
    const back = () => act('Take back', 'reopen', () => post(`/api/suspects/${row.id}/reopen`, null));
    const by = row.answered_by === null ? null : el('small', { class: 'pp-below' }, `${row.answered_by}, ${moment(row.answered_at)}`);
    const state = (text) => [el('span', { class: 'pp-state' }, text), by];
    if (row.answer === 'right') return [...state('right'), back()];
    if (row.answer === 'sent') return [...state(row.region_state === 'decided' ? 'decided, label kept' : 'in review')];
    if (row.answer === 'changed') return row.is_imported && by ? [...state('changed'), back()] : state('changed since');
    const change = (classId) => () => post(`/api/suspects/${row.id}/change`, { class_id: classId });
    const wrong = !row.is_imported ? [act('Send to review', 'send', () => this.send(row))]
      : [...(row.suggested === row.class_id ? [] : [act(`It is ${this.classes[row.suggested].name}`, 'change', change(row.suggested))]), act('Make it void', 'void', change(null))];
    return [el('div', { class: 'pp-row' }, act('Right', 'right', () => post(`/api/suspects/${row.id}/right`, null)), ...wrong)];
  }

  /** One part large, with more around it; arrow keys and buttons go to the others of the page. */
  enlarge(rows, first) {
    const picture = el('img', { alt: '' });
    const said = el('span', { class: 'pp-row', role: 'status' });
    let shown = first;
    const turn = (step) => {
      shown = (shown + step + rows.length) % rows.length;
      const row = rows[shown];
      picture.src = pictureOf(row, LARGE);
      picture.alt = `Part ${row.rank} outlined`;
      said.replaceChildren(el('strong', {}, `Part ${row.rank}, in ${row.image_name}`), el('span', {}, 'labeled as ', ...this.named(row.class_id)),
        ...(row.suggested === row.class_id ? [] : [el('span', {}, 'the model says ', ...this.named(row.suggested))]));
    };
    const dialog = el('dialog', { class: 'pp pp-large', 'aria-label': 'A part of a label, large' },
      el('header', {}, said, el('span', { class: 'pp-space' }), el('button', { type: 'button', onclick: () => turn(-1) }, '← Before'),
        el('button', { type: 'button', onclick: () => turn(1) }, 'Next →'), el('button', { type: 'button', onclick: () => dialog.close() }, 'Close')), picture);
    dialog.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) { event.preventDefault(); turn(step); }
    });
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    turn(0);
  }

  named(classId) {
    const { name, color } = this.classes[classId];
    return [swatch(color), name];
  }

  /** Do something about a part, draw the list as it is then, and stay at that part. */
  async answer(row, does) {
    await this.attempt(async () => { await does(); await this.refresh(); });
    const buttons = this.body.querySelectorAll(`[data-suspect="${row.id}"] button`);
    (buttons[1] ?? buttons[0])?.focus(); // The first one enlarges the picture.
  }

  send(row) {
    return post(`/api/suspects/${row.id}/send`, { op_id: newId(), session: this.tab });
  }

  async sendFirst(number) {
    const chosen = (await this.openOnes((row) => !row.is_imported, number)).slice(0, number);
    const refused = [];
    for (const row of chosen) await this.send(row).catch((error) => refused.push(error.message));
    await this.refresh();
    const sent = chosen.length - refused.length;
    const parts = sent === 1 ? '1 part is' : `${sent || 'No'} parts are`;
    this.say(`${parts} in review now${refused.length ? `; ${refused.length} could not be sent: ${refused[0]}` : '.'}`, refused.length > 0);
  }

  /** Parts of a kind without an answer, likeliest first: `number` of them if there are so many, or a few more. */
  async openOnes(isOfKind, number) {
    const found = [];
    for (let offset = 0, isLast = false; !isLast && found.length < number; offset += MOST) {
      const { rows } = await getJson(`/api/suspects?limit=${MOST}&offset=${offset}&only_open=true`);
      found.push(...rows.filter(isOfKind));
      isLast = rows.length < MOST;
    }
    return found;
  }

  async startLook() {
    const { job_id: id } = await post('/api/suspects', {});
    await this.follow(id);
  }

  /** A look that somebody started is shown again when the page is opened. */
  async followUnfinished() {
    const { jobs } = await getJson('/api/jobs?limit=20');
    const job = jobs.find(({ kind, finished_at: finished }) => kind === 'suspects' && finished === null);
    if (job) await this.follow(job.id);
  }

  async follow(id) {
    this.look.disabled = true;
    try {
      const job = await ended(id, (now) => this.progress.replaceChildren(...progressLine(now, 'Progress of the look', 'looks at labels', (text) => this.say(text, true))));
      this.offset = 0;
      await this.refresh();
      if (job.state === 'succeeded') this.say(failedOf(job.result.failed), job.result.failed > 0);
      else this.say(job.error ?? 'The look was stopped; the list is the one from before.', job.state === 'failed');
    } finally {
      this.look.disabled = false;
      this.progress.replaceChildren();
    }
  }

  async attempt(does) {
    this.say('');
    try {
      await does();
    } catch (error) {
      this.say(error.message, true);
    }
  }

  say(text, isError = false) {
    this.message.textContent = text;
    this.message.classList.toggle('pp-error', isError);
  }
}

/** What was looked at, when, and whether it still says what the present model would. */
function said(onlyOpen, { round, is_current: isCurrent, min_area: minArea, num_images: images, num_parts: parts, num_listed: listed, found_at: at }) {
  const kept = listed < parts && !onlyOpen ? `, of which the likeliest ${listed.toLocaleString('en')} are listed` : '';
  const text = `${moment(at)}, by the model of round ${round}: ${parts.toLocaleString('en')} parts of at least ${minArea} pixels in the labels of ${images.toLocaleString('en')} ${images === 1 ? 'image' : 'images'}${kept}.`;
  return [text, ...(isCurrent ? [] : [el('strong', {}, ' Another model is in use now: look again.')])];
}

const failedOf = (failed) => (failed === 0 ? '' : `${failed} ${failed === 1 ? 'image' : 'images'} could not be looked at; the log of the job on the page Rounds says which and why.`);

const pictureOf = (row, width) => `/api/suspects/${row.id}/picture?width=${width}`;

/** Where the reviewer shows a part; null for images that it does not show. */
function pageOf({ page, region_id: regionId }) {
  return page === null || regionId === null ? page : `${page}&region=${regionId}`;
}
