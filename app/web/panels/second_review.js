// What waits for somebody who knows better: regions that a person did not know, and questions.
import { el, live } from './dom.js';
import { table } from './queue.js';

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, (value) => root.replaceChildren(...draw(value)));
}

function draw({ regions, questions }) {
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
    questions.length ? el('ul', { class: 'pp-questions' }, ...questions.map(drawQuestion))
      : el('p', { class: 'pp-muted' }, 'People ask in the reviewer: N, with "I need an answer".'),
  ];
}

function drawQuestion({ image_id: imageId, region_id: regionId, sample_id: sampleId, author, text, created_at: createdAt }) {
  const when = new Date(createdAt).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
  const address = { image_id: imageId, asked: true, everybody: true, ...(regionId === null ? {} : { region: regionId }) };
  return el('li', {}, el('p', {}, text),
    el('small', {}, `${author}, ${when}, about `, el('a', { href: `/review?${new URLSearchParams(address)}` }, sampleId)));
}
