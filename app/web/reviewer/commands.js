// From keys and buttons to what the reviewer does.
import { chordFrom, commandOf } from './keymap.js';
import { VOID_ID } from './palette.js';

const PAN_SHARE = 0.2; // Of the view, with one press.
const REPEATING = new Set(['pan_left', 'pan_right', 'pan_up', 'pan_down', 'smaller', 'larger', 'zoom_in', 'zoom_out', 'undo', 'redo']);
const KEYS_OF_CONTROLS = new Set(['Enter', ' ', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']);

const COMMANDS = {
  accept: (reviewer) => reviewer.decide('accept', 'decided'),
  void: (reviewer) => reviewer.chooseClass(VOID_ID),
  dont_know: (reviewer) => reviewer.decide('dont_know', 'second_review'),
  skip: (reviewer) => reviewer.decide('skip', 'skipped'),
  find_class: ({ current, view }) => current && view.finder.open(current.top_classes.map(({ class_id: id }) => id)),
  accept_rest: (reviewer) => reviewer.acceptRest(),
  brush: (reviewer) => reviewer.setTool('brush'),
  eraser: (reviewer) => reviewer.setTool('eraser'),
  smaller: ({ drawing }) => drawing.resize(-1),
  larger: ({ drawing }) => drawing.resize(1),
  commit: (reviewer) => reviewer.commit(),
  cancel: (reviewer) => reviewer.cancel(),
  unlock: (reviewer) => reviewer.current && reviewer.drawing.toggleLock(),
  undo: (reviewer) => reviewer.undo(-1),
  redo: (reviewer) => reviewer.undo(1),
  previous: (reviewer) => reviewer.move(-1),
  next: (reviewer) => reviewer.move(1),
  comment: ({ comments }) => comments.open(),
  help: ({ view }) => view.help.showModal(),
  hide: ({ screen }) => screen.toggleMode('image'),
  show_class: ({ screen }) => screen.setMode('class'),
  reliability: ({ screen }) => screen.toggleMode('reliability'),
  difference: ({ screen }) => screen.toggleMode('difference'),
  opacity: ({ screen }) => screen.nextOpacity(),
  opacity_input: ({ screen, view }) => screen.setOpacity(Number(view.opacity.value) / 100),
  band: ({ screen }) => screen.toggleBand(),
  fit: ({ screen }) => screen.toggleFit(),
  zoom_in: ({ screen }) => screen.zoom(1.25),
  zoom_out: ({ screen }) => screen.zoom(0.8),
  pan_left: ({ screen }) => screen.pan(-PAN_SHARE, 0),
  pan_right: ({ screen }) => screen.pan(PAN_SHARE, 0),
  pan_up: ({ screen }) => screen.pan(0, -PAN_SHARE),
  pan_down: ({ screen }) => screen.pan(0, PAN_SHARE),
  dim: ({ screen }) => screen.toggleDimming(),
  retry: ({ outbox }) => outbox.retry(),
};

export function runCommand(reviewer, command) {
  COMMANDS[command](reviewer);
}

/** Handle a key; keys that mean nothing here are left alone. */
export function handleKey(reviewer, event) {
  if (event.target.closest('dialog')) return;
  if (event.target.closest('button, input, a') && KEYS_OF_CONTROLS.has(event.key)) return;
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
  const isUsed = (isPlain && !reviewer.isBusy && reviewer.drawing.key(event)) || press(reviewer, chordFrom(event), event.repeat);
  if (!isUsed) return;
  reviewer.activity.note('keys');
  event.preventDefault();
  event.stopPropagation();
}

/** True when the key means something. A key that is held down decides only once. */
function press(reviewer, chord, isRepeat) {
  const command = chord && commandOf(chord);
  const known = chord && reviewer.session.classes.find(({ key }) => key === chord);
  if (!command && !known) return false;
  if (isRepeat && !REPEATING.has(command)) return true;
  if (command) runCommand(reviewer, command);
  else reviewer.chooseClass(known.id);
  return true;
}
