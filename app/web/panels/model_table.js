// One line per model: what it reached on gold, and what can be done with it.
import { day, el, percent, points } from './dom.js';

const HEAD = ['Round', 'State', 'Gold mIoU', 'Gold images', 'Called reliable', 'Right there', 'Trained', 'Note', 'Actions'];
const STATE_TEXT = { current: 'current', candidate: 'waits for a decision', retired: 'was in use', rejected: 'set aside' };

export function modelTable(models, may, act) {
  if (models.length === 0) return el('p', { class: 'pp-muted' }, 'No round was trained yet. Start one on the Rounds page.');
  return el('table', { class: 'pp-table pp-rounds' }, el('caption', {}, 'All rounds, latest first'),
    el('thead', {}, el('tr', {}, ...HEAD.map((text) => el('th', { scope: 'col' }, text)))),
    el('tbody', {}, ...models.map((model) => row(model, may, act))));
}

function row(model, may, act) {
  const interval = model.gold_interval === null ? null : el('small', { class: 'pp-below' }, `${points(model.gold_interval[0])} to ${points(model.gold_interval[1])}`);
  const share = (value) => (value === null ? '–' : percent(value));
  return el('tr', { 'data-model': model.id, 'data-status': model.status },
    el('th', { scope: 'row' }, `Round ${model.round}`, el('small', { class: 'pp-below' }, `model ${model.id}`)),
    el('td', { class: 'pp-text' }, el('span', { class: `pp-state pp-is-${model.status}` }, STATE_TEXT[model.status])),
    el('td', {}, points(model.gold_miou), interval), el('td', {}, String(model.gold_images)),
    el('td', {}, share(model.reliable_coverage)), el('td', {}, share(model.reliable_precision)),
    el('td', { class: 'pp-text' }, day(model.created_at)), el('td', { class: 'pp-text pp-note' }, model.note ?? ''),
    el('td', { class: 'pp-actions' }, ...actions(model, may).map(([action, text]) => button(action, text, model, act))));
}

function actions(model, may) {
  const found = [];
  if (may.change && model.status !== 'current') found.push(model.can_roll_back ? ['rollback', 'Roll back…'] : ['promote', 'Promote…']);
  if (may.change && model.status === 'candidate') found.push(['reject', 'Set aside…']);
  if (may.measure) found.push(['measure', 'Measure again']);
  return found;
}

function button(action, text, model, act) {
  return el('button', { type: 'button', 'data-action': action, 'aria-label': `${text} round ${model.round}`, onclick: () => act(action, model) }, text);
}
