// Who chose which model and why, and the limits under which nobody has to say why.
import { el, moment } from './dom.js';

const ACTION_TEXT = { promoted: 'promoted', rolled_back: 'went back to', rejected: 'set aside' };
const inPoints = (share) => `${Math.round(share * 1000) / 10} points`;

export function history(changes) {
  if (changes.length === 0) return [el('h2', {}, 'Decisions'), el('p', { class: 'pp-muted' }, 'Nobody has promoted, rolled back or set aside a model yet.')];
  return [el('h2', {}, 'Decisions'), el('ol', { class: 'pp-history' }, ...changes.map(line))];
}

function line({ action, round, previous_round: before, user, reason, gold, decided_at: when }) {
  const instead = before === null ? '' : ` in place of round ${before}`;
  return el('li', { 'data-action': action },
    el('p', {}, el('strong', {}, user), ` ${ACTION_TEXT[action]} round ${round}${instead}`, el('small', {}, ` ${moment(when)}`)),
    reason ? el('p', { class: 'pp-reason' }, `“${reason}”`) : null,
    gold.length ? el('p', { class: 'pp-muted' }, gold.join(' ')) : null);
}

export function limitsCard({ miou_fall: mean, class_fall: single }, change) {
  return el('div', { class: 'pp-card' }, el('small', {}, 'Promoting takes a reason'),
    el('p', {}, `when gold mIoU falls by more than ${inPoints(mean)},`), el('p', {}, `or one class by more than ${inPoints(single)},`), el('p', {}, 'or when nothing comparable was measured.'),
    change === null ? null : el('p', {}, el('button', { type: 'button', onclick: change }, 'Change the limits…')));
}
