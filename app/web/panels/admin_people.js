// People, their roles, invitations, sessions and tokens, as tables with what can be done about each.
import { post } from '../reviewer/server.js';
import { ask } from './dialog.js';
import { el, moment } from './dom.js';

const ROLES = ['annotator', 'reviewer', 'engineer', 'lead'];
const STATES = { active: 'active', invited: 'invited, no password yet', disabled: 'locked out' };

const head = (...names) => el('thead', {}, el('tr', {}, ...names.map((name) => el('th', { scope: 'col', class: 'pp-text' }, name))));
const cell = (...content) => el('td', { class: 'pp-text' }, ...content);
const button = (text, act, label = null) => el('button', { type: 'button', onclick: act, 'aria-label': label }, text);

/** `done(said)` is called with what happened, or with null when nothing did. */
export function peopleTable(people, myName, done) {
  return el('table', { class: 'pp-table' }, head('Name', 'Role', 'State', 'Last seen', ''),
    el('tbody', {}, ...people.map((person) => personRow(person, myName, done))));
}

function personRow(person, myName, done) {
  const { name, role, state, seen_at: seenAt } = person;
  const select = el('select', { 'aria-label': `Role of ${name}` }, ...ROLES.map((each) => el('option', { value: each, selected: each === role }, each)));
  select.addEventListener('change', async () => {
    const said = await askRole(person, select.value);
    if (said === null) select.value = role;
    await done(said);
  });
  return el('tr', { 'data-person': name, 'data-state': state },
    el('th', { scope: 'row' }, name, name === myName ? el('small', {}, ' (you)') : null),
    cell(select), cell(el('span', { class: 'pp-state' }, STATES[state])), cell(seenAt ? moment(seenAt) : 'never'),
    cell(el('div', { class: 'pp-actions' }, ...personActions(person, done))));
}

function personActions(person, done) {
  const { name, state } = person;
  if (state === 'disabled') return [button('Let in again', async () => done(await askEnable(name)), `Let ${name} in again`)];
  return [
    button('New link', async () => done(await askReset(person)), `New link for ${name}`),
    button('Lock out', async () => done(await askDisable(name)), `Lock ${name} out`),
  ];
}

const address = (name, action) => `/api/people/${encodeURIComponent(name)}/${action}`;

const askRole = ({ name, role }, wanted) => ask(`Make ${name} ${article(wanted)}?`,
  [el('p', {}, `${name} is ${article(role)} now. The new role counts from the next click on.`)], 'Change the role', async () => {
    await post(address(name, 'role'), { role: wanted });
    return `${name} is ${article(wanted)} now.`;
  });

const askDisable = (name) => ask(`Lock ${name} out?`,
  [el('p', {}, 'All sessions, tokens and links of this person end at once. What the person decided stays.')], 'Lock out', async () => {
    await post(address(name, 'disable'), null);
    return `${name} is locked out.`;
  });

const askEnable = (name) => ask(`Let ${name} in again?`,
  [el('p', {}, 'The person signs in with the password from before.')], 'Let in', async () => {
    await post(address(name, 'enable'), null);
    return `${name} may sign in again.`;
  });

const askReset = ({ name, state }) => ask(`A new link for ${name}?`,
  [el('p', {}, state === 'invited' ? 'The link from before stops working.' : 'The password, all sessions and tokens of this person end at once; with the link a new password is chosen.')],
  'Make the link', async () => showLink(await post(address(name, 'reset'), null)));

/** Name and role of somebody new; the first account is a lead's, or nobody could make another one. */
export function inviteForm(isFirst, done) {
  const name = el('input', { required: true, maxlength: 64, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' });
  const role = el('select', {}, ...(isFirst ? ['lead'] : ROLES).map((each) => el('option', { value: each }, each)));
  const error = el('p', { class: 'pp-error', role: 'alert' });
  const form = el('form', { class: 'pp-inline', 'aria-label': 'Invite somebody' },
    el('label', {}, el('span', {}, 'Name'), name), el('label', {}, el('span', {}, 'Role'), role),
    el('button', { class: 'pp-primary', type: 'submit' }, isFirst ? 'Make my account' : 'Invite'), error);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    error.textContent = '';
    try {
      const link = await post('/api/people', { name: name.value, role: role.value });
      if (isFirst) location.assign(link.path); // Nobody is let in any more who has not signed in.
      else await done(await showLink(link));
    } catch (failure) {
      error.textContent = failure.message;
    }
  });
  return form;
}

/** The link is here once; the server keeps only what recognizes it. */
async function showLink({ name, path, expires_at: expiresAt }) {
  const link = el('input', { readonly: true, value: location.origin + path, 'aria-label': `Link for ${name}` });
  const body = [el('p', {}, `Give ${name} this link to choose a password. It is shown this once, works once, and until ${moment(expiresAt)}.`), link];
  const closed = ask(`The link for ${name}`, body, 'Copy and close', async () => {
    await navigator.clipboard?.writeText(link.value).catch(() => {});
    return '';
  }, 'Close');
  link.select();
  await closed;
  return `${name} has a link to choose a password.`;
}

export function sessionsTable(sessions, done) {
  return el('table', { class: 'pp-table' }, el('caption', {}, 'Who is signed in'), head('Name', 'From', 'Browser', 'Since', 'Last active', ''),
    el('tbody', {}, ...sessions.map(({ id, name, address: from, agent, browser, created_at: since, seen_at: seen }) => el('tr', { 'data-session': id },
      el('th', { scope: 'row' }, name), cell(from), cell(el('span', { title: agent }, browser)), cell(moment(since)), cell(moment(seen)),
      cell(button('End', async () => done(await askEnd(id, name)), `End this session of ${name}`))))));
}

const askEnd = (id, name) => ask(`End this session of ${name}?`,
  [el('p', {}, 'The person signs in again to go on; nothing that was decided is lost.')], 'End it', async () => {
    await post(`/api/sessions/${id}/end`, null);
    return `A session of ${name} has ended.`;
  });

export function tokensTable(tokens, done) {
  return el('table', { class: 'pp-table' }, el('caption', {}, 'Tokens for scripts'), head('Owner', 'For', 'Made', 'Last used', ''),
    el('tbody', {}, ...tokens.map(({ id, owner, name, created_at: made, used_at: used }) => el('tr', {},
      el('th', { scope: 'row' }, owner), cell(name), cell(moment(made)), cell(used ? moment(used) : 'never'),
      cell(button('Revoke', async () => done(await askRevoke(id, owner, name)), `Revoke ${name} of ${owner}`))))));
}

const askRevoke = (id, owner, name) => ask(`Revoke "${name}" of ${owner}?`,
  [el('p', {}, 'Scripts that use it are refused from now on.')], 'Revoke', async () => {
    await post(`/api/tokens/${id}/revoke`, null);
    return `The token "${name}" does not work any more.`;
  });

const article = (role) => `${/^[aeiou]/.test(role) ? 'an' : 'a'} ${role}`;
