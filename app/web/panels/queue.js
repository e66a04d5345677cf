// The queue as a table; each line leads to its region in the reviewer.
import { el, live, moment, percent, swatch } from './dom.js';
import { pages } from './pages.js';

export const STATE_TEXT = { open: 'open', skipped: 'skipped', second_review: 'second review', decided: 'decided' };
const HEAD = ['Region', 'Image', 'Model says', 'Chance it is right', 'Area', 'State', 'Decision'];
const IN_WORDS = new Set(['Image', 'Model says', 'State', 'Decision']);
const VERDICT_TEXT = { accept: 'right as proposed', relabel: '', void: 'void', draw: 'drawn', dont_know: "don't know", skip: 'skipped' };
const REPLACED = 'A newer model proposed other regions here. The decision holds; the region itself can no longer be opened.';

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, (value) => root.replaceChildren(...draw(value, gradio.trigger)));
}

function draw(value, trigger) {
  if (value.rows.length === 0) return [el('p', { class: 'pp-muted' }, 'No region with this filter.')];
  return [table(value), pages('Pages of the queue', value, (step) => trigger('pick', { step }))];
}

export function table({ rows, filter }) {
  return el('table', { class: 'pp-table pp-queue' },
    el('thead', {}, el('tr', {}, ...HEAD.map((text) => el('th', { scope: 'col', class: IN_WORDS.has(text) ? 'pp-text' : '' }, text)))),
    el('tbody', {}, ...rows.map((row) => drawRow(row, filter))));
}

function drawRow(row, filter) {
  const href = `/review?${new URLSearchParams({ ...filter, region: row.region_id })}`;
  const picture = el('img', { src: `/api/regions/${row.region_id}/thumbnail`, alt: '', loading: 'lazy', width: 160, height: 112 });
  const open = (event) => { if (!event.target.closest('a')) location.assign(href); };
  const canOpen = row.is_current ? { onclick: open } : { class: 'pp-replaced', title: REPLACED };
  return el('tr', { 'data-region': row.region_id, ...canOpen },
    el('td', {}, row.is_current ? el('a', { href, 'aria-label': `Review region ${row.region_id}` }, picture) : picture),
    el('td', { class: 'pp-text' }, row.image_name, row.assignee ? el('small', { class: 'pp-below' }, `of ${row.assignee}`) : null),
    ...(row.kind === 'control' ? [el('td', { class: 'pp-text' }, 'label from scratch'), el('td', {}, '–')]
      : [el('td', { class: 'pp-text' }, swatch(row.color), row.class_name), el('td', {}, percent(row.mean_confidence))]),
    el('td', {}, `${row.area} px`),
    el('td', { class: 'pp-text' }, el('span', { class: 'pp-state' }, STATE_TEXT[row.state]),
      row.is_current ? null : el('small', { class: 'pp-below' }, 'earlier proposal')),
    el('td', { class: 'pp-text' }, ...(row.verdict ? drawVerdict(row.verdict) : [])));
}

export function drawVerdict({ kind, user, decided_at: decidedAt, class_name: name, color }) {
  return [...(color ? [swatch(color)] : []), name ?? VERDICT_TEXT[kind], el('small', { class: 'pp-below' }, `${user}, ${moment(decidedAt)}`)];
}
