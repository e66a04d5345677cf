// One's own numbers, up to the last midnight: a count that grew after a decision would tell what the region was.
import { el, moment } from './dom.js';
import { counted, section, table } from './quality_sections.js';
import { between, effortChart, medianOf, slowest } from './share_chart.js';

export function ownNumbers(own) {
  const { effort, hours, changed, caught, skipped, not_known: unknown, shown, until } = own;
  if (effort.num_regions === 0 && hours === 0) return [nothingYet(until)];
  const row = (what, value, how) => [what, value, how];
  const interval = (found) => (found.share === null ? 'none yet' : `95 % interval ${between(found)}`);
  return [section('Your own numbers', 'own', `Up to ${moment(until)}: today's work is in them from tomorrow on. Only you and leads see them.`,
    table('What you did', ['What', 'How much', 'How it is known'], [
      row('Regions finished', effort.num_regions, `${hours.toFixed(2)} hours of work; a pause counts with at most 15 s`),
      row('Seconds per region, median', medianOf(effort), effortChart(effort, slowest([effort]))),
      row('Regions of the queue that you changed', counted(changed), interval(changed)),
      row('Errors that were planted on purpose and that you caught', counted(caught), interval(caught)),
      row('Skipped, and not known', `${skipped} and ${unknown}`, 'last answer to each region'),
      row('Pixels that you were shown', shown.toLocaleString('en'), 'each region once'),
    ]))];
}

const nothingYet = (until) => el('section', { class: 'pp-next', 'aria-label': 'Next action' },
  el('div', {}, el('small', {}, 'Your own numbers'), el('h2', {}, 'Nothing yet'), el('p', {}, `They count what you decided before ${moment(until)}; today's work is in them from tomorrow on.`)),
  el('a', { class: 'pp-primary', href: '/review' }, 'Start reviewing'));
