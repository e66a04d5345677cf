// The audit log, newest first, with filters and as a table for a spreadsheet.
import { getJson } from '../reviewer/server.js';
import { asked, el, moment, startOfDay } from './dom.js';

const PAGE = 50;
const MOST_NAMED = 5;
const HEAD = ['When', 'Who', 'As', 'What', 'To what', 'Details'];

export class AuditLog {
  constructor(say) {
    this.say = say;
    this.rows = [];
    this.actor = el('input', { maxlength: 255, autocomplete: 'off' });
    this.action = el('select', {});
    this.target = el('input', { maxlength: 255, autocomplete: 'off' });
    this.since = el('input', { type: 'date' });
    this.until = el('input', { type: 'date' });
    const field = (text, input) => el('label', {}, el('span', {}, text), input);
    this.download = el('a', { class: 'pp-button', download: 'audit.csv' }, 'Download as CSV');
    this.form = el('form', { class: 'pp-inline', 'aria-label': 'Filter the audit log' },
      field('Who', this.actor), field('What', this.action), field('To what', this.target), field('From', this.since), field('Until', this.until),
      el('button', { type: 'submit' }, 'Show'), this.download);
    this.form.addEventListener('submit', (event) => { event.preventDefault(); this.tryRefresh(); });
    for (const input of [this.action, this.since, this.until]) input.addEventListener('change', () => this.tryRefresh());
    this.body = el('tbody', {});
    this.more = el('button', { type: 'button', onclick: () => this.tryMore() }, 'Older entries');
    this.none = el('p', { class: 'pp-muted' }, 'No entry with this filter.');
    this.element = el('section', { id: 'audit-log', 'aria-labelledby': 'audit-heading' }, el('h2', { id: 'audit-heading' }, 'Audit log'), this.form,
      el('div', { class: 'pp-wide' }, el('table', { class: 'pp-table pp-audit' },
        el('thead', {}, el('tr', {}, ...HEAD.map((name) => el('th', { scope: 'col', class: 'pp-text' }, name)))), this.body)),
      this.none, this.more);
  }

  async start() {
    const { actions } = await getJson('/api/audit/actions');
    this.action.replaceChildren(el('option', { value: '' }, 'everything'), ...actions.map((name) => el('option', { value: name }, words(name))));
    await this.refresh();
  }

  get query() {
    return asked({ actor: this.actor.value.trim(), action: this.action.value, target: this.target.value.trim(), since: startOfDay(this.since), until: startOfDay(this.until, 1) });
  }

  async refresh() {
    this.rows = [];
    await this.fetch({});
    this.download.href = `/api/audit.csv?${new URLSearchParams(this.query)}`;
  }

  async fetch(after) {
    const { entries } = await getJson(`/api/audit?${new URLSearchParams({ ...this.query, ...after, limit: PAGE })}`);
    this.rows.push(...entries);
    this.body.replaceChildren(...this.rows.map(drawEntry));
    this.more.hidden = entries.length < PAGE;
    this.none.hidden = this.rows.length > 0;
    this.element.dataset.entries = String(this.rows.length);
  }

  tryRefresh() {
    return this.refresh().catch((error) => this.say(error.message, true));
  }

  tryMore() {
    return this.fetch({ before_id: this.rows.at(-1).id }).catch((error) => this.say(error.message, true));
  }
}

const words = (name) => name.replaceAll('_', ' ');

/** A list by its first entries: hundreds of images may change hands at once. */
function text(value) {
  if (!Array.isArray(value)) return value !== null && typeof value === 'object' ? JSON.stringify(value) : String(value);
  const others = value.length - MOST_NAMED;
  return value.slice(0, MOST_NAMED).join(', ') + (others > 0 ? ` and ${others} ${others === 1 ? 'other' : 'others'}` : '');
}

function drawEntry({ id, created_at: time, actor, role, action, target, details }) {
  const cell = (text) => el('td', { class: 'pp-text' }, text);
  const said = Object.entries(details).filter(([key]) => key !== 'image_ids').map(([key, value]) => `${words(key)}: ${text(value)}`).join(', ');
  return el('tr', { 'data-entry': id, 'data-action': action },
    cell(moment(time)), el('th', { scope: 'row', class: 'pp-text' }, actor), cell(role ?? ''), cell(words(action)), cell(target), cell(said));
}
