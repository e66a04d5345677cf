// The parts of the quality page below its main numbers: each a sentence on how to read it, and a table with a chart per row.
import { lowBadge, measuredBadge } from './quality_cards.js';
import { el, percent, points, swatch, threeDigits } from './dom.js';
import { between, effortChart, medianOf, reachOf, seconds, shareChart, slowest } from './share_chart.js';
import { timePlot } from './time_plot.js';

const CATCH_LIMIT = 0.9;

/** Audited error: of each model, and of the newest by class and by how sure the model was. */
export function unseen({ audits, audits_waiting: waiting, classes }, classList) {
  if (audits.length === 0) return null;
  const [{ audited }] = audits;
  const named = ([id, wrong]) => [className(Number(id), classes, classList), wrong];
  const rows = [
    ...audits.map(({ round, model_id: model, threshold, is_current: isCurrent, audited: { wrong } }) => [strong(`Round ${round}, model ${model}${threshold === null ? '' : `, cut at ${threeDigits(threshold)}`}${isCurrent ? ', current' : ''}`), wrong]),
    ...Object.entries(audited.by_class).map(named),
    ...audited.by_reliability.map(({ low, high, wrong }) => [`reliability ${points(low)} to ${points(high)}`, wrong]),
  ];
  const widest = reachOf(rows.map(([, wrong]) => wrong));
  const apart = [[audited.num_undecided, 'skipped or not known'], [audited.num_void, 'called void'], [audited.num_set_aside, 'opened out of turn']]
    .filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`);
  return section('Wrong where nobody looked', 'unseen',
    `Each drawn pixel had the same chance, so the share of drawn pixels found wrong is an unbiased estimate for all reliable pixels of the pool. It says nothing about outlines and regions that still wait in the queue: those are not called reliable. The interval is Wilson's. ${waiting} drawn audits wait${apart.length ? `; not counted: ${apart.join(', ')}` : ''}.`,
    table('Drawn pixels found wrong: by model, then of the first line by class and by how sure the model was', ['Which', 'Wrong', 'Audits', 'Share', `95 % interval, 0 to ${percent(widest)}`],
      rows.map(([name, wrong]) => [name, wrong.hits, wrong.trials, share(wrong), shareChart(wrong, widest)])));
}

export function people({ people: list }) {
  const widest = slowest(list.map(({ effort }) => effort)), most = reachOf(list.map(({ changed }) => changed));
  return section('People', 'people', `Seconds are work: a pause counts with at most 15 s. Below each median and share stands its 95 % interval. The dot is the median, the bar the middle half of the regions, the line reaches to nine of ten. The dotted line marks ${percent(CATCH_LIMIT)} caught; under it, look at how the person decides.`,
    table('One line a person', ['Person', 'Hours', 'Regions', 'Median', `Seconds, 0 to ${seconds(widest)}`, `Queued regions changed, 0 to ${percent(most)}`, 'Planted errors caught, 0 to 100 %', 'Skipped', 'Not known'],
      list.map(({ user, hours, effort, changed, caught, is_low: isLow, skipped, not_known: unknown }) => [
        user, hours.toFixed(2), effort.num_regions, medianOf(effort), effortChart(effort, widest), el('div', {}, changed.share === null ? null : counted(changed), shareChart(changed, most)),
        el('div', {}, caught.share === null ? null : el('span', {}, counted(caught), isLow ? ' ' : null, isLow ? lowBadge() : null), shareChart(caught, 1, CATCH_LIMIT)), skipped, unknown])));
}

export function classes({ by_class: list, classes: names }, classList) {
  if (list.length === 0) return null;
  const widest = slowest(list.map(({ effort }) => effort)), most = reachOf(list.map(({ changed }) => changed));
  return section('Classes', 'classes', 'Regions of the queue by the class that the model gave them: where it is unsure, how often is it wrong, and how long does a decision take?',
    table('One line a class', ['Proposed class', 'Regions', 'Changed', `95 % interval, 0 to ${percent(most)}`, 'Median', `Seconds, 0 to ${seconds(widest)}`],
      list.map(({ class_id: id, changed, effort }) => [className(id, names, classList), effort.num_regions, counted(changed), shareChart(changed, most), medianOf(effort), effortChart(effort, widest)])));
}

export function overTime({ by_period: periods }) {
  if (periods.length === 0) return null;
  const unit = periods[0].days === 1 ? 'day' : 'week';
  const labeled = periods.map((period) => ({ ...period, label: dayLabel(period.start) }));
  const shares = (pick) => labeled.map((period) => { const { share: value, low, high } = pick(period); return { label: period.label, value, low, high }; });
  const spread = labeled.map(({ label, effort }) => ({ label, value: effort.median_s, low: effort.quartiles_s?.[0] ?? null, high: effort.quartiles_s?.[1] ?? null }));
  const slow = Math.max(1, ...spread.map(({ high }) => high ?? 0)), changes = shares(({ changed }) => changed);
  const plot = (title, drawing) => el('figure', { class: 'pp-card pp-plot' }, el('figcaption', {}, title), drawing);
  return section('Over time', 'time', `By ${unit}, in UTC. Whiskers of shares are 95 % intervals, those of seconds the middle half of the regions.`,
    el('div', { class: 'pp-cards' },
      plot('Median seconds per region', timePlot('Median seconds per region', spread, slow, seconds)),
      plot('Queued regions changed', timePlot('Queued regions changed', changes, reachOf(periods.map(({ changed }) => changed)), percent)),
      plot('Planted errors caught', timePlot('Planted errors caught', shares(({ caught }) => caught), 1, percent))),
    table(`The same as a table, one line a ${unit}`, [unit === 'day' ? 'Day' : 'Week from', 'Hours', 'Regions', 'Median', 'Middle half', 'Changed', '95 % interval', 'Caught', '95 % interval'],
      labeled.map(({ start, hours, effort, changed, caught }) => [start, hours.toFixed(2), effort.num_regions, seconds(effort.median_s),
        effort.quartiles_s ? `${seconds(effort.quartiles_s[0])} to ${seconds(effort.quartiles_s[1])}` : '–', counted(changed), interval(changed), counted(caught), interval(caught)])));
}

/** The control arm against images that were reviewed with proposals. */
export function arms({ saved, sentences }) {
  const rate = (value) => (value === null ? '–' : seconds(value));
  return section('Against labeling from scratch', 'arms', `${sentences.saved} ${sentences.control} Over all people and the whole time, whatever the filter.`,
    table('Work per million pixels of finished images', ['Images', 'Finished', 'Seconds per million pixels'],
      [['with proposals', saved.num_assisted, rate(saved.assisted_s)], ['from scratch (control arm)', saved.num_controls, rate(saved.scratch_s)]]),
    measuredBadge(saved));
}

export function rounds({ rounds: list }) {
  if (list.length === 0) return null;
  return section('What the work brought', 'rounds', 'Gold mIoU of each measured round beside the hours of work before it; intervals and images are on the Models page.',
    table('One line a round', ['Round', 'Gold mIoU', 'Hours of work before it', 'Points gained per hour'],
      list.map(({ round, gold_miou: miou, hours, gain_per_hour: gain }) => [`Round ${round}`, points(miou), hours.toFixed(2), gain === null ? '–' : (100 * gain).toFixed(2)])));
}

export function pixels({ pool_pixels: pool, shown, touched, apart, hours, num_actions: actions }) {
  const number = (value) => value.toLocaleString('en');
  return section('What people saw', 'pixels', 'Everything that nobody was shown is as the model says; the audits say how wrong the reliable part of it is.',
    table('Pixels and actions', ['What', 'How much'], [
      ['Pixels of the pool', number(pool)],
      ['Pixels of regions that people were shown', `${number(shown)}${pool ? ` (${points(shown / pool)})` : ''}`],
      ['Pixels that people gave another class', number(touched)],
      ['Regions decided as look-alikes, counted apart', `${number(apart.propagated_regions)} (${number(apart.propagated_pixels)} pixels)`],
      ['Areas that somebody called wrong', number(apart.flagged)],
      ['Hours of work', hours.toFixed(2)], ['Actions behind all of this', number(actions)]]));
}

export function section(title, name, text, ...content) {
  const id = `quality-${name}`;
  return el('section', { 'aria-labelledby': id, 'data-part': name }, el('h2', { id }, title), el('p', { class: 'pp-muted pp-how' }, text), ...content.filter((part) => part !== null));
}

/** The first cell of a row is its heading. */
export function table(caption, heads, rows) {
  const cells = ([first, ...others]) => el('tr', {}, el('th', { scope: 'row' }, first), ...others.map((value) => el('td', {}, value instanceof Node ? value : String(value))));
  return el('div', { class: 'pp-wide', tabindex: 0, role: 'group', 'aria-label': caption }, el('table', { class: 'pp-table' }, el('caption', {}, caption),
    el('thead', {}, el('tr', {}, ...heads.map((text) => el('th', { scope: 'col' }, text)))), el('tbody', {}, ...rows.map(cells))));
}

const share = (found) => (found.share === null ? '–' : points(found.share));
export const counted = (found) => (found.share === null ? '–' : `${points(found.share)} (${found.hits} of ${found.trials})`);
const interval = (found) => (found.share === null ? '–' : between(found));
const strong = (text) => el('strong', {}, text);
const dayLabel = (start) => new Date(`${start}T00:00Z`).toLocaleDateString([], { day: 'numeric', month: 'short', timeZone: 'UTC' });

function className(id, names, classList) {
  const color = classList.find((each) => each.id === id)?.color;
  return el('span', {}, ...(color ? [swatch(color)] : []), names[id]);
}
