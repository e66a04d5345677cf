// Quality page: how wrong the pixels are that nobody looks at, how that is known, and what the labels cost. Leads see
// everybody; everybody else sees their own numbers, up to the last midnight. Who may run jobs looks for wrong labels here.
import { getJson, getSession } from '../reviewer/server.js';
import { asked, el, startOfDay } from './dom.js';
import { cards, headline } from './quality_cards.js';
import { ownNumbers } from './quality_own.js';
import { arms, classes, overTime, people, pixels, rounds, unseen } from './quality_sections.js';
import { suspectsSection } from './suspects.js';
import { promised } from './threshold_parts.js';

const FILES = [['csv', 'CSV'], ['json', 'JSON'], ['jsonl', 'JSON, one action a line']];

export function mount(element) {
  const root = element.querySelector('.ps-panel');
  root.classList.add('pp', 'pp-quality');
  start(root).catch((error) => root.append(el('p', { class: 'pp-message pp-error', role: 'alert' }, error.message)))
    .finally(() => { root.dataset.drawn = '1'; });
}

async function start(root) {
  const session = await getSession();
  const maySuspect = session.permissions.includes('run_jobs');
  const page = session.permissions.includes('see_quality') ? new QualityPage(root, session.classes, maySuspect) : null;
  const suspects = maySuspect ? suspectsSection(session.classes) : null;
  if (page === null) root.append(...ownNumbers(await getJson('/api/quality/mine')), ...(suspects ? [suspects] : []));
  else if (suspects) root.append(suspects);
  await page?.tryRefresh();
}

class QualityPage {
  constructor(root, classList, maySuspect) {
    this.classList = classList;
    this.message = el('p', { class: 'pp-message', role: 'status' });
    this.person = el('select', {}, el('option', { value: '' }, 'everybody'));
    this.since = el('input', { type: 'date' });
    this.until = el('input', { type: 'date' });
    const field = (text, input) => el('label', {}, el('span', {}, text), input);
    this.files = FILES.map(([format, text]) => [format, el('a', { class: 'pp-button', download: `actions.${format}` }, text)]);
    const form = el('form', { class: 'pp-inline', 'aria-label': 'Filter the numbers' },
      field('Whose', this.person), field('From', this.since), field('Until', this.until), el('button', { type: 'submit' }, 'Show'),
      el('span', { class: 'pp-space' }), maySuspect ? el('a', { class: 'pp-button', href: '#wrong-labels' }, 'Labels that may be wrong') : null,
      el('div', { class: 'pp-row' }, el('span', { class: 'pp-muted' }, 'Raw action log:'), ...this.files.map(([, link]) => link)));
    form.addEventListener('submit', (event) => { event.preventDefault(); this.tryRefresh(); });
    for (const input of [this.person, this.since, this.until]) input.addEventListener('change', () => this.tryRefresh());
    this.report = el('div', { class: 'pp-report' });
    root.append(this.message, form, this.report);
  }

  async refresh() {
    const query = asked({ user: this.person.value, since: startOfDay(this.since), until: startOfDay(this.until, 1) });
    const search = new URLSearchParams(query);
    for (const [format, link] of this.files) link.href = `/api/actions?${new URLSearchParams({ format, ...query })}`;
    const asking = this.asking = search.toString();
    this.say('Counting…'); // A hundred thousand actions take some seconds.
    const report = await getJson(`/api/quality?${search}`);
    if (asking !== this.asking) return; // Somebody has changed the filter since.
    this.say('');
    this.offer(report.names);
    const isFiltered = Object.keys(query).length > 0;
    this.report.replaceChildren(...(report.num_actions === 0 ? [nothing(report, isFiltered)] : this.drawn(report)));
    this.report.dataset.actions = String(report.num_actions);
    this.report.dataset.query = asking;
  }

  drawn(report) {
    const classList = this.classList;
    return [headline(report), cards(report), unseen(report, classList), promised(report), people(report), classes(report, classList), overTime(report), arms(report), rounds(report), pixels(report)]
      .filter((part) => part !== null);
  }

  offer(names) {
    const listed = [...this.person.options].map(({ value }) => value).slice(1);
    for (const name of names.filter((each) => !listed.includes(each))) this.person.append(el('option', { value: name }, name));
  }

  tryRefresh() {
    return this.refresh().catch((error) => this.say(error.message, true));
  }

  say(text, isError = false) {
    this.message.textContent = text;
    this.message.classList.toggle('pp-error', isError);
  }
}

/** What to do when there is nothing to count. */
function nothing({ audits, audits_waiting: waiting }, isFiltered) {
  if (isFiltered) return el('p', { class: 'pp-muted' }, 'No action with this filter. Choose other days, or everybody.');
  const [text, href, label] = audits.length === 0
    ? ['There is no model yet, so nobody was shown anything. Train the first round.', '/', 'Go to Rounds']
    : [`Every number here is made from decisions: seconds and changes from the first one on, errors of what nobody looks at from ${waiting} drawn audits that come among the regions of the queue.`, '/review', 'Start reviewing'];
  return el('section', { class: 'pp-next', 'aria-label': 'Next action' },
    el('div', {}, el('small', {}, 'Next'), el('h2', {}, 'Nobody has decided anything yet'), el('p', {}, text)), el('a', { class: 'pp-primary', href }, label));
}
