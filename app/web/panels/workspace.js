// In the navigation bar: which workspace is open, who is signed in, and light or dark. Names the page for screen readers
// and the tab, and hides the pages that the person's role does not open.
import { el, live } from './dom.js';
import { watchForSignOut } from './signed_out.js';
import { nextTheme, themeChoice } from './theme.js';

const THEMES = { system: '◐ System', light: '☀ Light', dark: '☾ Dark' };

export function mount(element, gradio) {
  watchForSignOut();
  const root = element.querySelector('.ps-panel');
  live(root, gradio, ({ name, path, hidden, person }) => {
    root.replaceChildren(
      el('h1', { class: 'pp-unseen' }, `${pageName()}: ${name}`),
      el('span', { class: 'pp-workspace', title: `Workspace ${path}` }, name), themeButton(),
      ...(person ? [el('a', { class: 'pp-theme pp-person', href: '/account', title: `Signed in as ${person.name}, ${person.role}: your account, sessions and tokens, sign out` }, person.name)] : []));
    for (const link of links()) link.toggleAttribute('hidden', hidden.includes(plain(link.pathname) || '/'));
    document.title = `${name} · Pixelsieve`;
  });
}

function themeButton() {
  const button = el('button', { type: 'button', class: 'pp-theme', title: 'Colors: as the system has them, light or dark', onclick: () => show(nextTheme()) });
  const show = (choice) => button.replaceChildren(THEMES[choice]);
  show(themeChoice());
  return button;
}

const links = () => [...document.querySelectorAll('nav a, .nav-holder a')];
const plain = (path) => path.replace(/\/$/, '');

/** The name of this page in the navigation bar. */
function pageName() {
  const link = links().find(({ pathname }) => plain(pathname) === plain(location.pathname));
  return link?.textContent.trim() ?? 'Pixelsieve';
}
