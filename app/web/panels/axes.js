// What all plots over rounds or time share: the frame, the lines of the grid, and whiskers.
import { svg } from './svg.js';

export const WIDTH = 460, HEIGHT = 150, LEFT = 44, RIGHT = 18, TOP = 12, BOTTOM = 26;
const CAP = 4;

/** Where the `index`-th of `count` points stands; a single one in the middle. */
export const across = (index, count) => LEFT + (count === 1 ? 0.5 : index / (count - 1)) * (WIDTH - LEFT - RIGHT);

/** Heights for values from `low` to `high`. */
export const upwards = (low, high) => (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);

/** Three lines with their values. */
export function grid(low, high, text) {
  const y = upwards(low, high);
  return [low, (low + high) / 2, high].map((value) => svg('g', {},
    svg('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: 'pp-grid' }),
    svg('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, text(value))));
}

/** From one height to another, with a cap at each end. */
export const whisker = (at, ends) => svg('path', { class: 'pp-whisker', d: `${ends.map((end) => `M${at - CAP} ${end}H${at + CAP}`).join('')}M${at} ${ends[0]}V${ends[1]}` });
