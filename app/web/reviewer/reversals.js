// What an undo or redo did, in words: it may be about something that is not in view.

const WHAT = {
  accept: 'accepting the region', relabel: 'the relabel', void: 'void', dont_know: '"don\'t know"', skip: 'skipping',
  propagate: 'the class of the look-alikes', flag: 'the flag', accept_rest: 'accepting the rest',
};

/** `direction` as in Editing.undo. For the rest of an image: its name, and how many of its regions wait now. */
export function describeReversal(step, direction, rest = null) {
  const isStroke = step.kind === 'draw' && !step.closesRegion;
  const what = isStroke ? 'a stroke' : step.kind === 'draw' ? 'finishing the drawing' : WHAT[step.kind];
  const done = `${direction < 0 ? 'Undone' : 'Done again'}: ${what}`;
  if (rest !== null) return `${done} of ${rest.name}. ${waitingText(rest.count)}`;
  if (isStroke || step.kind === 'flag' || direction < 0) return `${done}.`;
  return `${done}. This region is answered; → goes on.`;
}

function waitingText(count) {
  if (count === 0) return 'None of its regions waits.';
  return count === 1 ? '1 of its regions waits.' : `${count} of its regions wait.`;
}
