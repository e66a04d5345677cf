// Gold mIoU by round, drawn as SVG so that a single round shows, too. Whiskers are 95 % over gold images.
import { across, grid, HEIGHT, upwards, whisker, WIDTH } from './axes.js';
import { el, points } from './dom.js';
import { svg } from './svg.js';

export function plotRounds(rounds) {
  const measured = rounds.filter(({ gold_miou: miou }) => miou !== null);
  if (measured.length === 0) return el('p', {}, 'No round was measured on gold images yet.');
  const scale = scales(measured);
  const description = measured.map((each) => `round ${each.round} ${points(each.gold_miou)}${range(each)}`).join(', ');
  const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `Gold mIoU: ${description}` },
    ...grid(scale.low, scale.high, (value) => `${Math.round(value * 1000) / 10} %`), ...lines(measured, scale), ...measured.map((each, index) => dot(each, index, scale)));
  const isMixed = new Set(measured.map((each) => each.gold_sha256)).size > 1;
  return isMixed ? el('div', {}, drawing, el('p', {}, 'Where the line breaks, the gold images changed: points on either side do not compare.')) : drawing;
}

function scales(measured) {
  const values = measured.flatMap(({ gold_miou: miou, gold_interval: interval }) => [miou, ...(interval ?? [])]);
  const low = Math.max(0, Math.floor((Math.min(...values) - 0.02) * 20) / 20);
  const high = Math.min(1, Math.ceil((Math.max(...values) + 0.02) * 20) / 20);
  return { low, high, x: (index) => across(index, measured.length), y: upwards(low, high) };
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
  const spread = each.gold_interval === null ? [] : [whisker(at, each.gold_interval.map(y))];
  return svg('g', {}, ...spread,
    svg('circle', { cx: at, cy: y(each.gold_miou), r: each.status === 'current' ? 6 : 4, class: `pp-dot pp-${each.status}` },
      svg('title', {}, `Round ${each.round} (${each.status}): ${points(each.gold_miou)}${range(each)}`)),
    svg('text', { x: at, y: HEIGHT - 8, 'text-anchor': 'middle' }, String(each.round)));
}

const range = ({ gold_interval: interval }) => (interval === null ? '' : ` (${points(interval[0])} to ${points(interval[1])})`);
