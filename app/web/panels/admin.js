// Admin page: people and roles, who is signed in, tokens, backups, deleted images, and the audit log. Every change is asked about before it is made.
import { getJson } from '../reviewer/server.js';
import { inviteForm, peopleTable, sessionsTable, tokensTable } from './admin_people.js';
import { AuditLog } from './audit_log.js';
import { el } from './dom.js';
import { Upkeep } from './upkeep.js';

const FIRST = 'There are no accounts: whoever uses this machine is the lead. Make your own first; from then on everybody has to sign in.';

export function mount(element) {
  const root = element.querySelector('.ps-panel');
  root.classList.add('pp', 'pp-admin');
  new AdminPage(root).start();
}

class AdminPage {
  constructor(root) {
    this.root = root;
    this.message = el('p', { class: 'pp-message', role: 'status' });
    this.people = el('div', {});
    this.access = el('div', {});
    this.log = new AuditLog((text, isError) => this.say(text, isError));
    this.upkeep = new Upkeep((said) => this.done(said), (text) => this.say(text, true));
    const section = (id, title, content) => el('section', { 'aria-labelledby': id }, el('h2', { id }, title), content);
    root.append(this.message, section('people-heading', 'People', this.people), section('access-heading', 'Sessions and tokens', this.access), this.upkeep.element, this.log.element);
  }

  async start() {
    try {
      await Promise.all([this.refresh(), this.upkeep.refresh(), this.log.start()]);
    } catch (error) {
      this.say(error.message, true);
    }
    this.root.dataset.drawn = '1';
  }

  async refresh() {
    const [{ people }, { sessions }, { tokens }, me] = await Promise.all(['people', 'sessions', 'tokens', 'me'].map((path) => getJson(`/api/${path}`)));
    const done = (said) => this.done(said);
    this.people.replaceChildren(
      ...(people.length > 0 ? [peopleTable(people, me.name, done)] : [el('p', {}, FIRST)]), inviteForm(people.length === 0, done));
    this.access.replaceChildren(
      sessions.length ? sessionsTable(sessions, done) : el('p', { class: 'pp-muted' }, 'Nobody is signed in.'),
      tokens.length ? tokensTable(tokens, done) : el('p', { class: 'pp-muted' }, 'Nobody has a token for scripts.'));
  }

  /** After a change: say what happened and show how things are now. */
  async done(said) {
    if (said === null) return;
    this.say(said, false);
    try {
      await Promise.all([this.refresh(), this.upkeep.refresh(), this.log.refresh()]);
    } catch (error) {
      this.say(error.message, true);
    }
  }

  say(text, isError) {
    this.message.textContent = text;
    this.message.classList.toggle('pp-error', isError);
  }
}
