// Gold images that got worse first: picture, label, both predictions and the difference, side by side and large.
import { el, points, swatch } from './dom.js';
import { difference, signed } from './interval_chart.js';

const FIRST = 6, MORE = 12;
const SMALL = 360, LARGE = 1600;

export class GoldImages {
  constructor(images, old, now, classes) {
    this.images = images;
    this.views = [
      ['picture', 'Picture', ''], ['label', 'Label', ''], ['prediction', `Round ${old.round}`, `model=${old.id}&`],
      ['prediction', `Round ${now.round}`, `model=${now.id}&`], ['difference', 'Difference', `old=${old.id}&new=${now.id}&`],
    ];
    this.list = el('div', { class: 'pp-gold-list' });
    this.more = el('button', { type: 'button', onclick: () => this.show(this.list.childElementCount + MORE) });
    this.element = el('section', { class: 'pp-gold', 'aria-label': 'Gold images' }, el('h3', {}, 'Gold images, those that got worse first'), legend(classes), this.list, this.more);
    this.show(FIRST);
  }

  show(count) {
    for (const image of this.images.slice(this.list.childElementCount, count)) this.list.append(this.row(image));
    const left = this.images.length - this.list.childElementCount;
    this.more.hidden = left === 0;
    this.more.textContent = `Show ${Math.min(MORE, left)} more of ${left}`;
  }

  row(image) {
    const by = difference(image);
    const classes = image.worst_classes.map(([name, fall]) => `${name} −${Math.abs(fall * 100).toFixed(0)}`).join(', ');
    const change = by === null ? '' : `${signed(by)} points`;
    return el('article', { 'data-image': image.image_id },
      el('header', {}, el('strong', {}, image.name), el('span', {}, `${points(image.old)} → ${points(image.new)}`),
        el('span', { class: by < 0 ? 'pp-worse' : 'pp-better' }, change), classes ? el('small', {}, `fell most: ${classes}`) : null),
      el('div', { class: 'pp-figures' }, ...this.views.map((view, index) => this.figure(image, view, index))));
  }

  figure(image, [kind, caption, query], index) {
    const picture = el('img', { src: source(image, kind, query, SMALL), alt: `${caption} of ${image.name}`, loading: 'lazy', decoding: 'async' });
    return el('figure', {}, el('button', { type: 'button', onclick: () => this.enlarge(image, index), 'aria-label': `${caption} of ${image.name}, larger` }, picture), el('figcaption', {}, caption));
  }

  /** One view large; arrow keys and buttons go to the other four, so that two predictions can be flicked back and forth. */
  enlarge(image, first) {
    const picture = el('img', { alt: '' });
    const tabs = this.views.map(([, caption], index) => el('button', { type: 'button', onclick: () => turn(index) }, caption));
    const dialog = el('dialog', { class: 'pp pp-large', 'aria-label': image.name },
      el('header', {}, el('strong', {}, image.name), el('span', { class: 'pp-space' }), ...tabs, el('button', { type: 'button', onclick: () => dialog.close() }, 'Close')), picture);
    let shown = first;
    const turn = (index) => {
      shown = (index + this.views.length) % this.views.length;
      const [kind, caption, query] = this.views[shown];
      picture.src = source(image, kind, query, LARGE);
      picture.alt = `${caption} of ${image.name}`;
      tabs.forEach((tab, place) => tab.setAttribute('aria-pressed', String(place === shown)));
      tabs[shown].focus();
    };
    dialog.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) { event.preventDefault(); turn(shown + step); }
    });
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    turn(first);
  }
}

const source = (image, kind, query, width) => `/api/gold/${image.image_id}/${kind}?${query}width=${width}`;

function legend(classes) {
  const marks = [['became-wrong', 'became wrong'], ['became-right', 'became right'], ['still-wrong', 'wrong in both']];
  return el('ul', { class: 'pp-legend' }, ...classes.map(({ name, color }) => el('li', {}, swatch(color), name)),
    ...marks.map(([kind, text]) => el('li', {}, el('i', { class: `pp-mark-${kind}`, 'aria-hidden': 'true' }), text)));
}
