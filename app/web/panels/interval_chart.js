// A change and its interval on a line through zero; the dotted line is the limit under which promoting takes a reason.
import { el } from './dom.js';
import { svg } from './svg.js';

const WIDTH = 240, HEIGHT = 22, PAD = 12, ARROW = 5;
const LEAST = 0.02, MOST = 0.2; // A rare class swings so far that every other change would shrink to a dot.

export const difference = ({ old, new: now }) => (old === null || now === null ? null : now - old);
export const signed = (share) => `${share >= 0 ? '+' : '−'}${Math.abs(share * 100).toFixed(1)}`;

/** How far the charts of some changes reach to either side; what lies beyond ends in an arrow. */
export function reach(changes) {
  const ends = changes.flatMap((change) => [difference(change) ?? 0, change.interval?.low ?? 0, change.interval?.high ?? 0]);
  return Math.min(MOST, Math.max(LEAST, ...ends.map(Math.abs)));
}

const place = (share, widest) => PAD + ((Math.max(-widest, Math.min(widest, share)) + widest) / (2 * widest)) * (WIDTH - 2 * PAD);

/** The scale above a column of charts. */
export function axis(widest) {
  const ends = [[-widest, 'start', 0], [0, 'middle', WIDTH / 2], [widest, 'end', WIDTH]];
  return svg('svg', { viewBox: `0 0 ${WIDTH} 14`, width: WIDTH, height: 14, class: 'pp-axis', 'aria-hidden': 'true' },
    ...ends.map(([share, anchor, x]) => svg('text', { x, y: 11, 'text-anchor': anchor }, share === 0 ? '0' : signed(share))));
}

export function intervalChart(change, limit, widest) {
  const by = difference(change);
  if (by === null) return el('small', {}, 'no gold image shows it');
  const { interval } = change;
  const text = interval === null ? 'too few images' : `${signed(interval.low)} to ${signed(interval.high)}`;
  return el('div', { class: 'pp-chart' },
    svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: 'img', 'aria-label': `Change ${signed(by)} points, interval: ${text}` },
      ...marks(by, interval, limit, widest)),
    el('small', {}, text));
}

function marks(by, interval, limit, widest) {
  const middle = HEIGHT / 2;
  const upright = (share, kind, pad) => svg('line', { x1: place(share, widest), x2: place(share, widest), y1: pad, y2: HEIGHT - pad, class: kind });
  const parts = [upright(0, 'pp-zero', 2)];
  if (limit < widest) parts.push(upright(-limit, 'pp-limit', 4));
  if (interval !== null) {
    parts.push(svg('line', { x1: place(interval.low, widest), x2: place(interval.high, widest), y1: middle, y2: middle, class: 'pp-range' }));
    for (const end of [interval.low, interval.high]) if (Math.abs(end) > widest) parts.push(arrow(end, widest, middle));
  }
  if (Math.abs(by) <= widest) parts.push(svg('circle', { cx: place(by, widest), cy: middle, r: 4, class: by < 0 ? 'pp-mark pp-down' : 'pp-mark' }));
  else parts.push(arrow(by, widest, middle));
  return parts;
}

function arrow(share, widest, middle) {
  const x = place(share, widest), tip = x + Math.sign(share) * 2 * ARROW;
  return svg('path', { d: `M${x} ${middle - ARROW}L${tip} ${middle}L${x} ${middle + ARROW}Z`, class: share < 0 ? 'pp-mark pp-down' : 'pp-mark' });
}
