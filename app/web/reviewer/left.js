// What is left to do: for this person, for others, and why nothing comes although something is left.
import { withoutRegion } from './address.js';
import { grouped } from './dom.js';
import { leftToOthers } from './elsewhere.js';
import { UNREACHABLE } from './server.js';

const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);
const regions = (count) => (count === 1 ? '1 region' : `${grouped(count)} regions`);

/** Of `counts`, as the server gives them: {open, skipped} of this person's and nobody's images, and what is whose beside that. */
export function leftFor(user, { open, skipped, open_of: openOf, skipped_of: skippedOf }) {
  const ofOthers = new Map();
  for (const [who, count] of [...Object.entries(openOf), ...Object.entries(skippedOf)]) {
    if (who !== user) ofOthers.set(who, (ofOthers.get(who) ?? 0) + count);
  }
  const without = (found) => sum(Object.entries(found).filter(([who]) => who !== user).map(([, count]) => count));
  return { open: open - without(openOf), skipped: skipped - without(skippedOf), ofOthers: [...ofOthers].sort((a, b) => b[1] - a[1]) };
}

/** Counts as they will be once the server knows what was done here: `changes` are {before, after} states of regions. */
export function withChanges(counts, changes) {
  const expected = { ...counts };
  for (const { before, after } of changes) {
    expected[before] -= 1;
    expected[after] += 1;
  }
  return expected;
}

/** For the foot of the page. */
export function leftText(user, counts) {
  const { open, skipped, ofOthers } = leftFor(user, counts);
  const others = sum(ofOthers.map(([, count]) => count));
  const parts = [others > 0 ? `${regions(open)} left for you` : `${regions(open)} left`];
  if (skipped > 0) parts.push(`${grouped(skipped)} skipped`);
  if (others > 0) parts.push(`${grouped(others)} for others`);
  if (counts.second_review > 0) parts.push(`${grouped(counts.second_review)} for second review`);
  return parts.join(' · ');
}

/** Title and sentence of the page while the region that comes next cannot be loaded; `pending` as in Outbox. */
export function nothingLoaded(pending) {
  const kept = { 0: '', 1: '1 decision waits in this browser and is sent then. ' }[pending] ?? `${grouped(pending)} decisions wait in this browser and are sent then. `;
  return ['No more regions are loaded', `${UNREACHABLE} As soon as it answers, the review goes on by itself. ${kept}`];
}

/** Title, sentence and links of the page when no region can be given to this person; `feed` knows filter and what is elsewhere. */
export function nothingLeft({ user, permissions }, counts, { filter, elsewhere }) {
  const second = counts.second_review;
  const isFiltered = Object.keys(filter).length > 0;
  const whole = isFiltered ? [['Whole queue', '/review']] : [];
  const mayHelp = second > 0 && filter.state !== 'second_review' && permissions.includes('second_review');
  const help = mayHelp ? [['Second review', '/review?state=second_review']] : [];
  const others = leftToOthers(elsewhere, isFiltered ? [] : leftFor(user, counts).ofOthers.map(([who, count]) => `${who} ${grouped(count)}`));
  if (others.length > 0) return ['Nothing left for you now', others.join(' '), ['Look again', withoutRegion()], ...whole, ...help, ['Queue', '/queue']];
  if (isFiltered) return ['Nothing left with this filter', 'The whole queue may hold more regions.', ...whole, ['Rounds', '/'], ['Export', '/export']];
  if (second > 0) return ['The queue is empty', `Somebody did not know ${regions(second)}: second review decides.`, ...help, ['Rounds', '/']];
  return ['Nothing left to review', 'Train the next round with what you decided, or export the labels.', ['Rounds', '/'], ['Export', '/export']];
}
