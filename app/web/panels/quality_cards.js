// The answer of the quality page in one sentence, and its main numbers, each with its interval and what it is made of.
import { el, points } from './dom.js';
import { between, seconds } from './share_chart.js';
import { counted } from './threshold_parts.js';

const ALWAYS = 'Over all people and the whole time.';

/** Audits, and beside them what gold says. Where audits are few, their interval is the answer and no single number. */
export function headline({ audits, sentences, few_audits: few, on_gold: onGold }) {
  const wrong = audits[0]?.audited.wrong ?? { share: null };
  return el('section', { class: 'pp-next pp-answer', 'aria-label': 'The answer in short', 'data-number': 'audited' },
    el('div', {}, el('small', {}, 'Wrong where nobody looked, by audits'), audited(wrong, few), el('p', {}, sentences.audited)),
    el('div', { 'data-number': 'on_gold' }, el('small', {}, 'The same, measured on gold'),
      el('h2', {}, onGold?.error_rate == null ? 'Not measured' : points(onGold.error_rate), onGold?.error_rate == null ? null : el('small', {}, ` from ${counted(onGold.images, 'gold image')}`)),
      el('p', {}, sentences.on_gold)));
}

function audited({ share, low, high, trials }, few) {
  if (share === null) return el('h2', {}, 'Not known yet');
  if (trials < few) return el('h2', {}, `${points(low)} to ${points(high)}`, el('small', {}, ` from ${counted(trials, 'audit')}: too few for one number yet`));
  return el('h2', {}, points(share), el('small', {}, ` between ${points(low)} and ${points(high)}, from ${counted(trials, 'audit')}`));
}

export function cards(report) {
  const { caught, is_low: isLow, effort, changed, between_people: people, saved, sentences } = report;
  return el('div', { class: 'pp-cards' },
    card('Planted errors caught', 'caught', shareOf(caught), sentences.caught, isLow ? badge('under 90 %', 'pp-bad') : null),
    card('Seconds per region, median', 'effort', [seconds(effort.median_s), effort.interval && `${seconds(effort.interval.low)} to ${seconds(effort.interval.high)}`], sentences.effort),
    card('Queued regions that were changed', 'changed', shareOf(changed), sentences.changed),
    card('Agreement of two people', 'agreement', shareOf(people.same), sentences.agreement),
    card('Effort saved', 'saved', saved.share === null ? ['–', null] : [points(saved.share), saved.interval && between(saved.interval)], `${sentences.saved} ${ALWAYS}`, measuredBadge(saved)));
}

const badge = (text, kind = '') => el('span', { class: `pp-state ${kind}` }, text);

export const lowBadge = () => badge('low', 'pp-bad');

/** Whether effort saved was measured; null while nothing can be said. */
export function measuredBadge({ share, is_estimate: isEstimate }) {
  if (share === null) return null;
  return isEstimate ? badge('estimate') : badge('measured', 'pp-good');
}

/** A share and its interval. */
const shareOf = (found) => (found.share === null ? ['–', null] : [points(found.share), between(found)]);

function card(title, name, [number, range], text, mark = null) {
  return el('section', { class: 'pp-card', 'aria-label': title, 'data-number': name },
    el('small', {}, title), el('div', { class: 'pp-row' }, el('strong', {}, number), range ? el('span', {}, range) : null, mark), el('p', {}, text));
}
