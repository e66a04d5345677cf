// A share and its 95 % interval on a line from 0 to what the longest interval of its table needs, with a limit as a dotted
// line; and seconds as a box. The text beside each chart says the same.
import { el, points } from './dom.js';
import { svg } from './svg.js';

const WIDTH = 180, HEIGHT = 20, PAD = 7;
const STEPS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1];

const at = (value, widest) => PAD + (Math.min(value, widest) / widest) * (WIDTH - 2 * PAD);
const line = (x1, x2, kind, y1 = HEIGHT / 2, y2 = HEIGHT / 2) => svg('line', { x1, x2, y1, y2, class: kind });
const frame = (label, ...parts) => svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: 'img', 'aria-label': label },
  line(PAD, WIDTH - PAD, 'pp-zero'), line(PAD, PAD, 'pp-zero', 3, HEIGHT - 3), ...parts);

/** How far the charts of a table reach: to a round share that holds every interval. */
export const reachOf = (shares) => STEPS.find((step) => shares.every(({ share, high }) => share === null || high <= step)) ?? 1;

export const between = ({ low, high }) => `${points(low)} to ${points(high)}`;

export function shareChart(found, widest, limit = null) {
  if (found.share === null) return el('small', {}, 'no case yet');
  const marks = limit === null ? [] : [line(at(limit, widest), at(limit, widest), 'pp-limit', 2, HEIGHT - 2)];
  return el('div', { class: 'pp-chart' },
    frame(`${points(found.share)}, 95 % interval ${between(found)}`, ...marks, line(at(found.low, widest), at(found.high, widest), 'pp-range'),
      svg('circle', { cx: at(found.share, widest), cy: HEIGHT / 2, r: 4, class: limit !== null && found.share < limit ? 'pp-mark pp-down' : 'pp-mark' })),
    el('small', {}, between(found)));
}

export const slowest = (efforts) => Math.max(1, ...efforts.map(({ p90_s: p90 }) => p90 ?? 0));

/** Median as a dot, the middle half as a bar, up to nine of ten as a line. */
export function effortChart({ median_s: median, p90_s: p90, quartiles_s: quartiles }, widest) {
  if (median === null) return el('small', {}, 'no region yet');
  const text = `half from ${number(quartiles[0])} to ${seconds(quartiles[1])}, 90 % up to ${seconds(p90)}`;
  return el('div', { class: 'pp-chart' },
    frame(`Median ${seconds(median)}, ${text}`, line(at(median, widest), at(p90, widest), 'pp-range pp-tail'), line(at(quartiles[0], widest), at(quartiles[1], widest), 'pp-range pp-box'),
      svg('circle', { cx: at(median, widest), cy: HEIGHT / 2, r: 4, class: 'pp-mark' })),
    el('small', {}, text));
}

const number = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en'));

export const seconds = (value) => (value === null ? '–' : `${number(value)} s`);

/** The median with its 95 % interval below it. */
export const medianOf = ({ median_s: median, interval }) => el('span', {}, seconds(median),
  interval === null ? null : el('small', { class: 'pp-below', title: '95 % interval of the median' }, `${number(interval.low)} to ${seconds(interval.high)}`));
