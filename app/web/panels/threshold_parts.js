// The parts of the threshold page: the answer in one sentence, what to do about it, and what a threshold costs.
import { el, moment, swatch, threeDigits as share } from './dom.js';
import { section, table } from './quality_sections.js';

const ONE = { block: 'block of frames', image: 'image' };
/** Proposals keep round(255 * probability of being wrong), so below half a step no pixel is surely reliable. */
const FINEST = 0.5 / 255;
const UNITS = { block: 'blocks of frames', image: 'images' };

export const noModel = () => el('section', { class: 'pp-next', 'aria-label': 'Next action' },
  el('div', {}, el('small', {}, 'Next'), el('h2', {}, 'There is no model yet'), el('p', {}, 'A threshold says how sure a model must be for nobody to be asked. Train the first round; it is calibrated on the gold images.')),
  el('a', { class: 'pp-primary', href: '/' }, 'Go to Rounds'));

export function answer({ model, calibration, not_calibrated: why, promise, choice, cuts, missing_classes: missing }) {
  const text = calibration === null && why ? `${promise.sentence} Why: ${why}.` : promise.sentence;
  const chosen = choice === null ? null : el('p', {}, `${choice.chosen_by} chose on ${moment(choice.chosen_at)}: ${choice.threshold === null ? "the model file's own verdict" : `wrong with at most ${share(choice.threshold)}`}.`);
  return el('section', { class: 'pp-next pp-answer', 'aria-label': 'The promise in short', 'data-bound': String(promise.bound) },
    el('div', {}, el('small', {}, `Round ${model.round}: wrong among pixels that are called reliable`),
      el('h2', {}, promise.bound === null ? 'No promise' : `At most ${share(promise.bound)}`), el('p', {}, text), chosen, ...besideGold(model, cuts), ...missing.map((warning) => el('p', { class: 'pp-error' }, warning))));
}

/** How the images that the current model proposed labels for look beside gold: what is unlike it has no promise. */
const besideGold = (model, cuts) => cuts.filter((cut) => cut.model_id === model.id).map(({ shift, is_shifted: isShifted }) => el('p', { class: isShifted ? 'pp-error' : 'pp-muted' }, shift));

export function whatToDo({ help }) {
  if (help.length === 0) return null;
  return el('section', { class: 'pp-verdict', 'aria-label': 'What to do' }, el('h3', {}, 'The asked error could not be promised. What can be done'), el('ul', {}, ...help.map((text) => el('li', {}, text))));
}

export function cards({ calibration: note, own, fit_images: fit, choice, stops, curve_missing: missing }) {
  if (note === null) return el('p', { class: 'pp-muted' }, 'Without a calibration the threshold is on 1 - confidence, which says nothing about how many pixels are wrong. Five gold images or more, apart from training frames, are calibrated on at the next export or retraining.');
  const unit = note.units === 1 ? ONE[note.unit] : UNITS[note.unit];
  const calibrated = note.threshold > 0 ? `at a threshold of ${share(note.threshold)}` : 'nothing can be called reliable';
  const now = measuredNow(note, own, choice, stops);
  const isElsewhere = !note.is_promised && note.threshold > 0 && now.threshold !== note.threshold;
  const best = isElsewhere ? ` It would call ${share(note.coverage)} reliable, ${share(note.error_rate)} of them wrong, and is not in force.` : '';
  return el('div', {}, el('div', { class: 'pp-cards' },
    card('In force: called reliable', 'coverage', share(now.coverage), `of the labeled pixels of ${now.where}, by ${now.by}.`),
    card('In force: wrong among these', 'error', share(now.error), `as measured on ${now.where}: a measurement, no promise.`),
    card('Asked', 'alpha', share(note.alpha), note.risk === 'reliable' ? 'of the reliable pixels may be wrong, as an average over images.' : 'of all pixels may be wrong and called reliable.'),
    card('Promised', 'bound', note.is_promised ? share(note.alpha) : 'no promise', note.is_promised ? `${calibrated}, where the bound on gold is ${share(note.bound)}: that chose the threshold and is no promise of its own.` : `the best threshold as measured has a bound of ${share(note.bound)}, ${calibrated}.${best}`),
    card('Counting for the promise', 'units', `${note.units} ${unit}`, `${counted(note.images, 'gold image')} chose the threshold${fit ? `, and ${fit} more fitted the curves, which do not count` : ''}. The fewer ${UNITS[note.unit]}, the less can be promised.`)),
  missing ? el('p', { class: 'pp-muted' }, `${missing[0].toUpperCase()}${missing.slice(1)}.`) : null);
}

/** What is called reliable now and how wrong that was measured to be, on the images that it was measured on. */
function measuredNow(note, own, choice, stops) {
  const chosen = choice?.threshold ?? null;
  const heldOut = `${counted(note.images, 'held-out gold image')}`;
  if (chosen !== null && chosen !== note.threshold) {
    const { coverage, error_rate: error } = stops.find(({ threshold }) => threshold === chosen);
    return { threshold: chosen, coverage, error, where: heldOut, by: `the chosen threshold of ${share(chosen)}` };
  }
  if (note.decides || chosen !== null) return { threshold: note.threshold, coverage: note.coverage, error: note.error_rate, where: heldOut, by: `the calibrated threshold of ${share(note.threshold)}` };
  return { threshold: null, coverage: own.coverage, error: own.error_rate, where: counted(own.images ?? 0, 'gold image'), by: "the model file's own verdict" };
}

const card = (title, name, number, text) => el('section', { class: 'pp-card', 'aria-label': title, 'data-number': name }, el('small', {}, title), el('strong', {}, number), el('p', {}, text));

const duration = (minutes) => (minutes < 1 ? 'under a minute' : minutes < 90 ? `${Math.round(minutes)} min` : `${(minutes / 60).toFixed(1)} h`);
export const counted = (number, what) => `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`;

/** What the queue would be, against what it is now (null: this is what it is now). */
export function costText(found, now, pace) {
  const from = found.looked_at < found.to_cut ? ` (estimated from ${found.looked_at} of ${found.to_cut} images)` : '';
  const before = now === null ? '' : `; now ${counted(now.regions, 'region')}, ${duration(now.minutes)}`;
  const how = pace.is_assumed ? `${pace.seconds} s a region, assumed until 20 are finished` : `${pace.seconds.toFixed(1)} s a region on average over the latest ${pace.regions}`;
  const stays = found.staying_regions && found.to_cut ? ` ${counted(found.staying_regions, 'region')} of them stay as they are.` : '';
  const cut = ` A cut changes ${counted(found.to_cut, 'image')}. ${staysText(found.standing)}`;
  const coarse = found.threshold !== null && found.threshold < FINEST ? ' Under 0.2 % the preview is the same at every threshold, because proposals keep probabilities in steps of 0.4 points, and counts every pixel as unreliable.' : '';
  return `Without audits, planted errors and control images, people would be asked about ${counted(found.regions, 'region')} in ${counted(found.images, 'image')}, about ${duration(found.minutes)} of work${from}${before}.${stays} (${how}.)${cut}${coarse}`;
}

/** Null without a curve and without regions. */
export function classTable({ classes, stops }, index, found) {
  if (classes.length === 0) return null;
  return section('By class', 'classes', 'At the threshold of the slider, on held-out images: how much of what is predicted as a class is called reliable, how wrong that is, and how many regions people would be asked about. Shares of few predicted pixels may be chance.',
    table('One line a predicted class', ['Class', 'Predicted pixels', 'Called reliable', 'Wrong among these', 'Wrong in all', 'Regions asked about'],
      classes.map(({ class_id: id, name, color, pixels, coverage, reliable_error_rate: wrong, error_rate: all }) => [
        el('span', {}, swatch(color), name), pixels.toLocaleString('en'), pixels ? share(coverage[index]) : 'never predicted', share(wrong[index]), share(all), (found.by_class[id] ?? 0).toLocaleString('en')])));
}

/** Which images a cut leaves as they are. */
export function staysText({ decided, control, held, as_chosen: asChosen }) {
  const parts = [[decided, 'because somebody has acted on them'], [control, 'because they are labeled from scratch'], [held, 'while somebody works on them'], [asChosen, 'because they are cut so already']];
  const said = parts.filter(([number]) => number > 0).map(([number, why]) => `${number} ${why}`);
  return said.length ? `As they are stay ${said.join(', ')}.` : 'Every image of the pool is cut.';
}

export function inForce({ standing, cuts, promise }) {
  const stands = [[standing.as_chosen, 'are cut at the threshold in force'], [standing.to_cut, 'are cut otherwise and can be cut anew'], [standing.decided, 'are cut otherwise and stay, because somebody has acted on them'],
    [standing.held, 'are cut otherwise while somebody works on them'], [standing.control, 'are labeled from scratch']].filter(([number]) => number > 0);
  return section('In force', 'cuts', stands.map(([number, what]) => `${number} ${what}`).join(', ') || 'No image has a proposal of this model yet: predict first.',
    ...(cuts.length ? [cutsTable(cuts, promise)] : []));
}

/** On the quality page: what is promised about the labels, by the threshold at which they were cut. */
export const promised = ({ cuts }) => (cuts.length === 0 ? null : section('What is promised about reliable pixels', 'cuts', 'By the calibration of the model and the threshold in force; the audits above measure it.', cutsTable(cuts), whyNoPromise(cuts)));

/** Where no promise holds: where it is said why. */
export const whyNoPromise = (cuts) => (cuts.every(({ bound }) => bound !== null) ? null
  : el('p', { class: 'pp-muted' }, 'Why nothing is promised, and what to do: ', el('a', { href: '/threshold' }, 'Threshold'), '.'));

/** Without `said`, the promise that the page states already, sentences are left to the threshold page, but for images unlike gold. */
function cutsTable(cuts, said = null) {
  const isInWords = said !== null && cuts.some(({ promise }) => promise !== said.sentence);
  const isBesideGold = said === null && cuts.some(({ is_shifted: isShifted }) => isShifted);
  return table('Which threshold the labels of the pool rest on', ['Model and threshold', 'Images', 'Promised', ...(isInWords ? ['In words'] : []), ...(isBesideGold ? ['Beside gold'] : [])],
    cuts.map((cut) => [cut.words, imagesOf(cut), promisedOf(cut), ...(isInWords ? [el('span', { class: 'pp-wrap' }, cut.promise)] : []), ...(isBesideGold ? [el('span', { class: 'pp-wrap' }, cut.shift)] : [])]));
}

const imagesOf = ({ images, is_shifted: isShifted, unlike_gold: unlike }) => (isShifted && unlike ? `${images}, ${unlike} of them unlike gold` : images);
const promisedOf = ({ bound, is_shifted: isShifted }) => (bound === null ? 'no promise' : `at most ${share(bound)}${isShifted ? ', not for images of another kind' : ''}`);

/** What the next model is asked; `change` is null for those who may not. */
export function askedForm({ alpha, independent }, change) {
  const text = 'Which share of wrong pixels among the reliable ones the next export or retraining is asked to promise. Less is safer and calls fewer pixels reliable; with n images or blocks nothing below 1 / (n + 1) can be promised.';
  if (change === null) return section('What the next model is asked', 'asked', text, el('p', {}, `Asked: ${share(alpha)}. ${independent ? 'Each gold image counts by itself.' : 'Gold frames of a recording count in blocks.'}`));
  const field = el('input', { type: 'number', min: 0.01, max: 99, step: 'any', required: true, value: Number((alpha * 100).toPrecision(6)) });
  const alone = el('input', { type: 'checkbox', checked: independent });
  const form = el('form', { class: 'pp-inline', 'aria-label': 'What the next model is asked' }, el('label', {}, el('span', {}, 'Asked error, in %'), field),
    el('label', { class: 'pp-check' }, alone, el('span', {}, 'No picture comes from a video: each gold image counts by itself')), el('button', { type: 'submit' }, 'Save'));
  form.addEventListener('submit', (event) => { event.preventDefault(); change({ alpha: Number(field.value) / 100, independent: alone.checked }); });
  return section('What the next model is asked', 'asked', text, form);
}

/** What is promised at a threshold; where nothing is, as a warning. */
export function promiseOf({ stops, own }, threshold) {
  const { promise } = threshold === null ? own : stops.find((stop) => stop.threshold === threshold);
  return promise.bound === null ? el('p', { class: 'pp-error' }, promise.sentence) : el('p', {}, promise.sentence);
}

