// A number by day or week as a line with whiskers. The table below the plots says the same in words.
import { across, grid, HEIGHT, RIGHT, upwards, whisker, WIDTH } from './axes.js';
import { svg } from './svg.js';

const MOST_LABELS = 8;

/**
 * `points` are {label, value, low, high}, oldest first; a value of null is left out, and so are whiskers without ends.
 * `text` writes a value.
 */
export function timePlot(title, points, highest, text) {
  const y = upwards(0, highest);
  const shown = points.map((point, index) => ({ ...point, x: across(index, points.length) })).filter(({ value }) => value !== null);
  const said = shown.map(({ label, value, low, high }) => `${label} ${text(value)}${low === null ? '' : ` (${text(low)} to ${text(high)})`}`).join(', ');
  const every = Math.ceil(points.length / MOST_LABELS);
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `${title}: ${said || 'nothing yet'}` },
    ...grid(0, highest, text),
    svg('polyline', { points: shown.map(({ x, value }) => `${x},${y(value)}`).join(' '), class: 'pp-line' }),
    ...shown.map(({ label, x, value, low, high }) => svg('g', {},
      ...(low === null ? [] : [whisker(x, [y(low), y(Math.min(high, highest))])]),
      svg('circle', { cx: x, cy: y(value), r: 4, class: 'pp-dot pp-current' }, svg('title', {}, `${label}: ${text(value)}`)))),
    ...points.flatMap(({ label }, index) => (index % every === 0 ? [dayLabel(label, index, points.length)] : [])));
}

/** In the middle below its point; the last one must not leave the picture. */
function dayLabel(label, index, count) {
  const isLast = index > 0 && index === count - 1;
  return svg('text', { x: across(index, count) + (isLast ? RIGHT : 0), y: HEIGHT - 8, 'text-anchor': isLast ? 'end' : 'middle' }, label);
}
