// Error of reliable pixels against the share that is called reliable: as measured on held-out images, and as promised.
import { BOTTOM, grid, HEIGHT, LEFT, RIGHT, TOP, upwards, WIDTH } from './axes.js';
import { el, percent, threeDigits as share } from './dom.js';
import { svg } from './svg.js';

/** Promises are drawn up to so many times the largest measured error: above that they would flatten the rest. */
const TALLEST = 3;

const across = (coverage) => LEFT + coverage * (WIDTH - LEFT - RIGHT);

/** `stop` is that of the slider; null where the model file's own verdict is in force, which has no threshold. */
export function plotThresholds({ stops, calibration: note, own }, stop) {
  const drawn = stops.filter(({ coverage, error_rate: wrong }) => coverage !== null && wrong !== null);
  if (drawn.length < 2) return el('p', { class: 'pp-muted' }, 'There is no curve for this model: nothing was measured at other thresholds.');
  const worst = Math.max(note.alpha, ...drawn.map(({ error_rate: wrong }) => wrong));
  const bounds = drawn.map(({ bound }) => bound ?? 0);
  const highest = roundUp(Math.max(worst, ...bounds.filter((bound) => bound <= TALLEST * worst)) * 1.05);
  const y = upwards(0, highest);
  const promised = drawn.filter(({ bound }) => bound !== null && bound <= highest);
  const isCut = promised.length < drawn.filter(({ bound }) => bound !== null).length;
  const line = (list, value) => list.map((each) => `${across(each.coverage)},${y(value(each))}`).join(' ');
  const first = drawn[0], last = drawn.at(-1);
  const least = Math.min(...drawn.map(({ bound }) => bound ?? Infinity));
  const said = `Error of reliable pixels: from ${share(first.error_rate)} where ${share(first.coverage)} are called reliable to ${share(last.error_rate)} at ${share(last.coverage)}. Asked: ${share(note.alpha)}. The least that could be promised is ${share(least)}.`;
  const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT + 14}`, role: 'img', 'aria-label': said },
    ...grid(0, highest, share), ...coverages(), limit(y(note.alpha)),
    svg('polyline', { points: line(promised, ({ bound }) => bound), class: 'pp-line pp-promised' }),
    svg('polyline', { points: line(drawn, ({ error_rate: wrong }) => wrong), class: 'pp-line' }),
    ...(own.coverage !== null && own.error_rate !== null && !note.decides ? [ownVerdict(own, y, highest)] : []),
    ...(stop?.coverage == null ? [] : [here(stop, y)]));
  return el('figure', { class: 'pp-card pp-plot' }, el('figcaption', {}, 'Wrong among reliable pixels (upwards) against the share that is called reliable'), drawing,
    el('ul', { class: 'pp-legend' }, key('pp-key-line', 'measured on held-out images'), key('pp-key-promised', promised.length ? `what could be promised${isCut ? ', as far as the picture goes' : ''}` : `what could be promised: above this picture, ${share(least)} at least`),
      key('pp-key-limit', `asked: ${share(note.alpha)}`), ...(note.decides ? [] : [key('pp-key-own', "the model file's own verdict, on all gold images")]), key('pp-key-here', 'the slider')));
}

/** The next larger number with one digit, or with a half of it, so that the lines of the grid have short names. */
function roundUp(value) {
  const step = 10 ** Math.floor(Math.log10(value)) / 2;
  return Math.min(1, Math.ceil(value / step) * step);
}

const coverages = () => [0, 0.25, 0.5, 0.75, 1].map((value) => svg('text', { x: across(value), y: HEIGHT - BOTTOM + 18, 'text-anchor': value === 1 ? 'end' : 'middle' }, percent(value)));
const limit = (height) => svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: height, y2: height, class: 'pp-limit' });
const key = (kind, text) => el('li', {}, el('i', { class: `pp-key ${kind}`, 'aria-hidden': 'true' }), text);

const ownVerdict = ({ coverage, error_rate: wrong }, y, highest) => {
  const x = across(coverage), at = y(Math.min(wrong, highest));
  return svg('path', { class: 'pp-own', d: `M${x - 5} ${at}L${x} ${at - 5}L${x + 5} ${at}L${x} ${at + 5}Z` });
};

const here = ({ coverage, error_rate: wrong }, y) => svg('g', {},
  svg('line', { x1: across(coverage), x2: across(coverage), y1: TOP, y2: HEIGHT - BOTTOM, class: 'pp-zero' }),
  svg('circle', { cx: across(coverage), cy: y(wrong ?? 0), r: 6, class: 'pp-dot pp-current' }));
