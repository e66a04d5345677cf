// In the navigation bar: which workspace is open, and light or dark. Names the page for screen readers and the tab.
import { el, live } from './dom.js';
import { nextTheme, themeChoice } from './theme.js';

const THEMES = { system: '◐ System', light: '☀ Light', dark: '☾ Dark' };

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, ({ name, path }) => {
    root.replaceChildren(
      el('h1', { class: 'pp-unseen' }, `${pageName()}: ${name}`),
      el('span', { class: 'pp-workspace', title: `Workspace ${path}` }, name), themeButton());
    document.title = `${name} · Pixelsieve`;
  });
}

function themeButton() {
  const button = el('button', { type: 'button', class: 'pp-theme', title: 'Colors: as the system has them, light or dark', onclick: () => show(nextTheme()) });
  const show = (choice) => button.replaceChildren(THEMES[choice]);
  show(themeChoice());
  return button;
}

/** The name of this page in the navigation bar. */
function pageName() {
  const here = location.pathname.replace(/\/$/, '');
  const link = [...document.querySelectorAll('nav a, .nav-holder a')].find(({ pathname }) => pathname.replace(/\/$/, '') === here);
  return link?.textContent.trim() ?? 'Pixelsieve';
}
