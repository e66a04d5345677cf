// Finished exports with a link to download each as one file.
import { el, live } from './dom.js';

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, ({ exports: names, cuts }) => {
    const rows = names.map((name) => el('li', {}, el('strong', {}, name),
      el('a', { class: 'pp-primary', href: `/api/exports/${encodeURIComponent(name)}/download`, download: `${name}.zip` }, 'Download zip')));
    const rest = cuts.map(({ words, images, promise }) => el('p', { class: 'pp-muted' }, `${images} ${images === 1 ? 'image' : 'images'} of the pool, ${words}. ${promise}`));
    root.replaceChildren(rows.length ? el('ul', { class: 'pp-exports' }, ...rows) : el('p', { class: 'pp-muted' }, 'None yet.'), ...rest);
  });
}
