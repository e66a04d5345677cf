// The list of keys, as a dialog that the browser itself makes modal and closes with Escape.
import { el } from './dom.js';
import { COMMANDS, showChord } from './keymap.js';

const KEYBOARD_DRAWING = 'While a tool is on, its key again puts it away, class keys choose what it draws, and the arrow keys move its cross (Shift: ten pixels). ' +
  'Space draws there, as long as it is held down; Shift Space holds it down until the next Space. Strokes are saved one by one, at once.';
const LOCKED = 'Strokes leave locked pixels as they are: those that the model is sure about. The thin band along the borders of classes, and leftovers, ' +
  'look the same and are not locked; T shows them as dots.';
const LOOKALIKES = 'While look-alikes are shown, Enter or Y gives them the class, Esc or N leaves them.';

export function buildHelp(classes, onClose) {
  const groups = [...new Set(COMMANDS.map(({ group }) => group))];
  const list = (rows) => el('dl', {}, ...rows.flatMap(([chord, text]) => [el('dt', {}, el('kbd', {}, showChord(chord))), el('dd', {}, text)]));
  const dialog = el('dialog', { class: 'ps-help', 'aria-label': 'Keys' },
    el('form', { method: 'dialog' }, el('h2', {}, 'Keys'), el('button', { class: 'ps-button' }, 'Close')),
    el('div', { class: 'ps-help-groups' },
      ...groups.map((group) => el('section', {}, el('h3', {}, group),
        list(COMMANDS.filter((command) => command.group === group).map(({ chord, title }) => [chord, title])))),
      el('section', {}, el('h3', {}, 'Relabel the region'), list(classes.filter(({ key }) => key).map(({ key, name }) => [key, name])))),
    el('p', {}, KEYBOARD_DRAWING), el('p', {}, LOCKED), el('p', {}, LOOKALIKES),
    el('p', {}, 'Wheel or two fingers zoom. Drag moves the view; while drawing use the middle or right button, or a finger beside a pen. Click another hatched region to open it.'));
  dialog.addEventListener('close', onClose);
  return dialog;
}
