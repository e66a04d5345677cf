// Every command with its key. Class keys come from the server (app/web/keys.py), which leaves these letters free.

export const COMMANDS = [
  { id: 'accept', chord: 'Space', title: 'The model is right: accept', group: 'Decide' },
  { id: 'void', chord: 'X', title: 'Void: belongs to no class', group: 'Decide' },
  { id: 'dont_know', chord: 'F', title: "Don't know: to second review", group: 'Decide' },
  { id: 'skip', chord: 'S', title: 'Skip: comes back at the end', group: 'Decide' },
  { id: 'find_class', chord: '/', title: 'Find a class by its name', group: 'Decide' },
  { id: 'accept_rest', chord: 'Shift+Enter', title: 'Accept the rest of this image unseen', group: 'Decide' },
  { id: 'propagate', chord: 'M', title: 'Look-alikes of the last relabel: show them', group: 'Decide' },
  { id: 'brush', chord: 'B', title: 'Brush', group: 'Draw' },
  { id: 'eraser', chord: 'E', title: "Eraser: back to the model's label", group: 'Draw' },
  { id: 'superpixels', chord: 'W', title: 'Superpixels: whole small areas', group: 'Draw' },
  { id: 'polygon', chord: 'P', title: 'Polygon: Enter or a double click closes it', group: 'Draw' },
  { id: 'fill', chord: 'K', title: 'Fill an area of one class', group: 'Draw' },
  { id: 'flag', chord: 'G', title: 'A reliable area is wrong: then click it', group: 'Draw' },
  { id: 'smaller', chord: '[', title: 'Smaller brush or superpixels', group: 'Draw' },
  { id: 'larger', chord: ']', title: 'Larger brush or superpixels', group: 'Draw' },
  { id: 'commit', chord: 'Enter', title: 'The drawing is finished: go on', group: 'Draw' },
  { id: 'cancel', chord: 'Escape', title: "Take this region's last strokes back, leave the tool", group: 'Draw' },
  { id: 'unlock', chord: 'L', title: 'Unlock or lock reliable pixels', group: 'Draw' },
  { id: 'undo', chord: 'Ctrl+Z', title: 'Undo: strokes and decisions, in their order', group: 'Always' },
  { id: 'redo', chord: 'Ctrl+Shift+Z', title: 'Redo', group: 'Always' },
  { id: 'previous', chord: 'ArrowLeft', title: 'Previous region', group: 'Always' },
  { id: 'next', chord: 'ArrowRight', title: 'Next region', group: 'Always' },
  { id: 'comment', chord: 'N', title: 'Comments and questions', group: 'Always' },
  { id: 'help', chord: '?', title: 'This list', group: 'Always' },
  { id: 'hide', chord: 'H', title: 'Hide or show the overlay', group: 'View' },
  { id: 'reliability', chord: 'R', title: 'Reliability only', group: 'View' },
  { id: 'difference', chord: 'D', title: 'What people changed', group: 'View' },
  { id: 'opacity', chord: 'O', title: 'Overlay opacity', group: 'View' },
  { id: 'band', chord: 'T', title: 'Dots on boundary band and leftovers', group: 'View' },
  { id: 'fit', chord: '0', title: 'Whole image or region', group: 'View' },
  { id: 'zoom_in', chord: '+', title: 'Zoom in', group: 'View' },
  { id: 'zoom_out', chord: '-', title: 'Zoom out', group: 'View' },
  { id: 'pan_left', chord: 'Ctrl+ArrowLeft', title: 'Look further left', group: 'View' },
  { id: 'pan_right', chord: 'Ctrl+ArrowRight', title: 'Look further right', group: 'View' },
  { id: 'pan_up', chord: 'Ctrl+ArrowUp', title: 'Look further up', group: 'View' },
  { id: 'pan_down', chord: 'Ctrl+ArrowDown', title: 'Look further down', group: 'View' },
  { id: 'dim', chord: 'Shift+H', title: 'Darken everything but the region', group: 'View' },
];

const ALIASES = { 'Ctrl+Y': 'Ctrl+Shift+Z', '=': '+' };
const BY_CHORD = new Map(COMMANDS.map((command) => [command.chord, command.id]));
const SHOWN = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Escape: 'Esc' };

export const commandOf = (chord) => BY_CHORD.get(ALIASES[chord] ?? chord);
export const groupOf = (id) => COMMANDS.find((command) => command.id === id)?.group;
export const chordOf = (id) => COMMANDS.find((command) => command.id === id)?.chord;

/** As people read it: 'Ctrl ⇧Z', '⇧A', 'Shift Enter', '←'. */
export function showChord(chord) {
  const key = chord.replace(/^(Ctrl\+)?(Shift\+)?/, '');
  const shift = chord.includes('Shift+') ? (key.length === 1 ? '⇧' : 'Shift ') : '';
  return `${chord.startsWith('Ctrl+') ? 'Ctrl ' : ''}${shift}${SHOWN[key] ?? key}`;
}

/** 'A', 'Shift+A', 'Ctrl+Z', 'Space', '[' ...; null for keys that are not ours. */
export function chordFrom(event) {
  const isAltGraph = event.getModifierState('AltGraph'); // Types brackets on many keyboards; some report it as Ctrl and Alt.
  if ((event.altKey && !isAltGraph) || event.isComposing) return null;
  let key = event.key === ' ' ? 'Space' : event.key;
  const isLetter = /^[a-z]$/i.test(key);
  if (isLetter) key = key.toUpperCase();
  const shift = event.shiftKey && (isLetter || key === 'Enter') ? 'Shift+' : '';
  return `${(event.ctrlKey && !isAltGraph) || event.metaKey ? 'Ctrl+' : ''}${shift}${key}`;
}
