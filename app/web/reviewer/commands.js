// From keys and buttons to what the reviewer does.
import { ANSWER_FIRST } from './editing.js';
import { chordFrom, commandOf, groupOf, showChord } from './keymap.js';
import { VOID_ID } from './palette.js';

const PAN_SHARE = 0.2; // Of the view, with one press.
const REPEATING = new Set(['pan_left', 'pan_right', 'pan_up', 'pan_down', 'smaller', 'larger', 'zoom_in', 'zoom_out', 'undo', 'redo']);
const KEYS_OF_CONTROLS = new Set(['Enter', ' ', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']);

const COMMANDS = {
  accept: ({ editing }) => editing.decide('accept', 'decided'),
  void: ({ editing }) => editing.chooseClass(VOID_ID),
  dont_know: ({ editing }) => editing.decide('dont_know', 'second_review'),
  skip: ({ editing }) => editing.decide('skip', 'skipped'),
  find_class: ({ current, view }) => current && view.finder.open(current.top_classes.map(({ class_id: id }) => id)),
  accept_rest: ({ editing }) => editing.acceptRest(),
  propagate: ({ propagation }) => propagation.show(),
  propagate_apply: ({ propagation }) => propagation.apply(),
  propagate_decline: ({ propagation }) => propagation.decline(),
  brush: (reviewer) => reviewer.setTool('brush'),
  eraser: (reviewer) => reviewer.setTool('eraser'),
  superpixels: (reviewer) => reviewer.setTool('superpixels'),
  polygon: (reviewer) => reviewer.setTool('polygon'),
  fill: (reviewer) => reviewer.setTool('fill'),
  flag: (reviewer) => reviewer.setTool('flag'),
  smaller: ({ drawing }) => drawing.resize(-1),
  larger: ({ drawing }) => drawing.resize(1),
  commit: ({ editing }) => editing.commit(),
  cancel: (reviewer) => reviewer.cancel(),
  unlock: ({ current, drawing }) => current && drawing.toggleLock(),
  undo: (reviewer) => undo(reviewer, -1),
  redo: (reviewer) => undo(reviewer, 1),
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
  zoom_in: ({ drawing }) => drawing.zoom(1.25),
  zoom_out: ({ drawing }) => drawing.zoom(0.8),
  pan_left: ({ screen }) => screen.pan(-PAN_SHARE, 0),
  pan_right: ({ screen }) => screen.pan(PAN_SHARE, 0),
  pan_up: ({ screen }) => screen.pan(0, -PAN_SHARE),
  pan_down: ({ screen }) => screen.pan(0, PAN_SHARE),
  dim: ({ screen }) => screen.toggleDimming(),
  retry: ({ outbox }) => outbox.retry(),
};

const OF_PROPOSAL = new Set(['accept', 'accept_rest', 'propagate', 'flag', 'unlock', 'reliability', 'difference', 'band']);
const NO_PROPOSAL = 'This image is labeled from scratch: there is no proposal. Class keys choose what you draw, Enter finishes the image.';
const CHANGING = new Set(['unlock', 'undo', 'redo']); // Those that ask nothing else before.
const ALWAYS = new Set(['help', 'retry', 'propagate_apply', 'propagate_decline', 'show_class', 'opacity_input']);

/** While look-alikes are shown, they want an answer: only the view can be changed. */
export function runCommand(reviewer, command) {
  const { propagation, view } = reviewer;
  reviewer.told = null;
  if (propagation.preview && !ALWAYS.has(command) && groupOf(command) !== 'View') view.say(ANSWER_FIRST);
  else if (reviewer.isFromScratch && OF_PROPOSAL.has(command)) view.say(NO_PROPOSAL);
  else if (reviewer.readOnly !== null && CHANGING.has(command)) view.say(reviewer.readOnly);
  else COMMANDS[command](reviewer);
}

/** What is begun comes before what is done. */
function undo({ drawing, editing }, direction) {
  if (direction < 0 && drawing.active?.undo?.()) drawing.changed();
  else if (!drawing.isActive) editing.undo(direction);
}

/** Handle a key; keys that mean nothing here are left alone. */
export function handleKey(reviewer, event) {
  if (event.target.closest('dialog')) return;
  if (reviewer.view.notice.isAsking) return reviewer.view.notice.key(event);
  if (event.target.closest('button, input, a') && KEYS_OF_CONTROLS.has(event.key)) return;
  reviewer.told = null;
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
  const isUsed = reviewer.propagation.key(event) || (isPlain && reviewer.drawing.isEnabled && reviewer.drawing.key(event)) ||
    press(reviewer, chordFrom(event), event.repeat);
  if (!isUsed) return undefined;
  reviewer.activity.note('keys');
  event.preventDefault();
  event.stopPropagation();
  return undefined;
}

export function handleKeyUp(reviewer, event) {
  reviewer.drawing.keyUp(event);
}

/** A digit or letter that nothing has is one of a class elsewhere: it is said, and means nothing more. */
function sayUnknown({ session: { classes }, view }, chord) {
  if (/^(Shift\+)?[A-Z]$|^[1-9]$/.test(chord ?? '')) view.say(`No class has the key ${showChord(chord)}: there are ${classes.length}. ? lists all keys.`);
  return false;
}

/** True when the key means something. A key that is held down decides only once. */
function press(reviewer, chord, isRepeat) {
  const command = chord && commandOf(chord);
  const known = chord && reviewer.session.classes.find(({ key }) => key === chord);
  if (!command && !known) return sayUnknown(reviewer, chord);
  if (isRepeat && !REPEATING.has(command)) return true;
  if (command) runCommand(reviewer, command);
  else reviewer.editing.chooseClass(known.id);
  return true;
}
