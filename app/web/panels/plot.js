// Gold mIoU by round, drawn as SVG so that a single round shows, too. Whiskers are 95 % over gold images.
import { el, points } from './dom.js';
import { svg } from './svg.js';

const WIDTH = 460, HEIGHT = 150, LEFT = 44, RIGHT = 18, TOP = 12, BOTTOM = 26;
const CAP = 4;

export function plotRounds(rounds) {
  const measured = rounds.filter(({ gold_miou: miou }) => miou !== null);
  if (measured.length === 0) return el('p', {}, 'No round was measured on gold images yet.');
  const scale = scales(measured);
  const description = measured.map((each) => `round ${each.round} ${points(each.gold_miou)}${range(each)}`).join(', ');
  const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `Gold mIoU: ${description}` },
    ...grid(scale), ...lines(measured, scale), ...measured.map((each, index) => dot(each, index, scale)));
  const isMixed = new Set(measured.map((each) => each.gold_sha256)).size > 1;
  return isMixed ? el('div', {}, drawing, el('p', {}, 'Where the line breaks, the gold images changed: points on either side do not compare.')) : drawing;
}

function scales(measured) {
  const values = measured.flatMap(({ gold_miou: miou, gold_interval: interval }) => [miou, ...(interval ?? [])]);
  const low = Math.max(0, Math.floor((Math.min(...values) - 0.02) * 20) / 20);
  const high = Math.min(1, Math.ceil((Math.max(...values) + 0.02) * 20) / 20);
  return {
    low, high,
    x: (index) => LEFT + (measured.length === 1 ? 0.5 : index / (measured.length - 1)) * (WIDTH - LEFT - RIGHT),
    y: (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM),
  };
}

function grid({ low, high, y }) {
  return [low, (low + high) / 2, high].map((value) => svg('g', {},
    svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: 'pp-grid' }),
    svg('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, `${Math.round(value * 1000) / 10} %`)));
}

/** One line per run of rounds that were measured on the same gold images. */
function lines(measured, { x, y }) {
  const runs = [];
  measured.forEach((each, index) => {
    const isNew = index === 0 || measured[index - 1].gold_sha256 !== each.gold_sha256;
    if (isNew) runs.push([]);
    runs.at(-1).push(`${x(index)},${y(each.gold_miou)}`);
  });
  return runs.map((run) => svg('polyline', { points: run.join(' '), class: 'pp-line' }));
}

function dot(each, index, { x, y }) {
  const at = x(index);
  const whisker = each.gold_interval === null ? [] : [svg('path', {
    class: 'pp-whisker', d: each.gold_interval.map((end) => `M${at - CAP} ${y(end)}H${at + CAP}`).join('') + `M${at} ${y(each.gold_interval[0])}V${y(each.gold_interval[1])}`,
  })];
  return svg('g', {}, ...whisker,
    svg('circle', { cx: at, cy: y(each.gold_miou), r: each.status === 'current' ? 6 : 4, class: `pp-dot pp-${each.status}` },
      svg('title', {}, `Round ${each.round} (${each.status}): ${points(each.gold_miou)}${range(each)}`)),
    svg('text', { x: at, y: HEIGHT - 8, 'text-anchor': 'middle' }, String(each.round)));
}

const range = ({ gold_interval: interval }) => (interval === null ? '' : ` (${points(interval[0])} to ${points(interval[1])})`);
