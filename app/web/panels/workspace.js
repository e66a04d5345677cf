// Which workspace is open: its folder's name in the navigation bar and in the browser's tab.
import { el, live } from './dom.js';

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, ({ name, path }) => {
    root.replaceChildren(el('span', { class: 'pp-workspace', title: `Workspace ${path}` }, name));
    document.title = `${name} · Pixelsieve`;
  });
}
