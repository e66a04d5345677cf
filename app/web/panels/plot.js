// A line plot of gold mIoU by round, drawn as SVG so that a single round shows, too.
import { el, points } from './dom.js';

const WIDTH = 420, HEIGHT = 130, LEFT = 44, RIGHT = 16, TOP = 14, BOTTOM = 24;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function plotRounds(rounds) {
  const measured = rounds.filter(({ gold_miou: miou }) => miou !== null);
  if (measured.length === 0) return el('p', {}, 'No round was measured on gold images yet.');
  const values = measured.map((each) => each.gold_miou);
  const low = Math.max(0, Math.floor((Math.min(...values) - 0.03) * 20) / 20);
  const high = Math.min(1, Math.ceil((Math.max(...values) + 0.03) * 20) / 20);
  const x = (index) => LEFT + (measured.length === 1 ? 0.5 : index / (measured.length - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const grid = [low, high].map((value) => svg('g', {},
    svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: 'pp-grid' }),
    svg('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, `${Math.round(value * 100)} %`)));
  const line = svg('polyline', { points: measured.map((each, index) => `${x(index)},${y(each.gold_miou)}`).join(' '), class: 'pp-line' });
  const dots = measured.map((each, index) => svg('g', {},
    svg('circle', { cx: x(index), cy: y(each.gold_miou), r: each.status === 'current' ? 6 : 4, class: `pp-dot pp-${each.status}` },
      svg('title', {}, `Round ${each.round} (${each.status}): ${points(each.gold_miou)}`)),
    svg('text', { x: x(index), y: HEIGHT - 6, 'text-anchor': 'middle' }, String(each.round))));
  const described = measured.map((each) => `round ${each.round} ${points(each.gold_miou)}`).join(', ');
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `Gold mIoU: ${described}` }, ...grid, line, ...dots);
}
