// Threshold page: what is promised about pixels that nobody looks at, what another threshold would cost, and cutting the
// queue anew at it.
import { getJson, getSession, post } from '../reviewer/server.js';
import { ask } from './dialog.js';
import { el, percent, threeDigits as share } from './dom.js';
import { ended, progressLine } from './job_follow.js';
import { answer, askedForm, cards, classTable, costText, counted, inForce, noModel, promiseOf, staysText, whatToDo } from './threshold_parts.js';
import { plotThresholds } from './threshold_plot.js';

const SETTLE_MS = 250;

export function mount(element) {
  const root = element.querySelector('.ps-panel');
  root.classList.add('pp', 'pp-threshold');
  new ThresholdPage(root).start();
}

class ThresholdPage {
  constructor(root) {
    this.root = root;
    this.message = el('p', { class: 'pp-message', role: 'status' });
    this.progress = el('div', { class: 'pp-row' });
    this.body = el('div', { class: 'pp-report' });
    root.append(this.message, this.progress, this.body);
  }

  async start() {
    try {
      this.session = await getSession();
      await this.refresh();
      await this.followUnfinished();
    } catch (error) {
      this.say(error.message, true);
    }
    this.root.dataset.drawn = '1';
  }

  may(permission) {
    return this.session.permissions.includes(permission);
  }

  async refresh() {
    const view = this.view = await getJson('/api/threshold');
    const asked = askedForm(view.asked, this.may('administer') ? (asked) => this.changeAsked(asked) : null);
    if (view.model === null) {
      this.body.replaceChildren(noModel(), asked);
      return;
    }
    this.now = view.choice?.threshold ?? null;
    this.index = nearest(view, this.now);
    this.picture = el('div');
    this.classes = el('div');
    this.cost = el('p', { class: 'pp-cost', role: 'status' });
    this.body.replaceChildren(answer(view), ...[whatToDo(view)].filter(Boolean), cards(view), this.chooser(), this.classes, inForce(view), asked);
    this.regionsNow = null;
    this.draw();
    const found = await this.look(this.now);
    this.regionsNow = found;
    if (!this.isMoved) this.showCost(found, this.now);
  }

  chooser() {
    const { stops } = this.view;
    this.slider = el('input', { type: 'range', min: 0, max: stops.length - 1, step: 1, value: this.index, 'aria-label': 'Largest probability of being wrong of a reliable pixel' });
    this.slider.addEventListener('input', () => this.move(Number(this.slider.value)));
    this.shown = el('strong', { class: 'pp-shown' });
    this.said = el('p', { class: 'pp-promise' });
    this.why = el('span', { class: 'pp-muted', id: 'pp-why-not' });
    const mayCut = this.may('promote');
    this.cut = el('button', { class: 'pp-primary', type: 'button', 'aria-describedby': 'pp-why-not', onclick: () => this.tryToCut(this.wanted()) }, 'Cut the queue here…');
    this.back = el('button', { type: 'button', onclick: () => this.tryToCut(null) }, "Back to the model's own…");
    return el('section', { 'aria-label': 'Another threshold' }, el('h2', {}, 'Another threshold'),
      el('p', { class: 'pp-muted pp-how' }, 'The threshold is the largest chance of being wrong that a reliable pixel may have as the model estimates it; what share of them really is wrong was measured. The further to the right, the more pixels are called reliable: nobody is asked about them, and more of them are wrong. Moving it changes nothing.'),
      this.picture,
      el('div', { class: 'pp-slide' }, el('span', {}, 'ask about more'), this.slider, el('span', {}, 'ask about less')),
      el('div', { class: 'pp-card' }, this.shown, this.said, this.cost,
        el('div', { class: 'pp-buttons' }, ...(mayCut ? [this.cut, this.back, this.why] : [el('span', { class: 'pp-muted' }, 'A lead can cut the queue here.')]))));
  }

  /** The threshold of the slider; null is what the model file calls reliable. */
  wanted() {
    const stop = this.view.stops[this.index];
    return stop.is_own ? null : stop.threshold;
  }

  move(index) {
    this.index = index;
    this.isMoved = true;
    this.asking = null; // An answer that is still under way is about another threshold.
    this.draw();
    this.cost.textContent = 'Counting…';
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.preview().catch((error) => this.say(error.message, true)), SETTLE_MS);
  }

  draw() {
    const { view } = this;
    const stop = view.stops[this.index];
    const isNow = !this.isMoved && this.now === null && !stop.is_own; // The file's own verdict has no threshold of its own.
    const called = stop.coverage === null ? '' : `: ${share(stop.coverage)} of the held-out pixels are reliable, ${share(stop.error_rate)} of these wrong as measured`;
    this.shown.textContent = isNow ? "In force: the model file's own verdict" : `Threshold ${share(stop.threshold)}${called}`;
    const promise = isNow ? view.own.promise : stop.promise;
    const isSaid = promise.sentence === view.promise.sentence; // Above, where there is room for it.
    this.said.textContent = !isSaid ? promise.sentence : promise.bound === null ? 'Nothing is promised here; why, stands above.' : 'The promise above holds here.';
    this.said.classList.toggle('pp-error', promise.bound === null);
    this.slider.setAttribute('aria-valuetext', isNow ? "the model file's own verdict" : `Threshold ${share(stop.threshold)}${called}`);
    this.picture.replaceChildren(plotThresholds(view, isNow ? null : stop));
    this.cut.disabled = this.isCutting || isNow || this.wanted() === this.now && view.standing.to_cut === 0;
    this.why.textContent = !this.cut.disabled ? '' : this.isCutting ? 'The queue is being cut.' : 'This is in force: move the slider to choose another threshold.';
    this.back.disabled = this.isCutting || this.now === null && view.standing.to_cut === 0;
  }

  look(at) {
    return getJson(`/api/threshold/preview${at === null ? '' : `?at=${at}`}`);
  }

  async preview() {
    const at = this.wanted();
    const asking = this.asking = {};
    const found = await this.look(at);
    if (asking === this.asking) this.showCost(found, at);
  }

  showCost(found, at) {
    this.cost.textContent = costText(found, this.isMoved ? this.regionsNow : null, this.view.pace);
    this.cost.dataset.regions = String(found.regions);
    this.classes.replaceChildren(...[classTable(this.view, this.index, found)].filter(Boolean));
    this.body.dataset.previewed = String(at);
  }

  tryToCut(threshold) {
    this.say('', false);
    return this.askToCut(threshold).catch((error) => this.say(error.message, true));
  }

  async askToCut(threshold) {
    const { model } = this.view;
    const { standing } = await this.look(threshold);
    const title = threshold === null ? "Cut the queue at the model's own threshold?" : `Cut the queue at ${share(threshold)}?`;
    const body = [el('p', {}, `${counted(standing.to_cut, 'image')} that nobody has acted on get${standing.to_cut === 1 ? 's' : ''} new regions; a snapshot is taken first. No decision is touched.`),
      el('p', {}, staysText(standing)), promiseOf(this.view, threshold)];
    const job = await ask(title, body, 'Cut the queue', async () => (await post('/api/threshold', { threshold, seen_model: model.id })).job_id);
    if (job !== null) await this.follow(job);
  }

  /** A cut that somebody started is shown again when the page is opened. */
  async followUnfinished() {
    if (this.view.model === null) return;
    const { jobs } = await getJson('/api/jobs?limit=20');
    const job = jobs.find(({ kind, finished_at: finished }) => kind === 'recut' && finished === null);
    if (job) this.follow(job.id); // The page is drawn meanwhile.
  }

  async follow(id) {
    this.say('', false);
    this.isCutting = true;
    this.draw();
    try {
      const job = await ended(id, (now) => this.progress.replaceChildren(...progressLine(now, 'Progress of the cut', 'cuts the queue', (text) => this.say(text, true))));
      this.isCutting = false;
      this.isMoved = false;
      await this.refresh();
      if (job.state === 'succeeded') this.say(job.result.said.join(' '), job.result.failed.length > 0);
      else this.say(job.error ?? 'The cut was stopped; images that were cut stay so. Cut again to go on.', job.state === 'failed');
    } catch (error) {
      this.say(error.message, true);
    }
    this.isCutting = false;
    this.draw();
    this.progress.replaceChildren();
  }

  async changeAsked(asked) {
    try {
      await post('/api/threshold/asked', asked);
      this.say(`The next model is asked to promise that at most ${share(asked.alpha)} are wrong. The present one keeps its promise.`, false);
    } catch (error) {
      this.say(error.message, true);
    }
  }

  say(text, isError) {
    this.message.textContent = text;
    this.message.classList.toggle('pp-error', isError);
  }
}

/** Place of a threshold among the stops; that of the file's own verdict is where as much is called reliable. */
function nearest({ stops, own }, threshold) {
  const known = stops.findIndex((stop) => (threshold === null ? stop.is_own : stop.threshold === threshold));
  if (known >= 0) return known;
  const away = (stop) => (threshold !== null ? Math.abs(Math.log(stop.threshold / threshold)) : Math.abs((stop.coverage ?? stop.threshold) - (own.coverage ?? 0)));
  return stops.reduce((best, stop, index) => (away(stop) < away(stops[best]) ? index : best), 0);
}
