// Any two rounds on the same gold images: the verdict, every class with its interval, and the images that got worse first.
import { getJson } from '../reviewer/server.js';
import { GoldImages } from './gold_images.js';
import { axis, difference, intervalChart, reach, signed } from './interval_chart.js';
import { measure } from './model_dialog.js';
import { el, points } from './dom.js';

const HEADLINES = {
  promote: 'Gold got no worse: it can be promoted without a reason.',
  refuse: 'Gold got worse: promoting it needs a reason.',
  unknown: 'They cannot be compared: promoting it needs a reason.',
};
const FLAT = 0.0005;

export class RoundComparison {
  constructor(act) {
    this.act = act;
    const pick = () => this.pick(Number(this.old.value), Number(this.new.value));
    this.old = el('select', { id: 'compare-old', onchange: pick });
    this.new = el('select', { id: 'compare-new', onchange: pick });
    this.result = el('div', { class: 'pp-result', 'aria-live': 'polite' });
    this.element = el('section', { id: 'comparison', 'aria-label': 'Comparison', hidden: true }, el('h2', {}, 'Compare two rounds'),
      el('div', { class: 'pp-picker' },
        el('label', { for: 'compare-old' }, 'From'), this.old, el('label', { for: 'compare-new' }, 'to'), this.new,
        el('button', { type: 'button', 'aria-label': 'Swap the two rounds', onclick: () => this.pick(Number(this.new.value), Number(this.old.value)) }, '⇄')),
      this.result);
  }

  /** Draw the choices anew and compare; `models` are all rounds, latest first. */
  async show(models, classes, may) {
    Object.assign(this, { models, classes, may });
    this.element.hidden = models.length < 2;
    if (models.length < 2) return;
    const options = () => models.map((model) => el('option', { value: model.id }, `Round ${model.round} (${model.status}), ${points(model.gold_miou)}`));
    const [old, now] = this.chosen ?? this.fromAddress() ?? standardPair(models);
    this.old.replaceChildren(...options());
    this.new.replaceChildren(...options());
    await this.pick(old, now);
  }

  fromAddress() {
    const query = new URLSearchParams(location.search);
    const ids = ['old', 'new'].map((name) => Number(query.get(name)));
    return ids.every((id) => this.models.some((model) => model.id === id)) ? ids : null;
  }

  async pick(old, now) {
    this.chosen = [old, now];
    [this.old.value, this.new.value] = this.chosen;
    window.history.replaceState(null, '', `${location.pathname}?${new URLSearchParams({ old, new: now })}`); // A bare "?" would be resolved against Gradio's <base>.
    if (old === now) {
      this.result.replaceChildren(el('p', { class: 'pp-muted' }, 'Choose two different rounds.'));
      return;
    }
    const asked = this.chosen;
    if (this.result.childElementCount === 0) this.result.replaceChildren(el('p', { class: 'pp-muted' }, 'Comparing…'));
    try {
      const result = await getJson(`/api/models/compare?old=${old}&new=${now}`);
      if (asked === this.chosen) this.draw(result);
    } catch (error) {
      if (asked === this.chosen) this.result.replaceChildren(el('p', { class: 'pp-error' }, error.message));
    }
  }

  draw(result) {
    const [old, now] = this.chosen.map((id) => this.models.find((model) => model.id === id));
    this.result.replaceChildren(this.verdict(result, old, now));
    if (result.classes.length > 0) this.result.append(classTable(result, old, now));
    if (result.has_pictures) this.result.append(new GoldImages(result.images, old, now, this.classes).element);
    this.result.dataset.compared = `${old.id}-${now.id}`;
  }

  verdict({ verdict, reasons, warnings }, old, now) {
    const promoting = old.status === 'current' && now.status !== 'current';
    const button = (action, text) => el('button', { type: 'button', class: 'pp-primary', onclick: () => this.act(action, now) }, text);
    const buttons = [];
    if (promoting && this.may.change) {
      if (now.can_roll_back) buttons.push(button('rollback', `Roll back to round ${now.round}…`));
      else buttons.push(button('promote', `Promote round ${now.round}…`));
      if (now.status === 'candidate') buttons.push(el('button', { type: 'button', onclick: () => this.act('reject', now) }, 'Set it aside…'));
    }
    if (verdict === 'unknown' && this.may.measure) {
      const both = el('button', { type: 'button', onclick: async () => { told.textContent = await measure([old, now]).catch((error) => error.message); } }, 'Measure both again');
      buttons.push(both);
    }
    const told = el('small', { role: 'status' });
    return el('section', { class: `pp-verdict pp-${verdict}`, 'aria-label': 'Verdict' },
      el('h3', {}, promoting ? HEADLINES[verdict] : `From round ${old.round} to round ${now.round}`),
      el('ul', {}, ...[...reasons, ...warnings].map((sentence) => el('li', {}, sentence))),
      buttons.length ? el('div', { class: 'pp-buttons' }, ...buttons, told) : null);
  }
}

/** The candidate against the current model; else the current one against the one before. */
function standardPair(models) {
  const by = (status) => models.find((model) => model.status === status);
  const current = by('current') ?? models[0];
  const candidate = by('candidate');
  if (candidate && candidate !== current) return [current.id, candidate.id];
  const before = models.find((model) => model.status === 'retired') ?? models.find((model) => model !== current);
  return [before.id, current.id];
}

function classTable({ miou, classes, limits, num_images: numImages }, old, now) {
  const changes = [miou, ...classes];
  const widest = reach(changes);
  const head = [[''], [`Round ${old.round}`], [`Round ${now.round}`], ['Change'], ['95 % interval of the change', axis(widest)], ['Images']];
  return el('table', { class: 'pp-table pp-classes' }, el('caption', {}, `IoU per class on the same ${numImages} gold ${numImages === 1 ? 'image' : 'images'}`),
    el('thead', {}, el('tr', {}, ...head.map((parts) => el('th', { scope: 'col' }, ...parts)))),
    el('tbody', {}, ...changes.map((change, index) => row(change, index === 0 ? limits.miou_fall : limits.class_fall, widest))));
}

function row(change, limit, widest) {
  const by = difference(change);
  const text = by === null ? '' : signed(by);
  const isOver = by !== null && by < -limit - 1e-9;
  const tone = by > FLAT ? 'pp-better' : by < -FLAT ? 'pp-worse' : '';
  return el('tr', {}, el('th', { scope: 'row' }, change.name), value(change.old, change.old_interval), value(change.new, change.new_interval),
    el('td', { class: tone }, text, isOver ? el('small', { class: 'pp-below' }, 'over the limit') : null),
    el('td', { class: 'pp-interval' }, intervalChart(change, limit, widest)), el('td', {}, String(change.num_images)));
}

function value(share, interval) {
  return el('td', {}, points(share), interval === null ? null : el('small', { class: 'pp-below' }, `${(interval.low * 100).toFixed(1)} to ${(interval.high * 100).toFixed(1)}`));
}
