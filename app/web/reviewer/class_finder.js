// Any class by its name, from the keyboard: for lists that are longer than there are keys.
import { el, kbd } from './dom.js';
import { showChord } from './keymap.js';
import { cssColor } from './palette.js';

const plain = (text) => text.normalize('NFD').replace(/\p{Diacritic}/gu, '').toLowerCase();

export class ClassFinder {
  /** `choose(classId)` is called after the dialog has closed, `onClose` whenever it has. */
  constructor(classes, choose, onClose) {
    this.classes = classes;
    this.choose = choose;
    this.likely = [];
    this.input = el('input', {
      type: 'text', class: 'ps-find', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'ps-found', 'aria-autocomplete': 'list',
      'aria-label': 'Find a class by its name', placeholder: 'Name of a class', autocomplete: 'off', spellcheck: 'false', oninput: () => this.list(),
    });
    this.found = el('ul', { id: 'ps-found', class: 'ps-found', role: 'listbox', 'aria-label': 'Classes' });
    this.count = el('p', { role: 'status' });
    this.dialog = el('dialog', { class: 'ps-help ps-finder', 'aria-label': 'Find a class' }, this.input, this.found, this.count);
    this.dialog.addEventListener('keydown', (event) => this.key(event));
    this.dialog.addEventListener('close', onClose);
  }

  /** `likely` are class ids to show first while nothing is typed. */
  open(likely) {
    this.likely = likely;
    this.input.value = '';
    this.list();
    this.dialog.showModal();
    this.input.focus();
  }

  list() {
    const words = plain(this.input.value).split(/\s+/).filter(Boolean);
    const rank = ({ id }) => (this.likely.includes(id) ? this.likely.indexOf(id) : this.likely.length);
    const matches = this.classes.filter(({ name }) => words.every((word) => plain(name).includes(word)));
    if (words.length === 0) matches.sort((a, b) => rank(a) - rank(b));
    this.matches = matches;
    this.found.replaceChildren(...matches.map((each) => this.option(each)));
    this.count.textContent = countText(matches.length);
    this.mark(0);
  }

  option({ id, name, color, key }) {
    const swatch = el('i', { class: 'ps-swatch' });
    swatch.style.background = cssColor(color);
    return el('li', { role: 'option', id: `ps-found-${id}`, onclick: () => this.take(id) },
      swatch, el('span', { class: 'ps-name', dir: 'auto' }, name), kbd(key ? showChord(key) : `#${id}`));
  }

  mark(index) {
    this.marked = Math.min(this.matches.length - 1, Math.max(0, index));
    [...this.found.children].forEach((option, at) => option.setAttribute('aria-selected', String(at === this.marked)));
    const option = this.found.children[this.marked];
    if (option) {
      this.input.setAttribute('aria-activedescendant', option.id);
      option.scrollIntoView({ block: 'nearest' });
    } else this.input.removeAttribute('aria-activedescendant');
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step) this.mark(this.marked + step);
    else if (event.key === 'Enter') {
      const match = this.matches[this.marked];
      if (match) this.take(match.id);
    } else return;
    event.preventDefault();
  }

  take(classId) {
    this.dialog.close();
    this.choose(classId);
  }
}

function countText(count) {
  if (count === 0) return 'No class has a name with that in it. Esc leaves.';
  return count === 1 ? 'One class. Enter takes it.' : `${count} classes. Arrows choose, Enter takes one.`;
}
