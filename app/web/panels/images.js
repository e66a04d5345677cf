// The images of the pool with what is left in each, and whose they are; those who assign can give them to people, and
// leads can delete them.
import { post } from '../reviewer/server.js';
import { ask } from './dialog.js';
import { el, live } from './dom.js';
import { pages } from './pages.js';

const STATE_TEXT = { waiting: 'no proposal yet', open: 'open', enough: 'enough', done: 'done' };
const HEAD = ['Image', 'State', 'Whose', 'Open regions', 'Second review', 'Decided', 'Expected wrong pixels'];

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, (value) => root.replaceChildren(...draw(value, gradio.trigger)));
}

function draw(value, trigger) {
  const { rows, may_assign: mayAssign } = value;
  if (rows.length === 0) return [el('p', { class: 'pp-muted' }, 'No image with this filter.')];
  const boxes = rows.map((row) => el('input', { type: 'checkbox', value: row.image_id, 'aria-label': `Choose ${row.image_name}` }));
  const all = el('input', { type: 'checkbox', 'aria-label': 'Choose all images of this page' });
  all.addEventListener('change', () => { for (const box of boxes) box.checked = all.checked; });
  return [
    ...(mayAssign ? [drawAssignment(value, boxes, trigger)] : []),
    el('table', { class: 'pp-table pp-images' },
      el('thead', {}, el('tr', {}, mayAssign ? el('th', {}, all) : null, ...HEAD.map((text, index) => el('th', { scope: 'col', class: index < 3 ? 'pp-text' : '' }, text)))),
      el('tbody', {}, ...rows.map((row, index) => drawRow(row, mayAssign ? boxes[index] : null)))),
    pages('Pages of the images', value, (step) => trigger('pick', { action: 'turn', step })),
  ];
}

function drawRow(row, box) {
  const address = `/review?${new URLSearchParams({ image_id: row.image_id, ...(box ? { everybody: true } : {}) })}`;
  return el('tr', { 'data-image': row.image_id },
    box ? el('td', {}, box) : null,
    el('td', { class: 'pp-text' }, row.num_open ? el('a', { href: address }, row.image_name) : row.image_name),
    el('td', { class: 'pp-text' }, el('span', { class: 'pp-state' }, STATE_TEXT[row.state])),
    el('td', { class: 'pp-text' }, row.assignee ?? el('span', { class: 'pp-muted' }, 'nobody')),
    el('td', {}, String(row.num_open)), el('td', {}, String(row.num_second_review)), el('td', {}, String(row.num_decided)),
    el('td', {}, row.expected_errors.toFixed(0)));
}

/** Give the chosen images to somebody, or share out those that are nobody's between chosen people. */
function drawAssignment({ people, rows, may_delete: mayDelete }, boxes, trigger) {
  const person = el('input', { type: 'text', list: 'pp-people', maxlength: '255', 'aria-label': 'Person', placeholder: 'Person' });
  const names = el('datalist', { id: 'pp-people' }, ...people.map((name) => el('option', { value: name })));
  const chosen = () => boxes.filter((box) => box.checked).map((box) => Number(box.value));
  const give = (assignee) => trigger('pick', { action: 'assign', image_ids: chosen(), assignee });
  const sharers = people.map((name) => el('input', { type: 'checkbox', value: name, checked: true }));
  const share = () => trigger('pick', { action: 'share', people: sharers.filter((box) => box.checked).map((box) => box.value) });
  return el('div', { class: 'pp-assign' },
    el('div', { class: 'pp-row' }, el('span', {}, 'Chosen images:'), person, names,
      el('button', { type: 'button', onclick: () => (person.value.trim() ? give(person.value.trim()) : person.focus()) }, 'Give to this person'),
      el('button', { type: 'button', onclick: () => give(null) }, 'Give back to everybody'),
      mayDelete ? el('button', { type: 'button', onclick: () => askDelete(rows.filter((row) => chosen().includes(row.image_id)), trigger) }, 'Delete') : null),
    people.length === 0 ? null : el('details', {}, el('summary', {}, "Share nobody's images out"),
      el('div', { class: 'pp-row' }, ...sharers.map((box) => el('label', {}, box, ` ${box.value}`)),
        el('button', { type: 'button', onclick: share }, 'Share out by expected work'))));
}

async function askDelete(rows, trigger) {
  if (rows.length === 0) return;
  const names = rows.map((row) => row.sample_id);
  const what = names.length === 1 ? rows[0].image_name : `${names.length} images`;
  const said = await ask(`Delete ${what}?`, [el('p', {}, 'Gone from the queue, training, exports and all counts. Files and decisions stay: the Admin page brings them back.')],
    'Delete', async () => { await post('/api/deleted', { names }); return what; });
  if (said !== null) trigger('pick', { action: 'deleted' });
}
