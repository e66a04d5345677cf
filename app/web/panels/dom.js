// Building elements. Text is always set as text, so that no class, file or user name can become markup.
export { el, percent } from '../reviewer/dom.js';
import { el } from '../reviewer/dom.js';

/** Redraw `element` from the JSON that Python sends; keeps quiet before the first arrives and when nothing changed. */
export function live(element, { props, watch }, draw) {
  let shown = null;
  const update = () => {
    const text = JSON.stringify(props.value);
    if (!props.value || text === shown) return;
    shown = text;
    draw(props.value);
    element.dataset.drawn = String(Number(element.dataset.drawn ?? 0) + 1);
  };
  element.classList.add('pp');
  watch('value', update);
  update();
}

export function swatch([r, g, b]) {
  const element = el('i', { class: 'pp-swatch', 'aria-hidden': 'true' });
  element.style.background = `rgb(${r} ${g} ${b})`;
  return element;
}

/** With one digit, or two where one says 0.0 %. */
export const points = (share) => (share === null || share === undefined ? 'not measured' : `${(share * 100).toFixed(share > 0 && share < 0.001 ? 2 : 1)} %`);

/** With three digits that count, because thresholds reach from one in a million to one. */
export const threeDigits = (share) => (share === null || share === undefined ? '–' : `${Number((share * 100).toPrecision(3))} %`);

export const day = (time) => new Date(time).toLocaleDateString([], { dateStyle: 'medium' });
export const moment = (time) => new Date(time).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });

/** The beginning of the day that a date field shows, some days later, as the API takes it; '' for an empty field. */
export const startOfDay = (input, daysLater = 0) => {
  if (!input.value) return '';
  const time = new Date(`${input.value}T00:00`);
  time.setDate(time.getDate() + daysLater);
  return time.toISOString();
};

/** What a form's fields ask for, without those that are empty. */
export const asked = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
