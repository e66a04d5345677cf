// Models page: all rounds, any two of them side by side on gold, and which one is used.
import { getJson, getSession } from '../reviewer/server.js';
import { askAndDo } from './model_dialog.js';
import { modelTable } from './model_table.js';
import { history, limitsCard } from './model_history.js';
import { plotRounds } from './plot.js';
import { RoundComparison } from './round_comparison.js';
import { el } from './dom.js';

const POLL_MS = 4000;

export function mount(element) {
  const root = element.querySelector('.ps-panel');
  root.classList.add('pp');
  new ModelsPage(root).start();
}

class ModelsPage {
  constructor(root) {
    this.root = root;
    this.message = el('p', { class: 'pp-message', role: 'status' });
    this.overview = el('section', { class: 'pp-models', 'aria-label': 'All rounds' }, el('p', { class: 'pp-muted' }, 'Loading the rounds…'));
    this.changes = el('section', { 'aria-label': 'Decisions about models' });
    this.comparison = new RoundComparison((action, model) => this.act(action, model));
    root.append(this.message, this.overview, this.comparison.element, this.changes);
  }

  async start() {
    try {
      this.session = await getSession();
      await this.refresh();
    } catch (error) {
      if (!this.models) this.overview.replaceChildren(); // What went wrong is said; nothing is on its way any more.
      this.say(error.message, true);
    }
    this.root.dataset.drawn = '1';
    setInterval(() => { if (!document.hidden) this.refresh().catch((error) => this.say(error.message, true)); }, POLL_MS);
  }

  async refresh() {
    const [{ models }, { changes }, limits] = await Promise.all(['', '/changes', '/limits'].map((path) => getJson(`/api/models${path}`)));
    const now = JSON.stringify([models, changes, limits]);
    if (now === this.shown) return;
    this.shown = now;
    this.models = models;
    const [change, measure, administer] = ['promote', 'run_jobs', 'administer'].map((permission) => this.session.permissions.includes(permission));
    const may = { change, measure };
    const act = (action, model) => this.act(action, model);
    this.overview.replaceChildren(
      el('div', { class: 'pp-cards' },
        el('div', { class: 'pp-card pp-plot' }, el('small', {}, 'Gold mIoU by round, with 95 % intervals over gold images'), plotRounds([...models].reverse())),
        limitsCard(limits, administer ? () => this.act('limits', limits) : null)),
      modelTable(models, may, act));
    this.changes.replaceChildren(...history(changes));
    await this.comparison.show(models, this.session.classes, may);
  }

  async act(action, subject) {
    const current = this.models.find((model) => model.status === 'current');
    const said = await askAndDo(action, subject, current);
    if (said === null) return;
    this.say(said, false);
    await this.refresh();
  }

  say(text, isError) {
    this.message.textContent = text;
    this.message.classList.toggle('pp-error', isError);
  }
}
