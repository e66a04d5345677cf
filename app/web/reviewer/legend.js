// What the colours and patterns of a view mode stand for.
import { el } from './dom.js';

const LEGENDS = {
  class: [['current', 'this region: picture, dashed'], ['hatch', 'waits for a decision'], ['plain', 'reliable, locked'], ['human', 'decided by people'], ['void', 'void']],
  reliability: [['unsure', 'the more, the less sure'], ['sure', 'the model is sure']],
  difference: [['changed', 'changed, in its new class'], ['changed-void', 'changed to void'], ['sure', 'as the model said']],
  image: [['sure', 'picture only, overlay hidden']],
};
const BAND = ['band', 'boundary band and leftovers'];

/** The lines of the legend for a mode; the dots of the band show in class mode only. */
export function legendLines(mode, showBand) {
  const lines = mode === 'class' && showBand ? [...LEGENDS.class, BAND] : LEGENDS[mode];
  return lines.map(([kind, text]) => el('li', {}, el('i', { class: `ps-${kind}` }), text));
}
