// Finished exports with a link to download each as one file.
import { el, live } from './dom.js';
import { whyNoPromise } from './threshold_parts.js';

export function mount(element, gradio) {
  const root = element.querySelector('.ps-panel');
  live(root, gradio, ({ exports: names, cuts }) => {
    const rows = names.map((name) => el('li', {}, el('strong', {}, name),
      el('a', { class: 'pp-primary', href: `/api/exports/${encodeURIComponent(name)}/download`, download: `${name}.zip` }, 'Download zip')));
    const rest = cuts.map(({ words, images, bound, promise, shift, is_shifted: isShifted }) => el('p', { class: 'pp-muted' }, `${images} ${images === 1 ? 'image' : 'images'} of the pool, ${words}. ${bound === null ? 'Nothing is promised about them.' : promise}${isShifted ? ` ${shift}` : ''}`));
    root.replaceChildren(rows.length ? el('ul', { class: 'pp-exports' }, ...rows) : el('p', { class: 'pp-muted' }, 'None yet.'),
      ...(rest.length ? [el('h3', {}, 'What the labels of the pool rest on')] : []), ...rest, ...[whyNoPromise(cuts)].filter(Boolean));
  });
}
