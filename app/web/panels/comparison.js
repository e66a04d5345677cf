// A candidate against the current model, class by class, on the same gold images.
import { el, live, points } from './dom.js';

const HEADLINES = {
  promote: 'Gold got no worse: it can be promoted.',
  refuse: 'Gold got worse: promoting it needs a reason.',
  unknown: 'It cannot be compared: promoting it needs a reason.',
};

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, (value) => root.replaceChildren(...(value.result ? draw(value) : [])));
}

function draw({ candidate, current, result }) {
  const sentences = [...result.reasons, ...result.warnings];
  const parts = [
    el('section', { class: `pp-verdict pp-${result.verdict}` },
      el('h2', {}, `Round ${candidate.round} is ready, round ${current.round} is current`), el('p', {}, HEADLINES[result.verdict]),
      el('ul', {}, ...sentences.map((sentence) => el('li', {}, sentence)))),
  ];
  if (result.classes.length > 0) {
    parts.push(table('IoU per class', candidate, current, [result.miou, ...result.classes]));
    const worst = result.images.slice(0, 10);
    if (worst.length > 0) parts.push(el('details', {}, el('summary', {}, 'Gold images, those that got worse first'), table('mIoU per image', candidate, current, worst)));
  }
  return parts;
}

function table(caption, candidate, current, changes) {
  const head = ['', `Round ${current.round}`, `Round ${candidate.round}`, 'Change in points'];
  return el('table', { class: 'pp-table' }, el('caption', {}, `${caption}, on the same gold images`),
    el('thead', {}, el('tr', {}, ...head.map((text) => el('th', { scope: 'col' }, text)))),
    el('tbody', {}, ...changes.map(row)));
}

function row({ name, old, new: now }) {
  const isMeasured = old !== null && now !== null;
  const difference = isMeasured ? now - old : 0;
  const text = isMeasured ? `${difference >= 0 ? '+' : '−'}${Math.abs(difference * 100).toFixed(1)}` : '';
  const tone = difference > 0.0005 ? 'pp-better' : difference < -0.0005 ? 'pp-worse' : '';
  return el('tr', {}, el('th', { scope: 'row' }, name), el('td', {}, points(old)), el('td', {}, points(now)), el('td', { class: tone }, text));
}
