// What waits for somebody who knows better: regions that a person did not know, questions, and areas that people called
// wrong though the model was sure of them or others had decided them.
import { el, live, moment, swatch } from './dom.js';
import { STATE_TEXT, drawVerdict, table } from './queue.js';

const FLAG_HEAD = ['Area', 'Image', 'Said to be', 'Called wrong by', 'State', 'Decision'];
const NO_FLAGS = 'People point at reliable areas that are wrong in the reviewer: G, then a click. Parts of labels that the model doubts are sent here from the page Quality.';

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, (value) => root.replaceChildren(...draw(value)));
}

function draw({ regions, questions, flags, may_assign: mayAssign }) {
  const all = mayAssign ? { everybody: true } : {};
  const { rows, has_more: hasMore, filter, counts } = regions;
  const left = counts.second_review;
  return [
    el('div', { class: 'pp-next' },
      el('div', {}, el('h2', {}, left ? `${left} ${left === 1 ? 'region' : 'regions'} for a second reviewer` : 'Nothing waits for a second reviewer'),
        el('p', {}, 'Somebody pressed F, "don\'t know". What you decide here counts like any other decision.')),
      left ? el('a', { class: 'pp-primary', href: `/review?${new URLSearchParams(filter)}` }, 'Review') : null),
    ...(rows.length ? [table(regions)] : []),
    ...(hasMore ? [el('p', { class: 'pp-muted' }, `The first ${rows.length} are listed; the others follow in the reviewer.`)] : []),
    el('h2', { class: 'pp-heading' }, `Open questions (${questions.length})`),
    questions.length ? el('ul', { class: 'pp-questions' }, ...questions.map((question) => drawQuestion(question, all)))
      : el('p', { class: 'pp-muted' }, 'People ask in the reviewer: N, with "I need an answer".'),
    el('h2', { class: 'pp-heading' }, `Areas called wrong (${flags.length})`),
    flags.length ? el('table', { class: 'pp-table' },
      el('thead', {}, el('tr', {}, ...FLAG_HEAD.map((text) => el('th', { scope: 'col', class: 'pp-text' }, text)))),
      el('tbody', {}, ...flags.map((flag) => drawFlag(flag, all)))) : el('p', { class: 'pp-muted' }, NO_FLAGS),
  ];
}

function drawFlag({ row, user, flagged_at: flaggedAt, class_name: name, color, verdict, is_current: isCurrent }, all) {
  const address = { image_id: row.image_id, include_enough: true, ...all, region: row.region_id };
  const picture = el('img', { src: `/api/regions/${row.region_id}/thumbnail`, alt: '', loading: 'lazy', width: 160, height: 112 });
  const link = el('a', { href: `/review?${new URLSearchParams(address)}`, 'aria-label': `Review the flagged area in ${row.image_name}` }, picture);
  return el('tr', { 'data-flag': row.region_id },
    el('td', {}, isCurrent ? link : picture), el('td', { class: 'pp-text' }, row.image_name),
    el('td', { class: 'pp-text' }, swatch(color), name),
    el('td', { class: 'pp-text' }, user, el('small', { class: 'pp-below' }, moment(flaggedAt))),
    el('td', { class: 'pp-text' }, el('span', { class: 'pp-state' }, STATE_TEXT[row.state] ?? row.state)),
    el('td', { class: 'pp-text' }, ...(verdict ? drawVerdict(verdict) : [])));
}

function drawQuestion({ image_id: imageId, region_id: regionId, image_name: name, author, text, created_at: createdAt }, all) {
  const when = new Date(createdAt).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
  const address = { image_id: imageId, asked: true, ...all, ...(regionId === null ? {} : { region: regionId }) };
  return el('li', {}, el('p', {}, text),
    el('small', {}, `${author}, ${when}, about `, el('a', { href: `/review?${new URLSearchParams(address)}` }, name)));
}
