// What the colours and patterns of a view mode stand for.
import { el } from './dom.js';

/** Patterns and what they stand for; those of class mode are short enough for two columns, and say more when pointed at. */
const LEGENDS = {
  class: [
    ['current', 'this region', 'The region that is asked about: the picture itself, with a dashed outline'], ['hatch', 'to decide', 'Waits for a decision'],
    ['plain', 'reliable', 'The model is sure, and strokes leave it as it is while it is locked'], ['human', 'by people', 'Decided by people'],
    ['void', 'void', 'Has no class'],
  ],
  reliability: [['unsure', 'the more, the less sure'], ['sure', 'the model is sure']],
  difference: [['changed', 'changed, in its new class'], ['changed-void', 'changed to void'], ['sure', 'as the model said']],
  image: [['sure', 'picture only, overlay hidden']],
};
const BAND = ['band', 'edges', 'The band along edges, and what is left over: nobody is asked about it'];

/** The lines of the legend for a mode; the dots of the band show in class mode only. */
export function legendLines(mode, showBand) {
  const lines = mode === 'class' && showBand ? [...LEGENDS.class, BAND] : LEGENDS[mode];
  return lines.map(([kind, text, title]) => el('li', { title }, el('i', { class: `ps-${kind}` }), text));
}
