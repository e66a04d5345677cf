// Home page, upper part: the one next action, the current model, the queue, and gold mIoU by round.
import { el, live, points, threeDigits } from './dom.js';
import { plotRounds } from './plot.js';

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, (value) => root.replaceChildren(...[nextAction(value.next, gradio.trigger), failures(value.failed), cards(value)].filter(Boolean)));
}

function nextAction(next, trigger) {
  let button = null;
  if (next.href) button = el('a', { class: 'pp-primary', href: next.href }, next.label);
  else if (next.action) button = el('button', { class: 'pp-primary', type: 'button', onclick: () => trigger('pick', { action: next.action }) }, next.label);
  return el('section', { class: 'pp-next', 'aria-label': 'Next action' },
    el('div', {}, el('small', {}, 'Next'), el('h2', {}, next.title), el('p', {}, next.text)), button);
}

/** Images that no proposal can be made for; nothing where there are none. */
function failures({ number, shown }) {
  if (!number) return null;
  const more = number > shown.length ? el('li', {}, `and ${number - shown.length} more: pixelsieve status`) : null;
  return el('section', { class: 'pp-message', 'aria-label': 'Images without a proposal' },
    el('strong', { class: 'pp-error' }, `The current model fails on ${number} ${number === 1 ? 'image' : 'images'}`),
    el('p', {}, 'Predicting again helps once the reason is gone: importing the same folder again mends damaged files. Nobody is asked about them meanwhile.'),
    el('ul', {}, ...shown.map((image) => el('li', {}, `${image.name}: ${image.reason}`)), more));
}

function cards({ current, threshold, counts, rounds }) {
  const card = (title, number, ...lines) => el('div', { class: 'pp-card' }, el('small', {}, title), el('strong', {}, number), ...lines.map((line) => el('p', {}, line)));
  const method = current?.method ? `Reliability: ${current.method}` : '';
  const reliable = threshold === null ? method : `Reliable: wrong with at most ${threeDigits(threshold)}, as somebody chose`;
  const images = counts.images_open + counts.images_enough + counts.images_done + counts.images_waiting;
  return el('div', { class: 'pp-cards' },
    current
      ? card('Current model', `Round ${current.round}`, `Gold mIoU ${points(current.gold_miou)} on ${current.gold_images} ${current.gold_images === 1 ? 'image' : 'images'}`, reliable)
      : card('Current model', 'None yet', 'The first round becomes the current model.'),
    card('Regions left', String(counts.open), `${counts.skipped} skipped, ${counts.second_review} for second review`, `${counts.decided} regions decided${counts.propagated ? `, ${counts.propagated} of them propagated` : ''}`),
    card('Images to review', String(images), `${counts.images_open} open, ${counts.images_enough} good enough, ${counts.images_done} done`, `${counts.images_waiting} without proposal`),
    el('div', { class: 'pp-card pp-plot' }, el('small', {}, 'Gold mIoU by round'), plotRounds(rounds)));
}
